"""CyclicLR: up and down between two rates, with momentum the other way round (L. Smith, arXiv:1506.01186)."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, per_group

# By mode: the factor on the height of a cycle, from gamma and the cycle's number or (exp_range) the step.
_SCALES: dict[str, Callable[[float, float], float]] = {
    "triangular": lambda gamma, cycle: 1.0,
    "triangular2": lambda gamma, cycle: 0.5 ** (cycle - 1),
    "exp_range": lambda gamma, step: gamma**step,
}


class CyclicLR(LRScheduler):
    """base_lr to max_lr in step_size_up steps, and back in step_size_down."""

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        if mode not in _SCALES and scale_fn is None:
            raise ValueError(f"mode is invalid and scale_fn is None: got mode {mode!r}; use one of {', '.join(_SCALES)}")
        lows = per_group(optimizer, "base_lr", base_lr)
        if last_epoch == -1:
            for lr, group in zip(lows, optimizer.param_groups, strict=True):
                group["lr"] = lr
        self.max_lrs = per_group(optimizer, "max_lr", max_lr)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma = mode, gamma
        self._scale_fn = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def _start_momentum(
        self, optimizer: Optimizer, base: float | list[float], top: float | list[float], last_epoch: int
    ) -> None:
        self.use_beta1 = "betas" in optimizer.defaults
        if "momentum" not in optimizer.defaults and not self.use_beta1:
            raise ValueError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled; "
                f"{type(optimizer).__name__} does not; pass cycle_momentum=False"
            )
        self.base_momentums = per_group(optimizer, "base_momentum", base)
        self.max_momentums = per_group(optimizer, "max_momentum", top)
        if last_epoch == -1:
            for group, low, high in zip(optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value

    def scale_fn(self, x: float) -> float:
        """The factor on the height of a cycle."""
        return _SCALES[self.mode](self.gamma, x) if self._scale_fn is None else self._scale_fn(x)

    def get_lr(self) -> list[float]:
        done = self.last_epoch / self.total_size
        cycle = math.floor(1 + done)
        x = 1.0 + done - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                self._set_momentum(group, high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """A scale_fn that is a function is not saved; callable objects are, by their attributes."""
        fn = self._scale_fn
        saved = None if fn is None or isinstance(fn, FunctionType) else dict(fn.__dict__)
        return {**super().state_dict(), "_scale_fn": saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update({key: value for key, value in state_dict.items() if key != "_scale_fn"})
        if state_dict["_scale_fn"] is not None and self._scale_fn is not None:
            self._scale_fn.__dict__.update(state_dict["_scale_fn"])
