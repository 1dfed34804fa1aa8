"""`out=` tensors that share memory with an input, for functions whose result would be spoilt by it."""

from __future__ import annotations

from collections.abc import Iterable

from ascendlite.core import Tensor
from ascendlite.errors import ShapeError


def _extent(t: Tensor) -> tuple[int, int]:
    start = t.data_ptr()
    reach = sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) + 1 if t.numel() else 0
    return start, start + reach * t.itemsize


def refuse_overlap(op: str, out: Tensor | None, inputs: Iterable[Tensor]) -> None:
    """Raise ShapeError where `out` is an input, or lies over the memory of one."""
    if out is None:
        return
    for t in inputs:
        same_device = t.device == out.device and t.device.type != "meta"
        (a, b), (c, d) = (_extent(out), _extent(t)) if same_device else ((0, 0), (0, 0))
        if out is t or (a < d and c < b):
            raise ShapeError(
                f"{op}: unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
                f"memory location: shapes {tuple(t.shape)} and {tuple(out.shape)}; pass an out= of its own"
            )
