"""index_reduce: slices of a source reduced into the places that a 1-d index names."""

from __future__ import annotations

from ascendlite.core import Tensor, deliver, function, normalize_dim
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.index import vector_of
from ascendlite.ops.scatter import scatter_reduce

_REDUCTIONS = ("prod", "mean", "amax", "amin")


@function(methods=("index_reduce",), inplace=True, keeps=True, apart=True)
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Tensor | None = None,
) -> Tensor:
    """The tensor reduced with slices of source at a 1-d index of a dim, by "prod", "mean", "amax" or "amin"."""
    if reduce not in _REDUCTIONS:
        raise ArgumentError(f"index_reduce: reduce must be one of {', '.join(_REDUCTIONS)}, got {reduce!r}")
    dim, index = normalize_dim(dim, input.ndim), vector_of(index, "index_reduce")
    x, source = (t if t.ndim else t.reshape(1) for t in (input, source))
    expected = (*x.shape[:dim], index.numel(), *x.shape[dim + 1 :])
    if source.shape != expected:
        raise ShapeError(
            f"index_reduce: source must have self's shape with {index.numel()} at dim {dim}: it is "
            f"{list(source.shape)}, expected {list(expected)}"
        )
    places = index.reshape([-1 if d == dim else 1 for d in range(x.ndim)]).expand(expected)
    result = scatter_reduce(x, dim, places, source, reduce, include_self=include_self)
    return deliver(result.reshape(input.shape), out)
