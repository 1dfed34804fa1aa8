"""What a run leaves for people: metrics.jsonl, curves.png, samples.txt."""

from __future__ import annotations

import json
from pathlib import Path

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


def draw_curves(metrics: Metrics, path: Path, title: str) -> bool:
    """Loss and validation loss by step as a PNG; False where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*metrics.curve("loss"), color="0.7", label="training")
    steps, values = metrics.curve("validation_loss")
    axes.plot(steps, values, "o-", markersize=3, color="tab:red", label="validation")
    if values:
        axes.annotate(f"{values[-1]:.3f}", (steps[-1], values[-1]), xytext=(4, 6), textcoords="offset points")
    axes.set(xlabel="step", ylabel="cross entropy, nats a token", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure).print_png(str(path))  # type: ignore[no-untyped-call]  # matplotlib declares none
    return True
