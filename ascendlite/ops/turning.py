"""flip, roll, rot90, and other names for views."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

from ascendlite.core import Op, Tensor, broadcast_shapes, function, normalize_dim, normalize_dims
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.movement import ints_or_keyword

Ints = int | Sequence[int]


# --- other names for views -------------------------------------------------------------------------------


@function(methods=("swapaxes",))
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Alias of `transpose`."""
    return input.transpose(axis0, axis1)


@function(methods=("swapdims",))
def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Alias of `transpose`."""
    return input.transpose(dim0, dim1)


@function(methods=("moveaxis",))
def moveaxis(input: Tensor, source: Ints, destination: Ints) -> Tensor:
    """Alias of `movedim`."""
    return input.movedim(source, destination)


@function()
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of one shape: that of all tensors broadcast together."""
    if len(tensors) == 1 and not isinstance(tensors[0], Tensor):
        tensors = tuple(tensors[0])
    shape = broadcast_shapes(*(x.shape for x in tensors))
    return tuple(x.expand(shape) for x in tensors)


# --- turning ------------------------------------------------------------------------------------------------

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
def flip(input: Tensor, *args: Ints, dims: Ints | None = None) -> Tensor:
    """Elements in reverse order along dims (a copy)."""
    return _flip(input, normalize_dims(ints_or_keyword("flip", "dims", args, dims), input.ndim, "flip"))


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
    return turns[index(k) % 4]()
