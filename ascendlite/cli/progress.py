"""The progress bar of a training run; plain lines where the output is no terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """Shows step, loss, validation loss, tokens a second and what is left."""

    def __init__(self, console: Console, steps: int, start: int) -> None:
        self._console = console
        self._loss, self._validation, self._rate = "", "", ""
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task("training", total=steps, completed=start, figures="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def tell(self, row: dict[str, float | int]) -> None:
        """Show a row of metrics."""
        if "loss" in row:
            self._loss = f"loss {row['loss']:.3f}"
            self._rate = f"{row['tokens_per_s'] / 1000:.1f}k tokens/s"
        if "validation_loss" in row:
            self._validation = f"validation {row['validation_loss']:.4f}"
            if not self._console.is_terminal:
                figures = ", ".join(filter(None, (self._validation, self._loss, self._rate)))
                self._console.print(f"step {row['step']}: {figures}", soft_wrap=True)
        figures = "  ".join(filter(None, (self._loss, self._validation, self._rate)))
        self._progress.update(self._task, completed=row["step"], figures=figures)
