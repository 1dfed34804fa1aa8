"""Records what runs on the device and when, and writes it in the shapes that the vendor's profiler has.

`trace_view.json` opens in Perfetto and in MindStudio Insight; `op_summary.csv`, `kernel_details.csv` and `step_trace_time.csv` have the
vendor's column names. Times are those of the virtual clock.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ascendlite.npu.runtime import stream
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.stream import Task, Timing

# Our pipes by the column that the vendor's tables give them, for cube and vector cores.
_AIC: Final = {"M": "aic_mac", "S": "aic_scalar", "MTE1": "aic_mte1", "MTE2": "aic_mte2", "FIX": "aic_fixpipe"}
_AIV: Final = {"V": "aiv_vec", "S": "aiv_scalar", "MTE2": "aiv_mte2", "MTE3": "aiv_mte3"}
_KERNELS: Final = ("AI_CORE", "AI_VECTOR_CORE", "MIX_AIC", "AI_CPU")


@dataclass
class Step:
    """One training step: its tasks between two calls of `step()`."""

    number: int
    start_us: float
    end_us: float = 0.0
    tasks: list[Task] = field(default_factory=list)


class profile:
    """Profile what runs inside.

    >>> with al.npu.profiler.profile() as p:
    ...     y = al.ones(64, 64, device="npu") @ al.ones(64, 64, device="npu")
    >>> "matmul" in p.table()
    True
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.tasks: list[Task] = []
        self.steps: list[Step] = []

    def __enter__(self) -> profile:
        self._settle()
        stream.host.listeners.append(self._heard)
        self.steps = [Step(0, stream.host.now_us)]
        return self

    def __exit__(self, *exc: object) -> None:
        self._settle()
        stream.host.listeners.remove(self._heard)
        self._close_step()
        if self.folder is not None:
            self.export(self.folder)

    def _heard(self, task: Task) -> None:
        self.tasks.append(task)
        self.steps[-1].tasks.append(task)

    @staticmethod
    def _settle() -> None:
        for index in range(state.chip.dies):
            stream.synchronize(index)

    def _close_step(self) -> None:
        self.steps[-1].end_us = stream.host.now_us

    def step(self) -> None:
        """Say that a training step ends here."""
        self._settle()
        self._close_step()
        self.steps.append(Step(len(self.steps), stream.host.now_us))

    # -- what people read

    def by_name(self) -> list[tuple[str, str, int, float]]:
        """(operator, kind of core, calls, microseconds in all), longest first."""
        total: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
        for t in self.tasks:
            entry = total[t.name, t.kind]
            entry[0] += 1
            entry[1] += t.duration_us
        rows = [(name, kind, int(calls), us) for (name, kind), (calls, us) in total.items()]
        return sorted(rows, key=lambda r: -r[3])

    def table(self, most: int = 20) -> str:
        """A table of the operators that took longest."""
        rows = self.by_name()
        whole = sum(r[3] for r in rows) or 1.0
        lines = [f"{'operator':<28}{'core':<16}{'calls':>7}{'total us':>13}{'mean us':>11}{'share':>8}"]
        lines += [f"{name:<28.27}{kind:<16}{calls:>7}{us:>13.1f}{us / calls:>11.2f}{us / whole:>8.1%}" for name, kind, calls, us in rows[:most]]
        return "\n".join(lines)

    def summary(self) -> str:
        """A line on the whole: virtual time, how much of it the device worked, how busy the cubes were, and what bounds the kernels."""
        kernels = list(self._kernels())
        busy = sum(t.duration_us for t in kernels)
        span = max((t.start_us + t.duration_us for t in self.tasks), default=0.0) - min((t.dispatched_us for t in self.tasks), default=0.0)
        cube = sum(t.timing.pipes_us.get("aic.M", 0.0) for t in kernels if t.timing)
        bound: dict[str, float] = defaultdict(float)
        for t in kernels:
            pipes = t.timing.pipes_us if t.timing else {}
            bound[max(pipes, key=pipes.__getitem__) if pipes else t.kind] += t.duration_us
        parts = ", ".join(f"{pipe} {us / busy:.0%}" for pipe, us in sorted(bound.items(), key=lambda b: -b[1])[:4]) if busy else "nothing ran"
        return (f"{span / 1e3:.2f} ms of virtual time, {busy / 1e3:.2f} ms of them in {len(kernels)} kernels; cubes busy {cube / busy if busy else 0:.1%} of that; "
                f"busiest pipe by time: {parts}")

    # -- files

    def export(self, folder: str | Path) -> list[Path]:
        """Write trace_view.json, op_summary.csv, kernel_details.csv and step_trace_time.csv; returns their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tables = {"op_summary.csv": self.op_summary(), "kernel_details.csv": self.kernel_details(), "step_trace_time.csv": self.step_trace_time()}
        paths = [folder / "trace_view.json"]
        paths[0].write_text(json.dumps(self.trace_view()), encoding="utf-8")
        for name, rows in tables.items():
            paths.append(folder / name)
            _write_csv(paths[-1], rows)
        return paths

    def trace_view(self) -> list[dict[str, Any]]:
        """Events in Chrome's trace format: one process a die, one thread a stream."""
        events: list[dict[str, Any]] = []
        for device, number in sorted({(t.device, t.stream) for t in self.tasks}):
            events.append({"ph": "M", "name": "process_name", "pid": device, "args": {"name": f"Ascend Hardware npu:{device}"}})
            events.append({"ph": "M", "name": "thread_name", "pid": device, "tid": number, "args": {"name": f"Stream {number}"}})
        for t in self.tasks:
            args = {"Task Type": t.kind, "Input Shapes": _shapes(t), **({} if t.timing is None else dict(t.timing.pipes_us))}
            events.append({"ph": "X", "name": t.name, "pid": t.device, "tid": t.stream, "ts": t.start_us, "dur": t.duration_us, "args": args})
        return events

    def op_summary(self) -> list[dict[str, Any]]:
        """One row a kernel, with the vendor's columns."""
        rows: list[dict[str, Any]] = []
        for t in self._kernels():
            timing = t.timing or Timing(t.duration_us)
            row: dict[str, Any] = {
                "Device_id": t.device, "Model ID": 4294967295, "Task ID": len(rows), "Stream ID": t.stream, "Op Name": t.name, "OP Type": t.name, "Task Type": t.kind,
                "Task Start Time(us)": f"{t.start_us:.3f}", "Task Duration(us)": f"{t.duration_us:.3f}", "Task Wait Time(us)": f"{max(0.0, t.start_us - t.dispatched_us):.3f}",
                "Block Num": timing.blocks, "Mix Block Num": 2 * timing.blocks if t.kind == "MIX_AIC" else 0,
                "Input Shapes": _shapes(t), "Input Data Types": _dtypes(t), "Input Formats": "ND", "aicore_time(us)": f"{timing.core_us:.3f}",
                "aic_total_cycles": round(timing.core_us * state.chip.clock_hz / 1e6),
            }
            for pipe, column in {**{f"aic.{k}": v for k, v in _AIC.items()}, **{f"aiv.{k}": v for k, v in _AIV.items()}}.items():
                busy = timing.pipes_us.get(pipe, 0.0)
                row[f"{column}_time(us)"] = f"{busy:.3f}"
                row[f"{column}_ratio"] = f"{busy / timing.core_us if timing.core_us else 0.0:.3f}"
            row["cube_utilization(%)"] = f"{100 * timing.pipes_us.get('aic.M', 0.0) / t.duration_us if t.duration_us else 0.0:.2f}"
            rows.append(row)
        return rows

    def kernel_details(self) -> list[dict[str, Any]]:
        """One row a kernel: the short table."""
        return [
            {
                "Step Id": step.number, "Name": t.name, "Type": t.name, "Accelerator Core": t.kind, "Start Time(us)": f"{t.start_us:.3f}",
                "Duration(us)": f"{t.duration_us:.3f}", "Wait Time(us)": f"{max(0.0, t.start_us - t.dispatched_us):.3f}",
                "Block Num": t.timing.blocks if t.timing else 0, "Input Shapes": _shapes(t), "Input Data Types": _dtypes(t),
            }
            for step in self.steps for t in step.tasks if t.kind in _KERNELS
        ]

    def step_trace_time(self) -> list[dict[str, Any]]:
        """One row a step: computing, copying, and waiting for the host."""
        rows: list[dict[str, Any]] = []
        for step in self.steps:
            if not step.tasks:
                continue
            computing = sum(t.duration_us for t in step.tasks if t.kind in _KERNELS)
            stage = max(step.end_us, max(t.start_us + t.duration_us for t in step.tasks)) - step.start_us
            rows.append({
                "Device_id": step.tasks[0].device, "Step": step.number, "Computing": f"{computing:.3f}", "Communication(Not Overlapped)": 0, "Overlapped": 0,
                "Communication": 0, "Free": f"{max(0.0, stage - computing):.3f}", "Stage": f"{stage:.3f}", "Bubble": 0,
            })
        return rows

    def _kernels(self) -> Iterable[Task]:
        return (t for t in self.tasks if t.kind in _KERNELS)


def _shapes(task: Task) -> str:
    return ";".join(",".join(map(str, shape)) for shape, _ in task.tensors)


def _dtypes(task: Task) -> str:
    return ";".join(dtype.upper() for _, dtype in task.tensors)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["Op Name"])
        writer.writeheader()
        writer.writerows(rows)
