"""OneCycleLR: up to a high rate and down to a very low one, with momentum the other way round."""

from __future__ import annotations

import math

from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, per_group


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * done) + 1)


def _line(start: float, end: float, done: float) -> float:
    return (end - start) * done + start


_ANNEAL = {"cos": _cosine, "linear": _line}


class OneCycleLR(LRScheduler):
    """One cycle of total_steps (or epochs * steps_per_epoch) steps; rates start at max_lr / div_factor."""

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in _ANNEAL:
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(pct_start, self.total_steps, three_phase)
        if last_epoch == -1:
            for group, top in zip(
                optimizer.param_groups, per_group(optimizer, "max_lr", max_lr), strict=True
            ):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        self.use_beta1 = "betas" in optimizer.defaults
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _start_momentum(self, base: float | list[float], top: float | list[float], last_epoch: int) -> None:
        optimizer = self.optimizer
        if "momentum" not in optimizer.defaults and not self.use_beta1:
            raise ValueError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled; "
                f"{type(optimizer).__name__} does not"
            )
        lows, highs = per_group(optimizer, "base_momentum", base), per_group(optimizer, "max_momentum", top)
        if last_epoch == -1:
            for group, low, high in zip(optimizer.param_groups, lows, highs, strict=True):
                self._set_momentum(group, high)
                group["max_momentum"] = high
                group["base_momentum"] = low

    def _set_momentum(self, group: dict[str, object], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])  # type: ignore[index]
        else:
            group["momentum"] = value

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}"
            )
        anneal, lrs, start = _ANNEAL[self._anneal_func_type], [], 0.0
        for phase in self._schedule_phases[:-1]:
            if step <= phase[0]:
                break
            start = phase[0]
        else:
            phase = self._schedule_phases[-1]
        end, lr_from, lr_to, momentum_from, momentum_to = phase
        done = (step - start) / (end - start)
        for group in self.optimizer.param_groups:
            lrs.append(anneal(group[lr_from], group[lr_to], done))
            if self.cycle_momentum:
                self._set_momentum(group, anneal(group[momentum_from], group[momentum_to], done))
        return lrs


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    counts = (
        {"total_steps": total_steps}
        if total_steps is not None
        else {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    )
    product = 1
    for name, count in counts.items():
        if not isinstance(count, int) or count <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {count}")
        product *= count
    return product


Phase = tuple[float, str, str, str, str]


def _phases(pct_start: float, total: int, three_phase: bool) -> list[Phase]:
    """Rows of: last step, rate from, rate to, momentum from, momentum to (names of group entries)."""
    rise = (float(pct_start * total) - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    if not three_phase:
        return [rise, (total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    return [
        rise,
        (float(2 * pct_start * total) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
        (total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
    ]
