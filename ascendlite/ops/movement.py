"""Ops that put elements elsewhere: joining and turning. Views are the core's."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import Op, Tensor, deliver, function, normalize_dim, promote_types
from ascendlite.errors import ArgumentError, ShapeError

Ints = int | Sequence[int]


def ints_of(values: tuple) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(values) == 1 and not isinstance(values[0], int):
        return tuple(values[0])
    return tuple(values)


def _dims(dims: Ints, ndim: int, op: str) -> tuple[int, ...]:
    """Distinct dims of a tensor, counted from the front."""
    found = tuple(normalize_dim(d, ndim) for d in ((dims,) if isinstance(dims, int) else dims))
    if len(set(found)) != len(found):
        raise ArgumentError(
            f"{op}: dim {next(d for d in found if found.count(d) > 1)} appears multiple "
            f"times in the list of dims: {tuple(dims)}; name each dim once"
        )
    return found


# --- joining --------------------------------------------------------------------------------------------------


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


@function()
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


@function()
def concat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Alias of `cat`."""
    return cat(tensors, dim, out=out)


@function()
def concatenate(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Alias of `cat`."""
    return cat(tensors, dim, out=out)


@function()
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


def _each(tensors: tuple, ndim: int):
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return _at_least(tensors[0], ndim)
    if len(tensors) == 1:
        tensors = tuple(tensors[0])
    return tuple(_at_least(x, ndim) for x in tensors)


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


@function()
def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along columns (along the only dim for 1-d tensors)."""
    tensors = [_at_least(x, 1) for x in tensors]
    return cat(tensors, 0 if tensors and tensors[0].ndim == 1 else 1, out=out)


@function()
def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along rows; 1-d tensors are rows."""
    return cat([_at_least(x, 2) for x in tensors], 0, out=out)


@function()
def row_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Alias of `vstack`."""
    return vstack(tensors, out=out)


@function()
def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along the third dim."""
    return cat([_at_least(x, 3) for x in tensors], 2, out=out)


@function()
def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along columns; 1-d tensors are columns."""
    return hstack([x.reshape(x.numel(), 1) if x.ndim <= 1 else x for x in tensors], out=out)


# --- turning --------------------------------------------------------------------------------------------------

_flip = Op(
    "flip", inputs=1, infer=lambda x, dims: x, vjp=(lambda g, y, _x, dims: _flip(g, dims),), contiguous=False
)
_roll = Op(
    "roll",
    inputs=1,
    infer=lambda x, shifts: x,
    contiguous=False,
    vjp=(
        lambda g, y, _x, shifts: _roll(
            g, tuple((n - s) % n if n else 0 for s, n in zip(shifts, g.shape, strict=True))
        ),
    ),
)


@function(methods=("flip",))
def flip(input: Tensor, *dims: Ints) -> Tensor:
    """Elements in reverse order along dims (a copy)."""
    return _flip(input, _dims(ints_of(dims), input.ndim, "flip"))


def _need_dims(input: Tensor, ndim: int, op: str) -> None:
    if input.ndim < ndim:
        raise ShapeError(f"{op}: Input must be >= {ndim}-d: got {input.ndim}-d; unsqueeze it first")


@function(methods=("fliplr",))
def fliplr(input: Tensor) -> Tensor:
    """Columns in reverse order."""
    _need_dims(input, 2, "fliplr")
    return _flip(input, (1,))


@function(methods=("flipud",))
def flipud(input: Tensor) -> Tensor:
    """Rows in reverse order."""
    _need_dims(input, 1, "flipud")
    return _flip(input, (0,))


@function(methods=("roll",))
def roll(input: Tensor, shifts: Ints, dims: Ints | None = None) -> Tensor:
    """Elements shifted along dims; those pushed out at the end come back at the start."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        if len(shifts) != 1:
            raise ArgumentError(f"roll: shifts and dimensions must align. shifts: {len(shifts)}, dims: 0")
        return roll(input.flatten(), shifts, 0).reshape(input.shape)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(shifts) != len(dims):
        raise ArgumentError(
            f"roll: shifts and dimensions must align. shifts: {len(shifts)}, dims: {len(dims)}"
        )
    every = [0] * input.ndim
    for shift, dim in zip(shifts, dims, strict=True):
        every[normalize_dim(dim, input.ndim)] += shift
    return _roll(input, tuple(s % n if n else 0 for s, n in zip(every, input.shape, strict=True)))


@function(methods=("rot90",))
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two dims turned k times by 90 degrees, from the first dim towards the second."""
    _need_dims(input, 2, "rot90")
    if len(dims) != 2:
        raise ArgumentError(f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}")
    a, b = (normalize_dim(d, input.ndim) for d in dims)
    if a == b:
        raise ArgumentError(
            f"rot90: expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    turns = {
        0: lambda: input.clone(),
        1: lambda: _flip(input, (b,)).transpose(a, b),
        2: lambda: _flip(input, (a, b)),
        3: lambda: _flip(input, (a,)).transpose(a, b),
    }
    return turns[k % 4]()
