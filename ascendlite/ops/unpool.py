"""Max-unpooling: values back at the places that max-pooling took them from, zeros elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ascendlite.core import Tensor, function, int64, zeros
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.scatter import scatter
from ascendlite.ops.sizes import Size, check_positive, spread


def _full_size(
    op: str,
    small: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    wanted: Sequence[int] | None,
) -> tuple[int, ...]:
    n = len(kernel)
    default = tuple((i - 1) * s + k - 2 * p for i, k, s, p in zip(small, kernel, stride, padding, strict=True))
    if wanted is None:
        return default
    size = tuple(wanted)[-n:]
    if len(wanted) not in (n, n + 2) or len(size) != n:
        raise ValueError(
            f"{op}: output_size should be a sequence containing {n} or {n + 2} elements, but has {len(wanted)}"
        )
    for d, (given, usual, s) in enumerate(zip(size, default, stride, strict=True)):
        if not usual - s < given < usual + s:
            raise ValueError(
                f"{op}: invalid output_size {size} (dim {d} must be between {usual - s} and {usual + s})"
            )
    return size


def _unpool(
    op: str,
    n: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    output_size: Sequence[int] | None,
) -> Tensor:
    kernel, padding = spread(op, "kernel_size", kernel_size, n), spread(op, "padding", padding, n)
    stride = kernel if stride is None else spread(op, "stride", stride, n)
    check_positive(op, "stride", stride)
    if indices.dtype is not int64:
        raise DTypeError(f"{op}: elements in indices should be type int64 but got: {indices.dtype}")
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(f"{op}: Input should have {n + 1} or {n + 2} dims, but got {list(input.shape)}")
    if input.shape != indices.shape:
        raise ShapeError(
            f"{op}: Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) "
            f"but got indices tensor with shape: {list(indices.shape)}"
        )
    size = _full_size(op, input.shape[-n:], kernel, stride, padding, output_size)
    cells = math.prod(size)
    if indices.numel() and not bool(((indices >= 0) & (indices < cells)).all()):
        raise ArgumentError(f"{op}: Found an invalid index: an output of size {size} has {cells} places")
    planes = input.shape[:-n]
    flat = zeros((*planes, cells), dtype=input.dtype, device=input.device)
    rows = math.prod(input.shape[-n:])
    placed = scatter(flat, -1, indices.reshape(*planes, rows), input.reshape(*planes, rows))
    return placed.reshape(*planes, *size)


@function(toplevel=False)
def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The partial inverse of max_pool1d, with the indices that it returned."""
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


@function(toplevel=False)
def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The partial inverse of max_pool2d, with the indices that it returned."""
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


@function(toplevel=False)
def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The partial inverse of max_pool3d, with the indices that it returned."""
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)
