"""Ops that put elements elsewhere: joining and padding. Views are the core's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ascendlite.core import (
    Op,
    Tensor,
    arange,
    deliver,
    full,
    function,
    normalize_dim,
    promote_types,
)
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.index import index_select

Ints = int | Sequence[int]


def ints_of(values: tuple[int | Sequence[int], ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(values) == 1 and not isinstance(values[0], int) and getattr(values[0], "ndim", True):
        return tuple(values[0])
    return cast(tuple[int, ...], tuple(values))


def ints_or_keyword(op: str, name: str, values: tuple[int | Sequence[int], ...], keyword: Ints | None) -> tuple[int, ...]:
    """The same, or given by keyword."""
    if (keyword is None) == (not values):
        raise TypeError(f"{op}: missing or repeated argument '{name}': give it once, by position or by name")
    return ints_of(values if keyword is None else (keyword,))


# --- joining ------------------------------------------------------------------------------------------------


def _cat_shape(inputs, dim):
    first = inputs[0]
    size = 0
    for k, x in enumerate(inputs):
        if x.ndim != first.ndim:
            raise ShapeError(
                f"cat: Tensors must have same number of dimensions: got {first.ndim} and "
                f"{x.ndim} (tensor {k})"
            )
        for d in range(first.ndim):
            if d != dim and x.shape[d] != first.shape[d]:
                raise ShapeError(
                    f"cat: Sizes of tensors must match except in dimension {dim}. Expected size "
                    f"{first.shape[d]} but got size {x.shape[d]} for tensor number {k} in the "
                    "list."
                )
        size += x.shape[dim]
    return first.shape[:dim] + (size,) + first.shape[dim + 1 :], first.dtype


def _cat_vjp(g, y, _inputs, dim, *, needs):
    grads, start = [], 0
    for x, need in zip(_inputs, needs, strict=True):
        size = x.shape[dim]
        grads.append(g.narrow(dim, start, size) if need else None)
        start += size
    return tuple(grads)


_cat = Op("cat", inputs=None, infer=_cat_shape, vjp_all=_cat_vjp, contiguous=False)


@function(apart=True)
def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Join tensors along a dim that they have; 1-d tensors without elements are left out.

    >>> al.cat([al.zeros(2), al.ones(1)])
    tensor([0., 0., 1.])
    """
    if isinstance(tensors, Tensor):
        raise TypeError(
            "cat: argument 'tensors' must be a tuple of Tensors, not Tensor; pass a list of tensors"
        )
    tensors = tuple(tensors)
    if not tensors:
        raise ArgumentError("cat: expected a non-empty list of Tensors; got none")
    for k, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"cat: expected Tensor as element {k} in argument 0, but got {type(x).__name__}")
    dtype = tensors[0].dtype
    for k, x in enumerate(tensors):
        if x.ndim == 0:
            raise ShapeError(
                f"cat: zero-dimensional tensor (at position {k}) cannot be concatenated; use stack"
            )
        if x.dtype is not dtype:
            dtype = promote_types(dtype, x.dtype)
    joined = tuple(x for x in tensors if x.shape != (0,)) or tensors[:1]
    dim = normalize_dim(dim, joined[0].ndim)
    return deliver(_cat.call(tuple(x if x.dtype is dtype else x.to(dtype) for x in joined), (dim,)), out)


@function(apart=True)
def concat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Alias of `cat`."""
    return cat(tensors, dim, out=out)


@function(apart=True)
def concatenate(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Alias of `cat`."""
    return cat(tensors, dim, out=out)


@function(apart=True)
def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Join tensors of one shape along a new dim."""
    tensors = tuple(tensors)
    if not tensors:
        raise ArgumentError("stack: stack expects a non-empty TensorList; got none")
    for k, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise ShapeError(
                "stack: stack expects each tensor to be equal size, but got "
                f"{list(tensors[0].shape)} at entry 0 and {list(x.shape)} at entry {k}"
            )
    dim = normalize_dim(dim, tensors[0].ndim + 1)
    return cat([x.unsqueeze(dim) for x in tensors], dim, out=out)


def _at_least(x: Tensor, ndim: int) -> Tensor:
    """Dims added where NumPy adds them: (1, n), (1, n, 1), (m, n, 1)."""
    if x.ndim >= ndim:
        return x
    shapes = {
        (0, 1): (1,),
        (0, 2): (1, 1),
        (1, 2): (1, -1),
        (0, 3): (1, 1, 1),
        (1, 3): (1, -1, 1),
        (2, 3): (*x.shape, 1),
    }
    return x.reshape(shapes[x.ndim, ndim])


def _each(tensors: tuple[Tensor | Sequence[Tensor], ...], ndim: int):
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return _at_least(tensors[0], ndim)
    each = tensors[0] if len(tensors) == 1 else cast(tuple[Tensor, ...], tensors)
    return tuple(_at_least(x, ndim) for x in each)


@function()
def atleast_1d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Views with at least one dim."""
    return _each(tensors, 1)


@function()
def atleast_2d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Views with at least two dims."""
    return _each(tensors, 2)


@function()
def atleast_3d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Views with at least three dims."""
    return _each(tensors, 3)


