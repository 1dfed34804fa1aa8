"""The card's own CPU: where CANN too runs what its AI cores have no kernel for. It is slow, and the profile shows it.

Values come from the native loops and kernels of this library, run on the card's memory; times from the section `ai_cpu` of costs.toml.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ascendlite.core import DType, Op, Tensor, _core, float32, float64, from_numpy
from ascendlite.meta import op_flops
from ascendlite.npu import wide
from ascendlite.npu.clock import COSTS
from ascendlite.npu.runtime import stream
from ascendlite.npu.runtime.stream import shapes

_FLOAT32_ONLY = ("fp4_encode", "fp4_decode")  # no float64, as which the fp64 mode shows floats


@cache
def costs() -> Mapping[str, Any]:
    """The constants of the AI CPU, and under "operations" those of its ops, each with its unit and source."""
    found: Mapping[str, Any] = tomllib.loads(COSTS.read_text(encoding="utf-8"))["ai_cpu"]
    return found


def operations(name: str, elements: int) -> float:
    """Operations of an op of the AI CPU whose largest operand has so many elements; those of `other` for what has no row."""
    table = costs()["operations"]
    row = table.get(name, table["other"])
    return float(row["value"]) * elements * (math.log2(max(elements, 2)) if row.get("log2") else 1.0)


def task_us(work: float) -> float:
    """Microseconds of a task that moves and computes `work` bytes and operations."""
    c = {key: float(row["value"]) for key, row in costs().items() if key != "operations"}
    start = c["task_cycles"] / c["clock"] + c["register_write_us"] + c["register_read_us"]
    return start + work / (c["cores"] * c["work"])


def _submit(name: str, work: float, tensors: tuple[Any, ...], written: int = 1) -> None:
    index = next((t.device.index or 0 for t in tensors if isinstance(t, Tensor) and t.is_npu), 0)
    queue = stream.current_stream(index)
    seen, outputs = (shapes(tensors), len(shapes(tensors[:written]))) if stream.host.listeners else ((), 0)
    queue.submit(stream.Task(name, "AI_CPU", task_us(work), queue.stream_id, index, tensors=seen, written=outputs))


def _work(op: Op, inputs: tuple[Any, ...], attrs: tuple[Any, ...], outputs: tuple[Any, ...]) -> float:
    """What an op counts itself, or its row in costs.toml says."""
    if op.cost is not None:
        return float(op_flops(op, inputs, attrs, outputs))
    return operations(op.name, max((t.numel() for t in (*outputs, *inputs) if isinstance(t, Tensor)), default=0))


def _bytes(tensors: tuple[Any, ...]) -> int:
    return sum(t.nbytes for t in tensors if isinstance(t, Tensor))


def _narrowed(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(t.to(float32) if isinstance(t, Tensor) and t.dtype is float64 else t for t in tensors)


def launch(op: Op, outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...], dry: bool) -> None:
    """Run an op's native kernel on the card's memory."""
    tensors = (*outputs, *inputs)
    _submit(op.name, _work(op, inputs, attrs, outputs) + _bytes(tensors), tensors, len(outputs))
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


def arrays(name: str, run: Callable[..., tuple[Any, ...]], outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], dry: bool = False) -> None:
    """Run what computes with NumPy arrays, as the factorizations of matrices do, on the card's memory."""
    rows, *_ = inputs[0].shape[-2:] if inputs[0].ndim > 1 else (1,)
    work = float(costs()["factorization"]["value"]) * max(t.numel() for t in (*outputs, *inputs)) * rows
    _submit(name, work + _bytes((*outputs, *inputs)), (*outputs, *inputs), len(outputs))
    if dry:
        return
    results = run(*(wide.on_host(t.detach()).numpy() for t in inputs))
    for target, result in zip(outputs, results, strict=True):
        seen = wide.on_host(target)
        _core.copy_native(seen, from_numpy(result.astype(seen.dtype.name)))


def pointwise(op: Op, output: Tensor, args: tuple[Any, ...], compute: DType, dry: bool) -> None:
    """Run a pointwise op's native loop on the card's memory."""
    tensors = (output, *args)
    _submit(op.name, operations(op.name, output.numel()) + _bytes(tensors), tensors)
    if not dry:
        operands = tuple(wide.on_host(a) for a in args)
        widest = next((o.dtype for a, o in zip(args, operands, strict=True) if isinstance(a, Tensor) and a.dtype is compute), compute)
        op.loop_native(wide.on_host(output), operands, widest)


def copy(target: Tensor, source: Tensor, dry: bool) -> None:
    """Copy and cast between tensors on the card."""
    _submit("copy", operations("other", source.numel()) + _bytes((target, source)), (target, source))
    if not dry:
        _core.copy_native(wide.on_host(target), wide.on_host(source))


def fill(target: Tensor, value: float, dry: bool) -> None:
    """Set every element of a tensor on the card."""
    _submit("fill", operations("other", target.numel()) + target.nbytes, (target,))
    if not dry:
        _core.fill_native(wide.on_host(target), value)
