"""SequentialLR: one schedule after another."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler
from .plateau import ReduceLROnPlateau


class SequentialLR(LRScheduler):
    """schedulers[i] from milestones[i - 1] on.

    >>> optimizer = al.optim.SGD([al.nn.Parameter(al.ones(1))], lr=1.0)
    >>> warm = al.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=10)
    >>> cosine = al.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90)
    >>> schedule = al.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], milestones=[10])
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        _check(optimizer, schedulers, milestones)
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # every scheduler has made its first step on the same groups: undo them all, then redo the first one's
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo_first_step()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo_first_step(self) -> None:
        for scheduler in self._schedulers:
            if isinstance(scheduler, SequentialLR):
                scheduler._undo_first_step()
            else:
                scheduler.last_epoch -= 1

    def step(self, epoch: int | None = None) -> None:
        """Go to the next step; a schedule that begins starts at its own step 0."""
        if epoch is not None:
            raise ValueError(
                f"SequentialLR: step can't jump to epoch {epoch}; step the schedulers themselves"
            )
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._move(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        own = {key: value for key, value in self.__dict__.items() if key not in ("optimizer", "_schedulers")}
        return {**own, "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for scheduler, values in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(values)


def _check(optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int]) -> None:
    if not schedulers:
        raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler")
    for i, scheduler in enumerate(schedulers):
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(
                "SequentialLR does not support ReduceLROnPlateau, whose step takes a metric, but got one at "
                f"index {i}"
            )
        if scheduler.optimizer is not optimizer:
            raise ValueError(
                "SequentialLR expects all schedulers to belong to the same optimizer, but "
                f"{type(scheduler).__name__} at index {i} has another one"
            )
    if len(milestones) != len(schedulers) - 1:
        raise ValueError(
            "SequentialLR expects one scheduler more than milestones, but got "
            f"{len(schedulers)} schedulers and {len(milestones)} milestones"
        )
