"""Streams, events and tasks on the virtual clock.

Values are computed in the order of the calls, by a thread behind the host's; *when* they would be ready on the card is worked out here: the host
spends its dispatch time per task, a stream runs its tasks in order, events order streams. Knows no kernel: a task brings its duration.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ascendlite.core import Tensor, _core
from ascendlite.errors import ArgumentError, DeviceError
from ascendlite.npu import wide

# Host time of one eagerly dispatched operator: the two-phase operator API takes 71 us of the 155-262 us that a PyTorch-like stack
# spends on an element-wise add on a 910B3 (candle-org/candle PR #166); torch_npu itself overlaps most of the rest in its task queue.
EAGER_DISPATCH_US = 71.0
# One launch of a whole captured graph: 0.6-0.8 ms on CloudMatrix384 (arXiv 2506.12708), the middle of it.
GRAPH_LAUNCH_US = 700.0
_MOST_PENDING = 8192  # tasks whose durations are still unknown; then they are worked out, so that memory stays flat


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a task takes, and where: microseconds on the stream, of a core on average, and busy by pipe of a core on average."""

    us: float
    core_us: float = 0.0
    pipes_us: Mapping[str, float] = field(default_factory=dict)
    blocks: int = 0


@dataclass(slots=True)
class Task:
    """One piece of work of a stream. `duration` is microseconds, or a function that gives them (asked when first needed)."""

    name: str
    kind: str  # AI_VECTOR_CORE, AI_CORE, MIX_AIC, AI_CPU, MEMCPY, EVENT
    duration: float | Callable[[], Timing]
    stream: int
    device: int
    dispatched_us: float = 0.0
    start_us: float = 0.0
    duration_us: float = 0.0
    timing: Timing | None = None
    tensors: tuple[tuple[tuple[int, ...], str], ...] = ()  # shapes and dtypes, for a profiler
    program: Any = None  # of a kernel: what was timed
    written: int = 0  # how many of `tensors`, the first ones, are outputs; of a kernel launched by itself, not known: 0


@dataclass(slots=True)
class _Wait:
    event: Event


@dataclass(slots=True)
class _Record:
    event: Event


class StreamOrderError(DeviceError):
    """Two streams use one piece of memory, one of them writing, and no event orders them."""


def shapes(tensors: Iterable[Any]) -> tuple[tuple[tuple[int, ...], str], ...]:
    """Shapes and dtypes of the tensors among some operands."""
    return tuple((tuple(t.shape), t.dtype.name) for t in tensors if hasattr(t, "dtype") and hasattr(t, "shape"))


class _Host:
    """The host's side of the clock: what time it is for the Python program, and who listens to finished tasks."""

    def __init__(self) -> None:
        self.now_us = 0.0
        self.dispatch_us = EAGER_DISPATCH_US
        self.listeners: list[Callable[[Task], None]] = []
        self.lock = threading.RLock()


host = _Host()
_STREAMS: dict[int, list[weakref.ref[Stream]]] = {}
_DEFAULT: dict[int, Stream] = {}
_SERIALS = itertools.count()
_current = threading.local()


