"""sort and its kin along one dim. Always stable; NaN is largest; among equals the lowest index is first."""

from __future__ import annotations

from typing import NamedTuple

from ascendlite.core import Op, Tensor, deliver, function, int64, normalize_dim, zeros
from ascendlite.errors import ArgumentError
from ascendlite.ops.compare import refuse_bool
from ascendlite.ops.scatter import scatter


class Ranked(NamedTuple):
    """Values and where they came from."""

    values: Tensor
    indices: Tensor


def _values_grad(g, indices, _x, dim):
    """Each value's gradient goes back to its place."""
    if g[0] is None:
        return None
    return scatter(zeros(_x.shape, dtype=g[0].dtype, device=g[0].device), dim, indices, g[0])


def _ranked_shape(x, shape):
    return [(shape, x.dtype), (shape, int64)]


def _resized(x, dim: int, size: int) -> tuple[int, ...]:
    return x.shape[:dim] + (size,) + x.shape[dim + 1 :]


_sort = Op(
    "sort",
    inputs=1,
    infer=lambda x, dim, descending: _ranked_shape(x, x.shape),
    contiguous=False,
    vjp=(lambda g, y, _x, dim, descending: _values_grad(g, y[1], _x, dim),),
)
_topk = Op(
    "topk",
    inputs=1,
    infer=lambda x, dim, largest, k: _ranked_shape(x, _resized(x, dim, k)),
    contiguous=False,
    vjp=(lambda g, y, _x, dim, largest, k: _values_grad(g, y[1], _x, dim),),
)
_kthvalue = Op(
    "kthvalue",
    inputs=1,
    infer=lambda x, dim, k: _ranked_shape(x, _resized(x, dim, 1)),
    contiguous=False,
    vjp=(lambda g, y, _x, dim, k: _values_grad(g, y[1], _x, dim),),
)


def _run(op: Op, input: Tensor, *attrs: int | bool) -> Ranked:
    """The op on a tensor that may be 0-d."""
    if input.ndim:
        return Ranked(*op(input, *attrs))
    values, indices = op(input.reshape(1), *attrs)
    return Ranked(values.reshape(()), indices.reshape(()))


@function(methods=("sort",))
def sort(
    input: Tensor,
    dim: int = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    out: tuple[Tensor, Tensor] | None = None,
) -> Ranked:
    """Values along a dim in order, and their indices.

    >>> al.sort(al.tensor([3, 1, 2])).indices
    tensor([1, 2, 0])
    """
    return deliver(_run(_sort, input, normalize_dim(dim, input.ndim), descending), out)


@function(methods=("argsort",))
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort a dim."""
    return sort(input.detach(), dim, descending).indices


@function(methods=("msort",))
def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Values in order along the first dim."""
    return deliver(sort(input, 0).values, out)


@function(methods=("topk",))
def topk(
    input: Tensor,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    out: tuple[Tensor, Tensor] | None = None,
) -> Ranked:
    """The k largest (or smallest) values along a dim, in order, and their indices."""
    refuse_bool("topk", input)
    dim = normalize_dim(dim, input.ndim)
    size = input.shape[dim] if input.ndim else 1
    if not 0 <= k <= size:
        raise ArgumentError(f"topk: selected index k out of range: k is {k}, the size of dim {dim} is {size}")
    if input.ndim == 0 and k == 0:
        return deliver(Ranked(*_topk(input.reshape(1), 0, largest, 0)), out)
    return deliver(_run(_topk, input, dim, largest, k), out)


@function(methods=("kthvalue",), apart=True)
def kthvalue(
    input: Tensor,
    k: int,
    dim: int = -1,
    keepdim: bool = False,
    *,
    out: tuple[Tensor, Tensor] | None = None,
) -> Ranked:
    """The k-th smallest value along a dim, counted from 1, and its index."""
    refuse_bool("kthvalue", input)
    dim = normalize_dim(dim, input.ndim)
    size = input.shape[dim] if input.ndim else 1
    if not 1 <= k <= size:
        raise ArgumentError(
            f"kthvalue: selected number k out of range for dimension {dim}: k is {k}, the size is {size}"
        )
    found = _run(_kthvalue, input, dim, k)
    if input.ndim and not keepdim:
        found = Ranked(found.values.squeeze(dim), found.indices.squeeze(dim))
    return deliver(found, out)
