"""Writing along one dim or into the flattened tensor: index_add, index_copy, index_fill, put and kin."""

from __future__ import annotations

from typing import cast

from ascendlite.core import Tensor, broadcast_shapes, deliver, full, function, normalize_dim, refuse_shared
from ascendlite.errors import DTypeError, ShapeError
from ascendlite.ops.index import as_index, bounds_of, expand_mask, mask_of, one_slot, put_at, vector_of, write_at
from ascendlite.ops.unique import unique

Number = int | float | bool


def _check_source(input: Tensor, dim: int, index: Tensor, source: Tensor, op: str) -> None:
    if source.dtype is not input.dtype:
        raise DTypeError(
            f"{op}: self and source expected to have the same dtype, but got (self) "
            f"{input.dtype} and (source) {source.dtype}; cast the source"
        )
    expected = (
        input.shape[:dim] + (index.numel(),) + input.shape[dim + 1 :] if input.ndim else (index.numel(),)
    )
    if source.shape != expected and not (source.ndim == 0 and index.numel() == 1 and input.ndim <= 1):
        raise ShapeError(
            f"{op}: Number of indices ({index.numel()}) should be equal to source.size(dim), "
            f"and the other sizes to self's: source is {list(source.shape)}, expected "
            f"{list(expected)}"
        )


def _on_dim(
    input: Tensor, dim: int, index: Tensor, source: Tensor, accumulate: bool, op: str, wrap: bool = False
) -> Tensor:
    x = input if input.ndim else input.reshape(1)
    shape = x.shape[:dim] + (index.numel(),) + x.shape[dim + 1 :]
    source = source.expand(shape) if source.ndim == 0 else source
    with bounds_of(op):
        return put_at(x, source, (index,), one_slot(x.ndim, dim), dim, accumulate, wrap).reshape(input.shape)


def _on_dim_(input: Tensor, dim: int, index: Tensor, source: Tensor, accumulate: bool, op: str) -> Tensor:
    """`_on_dim`, into the tensor itself."""
    if not input.ndim:
        return input.copy_(_on_dim(input, dim, index, source, accumulate, op))
    shape = input.shape[:dim] + (index.numel(),) + input.shape[dim + 1 :]
    source = source.expand(shape) if source.ndim == 0 else source
    with bounds_of(op):
        return write_at(input, source, (index,), one_slot(input.ndim, dim), dim, accumulate, False, op)


def _index_add_(self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1) -> Tensor:
    refuse_shared("index_add_", self, index, source)
    dim, index = normalize_dim(dim, self.ndim), vector_of(index, "index_add")
    _check_source(self, dim, index, source, "index_add")
    return _on_dim_(self, dim, index, source if alpha == 1 else source * alpha, True, "index_add_")


def _index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    refuse_shared("index_copy_", self, index, source)
    dim, index = normalize_dim(dim, self.ndim), vector_of(index, "index_copy")
    _check_source(self, dim, index, source, "index_copy")
    return _on_dim_(self, dim, index, source, False, "index_copy_")


@function(methods=("index_add",), inplace=_index_add_, apart=True)
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1, out: Tensor | None = None
) -> Tensor:
    """The tensor with alpha times slices of source added at a 1-d index of a dim."""
    dim, index = normalize_dim(dim, input.ndim), vector_of(index, "index_add")
    _check_source(input, dim, index, source, "index_add")
    return deliver(_on_dim(input, dim, index, source if alpha == 1 else source * alpha, True, "index_add"), out)


@function(methods=("index_copy",), inplace=_index_copy_, apart=True)
def index_copy(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """The tensor with slices of source written at a 1-d index of a dim."""
    dim, index = normalize_dim(dim, input.ndim), vector_of(index, "index_copy")
    _check_source(input, dim, index, source, "index_copy")
    return deliver(_on_dim(input, dim, index, source, False, "index_copy"), out)


@function(methods=("index_fill",), inplace=True, apart=True)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Tensor | Number) -> Tensor:
    """The tensor with one value written at a 1-d index of a dim."""
    dim, index = normalize_dim(dim, input.ndim), vector_of(index, "index_fill")
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(
            "index_fill: only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)"
        )
    if isinstance(value, Tensor) and value.requires_grad:
        index = cast(Tensor, unique(index))  # a place that is named twice is filled, and counts, once
    filling = (
        value.to(input.dtype)
        if isinstance(value, Tensor)
        else full((), value, dtype=input.dtype, device=input.device)
    )
    return _on_dim(input, dim, index, filling, False, "index_fill", wrap=True)


@function(methods=("put",), inplace=True, apart=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """The tensor with elements of source written (or added) at indices of the flattened tensor."""
    if index.numel() != source.numel():
        raise IndexError(
            f"put: source should have the same number of elements as index: {source.numel()} "
            f"and {index.numel()}"
        )
    if source.dtype is not input.dtype:
        raise DTypeError(
            f"put: self and source expected to have the same dtype: {input.dtype} and "
            f"{source.dtype}; cast the source"
        )
    index = as_index(index, "put").reshape(-1)
    with bounds_of("put"):
        flat = put_at(input.reshape(-1), source.reshape(-1), (index,), (0,), 0, accumulate, True)
    return flat.reshape(input.shape)


@function(methods=("masked_scatter",), inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The tensor with elements of source written, in order, where a mask is true."""
    if source.dtype is not input.dtype:
        raise DTypeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{input.dtype} and {source.dtype}"
        )
    shape = broadcast_shapes(input.shape, mask_of(mask, "masked_scatter").shape)
    x = input.expand(shape)
    places = expand_mask(mask.expand(shape).reshape(-1))[0]
    if places.numel() > source.numel():
        raise ShapeError(
            "masked_scatter: expected self and source to have at least as many elements as the "
            f"mask is true: source has {source.numel()}, the mask {places.numel()}"
        )
    values = source.reshape(-1).narrow(0, 0, places.numel())
    return put_at(x.reshape(-1), values, (places,), (0,), 0, False, True).reshape(shape)