class Stream:
    """A queue of work on one die; tasks run in order, and beside those of other streams.

    >>> side = al.npu.Stream()
    >>> with al.npu.stream(side):
    ...     y = al.ones(4, device="npu") + 1
    >>> side.synchronize()
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        from ascendlite.npu.runtime.device import device_index

        self.device_index = device_index(device)
        self.priority = priority
        streams = _STREAMS.setdefault(self.device_index, [])
        self.stream_id = len(streams)
        self.serial = next(_SERIALS)
        self.free_us = 0.0
        self.busy_us = 0.0
        self.failure: Exception | None = None  # of a task, when errors are told late
        self.pending: list[Task | _Wait | _Record] = []
        streams.append(weakref.ref(self))
        if self.stream_id == 0:
            _DEFAULT[self.device_index] = self

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at exit the module may be gone
            self.settle()

    @property
    def device(self) -> Any:
        """The die whose work it queues."""
        return _core.Device(f"npu:{self.device_index}")

    @property
    def npu_stream(self) -> int:
        """A number that no other stream of the process has; the runtime's handle on a card."""
        return self.serial

    def __repr__(self) -> str:
        return f"<ascendlite.npu.Stream device=npu:{self.device_index} stream_id={self.stream_id}>"

    def submit(self, task: Task) -> None:
        """Queue a task: the host pays for the dispatch, the stream for the work."""
        host.now_us += host.dispatch_us
        task.dispatched_us = host.now_us
        self.pending.append(task)
        if len(self.pending) > _MOST_PENDING:
            self.settle()

    def settle(self) -> float:
        """Give every queued task its time; returns when the stream is free, in microseconds."""
        pending, self.pending = self.pending, []
        for item in pending:
            if isinstance(item, Task):
                item.timing = item.duration() if callable(item.duration) else Timing(item.duration)
                item.duration_us = item.timing.us
                item.start_us = max(self.free_us, item.dispatched_us)
                self.free_us = item.start_us + item.duration_us
                self.busy_us += item.duration_us
                for listener in host.listeners:
                    listener(item)
            elif isinstance(item, _Wait):
                self.free_us = max(self.free_us, item.event._time())
            else:
                item.event._at_us = self.free_us = max(self.free_us, item.event._dispatched_us)
        return self.free_us

    def synchronize(self) -> None:
        """Make the host wait until the stream is done; raises if a task of it failed and errors are told late."""
        wide.settle()
        host.now_us = max(host.now_us, self.settle())
        if self.failure is not None:
            raise self.failure
        order.host_follows(order.clock(self))

    def query(self) -> bool:
        """Whether all work of the stream is done at the host's time."""
        return self.settle() <= host.now_us

    def wait_event(self, event: Event) -> None:
        """Hold back later work until the event is reached."""
        self.pending.append(_Wait(event))
        order.wait(self, event)

    def wait_stream(self, stream: Stream) -> None:
        """Hold back later work until the present work of another stream is done."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """An event (a new one unless given) that is reached when the present work is done."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __enter__(self) -> Stream:
        _stack().append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _stack().pop()


