"""Cosine schedules: annealing, with warm restarts, with a warm-up."""

from __future__ import annotations

import math

from ..optimizer import Optimizer
from .base import LRScheduler, current_lrs


def _between(low: float, high: float, turn: float) -> float:
    """From high (turn 0) to low (turn 1) on half a cosine."""
    return low + (high - low) * (1 + math.cos(math.pi * turn)) / 2


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to eta_min over T_max steps on a cosine, and back up after them."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        # torch's recursive form: it respects rates that something else changed, and rounds the same
        lrs, low, T = current_lrs(self.optimizer), self.eta_min, self.T_max
        if self._is_initial:
            return lrs
        if self._step_count == 1 and self.last_epoch > 0:
            return [
                low + (base - low) * (1 + math.cos(self.last_epoch * math.pi / T)) / 2
                for base in self.base_lrs
            ]
        if (self.last_epoch - 1 - T) % (2 * T) == 0:
            rise = 1 - math.cos(math.pi / T)
            return [lr + (base - low) * rise / 2 for base, lr in zip(self.base_lrs, lrs, strict=True)]
        ratio = (1 + math.cos(math.pi * self.last_epoch / T)) / (
            1 + math.cos(math.pi * (self.last_epoch - 1) / T)
        )
        return [ratio * (lr - low) + low for lr in lrs]

    def closed_form_lr(self) -> list[float]:
        return [_between(self.eta_min, base, self.last_epoch / self.T_max) for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that starts again after T_0 steps, then after T_0 * T_mult, and so on."""

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [_between(self.eta_min, base, self.T_cur / self.T_i) for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next step, or to a given one, which may lie between two."""
        self._step_count += 1
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        else:
            self._enter_cycle_of(epoch)
        self.last_epoch = math.floor(epoch)
        self._set_lr(self.get_lr())

    def _enter_cycle_of(self, epoch: float) -> None:
        self.T_i, self.T_cur = self.T_0, epoch
        if epoch >= self.T_0 and self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        elif epoch >= self.T_0:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n


class WarmupCosine(LRScheduler):
    """Linear warm-up over `warmup_steps`, a cosine down to `min_ratio` at `total_steps`, then constant.

    Step 0 already trains: it has 1 / warmup_steps of the rate, not zero.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        min_ratio: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= warmup_steps <= total_steps:
            raise ValueError(
                f"WarmupCosine: warmup_steps {warmup_steps} must lie between 0 and total_steps {total_steps}"
            )
        if not 0.0 <= min_ratio <= 1.0:
            raise ValueError(f"WarmupCosine: min_ratio {min_ratio} must lie between 0 and 1")
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.min_ratio = min_ratio
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self.closed_form_lr()

    def closed_form_lr(self) -> list[float]:
        if self.last_epoch < self.warmup_steps:
            ratio = (self.last_epoch + 1) / self.warmup_steps
        else:
            span = max(1, self.total_steps - self.warmup_steps)
            ratio = _between(self.min_ratio, 1.0, min(1.0, (self.last_epoch - self.warmup_steps) / span))
        return [base * ratio for base in self.base_lrs]
