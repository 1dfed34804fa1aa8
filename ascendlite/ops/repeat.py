"""Copies of a tensor or of its elements: repeat, tile, repeat_interleave."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import Tensor, arange, function, normalize_dim
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.index import index_select
from ascendlite.ops.movement import ints_of
from ascendlite.ops.search import searchsorted

Ints = int | Sequence[int]


@function(methods=("repeat",))
def repeat(input: Tensor, *repeats: Ints) -> Tensor:
    """Copies of the tensor side by side: `repeats[d]` along dim d; more repeats than dims add dims."""
    counts = ints_of(repeats)
    if len(counts) < input.ndim:
        raise ShapeError(
            "repeat: Number of dimensions of repeat dims can not be smaller than number of "
            f"dimensions of tensor: got {len(counts)} for {input.ndim}"
        )
    if any(c < 0 for c in counts):
        raise ArgumentError(
            f"repeat: Trying to create tensor with negative dimension: got repeats {counts}; "
            "use counts from 0 up"
        )
    sizes = (1,) * (len(counts) - input.ndim) + tuple(input.shape)
    apart, wide = [], []
    for count, size in zip(counts, sizes, strict=True):
        apart += [size] if count == 1 else [1, size]
        wide += [size] if count == 1 else [count, size]
    if len(wide) == len(counts):
        return input.reshape(sizes).clone()
    return _copied(input.reshape(apart).expand(wide), [c * s for c, s in zip(counts, sizes, strict=True)])


def _copied(wide: Tensor, shape: Sequence[int]) -> Tensor:
    return wide.clone().reshape(shape)  # without clone() dims of size 1 would stay a view of the input


@function(methods=("tile",))
def tile(input: Tensor, *dims: Ints) -> Tensor:
    """`repeat` that takes missing counts in front as 1."""
    counts = ints_of(dims)
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


@function(methods=("repeat_interleave",))
def repeat_interleave(
    input: Tensor,
    repeats: Tensor | int | None = None,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """Each element repeated in place; with one argument: the indices that repeat it so many times."""
    if repeats is None:
        input, repeats = arange(input.numel()), input
    if dim is None:
        input, dim = input.flatten(), 0
    dim = normalize_dim(dim, input.ndim)
    if isinstance(repeats, int) or repeats.numel() == 1:
        count = int(repeats)
        if count < 0:
            raise ArgumentError(f"repeat_interleave: Repeats must be non-negative, got {count}")
        wide = input.unsqueeze(dim + 1)
        wide = wide.expand(*wide.shape[: dim + 1], count, *wide.shape[dim + 2 :])
        return _copied(wide, (*input.shape[:dim], input.shape[dim] * count, *input.shape[dim + 1 :]))
    if repeats.ndim != 1 or repeats.numel() != input.shape[dim]:
        raise ShapeError(
            "repeat_interleave: repeats must have the same size as input along dim, but got "
            f"repeats.size(0) = {repeats.numel()} and input.size({dim}) = {input.shape[dim]}"
        )
    if repeats.dtype.is_floating_point:
        raise DTypeError(f"repeat_interleave: repeats has to be Long or Int tensor: got {repeats.dtype}")
    counts = repeats.tolist()
    if any(c < 0 for c in counts):
        raise ArgumentError(f"repeat_interleave: repeats can not be negative: got {min(counts)}")
    if output_size is not None and output_size != sum(counts):
        raise ShapeError(
            f"repeat_interleave: allocated size does not match required size: {output_size} "
            f"against {sum(counts)}"
        )
    ends = repeats.cumsum(0).long()
    return index_select(input, dim, searchsorted(ends, arange(sum(counts)), right=True))