class Event:
    """A point in a stream's work. `enable_timing=True` allows `elapsed_time`.

    >>> start, end = al.npu.Event(enable_timing=True), al.npu.Event(enable_timing=True)
    >>> start.record(); y = al.ones(4, device="npu") * 2; end.record()
    >>> end.synchronize(); start.elapsed_time(end) > 0
    True
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self.enable_timing = enable_timing
        self._stream: Stream | None = None
        self._at_us: float | None = None
        self._dispatched_us = 0.0
        self._follows: dict[int, int] = {}  # what work the event comes after

    def record(self, stream: Stream | None = None) -> None:
        """Place the event at the end of the stream's present work."""
        self._stream = current_stream() if stream is None else stream
        self._at_us, self._dispatched_us = None, host.now_us
        self._stream.pending.append(_Record(self))
        order.record(self._stream, self)

    def _time(self) -> float:
        if self._at_us is None and self._stream is not None:
            self._stream.settle()
        return self._at_us or 0.0

    def wait(self, stream: Stream | None = None) -> None:
        """Make a stream (the current one unless given) wait for the event."""
        (current_stream() if stream is None else stream).wait_event(self)

    def synchronize(self) -> None:
        """Make the host wait for the event; raises as its stream's `synchronize` does."""
        wide.settle()
        host.now_us = max(host.now_us, self._time())
        if self._stream is not None and self._stream.failure is not None:
            raise self._stream.failure
        order.host_follows(self._follows)

    def query(self) -> bool:
        """Whether the event is reached at the host's time; an event that was never recorded is."""
        return self._time() <= host.now_us

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds of virtual time from this event to another."""
        for event, which in ((self, "start"), (end_event, "end")):
            if not event.enable_timing:
                raise ArgumentError(f"elapsed_time: the {which} event was made without timing; use Event(enable_timing=True)")
            if event._stream is None:
                raise ArgumentError(f"elapsed_time: the {which} event was never recorded; call record() first")
        return (end_event._time() - self._time()) / 1000.0


def _stack() -> list[Stream]:
    if not hasattr(_current, "stack"):
        _current.stack = []
    return _current.stack  # type: ignore[no-any-return]


def default_stream(device: Any = None) -> Stream:
    """The stream that work runs on when none is chosen."""
    from ascendlite.npu.runtime.device import device_index

    index = device_index(device)
    return _DEFAULT.get(index) or Stream(index)


def current_stream(device: Any = None) -> Stream:
    """The stream that work of this thread runs on now."""
    if device.__class__ is int and device in _DEFAULT and not _stack():
        return _DEFAULT[device]
    from ascendlite.npu.runtime.device import device_index

    index = device_index(device)
    return next((s for s in reversed(_stack()) if s.device_index == index), None) or default_stream(index)


class stream:
    """Run the work inside on a stream."""

    def __init__(self, stream: Stream | None) -> None:
        self._stream = stream

    def __enter__(self) -> None:
        if self._stream is not None:
            self._stream.__enter__()

    def __exit__(self, *exc: object) -> None:
        if self._stream is not None:
            self._stream.__exit__()


StreamContext = stream  # what `stream(...)` makes, under the name of its class


def set_stream(stream: Stream) -> None:
    """Make a stream the current one of this thread."""
    _stack().append(stream)


def synchronize(device: Any = None) -> None:
    """Make the host wait until all work of a die is done."""
    from ascendlite.npu.runtime.device import device_index

    for s in streams_of(device_index(device)):
        s.synchronize()


def streams_of(device: int) -> list[Stream]:
    """The streams of a die."""
    return [s for ref in _STREAMS.get(device, ()) if (s := ref()) is not None]


def several(device: int) -> bool:
    """Whether a die has more than its default stream."""
    return len(_STREAMS.get(device, ())) > 1 and len(streams_of(device)) > 1


def reset() -> None:
    """Forget all streams and start the clock at zero: what a change of the chip does."""
    _STREAMS.clear()
    _DEFAULT.clear()
    _stack().clear()
    host.now_us = 0.0
    order.clear()


@dataclass
class _Order:
    """Which work of other streams each stream is known to follow: one vector clock a stream, tickets per memory block."""

    clocks: dict[int, dict[int, int]] = field(default_factory=dict)  # by the serial of the stream
    host: dict[int, int] = field(default_factory=dict)  # what the host waited for: all later work follows it
    last: dict[int, tuple[dict[int, tuple[int, str]], tuple[int, int, str] | None]] = field(default_factory=dict)  # block: readers, writer

    def clear(self) -> None:
        for table in (self.clocks, self.host, self.last):
            table.clear()

    def clock(self, s: Stream) -> dict[int, int]:
        return self.clocks.setdefault(s.serial, {s.serial: 0})

    def record(self, s: Stream, event: Event) -> None:
        event._follows = dict(self.clock(s))

    def wait(self, s: Stream, event: Event) -> None:
        _follow(self.clock(s), event._follows)

    def host_follows(self, clock: dict[int, int]) -> None:
        _follow(self.host, clock)
        if len(self.last) > _MOST_PENDING:
            self.last = {block: users for block, users in self.last.items() if not self._done(users)}

    def _done(self, users: tuple[dict[int, tuple[int, str]], tuple[int, int, str] | None]) -> bool:
        readers, writer = users
        return all(self.host.get(k, 0) >= t for k, (t, _) in readers.items()) and (writer is None or self.host.get(writer[0], 0) >= writer[1])

    def touch(self, s: Stream, name: str, reads: list[int], writes: list[int]) -> str | None:
        """Note that a task of `s` reads and writes memory blocks; the description of a race, if it makes one."""
        mine = self.clock(s)
        _follow(mine, self.host)
        mine[s.serial] += 1
        found = None
        for block, writing in [(b, False) for b in reads] + [(b, True) for b in writes]:
            readers, writer = self.last.get(block, ({}, None))
            earlier = [writer] if writer is not None else []
            if writing:
                earlier += [(key, ticket, who) for key, (ticket, who) in readers.items()]
            for key, ticket, who in earlier:
                if key != s.serial and mine.get(key, 0) < ticket and found is None:
                    found = f"{name} {'writes' if writing else 'reads'} memory that {who} of another stream may still use"
            now = (mine[s.serial], name)
            self.last[block] = ({}, (s.serial, *now)) if writing else ({**readers, s.serial: now}, writer)
        return found


def _follow(clock: dict[int, int], other: dict[int, int]) -> None:
    for key, ticket in other.items():
        clock[key] = max(clock.get(key, 0), ticket)


order = _Order()


def check_order(queue: Stream, name: str, inputs: Iterable[Any], outputs: Iterable[Any]) -> None:
    """Refuse work that another stream's unfinished work may disturb."""
    blocks = [[t.untyped_storage().serial for t in tensors if isinstance(t, Tensor) and t.is_npu] for tensors in (inputs, outputs)]
    found = order.touch(queue, name, *blocks)
    if found is not None:
        raise StreamOrderError(f"stream race: {found}; record an event after it and make this stream wait for it, as with wait_stream()")
