"""Averages of weights along a run (SWA, EMA), by torch's names."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from ..core import Device, Tensor, int64, no_grad, zeros
from ..nn.batchnorm import _BatchNorm
from ..nn.module import Module
from .lr_scheduler.base import LRScheduler, per_group
from .optimizer import Optimizer

Average = Callable[[Tensor, Tensor, Any], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """decay * average + (1 - decay) * value, as an `avg_fn`."""
    _check_decay(decay)

    @no_grad()
    def average(averaged: Tensor, current: Tensor, _count: Any) -> Tensor:
        return averaged * decay + current * (1 - decay)

    return average


def get_swa_avg_fn() -> Average:
    """The mean of all values so far, as an `avg_fn`."""

    @no_grad()
    def average(averaged: Tensor, current: Tensor, count: Any) -> Tensor:
        moved: Tensor = averaged + (current - averaged) / (count + 1)
        return moved

    return average


def _each(rate: Callable[[Any], Any], plain: Average) -> MultiAverage:
    """In place on lists: floats move towards the new value by `rate(count)`, integers as `plain` says."""

    @no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Any) -> None:
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new.to(old.dtype), rate(count))
            else:
                old.copy_(plain(old, new, count))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """`get_ema_avg_fn` in place on lists of tensors, as a `multi_avg_fn`."""
    plain = get_ema_avg_fn(decay)
    return _each(lambda _count: 1 - decay, plain)


def get_swa_multi_avg_fn() -> MultiAverage:
    """`get_swa_avg_fn` in place on lists of tensors, as a `multi_avg_fn`."""
    return _each(lambda count: 1 / (int(count) + 1), get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose parameters (`use_buffers`: buffers too) are averages of the model's: equal weights, or what
    `avg_fn(average, value, count)` or `multi_avg_fn(averages, values, count)` say.

    >>> model = al.nn.Linear(1, 1, bias=False)
    >>> mean = al.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     _ = al.nn.init.constant_(model.weight, value)
    ...     mean.update_parameters(model)
    >>> mean.module.weight.item()
    2.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: str | Device | None = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", zeros((), dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the model's present values into the averages; the first ones are copied."""
        count = int(self.n_averaged)
        averaged = [t.detach() for t in _averaged_of(self.module, self.use_buffers)]
        values = _averaged_of(model, self.use_buffers)
        current = [new.detach().to(old.device) for old, new in zip(averaged, values, strict=True)]
        if count == 0:
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)
        elif self.avg_fn is not None:
            for old, new in zip(averaged, current, strict=True):
                old.copy_(self.avg_fn(old, new, self.n_averaged.to(old.device)))
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            for olds, news in _alike(averaged, current):
                update(olds, news, self.n_averaged.to(olds[0].device))
        if not self.use_buffers:
            for old, new in zip(self.module.buffers(), model.buffers(), strict=True):
                old.detach().copy_(new.detach().to(old.device))
        self.n_averaged += 1


def _averaged_of(model: Module, use_buffers: bool) -> list[Tensor]:
    return list(chain(model.parameters(), model.buffers() if use_buffers else ()))


def _alike(averaged: list[Tensor], current: list[Tensor]) -> Iterable[tuple[list[Tensor], list[Tensor]]]:
    """The pairs in lists of one device and dtype each."""
    groups: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
    for old, new in zip(averaged, current, strict=True):
        olds, news = groups.setdefault((str(old.device), old.dtype), ([], []))
        olds.append(old)
        news.append(new)
    return groups.values()


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: str | Device | None = None) -> None:
    """Fill the running statistics of the model's batch norms anew: the mean over all batches of `loader` (the first item of
    each batch that is a list or tuple)."""
    momenta = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    if not momenta:
        return
    was_training = model.training
    model.train()
    for norm in momenta:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        model.train(was_training)


_SHAPES: dict[str, Callable[[float], float]] = {"cos": lambda t: (1 - math.cos(math.pi * t)) / 2, "linear": lambda t: t}


class SWALR(LRScheduler):
    """From each group's rate to `swa_lr` within `anneal_epochs` steps, by a cosine or a line; constant from then on.

    >>> optimizer = al.optim.SGD([al.nn.Parameter(al.ones(1))], lr=1.0)
    >>> schedule = al.optim.swa_utils.SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> optimizer.step(); schedule.step(); schedule.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in _SHAPES:
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for rate, group in zip(per_group(optimizer, "swa_lr", swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs = anneal_epochs
        self._anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _way(self, step: int) -> float:
        """How far the rates are at a step: 0 at the start, 1 at `swa_lr`."""
        return _SHAPES[self._anneal_strategy](max(0, min(1, step / max(1, self.anneal_epochs))))

    def get_lr(self) -> list[float]:
        """The rates of the next step, from the present ones."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._way(step - 1), self._way(step)
        rates = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates
