"""tensordot: a product over chosen dims, as one matrix product of reshaped views."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ascendlite.core import Tensor, deliver, function, normalize_dim
from ascendlite.errors import ShapeError


def _dims(a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    if isinstance(dims, int):
        if dims < 0 or dims > min(a.ndim, b.ndim):
            raise ShapeError(
                f"tensordot: dims is {dims} for tensors of {a.ndim} and {b.ndim} dims; it must be between 0 and the smaller"
            )
        left, right = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        if len(dims) != 2:
            raise ShapeError(f"tensordot: dims must be a number or a pair of lists of dims, got {len(dims)} lists")
        left, right = ([int(d)] if isinstance(d, int) else [int(x) for x in d] for d in dims)
    if len(left) != len(right):
        raise ShapeError(f"tensordot: both lists of dims must be of the same length: {left} and {right}")
    return [normalize_dim(d, a.ndim) for d in left], [normalize_dim(d, b.ndim) for d in right]


@function()
def tensordot(
    a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] = 2, *, out: Tensor | None = None
) -> Tensor:
    """The sum of products over `dims`: the last `n` of a with the first `n` of b, or the two lists of dims given.

    >>> al.tensordot(al.ones(2, 3, 4), al.ones(3, 4, 5), 2).shape
    (2, 5)
    """
    left, right = _dims(a, b, dims)
    for i, j in zip(left, right, strict=True):
        if a.shape[i] != b.shape[j] and 1 in (a.shape[i], b.shape[j]):  # a dim of size 1 is broadcast
            a, b = (a.sum(i, True, dtype=a.dtype), b) if b.shape[j] == 1 else (a, b.sum(j, True, dtype=b.dtype))
        if a.shape[i] != b.shape[j]:
            raise ShapeError(
                f"tensordot: contracted dims need to match, but dim {i} of {tuple(a.shape)} is {a.shape[i]} "
                f"and dim {j} of {tuple(b.shape)} is {b.shape[j]}"
            )
    rows = [d for d in range(a.ndim) if d not in left]
    cols = [d for d in range(b.ndim) if d not in right]
    m, n = [a.shape[d] for d in rows], [b.shape[d] for d in cols]
    k = math.prod(a.shape[d] for d in left)
    x = a.permute(*rows, *left).reshape(math.prod(m), k)
    y = b.permute(*right, *cols).reshape(k, math.prod(n))
    return deliver((x @ y).reshape(*m, *n), out)