@function(apart=True)
def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along columns (along the only dim for 1-d tensors)."""
    tensors = [_at_least(x, 1) for x in tensors]
    return cat(tensors, 0 if tensors and tensors[0].ndim == 1 else 1, out=out)


@function(apart=True)
def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along rows; 1-d tensors are rows."""
    return cat([_at_least(x, 2) for x in tensors], 0, out=out)


@function(apart=True)
def row_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Alias of `vstack`."""
    return vstack(tensors, out=out)


@function(apart=True)
def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along the third dim."""
    return cat([_at_least(x, 3) for x in tensors], 2, out=out)


@function(apart=True)
def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along columns; 1-d tensors are columns."""
    return hstack([x.reshape(x.numel(), 1) if x.ndim <= 1 else x for x in tensors], out=out)


# --- padding ------------------------------------------------------------------------------------------------


def _padded(x, value, before, after):
    shape = tuple(n + b + a for n, b, a in zip(x.shape, before, after, strict=True))
    for d, n in enumerate(shape):
        if n < 0:
            raise ShapeError(
                f"pad: The input size {x.shape[d]}, plus negative padding {before[d]} and "
                f"{after[d]}, resulted in a negative output size, which is invalid. Check "
                f"dimension {d} of your input."
            )
    return shape, x.dtype


def _unpad(g, y, _x, _value, before, after):
    return _pad_constant(g, g.new_zeros(()), tuple(-b for b in before), tuple(-a for a in after))


_pad_constant = Op("pad_constant", inputs=2, infer=_padded, vjp=(_unpad, None), contiguous=False)

# The index in x that stands at place i of the padded dim, for one dim of size n.
_SOURCES = {
    "reflect": lambda i, n: (n - 1) - (i % (2 * n - 2) - (n - 1)).abs(),
    "replicate": lambda i, n: i.clamp(0, n - 1),
    "circular": lambda i, n: i % n,
}
_TOO_WIDE = {"reflect": lambda n: n - 1, "circular": lambda n: n}


def _check_wide(input: Tensor, pad: Sequence[int], mode: str) -> None:
    for k in range(len(pad) // 2):
        d = input.ndim - 1 - k
        size, widths = input.shape[d], tuple(pad[2 * k : 2 * k + 2])
        if mode in _TOO_WIDE and max(widths) > _TOO_WIDE[mode](size):
            raise ArgumentError(
                "pad: Padding size should be less than the corresponding input dimension, "
                f"but got: padding {widths} at dimension {d} of input {list(input.shape)}; "
                "pad twice or use mode='replicate'"
            )
        if size + sum(widths) < 1 or size == 0:
            raise ShapeError(f"pad: input size {size} with padding {widths} leaves nothing in dimension {d}")


@function(toplevel=False)
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Widen the last dims: (left, right) of the last, then of the one before, and so on; negatives crop.

    `mode` is "constant", "reflect", "replicate" or "circular"; the latter take all
    dims but batch and channels.
    """
    widths = tuple(pad)
    if len(widths) % 2:
        raise ArgumentError(f"pad: Padding length must be divisible by 2: got {len(widths)}")
    if len(widths) // 2 > input.ndim:
        raise ArgumentError(
            "pad: Padding length should be less than or equal to two times the input "
            f"dimension but got padding length {len(widths)} and input of dimension "
            f"{input.ndim}"
        )
    if mode == "constant":
        before, after = [0] * input.ndim, [0] * input.ndim
        for k in range(len(widths) // 2):
            before[-1 - k], after[-1 - k] = widths[2 * k], widths[2 * k + 1]
        fill = full((), 0 if value is None else value, dtype=input.dtype, device=input.device)
        return _pad_constant(input, fill, tuple(before), tuple(after))
    if mode not in _SOURCES:
        raise NotImplementedError(
            f"pad: Unrecognised padding mode {mode}; use constant, reflect, replicate or circular"
        )
    if value is not None and value != 0:
        raise ArgumentError(f'pad: Padding mode "{mode}" doesn\'t take in value argument')
    if len(widths) // 2 not in (input.ndim - 1, input.ndim - 2) or len(widths) > 6:
        raise NotImplementedError(
            "pad: Only 2D, 3D, 4D, 5D padding with non-constant padding are supported "
            f"for now: got {len(widths)} widths for {input.ndim} dims; give widths of "
            "all dims but batch and channels"
        )
    _check_wide(input, widths, mode)
    for k in range(len(widths) // 2):
        d, (left, right) = input.ndim - 1 - k, widths[2 * k : 2 * k + 2]
        if mode == "circular" and min(left, right) < 0:  # what is cropped does not come back
            kept = input.shape[d] + min(left, 0) + min(right, 0)
            input, left, right = input.narrow(d, max(-left, 0), kept), max(left, 0), max(right, 0)
        if left or right:
            places = _SOURCES[mode](arange(-left, input.shape[d] + right, device="cpu"), input.shape[d])  # by the host, as it knows all
            input = index_select(input, d, places.to(input.device))
    return input
