"""The recording: one event for every op and every named part, kept in order of their ends."""

from __future__ import annotations

import gzip
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import ContextDecorator
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ascendlite.core import Op, Tensor, add_listener
from ascendlite.errors import ArgumentError
from ascendlite.meta import op_flops
from ascendlite.profiler.averages import EventList, FunctionEventAvg, Shapes, average
from ascendlite.profiler.schedule import Cycles, ProfilerAction, ProfilerActivity, file_stem

if TYPE_CHECKING:
    from ascendlite.npu.profiler import profile as npu_profile

MOST_EVENTS: Final = 1_000_000  # some 200 MB of memory and as much of trace: longer runs need a schedule


class Event(NamedTuple):
    """An op, or a part named by `record_function`. Times are those of time.perf_counter_ns."""

    name: str
    start_ns: int
    end_ns: int
    thread: int
    named: bool = False  # a part with a name, not an op
    backward: bool = False  # run by a backward pass
    input_shapes: Shapes = ()
    flops: int = 0


class profile(Cycles):
    """Profile what runs inside, or between `start()` and `stop()`; `step()` tells where a training step ends.

    An op's time is that of the whole call, from its entry to its end; it is the device's own only where the device is the CPU. NPU kernels are
    recorded on their virtual clock when `activities` has ProfilerActivity.NPU (by default if the NPU was used before the start).
    `schedule` (of the step's number) chooses the steps that are recorded; `on_trace_ready` is called with this object when a recorded cycle
    ends. `record_shapes` keeps the inputs' shapes, `with_flops` counts floating-point operations. At most `max_events` events are kept.
    What is not recorded (`with_stack`, `profile_memory`, ...) is refused rather than ignored.

    >>> with al.profiler.profile(with_flops=True) as p:
    ...     y = al.ones(64, 64) @ al.ones(64, 64)
    >>> [(row.key, row.count, row.flops) for row in p.key_averages() if row.key == "matmul"]
    [('matmul', 1, 524288)]
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        max_events: int = MOST_EVENTS,
        **unrecorded: Any,
    ) -> None:
        wanted = [name for name, value in unrecorded.items() if value]
        if wanted:
            raise ArgumentError(f"profile: {', '.join(wanted)} is not recorded; leave it out (ops, their shapes, FLOPs and named parts are; "
                                f"memory: al.cpu.memory_stats())")
        self.activities = None if activities is None else set(activities)
        if self.activities is not None and not (self.activities and all(isinstance(a, ProfilerActivity) for a in self.activities)):
            raise ArgumentError(f"profile: activities {self.activities or 'are empty'}: use ProfilerActivity.CPU, ProfilerActivity.NPU or both")
        super().__init__(schedule)
        self.events: list[Event] = []
        self.dropped = 0
        self.npu: npu_profile | None = None
        self._done = False
        self._shapes, self._flops, self._most = record_shapes, with_flops, max_events
        self._on_trace_ready = on_trace_ready
        self._step_began = 0
        self._remove: Callable[[], None] | None = None

    # -- when

    def _clear(self) -> None:
        self.events, self.dropped, self.npu, self._done = [], 0, None, False

    def _turn(self, action: ProfilerAction) -> None:
        if action.records and self._remove is None:
            if self._done:
                self._clear()
            if self._npu_wanted():
                from ascendlite.npu.profiler import profile as npu_profile

                self.npu = npu_profile()
                self.npu.start()
            if self.activities is None or ProfilerActivity.CPU in self.activities:
                self._remove = add_listener(self._heard, timed=True)
                _RECORDING.append(self)
            else:
                self._remove = lambda: None
        elif not action.records and self._remove is not None:
            self._pause()
        self._action, self._step_began = action, perf_counter_ns()

    def _pause(self) -> None:
        assert self._remove is not None
        self._remove()
        self._remove = None
        if self in _RECORDING:
            _RECORDING.remove(self)
        if self.npu is not None:
            self.npu.stop()
        if self.dropped:
            warnings.warn(self._note(), stacklevel=5)

    def _npu_wanted(self) -> bool:
        return "ascendlite.npu.runtime.stream" in sys.modules if self.activities is None else ProfilerActivity.NPU in self.activities

    def _save(self) -> None:
        if self._on_trace_ready is None:
            return
        if self._remove is not None:
            self._pause()
        self._on_trace_ready(self)
        self._done = True  # what was recorded stays readable until the next cycle

    def _close_step(self, last: bool = False) -> None:
        if self._remove is not None and (self.step_num or not last):  # a program that names no steps has none
            self._add(Event(f"ProfilerStep#{self.step_num}", self._step_began, perf_counter_ns(), threading.get_native_id(), True))

    # -- what is heard

    def _heard(self, op: Op, inputs: tuple[Any, ...], attrs: tuple[Any, ...], outputs: tuple[Any, ...], began_ns: int, backward: bool) -> None:
        end = perf_counter_ns()
        shapes = tuple(t.shape for t in inputs if isinstance(t, Tensor)) if self._shapes else ()
        flops = op_flops(op, inputs, attrs, outputs) if self._flops else 0
        self._add(Event(op.name, began_ns, end, threading.get_native_id(), False, backward, shapes, flops))

    def _add(self, event: Event) -> None:
        if len(self.events) < self._most:
            self.events.append(event)
        else:
            self.dropped += 1

    def _note(self) -> str:
        if not self.dropped:
            return ""
        return f"profile: {self.dropped:,} events after the first {self._most:,} were dropped; record fewer steps (schedule=) or raise max_events="

    # -- what people read

    def key_averages(self, group_by_input_shape: bool = False) -> EventList:
        """What each op and each named part took; kernels of the NPU stand beside the op of their name."""
        if group_by_input_shape and not self._shapes:
            raise ArgumentError("key_averages: group_by_input_shape needs a profile with record_shapes=True")
        rows = average(self.events, group_by_input_shape)
        for operator in self.npu.operators() if self.npu is not None else ():
            row = rows.setdefault((operator.name, ()), FunctionEventAvg(operator.name))
            row.count = row.count or operator.calls
            row.device_time_total += operator.us
        return EventList(rows.values(), self._note())

    def trace(self) -> dict[str, Any]:
        """The events in Chrome's trace format: complete events in microseconds, those of the NPU as processes of their own on the virtual clock."""
        pid, first = os.getpid(), min((e.start_ns for e in self.events), default=0)
        found: list[dict[str, Any]] = [{"ph": "M", "name": "process_name", "pid": pid, "args": {"name": "ascendlite CPU"}}]
        for e in self.events:
            args: dict[str, Any] = {"backward": True} if e.backward else {}
            if e.input_shapes:
                args["Input Dims"] = e.input_shapes
            if e.flops:
                args["flops"] = e.flops
            found.append({"ph": "X", "cat": "user_annotation" if e.named else "cpu_op", "name": e.name, "pid": pid, "tid": e.thread,
                          "ts": (e.start_ns - first) / 1e3, "dur": (e.end_ns - e.start_ns) / 1e3, "args": args})
        if self.npu is not None:
            found += [{**event, "pid": pid + 1 + event["pid"]} for event in self.npu.trace_view()]
        return {"traceEvents": found, "displayTimeUnit": "ms", **({"note": self._note()} if self.dropped else {})}

    def export_chrome_trace(self, path: str | Path) -> None:
        """Write the trace for Perfetto; packed where the name ends in `.gz`."""
        text = json.dumps(self.trace())
        if str(path).endswith(".gz"):
            with gzip.open(path, "wt", encoding="utf-8") as file:
                file.write(text)
        else:
            Path(path).write_text(text, encoding="utf-8")


