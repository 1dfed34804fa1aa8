"""Events of a recording and the references to memory in them, as every stage reads them. What an event is: `Recorder` in core/capture.pxi."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ascendlite.core import _core

Ref = tuple[int, int, int, tuple[int, ...], tuple[int, ...]]  # storage, byte offset, dtype, shape, strides
ITEMSIZE = {d.code: d.itemsize for d in _core.DTYPE_NAMES.values()}


def numel(shape: Sequence[int]) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """C order without gaps."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def extent(ref: Ref) -> tuple[int, int]:
    """The first byte and the one after the last, in the storage."""
    if not numel(ref[3]):
        return ref[1], ref[1]
    reaches = [(size - 1) * stride * ITEMSIZE[ref[2]] for size, stride in zip(ref[3], ref[4], strict=True)]
    return ref[1] + sum(r for r in reaches if r < 0), ref[1] + sum(r for r in reaches if r > 0) + ITEMSIZE[ref[2]]


def reads_of(event: Any) -> list[Ref]:
    """What an event reads."""
    kind = event[0]
    if kind == "loop":
        return [x for x in event[4] if isinstance(x, tuple)]
    if kind == "kernel":
        return [x for x in event[2][0 if event[7] else event[3] :] if x is not None]
    return {"copy": lambda: [event[2]], "fused": lambda: list(event[1].inputs)}.get(kind, list)()


def writes_of(event: Any) -> list[Ref]:
    """What an event writes."""
    kind = event[0]
    if kind == "kernel":
        return list(event[2][: event[3]])
    if kind == "fused":
        return list(event[1].outputs)
    return {"loop": lambda: [event[3]], "copy": lambda: [event[1]], "fill": lambda: [event[1]]}.get(kind, list)()


def numbers(refs: Iterable[Ref]) -> set[int]:
    """The storages of references."""
    return {r[0] for r in refs}
