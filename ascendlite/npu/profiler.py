"""Records what runs on the device and when, and writes it in the shapes that the vendor's profiler has.

`trace_view.json` opens in Perfetto and in MindStudio Insight; `op_summary.csv`, `kernel_details.csv`, `op_statistic.csv` and
`step_trace_time.csv` have the vendor's column names. Times are those of the virtual clock. The interface is that of `torch_npu.profiler`.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ascendlite.errors import ArgumentError
from ascendlite.npu.runtime import stream
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.stream import Task, Timing
from ascendlite.npu.timeline import timed
from ascendlite.profiler.schedule import Cycles, ProfilerAction, ProfilerActivity, file_stem, schedule

__all__ = ["Operator", "ProfilerAction", "ProfilerActivity", "Step", "profile", "schedule", "tensorboard_trace_handler"]

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


@dataclass(frozen=True, slots=True)
class Operator:
    """All calls of an operator on one kind of core. `bound`: the roof (HBM, L2, cube, vector, a pipe) or "latency" that bounds most of its time."""

    name: str
    kind: str  # AI_CORE, AI_VECTOR_CORE, MIX_AIC, AI_CPU, MEMCPY
    calls: int
    us: float  # in all
    bound: str


class profile(Cycles):
    """Profile what runs inside, or between `start()` and `stop()`; `step()` tells where a training step ends.

    `folder`: the files are written there at the end. `schedule` (of the step's number) chooses the steps that are recorded;
    `on_trace_ready` is called with this object when a recorded cycle ends. Shapes are always recorded; what the emulated device
    doesn't record (`with_stack`, `profile_memory`, ...) is refused rather than ignored.

    >>> with al.npu.profiler.profile() as p:
    ...     y = al.ones(64, 64, device="npu") @ al.ones(64, 64, device="npu")
    >>> "matmul" in p.table()
    True
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = True,
        **unrecorded: Any,
    ) -> None:
        wanted = [name for name, value in unrecorded.items() if value]
        if wanted:
            raise ArgumentError(f"profile: {', '.join(wanted)} is not recorded on this device; leave it out (kernels, their shapes and their pipes are)")
        if activities is not None and ProfilerActivity.NPU not in (listed := list(activities)):
            raise ArgumentError(f"profile: activities {listed} leave out the device; add ProfilerActivity.NPU")
        super().__init__(schedule)
        self.folder = None if folder is None else Path(folder)
        self.tasks: list[Task] = []
        self.steps: list[Step] = []
        self._on_trace_ready = on_trace_ready

    def stop(self) -> None:
        """End the recording; writes the files and calls `on_trace_ready` if something was recorded since it was last called."""
        super().stop()
        if self.folder is not None:
            self.export(self.folder)

    def _clear(self) -> None:
        self._settle()
        self.tasks, self.steps = [], []

    def _turn(self, action: ProfilerAction) -> None:
        if action.records != self._action.records:
            change = stream.host.listeners.append if action.records else stream.host.listeners.remove
            change(self._heard)
        if action.records:
            self.steps.append(Step(self.step_num, stream.host.now_us))
        self._action = action

    def _save(self) -> None:
        if self._on_trace_ready is not None:
            self._on_trace_ready(self)
            self.tasks, self.steps = [], []

    def _heard(self, task: Task) -> None:
        self.tasks.append(task)
        self.steps[-1].tasks.append(task)

    @staticmethod
    def _settle() -> None:
        for index in range(state.chip.dies):
            stream.synchronize(index)

    def _close_step(self, last: bool = False) -> None:
        self._settle()
        if self._action.records:
            self.steps[-1].end_us = stream.host.now_us

    # -- what people read

    def operators(self) -> list[Operator]:
        """What each operator took, longest first."""
        tasks: dict[tuple[str, str], list[Task]] = defaultdict(list)
        for t in self.tasks:
            tasks[t.name, t.kind].append(t)
        bounds = {id(t.program): timed(t.program).bound.name for t in self.tasks if t.program is not None}
        found = []
        for (name, kind), same in tasks.items():
            by_bound: dict[str, float] = defaultdict(float)
            for t in same:
                by_bound[bounds.get(id(t.program), kind)] += t.duration_us
            found.append(Operator(name, kind, len(same), sum(t.duration_us for t in same), max(by_bound, key=by_bound.__getitem__)))
        return sorted(found, key=lambda row: -row.us)

    def table(self, most: int = 20) -> str:
        """A table of the operators that took longest."""
        rows = self.operators()
        whole = sum(r.us for r in rows) or 1.0
        lines = [f"{'operator':<28}{'core':<16}{'calls':>7}{'total us':>13}{'mean us':>11}{'share':>8}  bound by"]
        lines += [f"{r.name:<28.27}{r.kind:<16}{r.calls:>7}{r.us:>13.1f}{r.us / r.calls:>11.2f}{r.us / whole:>8.1%}  {r.bound}" for r in rows[:most]]
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
        """Write trace_view.json, op_summary.csv, kernel_details.csv, op_statistic.csv and step_trace_time.csv; returns their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tables = {
            "op_summary.csv": self.op_summary(), "kernel_details.csv": self.kernel_details(),
            "op_statistic.csv": self.op_statistic(), "step_trace_time.csv": self.step_trace_time(),
        }
        paths = [folder / "trace_view.json"]
        self.export_chrome_trace(paths[0])
        for name, rows in tables.items():
            paths.append(folder / name)
            _write_csv(paths[-1], rows)
        return paths

    def export_chrome_trace(self, path: str | Path) -> None:
        """Write the trace alone, for Perfetto."""
        Path(path).write_text(json.dumps(self.trace_view()), encoding="utf-8")

    def trace_view(self) -> list[dict[str, Any]]:
        """Events in Chrome's trace format: one process a die, one thread a stream."""
        events: list[dict[str, Any]] = []
        for device, number in sorted({(t.device, t.stream) for t in self.tasks}):
            events.append({"ph": "M", "name": "process_name", "pid": device, "args": {"name": f"Ascend Hardware npu:{device}"}})
            events.append({"ph": "M", "name": "thread_name", "pid": device, "tid": number, "args": {"name": f"Stream {number}"}})
        for t in self.tasks:
            args = {"Task Type": t.kind, "Input Shapes": _shapes(_read(t)), **({} if t.timing is None else dict(t.timing.pipes_us))}
            events.append({"ph": "X", "name": t.name, "pid": t.device, "tid": t.stream, "ts": t.start_us, "dur": t.duration_us, "args": args})
        return events

    def op_summary(self) -> list[dict[str, Any]]:
        """One row a kernel, with the vendor's columns."""
        rows: list[dict[str, Any]] = []
        for t in self._kernels():
            timing = t.timing or Timing(t.duration_us)
            vector = t.kind == "AI_VECTOR_CORE"
            aic_us, aiv_us = (0.0 if vector or t.kind == "AI_CPU" else timing.core_us), (timing.core_us if vector or t.kind == "MIX_AIC" else 0.0)
            row: dict[str, Any] = {
                "Device_id": t.device, "Model ID": 4294967295, "Task ID": len(rows), "Stream ID": t.stream, "Op Name": t.name, "OP Type": t.name, "Task Type": t.kind,
                "Task Start Time(us)": f"{t.start_us:.3f}", "Task Duration(us)": f"{t.duration_us:.3f}", "Task Wait Time(us)": f"{max(0.0, t.start_us - t.dispatched_us):.3f}",
                "Block Num": timing.blocks, "Mix Block Num": 2 * timing.blocks if t.kind == "MIX_AIC" else 0,
                "Input Shapes": _shapes(_read(t)), "Input Data Types": _dtypes(_read(t)), "Input Formats": _formats(_read(t)),
                "Output Shapes": _shapes(_written(t)), "Output Data Types": _dtypes(_written(t)), "Output Formats": _formats(_written(t)),
                "aicore_time(us)": f"{aic_us:.3f}",
                "aic_total_cycles": round(aic_us * state.chip.clock_hz / 1e6), "aiv_time(us)": f"{aiv_us:.3f}",
                "aiv_total_cycles": round(aiv_us * state.chip.clock_hz / 1e6),
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
                "Block Num": t.timing.blocks if t.timing else 0, "Input Shapes": _shapes(_read(t)), "Input Data Types": _dtypes(_read(t)),
                "Output Shapes": _shapes(_written(t)), "Output Data Types": _dtypes(_written(t)),
            }
            for step in self.steps for t in step.tasks if t.kind in _KERNELS
        ]

    def op_statistic(self) -> list[dict[str, Any]]:
        """One row an operator: how often it ran and for how long."""
        times: dict[tuple[int, str, str], list[float]] = defaultdict(list)
        for t in self._kernels():
            times[t.device, t.name, t.kind].append(t.duration_us)
        whole = sum(map(sum, times.values())) or 1.0
        rows = [
            {
                "Device_id": device, "OP Type": name, "Core Type": kind, "Count": len(us), "Total Time(us)": f"{sum(us):.3f}",
                "Min Time(us)": f"{min(us):.3f}", "Avg Time(us)": f"{sum(us) / len(us):.3f}", "Max Time(us)": f"{max(us):.3f}",
                "Ratio(%)": f"{100 * sum(us) / whole:.3f}",
            }
            for (device, name, kind), us in times.items()
        ]
        return sorted(rows, key=lambda row: -float(row["Total Time(us)"]))

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


def tensorboard_trace_handler(dir_name: str | Path, worker_name: str | None = None) -> Callable[[profile], None]:
    """An `on_trace_ready` that writes each trace to DIR/WORKER_TIME_ascend_pt/ASCEND_PROFILER_OUTPUT, as the vendor's profiler does."""

    def handle(trace: profile) -> None:
        trace.export(Path(dir_name) / f"{file_stem(worker_name)}_ascend_pt" / "ASCEND_PROFILER_OUTPUT")

    return handle


Operands = tuple[tuple[tuple[int, ...], str], ...]  # shapes and dtypes


def _read(task: Task) -> Operands:
    return task.tensors[task.written :]


def _written(task: Task) -> Operands:
    return task.tensors[: task.written]


def _shapes(operands: Operands) -> str:
    return ";".join(",".join(map(str, shape)) for shape, _ in operands)


def _dtypes(operands: Operands) -> str:
    return ";".join(dtype.upper() for _, dtype in operands)


def _formats(operands: Operands) -> str:
    return ";".join("ND" for _ in operands)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["Op Name"])
        writer.writeheader()
        writer.writerows(rows)
