"""The clock against the published measurements: every row with its error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ascendlite.npu import clock
from ascendlite.npu.calibration.rows import ROWS, Row, traced
from ascendlite.npu.timeline import Timeline


@dataclass(frozen=True)
class Result:
    """What the clock says of a row. `kernels`: whether only the chip's own cores ran (else some op has no kernel yet)."""

    row: Row
    us: float
    busy_us: Mapping[str, float]  # of the pipes that were measured
    kernels: bool = True

    @property
    def error(self) -> float:
        return self.us / self.row.measured_us - 1


def run(row: Row) -> Result:
    """Times one row, in the state of the cache that its measurement had."""
    if row.call is not None:
        told = row.call()
        return Result(row, told.device_us, {}, all(r.kind != "AI_CPU" for r in told.rows))
    program = traced(row)
    l2 = clock.cache_of(row.chip)
    for _ in range(row.repeats):
        timeline = Timeline.of(program, l2=l2)
    return Result(row, timeline.us * row.scale, {pipe: timeline.busy_us(pipe) * row.scale for pipe in row.pipes})


def report(rows: tuple[Row, ...] = ROWS) -> str:
    """A table of all rows: measured, modelled, error; and the busy time of pipes where it was measured."""
    lines = [f"{'row':60}{'measured us':>14}{'clock us':>12}{'error':>9}{'gate':>7}"]
    for row in rows:
        result = run(row)
        gate = f"{100 * row.gate:.0f} %" if row.gate is not None else "-"
        note = ("" if row.fitted else "  not fitted on") + ("" if result.kernels else ", an op without a kernel runs on the AI CPU")
        lines.append(f"{row.name:60}{row.measured_us:14.2f}{result.us:12.2f}{100 * result.error:+8.1f} %{gate:>6}{note}")
        for pipe, measured in row.pipes.items():
            busy = result.busy_us[pipe]
            lines.append(f"    {'busy ' + pipe:56}{measured:14.2f}{busy:12.2f}{100 * (busy / measured - 1):+8.1f} %")
    return "\n".join(lines)


__all__ = ["ROWS", "Result", "Row", "report", "run", "traced"]
