"""What a run leaves for people: metrics.jsonl, curves.png, samples.txt."""

from __future__ import annotations

from pathlib import Path

from ascendlite.posttrain.metrics import Metrics


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
