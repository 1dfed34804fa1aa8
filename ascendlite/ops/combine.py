"""Products and arrangements of tensors: Kronecker and cross products, blocks on a diagonal, combinations."""

from __future__ import annotations

import itertools

from ascendlite.core import (
    Tensor,
    broadcast_shapes,
    deliver,
    function,
    int64,
    normalize_dim,
    promote_types,
    tensor,
    zeros,
)
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.index import index_select
from ascendlite.ops.movement import cat, pad
from ascendlite.ops.turning import roll


@function(methods=("kron",), apart=True)
def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The Kronecker product: every element of input times the whole of other.

    >>> al.kron(al.tensor([1, 10]), al.tensor([1, 2]))
    tensor([ 1,  2, 10, 20])
    """
    ndim = max(input.ndim, other.ndim)
    a, b = ((1,) * (ndim - x.ndim) + tuple(x.shape) for x in (input, other))
    left = input.reshape([n for size in a for n in (size, 1)])
    right = other.reshape([n for size in b for n in (1, size)])
    return deliver((left * right).reshape([m * n for m, n in zip(a, b, strict=True)]), out)


@function(methods=("cross",), apart=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """The cross product of vectors of 3 elements along a dim, by default the first of size 3.

    >>> al.cross(al.tensor([1, 0, 0]), al.tensor([0, 1, 0]))
    tensor([0, 0, 1])
    """
    if input.ndim != other.ndim:
        raise ShapeError(
            f"cross: inputs must have the same number of dimensions: got {input.ndim} and {other.ndim}"
        )
    if dim is None:
        if 3 not in input.shape:
            raise ShapeError(f"cross: no dimension of size 3 in input: its shape is {list(input.shape)}")
        dim = input.shape.index(3)
    dim = normalize_dim(dim, input.ndim)
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise ShapeError(
            f"cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and {other.shape[dim]}"
        )
    shape = broadcast_shapes(input.shape, other.shape)
    a, b = input.expand(shape), other.expand(shape)
    return deliver(roll(a, -1, dim) * roll(b, -2, dim) - roll(a, -2, dim) * roll(b, -1, dim), out)


@function()
def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along a diagonal, zeros elsewhere; 0-d and 1-d tensors are rows.

    >>> al.block_diag(al.tensor([[1]]), al.tensor([[2, 3]]))
    tensor([[1, 0, 0],
            [0, 2, 3]])
    """
    for k, x in enumerate(tensors):
        if x.ndim > 2:
            raise ShapeError(
                f"block_diag: Input tensors must have 2 or fewer dimensions. Input {k} has {x.ndim} dimensions"
            )
    if not tensors:
        return zeros((1, 0))
    blocks = [x if x.ndim == 2 else x.reshape(1, -1) for x in tensors]
    dtype = blocks[0].dtype
    for x in blocks:
        dtype = promote_types(dtype, x.dtype)
    total, before, rows = sum(x.shape[1] for x in blocks), 0, []
    for x in blocks:
        rows.append(pad(x.to(dtype), (before, total - before - x.shape[1])))
        before += x.shape[1]
    return cat(rows, 0)


@function()
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r elements of a 1-d tensor, one a row, in the order of itertools."""
    if input.ndim != 1:
        raise ShapeError(f"combinations: Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise ArgumentError(f"combinations: Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    picks = [place for row in choose(range(input.numel()), r) for place in row]
    places = tensor(picks, dtype=int64, device=input.device)
    return index_select(input, 0, places).reshape(len(picks) // r, r)
