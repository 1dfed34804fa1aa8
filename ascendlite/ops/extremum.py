"""Largest and smallest elements, where they are, and medians. NaN wins over every number."""

from __future__ import annotations

from typing import NamedTuple

from ascendlite.core import Op, Tensor, deliver, function, int64, no_grad, normalize_dim, refuse_shared, zeros
from ascendlite.errors import ArgumentError, DimensionError
from ascendlite.ops.compare import refuse_bool, where
from ascendlite.ops.reduce import Dims, length, reduced_dims, reduced_shape, spread
from ascendlite.ops.scatter import scatter
from ascendlite.ops.sort import Ranked, kthvalue, sort


class MinMax(NamedTuple):
    """The smallest and the largest element."""

    min: Tensor
    max: Tensor


# ---- records ----


def _shared_grad(g, y, x, dims, keepdim):
    """Every element that is the extreme gets an equal share."""
    chosen = ((x == spread(y, x, dims, keepdim)) | (x != x)).to(g.dtype)
    return chosen * (spread(g, x, dims, keepdim) / chosen.sum(dims, True))


def _index_grad(g, y, _x, dim, keepdim):
    if g[0] is None:
        return None
    if len(_x.shape) == 0:
        return g[0]
    grad, indices = spread(g[0], _x, (dim,), keepdim), spread(y[1], _x, (dim,), keepdim)
    return scatter(zeros(_x.shape, dtype=grad.dtype, device=grad.device), dim, indices, grad)


def _extreme(name: str) -> Op:
    return Op(
        name,
        inputs=1,
        contiguous=False,
        infer=lambda x, dims, keepdim: (reduced_shape(x.shape, dims, keepdim), x.dtype),
        vjp=(_shared_grad,),
    )


def _extreme_along(name: str) -> Op:
    def infer(x, dim, keepdim):
        shape = reduced_shape(x.shape, (dim,), keepdim)
        return [(shape, x.dtype), (shape, int64)]

    return Op(name, inputs=1, contiguous=False, infer=infer, vjp=(_index_grad,))


_amax, _amin = _extreme("amax"), _extreme("amin")
_max_dim, _min_dim = _extreme_along("max_dim"), _extreme_along("min_dim")


# ---- extremes over any dims ----


def _require_elements(op: str, x: Tensor, dims: tuple[int, ...]) -> None:
    for d in dims:
        if x.ndim and x.shape[d] == 0:
            raise DimensionError(
                f"{op}(): Expected reduction dim {d} to have non-zero size, but the shape is {tuple(x.shape)}; "
                f"reduce a dim that has elements"
            )


def _whole(op: Op, name: str, x: Tensor, keepdim: bool = False) -> Tensor:
    if x.numel() == 0:
        raise ArgumentError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0, shape {tuple(x.shape)}; "
            f"pass dim= of a dim that has elements"
        )
    return op(x, tuple(range(x.ndim)), keepdim)


