"""Rows of metrics: to JSON lines, and to TensorBoard where that is asked for."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from ascendlite.errors import ArgumentError

Row = dict[str, float | int]


class Metrics:
    """Lines of metrics.jsonl, one a report; a resumed run goes on after the step it resumed from."""

    def __init__(self, folder: Path, resumed_step: int | None) -> None:
        self.path = folder / "metrics.jsonl"
        self.rows: list[Row] = []
        if resumed_step is not None and self.path.is_file():
            self.rows = [row for row in map(_row, self.path.read_text().splitlines()) if row and row["step"] <= resumed_step]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))

    def add(self, row: Row) -> None:
        """Write one line."""
        self.rows.append(row)
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of one metric."""
        points = [(row["step"], row[name]) for row in self.rows if name in row]
        return [step for step, _ in points], [value for _, value in points]


def _row(line: str) -> Row | None:
    try:  # the last line may be torn by a crash
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


_WRITERS = ("torch.utils.tensorboard", "tensorboardX")


def tensorboard_writer(folder: Path) -> Any:
    """A SummaryWriter of whichever package is installed; it has `add_scalar(name, value, step)` and `close()`."""
    for name in _WRITERS:
        try:
            return import_module(name).SummaryWriter(str(folder / "tensorboard"))
        except ImportError:
            continue
    raise ArgumentError(f"report_to: 'tensorboard' needs one of {', '.join(_WRITERS)}; pip install tensorboardX, or leave it out")
