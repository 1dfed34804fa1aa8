"""Callbacks by transformers' names, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import TrainingConfig

Row = dict[str, float | int]


@dataclass
class TrainerState:
    """Where a run is."""

    global_step: int = 0
    max_steps: int = 0
    epoch: float = 0.0
    log_history: list[Row] = field(default_factory=list)


@dataclass
class TrainerControl:
    """What a callback may ask for; reset after it was done."""

    should_training_stop: bool = False
    should_save: bool = False
    should_log: bool = False


class TrainerCallback:
    """Subclass it and override what matters; each method may change `control`."""

    def on_train_begin(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Before the first step."""

    def on_step_begin(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Before each optimizer step."""

    def on_step_end(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """After each optimizer step."""

    def on_log(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, *, logs: Row, **kwargs: object) -> None:
        """When a row of metrics was written."""

    def on_save(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """When a checkpoint was written."""

    def on_train_end(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """After the last step."""
