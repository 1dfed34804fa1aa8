"""The card's own CPU: where CANN too runs what its AI cores have no kernel for. It is slow, and the profile shows it.

Values come from the native loops and kernels of this library, run on the card's memory; the clock follows the model below.
"""

from __future__ import annotations

from typing import Any

from ascendlite.core import DType, Op, Tensor, _core, float32, float64
from ascendlite.meta import op_flops
from ascendlite.npu import wide
from ascendlite.npu.runtime import stream
from ascendlite.npu.runtime.stream import shapes

# Six AI CPUs a die (platform ini of the 910B). A task is resolved, scheduled and completed in 200 + 390 + 240 of their cycles at 2 GHz
# (pypto's cost model), after a register write and read of 0.14 and 0.6 us. What one of them does in a microsecond is not published:
# 1000 operations or bytes a core assumes one a cycle at about 1 GHz.
CORES = 6
TASK_US = (200 + 390 + 240) / 2000 + 0.14 + 0.6
WORK_PER_US = 1000.0
_FLOAT32_ONLY = ("fp4_encode", "fp4_decode")  # no float64, as which the fp64 mode shows floats


def _submit(name: str, work: float, tensors: tuple[Any, ...]) -> None:
    index = next((t.device.index or 0 for t in tensors if isinstance(t, Tensor) and t.is_npu), 0)
    queue = stream.current_stream(index)
    queue.submit(stream.Task(name, "AI_CPU", TASK_US + work / (CORES * WORK_PER_US), queue.stream_id, index, tensors=shapes(tensors) if stream.host.listeners else ()))


def _bytes(tensors: tuple[Any, ...]) -> int:
    return sum(t.nbytes for t in tensors if isinstance(t, Tensor))


def _narrowed(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(t.to(float32) if isinstance(t, Tensor) and t.dtype is float64 else t for t in tensors)


def launch(op: Op, outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...], dry: bool) -> None:
    """Run an op's native kernel on the card's memory."""
    tensors = (*outputs, *inputs)
    _submit(op.name, op_flops(op, inputs, attrs, outputs) + _bytes(tensors), tensors)
    if dry:
        return
    seen = tuple(wide.on_host(t) for t in outputs)
    read = tuple(wide.on_host(t) for t in inputs)
    narrow = op.name in _FLOAT32_ONLY
    read = _narrowed(read) if narrow else read
    given = tuple(t.contiguous() for t in (_narrowed(seen) if narrow else seen))  # kernels write without gaps, which the wide modes leave between elements
    op.launch_native(given, read, attrs)
    for target, made in zip(seen, given, strict=True):
        if made is not target:
            _core.copy_native(target, made)


def pointwise(op: Op, output: Tensor, args: tuple[Any, ...], compute: DType, dry: bool) -> None:
    """Run a pointwise op's native loop on the card's memory."""
    tensors = (output, *args)
    _submit(op.name, output.numel() + _bytes(tensors), tensors)
    if not dry:
        operands = tuple(wide.on_host(a) for a in args)
        widest = next((o.dtype for a, o in zip(args, operands, strict=True) if isinstance(a, Tensor) and a.dtype is compute), compute)
        op.loop_native(wide.on_host(output), operands, widest)


def copy(target: Tensor, source: Tensor, dry: bool) -> None:
    """Copy and cast between tensors on the card."""
    _submit("copy", source.numel() + _bytes((target, source)), (target, source))
    if not dry:
        _core.copy_native(wide.on_host(target), wide.on_host(source))


def fill(target: Tensor, value: float, dry: bool) -> None:
    """Set every element of a tensor on the card."""
    _submit("fill", target.numel() + target.nbytes, (target,))
    if not dry:
        _core.fill_native(wide.on_host(target), value)
