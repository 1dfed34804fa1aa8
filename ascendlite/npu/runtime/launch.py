"""How an op's kernel runs: traced once, its time on the stream's clock, its values now (or none, on meta tensors)."""

from __future__ import annotations

from functools import partial
from typing import Any

from ascendlite.core import Tensor
from ascendlite.npu import wide
from ascendlite.npu.programs import Kernel, Traced
from ascendlite.npu.proof import may_run, sharing_of
from ascendlite.npu.runtime import stream
from ascendlite.npu.runtime.device import state
from ascendlite.npu.timeline import PIPES, timed

# What a profiler calls the cores that a kernel of each kind runs on.
TASK_KINDS = {"aiv": "AI_VECTOR_CORE", "aic": "AI_CORE", "mix": "MIX_AIC"}
MODES = {"device": 0, "fp32": 1, "fp64": 2}
_PROGRAMS: dict[tuple[Any, ...], Traced] = {}  # by kernel and call: what `Kernel.program` would find by a longer way
_TIMINGS: dict[int, tuple[Traced, stream.Timing]] = {}  # by identity: a program is timed once, and kept by its kernel anyway


def launch(kernel: Kernel[Any], *args: Any, blocks: int | None = None, name: str | None = None) -> None:
    """Launch a kernel on contiguous tensors of the device (or of meta) and numbers, on the current stream."""
    tensors = [x for x in args if isinstance(x, Tensor)]
    key = (kernel, blocks, state.chip.name, *[(x.dtype, x.shape) if isinstance(x, Tensor) else x.hex() if x.__class__ is float else x for x in args])
    traced = _PROGRAMS.get(key)
    if traced is None:
        traced = _PROGRAMS[key] = kernel.program(blocks, state.chip, args, {})[0]
    lead = tensors[0]
    if not lead.is_meta and not may_run(traced, sharing_of([(t.data_ptr(), t.nbytes) for t in tensors])):
        return
    queue = stream.current_stream(lead.device.index)
    kind = TASK_KINDS[traced.kind]
    queue.submit(stream.Task(name or traced.name, kind, partial(timing, traced), queue.stream_id, queue.device_index, tensors=stream.shapes(state.operands or tensors), program=traced))
    if not lead.is_meta:
        overflowed = traced.run([wide.address(t) for t in tensors], MODES[state.numerics])
        state.overflow = state.overflow or overflowed


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
