"""The progress bar of a trainer; plain lines where the output is no terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .callbacks import Row, TrainerCallback, TrainerControl, TrainerState
from .config import TrainingConfig

# What is shown of a row, where it is there: name, label, format.
_SHOWN = (
    ("loss", "loss", ".3f"),
    ("reward", "reward", ".3f"),
    ("rewards/accuracies", "right", ".2f"),
    ("kl", "KL", ".4f"),
    ("entropy", "entropy", ".3f"),
    ("completions/mean_length", "length", ".1f"),
    ("validation/pass_at_1", "pass@1", ".3f"),
    ("tokens_per_s", "tokens/s", ",.0f"),
)


def figures_of(row: Row) -> str:
    """The figures of a row in words.

    >>> figures_of({"step": 3, "loss": 0.51234, "reward": 1.0, "tokens_per_s": 12345.6})
    'loss 0.512  reward 1.000  tokens/s 12,346'
    """
    return "  ".join(f"{label} {row[name]:{form}}" for name, label, form in _SHOWN if name in row)


class ProgressCallback(TrainerCallback):
    """Shows step, loss, reward, KL, entropy, length and tokens a second."""

    def __init__(self, title: str, console: Console | None = None, every: int = 20) -> None:
        self.title, self.console, self.every = title, console or Console(stderr=True, highlight=False), every
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._last: Row = {}

    def on_train_begin(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Open the bar."""
        if not self.console.is_terminal:
            return
        columns = (TextColumn(self.title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self.console)
        self._task = self._progress.add_task(self.title, total=state.max_steps, completed=state.global_step, figures="")
        self._progress.start()

    def on_log(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, *, logs: Row, **kwargs: object) -> None:
        """Show a row."""
        self._last = {**self._last, **logs}
        if self._progress is not None:
            self._progress.update(self._task, completed=state.global_step, figures=figures_of(self._last))
        elif "loss" in logs and (state.global_step % self.every == 0 or state.global_step == state.max_steps):
            self.console.print(f"{self.title} {state.global_step}/{state.max_steps}: {figures_of(self._last)}", markup=False, soft_wrap=True)

    def on_train_end(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Close the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
