"""How an op's kernel runs: traced once, its time on the stream's clock, its values now (or none, on meta tensors)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ascendlite.core import Tensor, _core
from ascendlite.errors import DeviceError
from ascendlite.npu import wide
from ascendlite.npu.lang.real import Variants, words
from ascendlite.npu.programs import Kernel, Traced, address
from ascendlite.npu.proof import may_run, sharing_of
from ascendlite.npu.runtime import late, stream
from ascendlite.npu.runtime.device import state
from ascendlite.npu.timeline import PIPES, timed

# What a profiler calls the cores that a kernel of each kind runs on.
TASK_KINDS = {"aiv": "AI_VECTOR_CORE", "aic": "AI_CORE", "mix": "MIX_AIC"}
MODES = {"device": 0, "fp32": 1, "fp64": 2}
CAPTURES: list[list[Callable[[], None]]] = []  # where graphs that are being captured keep launches of users' kernels
_PROGRAMS: dict[tuple[Any, ...], Variants[Traced]] = {}  # by kernel and call: what `Kernel.program` would find by a longer way
_TIMINGS: dict[int, tuple[Traced, stream.Timing]] = {}  # by identity: a program is timed once, and kept by its kernel anyway


def launch(kernel: Kernel[Any], *args: Any, blocks: int | None = None, name: str | None = None) -> Traced:
    """Launch a kernel on contiguous tensors of the device (or of meta) and numbers, on the current stream; gives its program."""
    tensors: list[Tensor] = []
    floats: list[float] = []
    key = (kernel, blocks, state.chip, *[_look(x, tensors, floats) for x in args])
    variants = _PROGRAMS.get(key) or _PROGRAMS.setdefault(key, Variants())
    traced = variants.get(floats)
    if traced is None:
        traced = kernel.program(blocks, state.chip, args, {}).traced
        variants.put(floats, traced.looked, traced)
    start(traced, tensors, name, floats)
    return traced


def start(traced: Traced, tensors: list[Any], name: str | None = None, floats: list[float] | None = None) -> None:
    """Launch a program on the tensors that it was made for, or on others of their shapes and formats, with its call's floats."""
    lead = tensors[0]
    meta = lead.is_meta
    pointers = [] if meta else [t.data_ptr() for t in tensors]
    if not meta and not may_run(traced, sharing_of([(p, t.nbytes) for p, t in zip(pointers, tensors, strict=True)])):
        return
    _submit(traced, state.operands or tensors, stream.current_stream(lead.device.index), name)
    if not meta:
        bases = pointers if state.numerics == "device" else [wide.address(t) for t in tensors]
        if traced.executor.enqueue(traced.blocks, bases + words(traced.parameters, floats or []), MODES[state.numerics], int(state.saturates(traced.chip))):
            state.overflow = True


def _look(x: Any, tensors: list[Tensor], floats: list[float]) -> object:
    """What an argument adds to the key of a program; tensors and floats are collected as `CallArguments` does."""
    kind = type(x)
    if kind is float:
        floats.append(x)
        return float
    if kind is tuple:
        return tuple([_look(one, tensors, floats) for one in x])
    if isinstance(x, Tensor):
        tensors.append(x)
        return x.dtype, x.shape
    return x


def launch_own(traced: Traced, tensors: list[Any], queue: stream.Stream | None, parameters: list[int]) -> None:
    """Launch a user's kernel on tensors of one die (or of meta: only its time passes), or on host arrays in the order of a stream."""
    places = {str(t.device) if isinstance(t, Tensor) else "host" for t in tensors}
    if len(places) > 1:
        raise DeviceError(f"kernel {traced.name}: its tensors are on {', '.join(sorted(places))}; move them to one device with .to()")
    lead = tensors[0]
    on_die = isinstance(lead, Tensor) and lead.is_npu
    queue = queue or stream.current_stream(lead.device.index)
    if on_die and queue.device_index != (lead.device.index or 0):
        raise DeviceError(f"kernel {traced.name}: its tensors are on {lead.device}, its stream on npu:{queue.device_index}; use a stream of {lead.device}")
    if on_die:
        for k in traced.written:
            _core.note_write(tensors[k], traced.name)
        if stream.several(queue.device_index):
            stream.check_order(queue, traced.name, [t for k, t in enumerate(tensors) if k not in traced.written], [tensors[k] for k in traced.written])
    _submit(traced, tensors, queue)
    for calls in CAPTURES:
        calls.append(partial(launch_own, traced, tensors, queue, parameters))
    if not getattr(lead, "is_meta", False):
        where, mode = (wide.address, MODES[state.numerics]) if on_die else (address, 0)
        if state.blocking:
            _run(traced, [where(t) for t in tensors] + parameters, mode)
        else:
            late.attempt(queue, traced.name, _run, traced, [where(t) for t in tensors] + parameters, mode)


def _run(traced: Traced, pointers: list[int], mode: int) -> None:
    wide.settle()
    if traced.run(pointers, mode, int(state.saturates(traced.chip))):
        state.overflow = True


def _submit(traced: Traced, operands: Iterable[Any], queue: stream.Stream, name: str | None = None) -> None:
    shapes: Any = ()
    written = 0
    if stream.host.listeners:
        shapes = stream.shapes(operands)
        written = len(stream.shapes(state.operands[: state.written]))
    queue.submit(
        stream.Task(
            name or traced.name, TASK_KINDS[traced.kind], partial(timing, traced), queue.stream_id, queue.device_index,
            tensors=shapes, program=traced, written=written,
        )
    )


def timing(traced: Traced) -> stream.Timing:
    """How long a launch of the program takes by the clock, its data not yet in the second-level cache."""
    known = _TIMINGS.get(id(traced))
    if known is None:
        known = _TIMINGS[id(traced)] = (traced, _timed(traced))
    return known[1]


def _timed(traced: Traced) -> stream.Timing:
    timeline = timed(traced)
    pipes = {f"{kind}.{pipe}": busy for kind in timeline.kinds for pipe in PIPES if (busy := timeline.busy_us(pipe, kind))}
    spans = [core[5] - core[4] for core in timeline.raw["cores"]]
    return stream.Timing(timeline.us, sum(spans) / len(spans) / 1e3 if spans else 0.0, pipes, traced.blocks)