_RECORDING: list[profile] = []  # those that record at the moment


class record_function(ContextDecorator):
    """Name a part of a program in its profile: `with record_function("loss"):`, or before a function.

    >>> with al.profiler.profile() as p, al.profiler.record_function("two sums"):
    ...     _ = al.ones(2).sum() + al.ones(3).sum()
    >>> next(row.count for row in p.key_averages() if row.key == "two sums")
    1
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        if not isinstance(name, str):
            raise TypeError(f"record_function: the name must be a str, not {type(name).__name__}")
        self.name, self.args = name, args
        self._began: list[int] = []

    def _recreate_cm(self) -> record_function:
        return record_function(self.name, self.args)

    def __enter__(self) -> record_function:
        self._began.append(perf_counter_ns())
        return self

    def __exit__(self, *exc: object) -> None:
        began = self._began.pop()
        if _RECORDING:
            event = Event(self.name, began, perf_counter_ns(), threading.get_native_id(), True)
            for recording in _RECORDING:
                recording._add(event)


def tensorboard_trace_handler(dir_name: str | Path, worker_name: str | None = None, use_gzip: bool = False) -> Callable[[profile], None]:
    """An `on_trace_ready` that writes each trace to DIR/WORKER_TIME.pt.trace.json (`.gz` with `use_gzip`), as torch's does."""

    def handle(trace: profile) -> None:
        Path(dir_name).mkdir(parents=True, exist_ok=True)
        trace.export_chrome_trace(Path(dir_name) / f"{file_stem(worker_name)}.pt.trace.json{'.gz' if use_gzip else ''}")

    return handle
