"""What a training run is made with: saved in its checkpoints, so that a resumed run is the same run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

from ascendlite.errors import ArgumentError

AUTOCAST = {"float32": None, "bfloat16": "bfloat16", "float16": "float16"}


@dataclass(frozen=True)
class Settings:
    """A run's choices; the defaults learn Shakespeare in a few minutes on two cores."""

    text: str = ""  # empty: Shakespeare
    tokens: str = "char"
    length: int = 128
    layers: int = 4
    heads: int = 4
    width: int = 128
    positions: str = "rotary"
    tied: bool = False
    dropout: float = 0.0
    steps: int = 2000
    batch: int = 16
    lr: float = 3e-3
    warmup: int = 50
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 1337
    device: str = "cpu"
    dtype: str = "float32"
    eval_every: int = 200
    eval_batches: int = 16
    save_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "eval_every", "eval_batches", "save_every"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"train: --{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        for name in ("lr", "weight_decay", "clip"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ArgumentError(f"train: --{name.replace('_', '-')} is {value}; it must be a number that is at least 0")

    def rate(self, step: int) -> float:
        """The learning rate of a step: up in a line, down in a cosine to a twentieth."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.lr * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))

    def state_dict(self) -> dict[str, int | float | str | bool]:
        """The choices as plain values."""
        return asdict(self)


def settings_from_state(state: dict[str, int | float | str | bool]) -> Settings:
    """The settings that a `state_dict()` describes; names of other releases are refused."""
    known = {field.name for field in fields(Settings)}
    unknown = sorted(set(state) - known)
    if unknown:
        raise ArgumentError(f"train: the run has settings that this release does not know: {', '.join(unknown)}")
    return Settings(**state)  # type: ignore[arg-type]