def _over(op: Op, name: str, x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    dims = reduced_dims(dim, x.ndim, name)
    if len(dims) == x.ndim:
        return _whole(op, name, x, keepdim)
    _require_elements(name, x, dims)
    return op(x, dims, keepdim)


@function(methods=("amax",))
def amax(input: Tensor, dim: Dims = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The largest element over dims (all by default); its gradient is shared by equals.

    >>> al.amax(al.tensor([[1, 5], [7, 3]]), 1)
    tensor([5, 7])
    """
    return deliver(_over(_amax, "amax", input, dim, keepdim), out)


@function(methods=("amin",))
def amin(input: Tensor, dim: Dims = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The smallest element over dims (all by default); its gradient is shared by equals."""
    return deliver(_over(_amin, "amin", input, dim, keepdim), out)


@function(methods=("aminmax",), apart=True)
def aminmax(
    input: Tensor,
    *,
    dim: int | None = None,
    keepdim: bool = False,
    out: tuple[Tensor, Tensor] | None = None,
) -> MinMax:
    """The smallest and the largest element, over one dim or all."""
    low, high = (_over(op, "aminmax", input, dim, keepdim) for op in (_amin, _amax))
    return deliver(MinMax(low, high), out)


# ---- max, min: of everything, along a dim, or of two tensors ----


def _along(op: Op, name: str, x: Tensor, dim: int, keepdim: bool, out: Tensor | tuple[Tensor, Tensor] | None = None) -> Ranked:
    dim = normalize_dim(dim, x.ndim, name)
    _require_elements(name, x, (dim,))
    for target in () if out is None else out:
        refuse_shared(name, target, x)
    return deliver(Ranked(*op(x, dim, keepdim)), out)


@function(methods=("max",))
def max(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
    out: Tensor | tuple[Tensor, Tensor] | None = None,
) -> Tensor | Ranked:
    """The largest element; with `dim`, those along it and where; with a tensor, the larger of each two."""
    if isinstance(dim, Tensor):
        return deliver(input.maximum(dim), out)
    if other is not None:
        return deliver(input.maximum(other), out)
    if dim is None:
        return deliver(_whole(_amax, "max", input), out)
    return _along(_max_dim, "max", input, dim, keepdim, out)


@function(methods=("min",))
def min(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
    out: Tensor | tuple[Tensor, Tensor] | None = None,
) -> Tensor | Ranked:
    """The smallest element; with `dim`, those along it and where; with a tensor, the smaller of each two."""
    if isinstance(dim, Tensor):
        return deliver(input.minimum(dim), out)
    if other is not None:
        return deliver(input.minimum(other), out)
    if dim is None:
        return deliver(_whole(_amin, "min", input), out)
    return _along(_min_dim, "min", input, dim, keepdim, out)


def _where_extreme(op: Op, name: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    refuse_bool(name, x)
    x = x.detach()
    if dim is not None:
        return _along(op, name, x, dim, keepdim).indices
    if x.numel() == 0:
        raise DimensionError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0, shape {tuple(x.shape)}; "
            f"specify the reduction dim with the 'dim' argument"
        )
    index = op(x.reshape(-1), 0, False)[1]
    return index.reshape((1,) * x.ndim) if keepdim else index


@function(methods=("argmax",))
def argmax(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The index of the first largest element along a dim, or in the flattened tensor."""
    return deliver(_where_extreme(_max_dim, "argmax", input, dim, keepdim), out)


@function(methods=("argmin",))
def argmin(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The index of the first smallest element along a dim, or in the flattened tensor."""
    return deliver(_where_extreme(_min_dim, "argmin", input, dim, keepdim), out)


# ---- medians ----


def _median_along(x: Tensor, dim: int, keepdim: bool) -> Ranked:
    dim = normalize_dim(dim, x.ndim, "median")
    _require_elements("median", x, (dim,))
    middle = kthvalue(x, (length(x.shape, (dim,)) + 1) // 2, dim, keepdim)
    if not x.dtype.is_floating_point:
        return middle
    top = _along(_max_dim, "median", x, dim, keepdim)  # NaN if there is one
    broken = top.values.isnan()
    return Ranked(where(broken, top.values, middle.values), where(broken, top.indices, middle.indices))


def _nanmedian_along(x: Tensor, dim: int, keepdim: bool) -> Ranked:
    dim = normalize_dim(dim, x.ndim, "nanmedian")
    _require_elements("nanmedian", x, (dim,))
    if not x.dtype.is_floating_point or not x.ndim:
        return _median_along(x, dim, keepdim)
    numbers = (x == x).sum(dim, True)
    ranked = sort(x, dim)  # NaN last
    at = ((numbers - 1).clamp(min=0)) // 2
    values, indices = ranked.values.gather(dim, at), ranked.indices.gather(dim, at)
    return Ranked(values, indices) if keepdim else Ranked(values.squeeze(dim), indices.squeeze(dim))


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1)


def _shared(input: Tensor, value: Tensor) -> Tensor:
    """The value found, whose gradient goes in equal parts to all elements that are as large, as torch's does."""
    if not value.requires_grad:
        return value
    value = value.detach()
    same = where(value != value, input != input, input == value)
    result: Tensor = where(same, input, 0.0).sum() / same.sum()
    with no_grad():
        result.copy_(value)
    return result


@function(methods=("median",))
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | Ranked:
    """The lower median; with `dim`, along it, with indices. NaN if there is a NaN.

    >>> al.median(al.tensor([3, 1, 4, 2]))
    tensor(2)
    """
    refuse_bool("median", input)
    if dim is not None:
        return _median_along(input, dim, keepdim)
    if input.numel() == 0:
        return input.sum() * float("nan")
    return _shared(input, _median_along(_flat(input), 0, False).values)


@function(methods=("nanmedian",))
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | Ranked:
    """The lower median of what is not NaN; with `dim`, along it, with indices."""
    refuse_bool("nanmedian", input)
    if dim is not None:
        return _nanmedian_along(input, dim, keepdim)
    if input.numel() == 0:
        return input.sum() * float("nan")
    return _shared(input, _nanmedian_along(_flat(input), 0, False).values)
