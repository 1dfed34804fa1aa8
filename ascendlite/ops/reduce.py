"""Sums, means, products, truths and variances over any dims."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ascendlite.core import (
    DType,
    Op,
    Tensor,
    deliver,
    float32,
    function,
    get_default_dtype,
    int64,
    normalize_dim,
    normalize_dims,
    uint8,
)
from ascendlite.core import bool as bool_
from ascendlite.errors import DTypeError
from ascendlite.ops.compare import where
from ascendlite.ops.scan import cumprod_exclusive, result_dtype

Dims = int | tuple[int, ...] | list[int] | None


class VarMean(NamedTuple):
    """A variance and the mean it is about."""

    var: Tensor
    mean: Tensor


class StdMean(NamedTuple):
    """A standard deviation and the mean it is about."""

    std: Tensor
    mean: Tensor


# ---- shapes ----

_ALL_DIMS = [tuple(range(n)) for n in range(17)]  # by the number of dims


def reduced_dims(dim: Dims, ndim: int, op: str) -> tuple[int, ...]:
    """The dims to reduce: None and () mean all of them."""
    if dim is None or dim == () or dim == []:
        return _ALL_DIMS[ndim]
    return normalize_dims(dim, ndim, op)


def reduced_shape(shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape that is left when `dims` are reduced."""
    if len(dims) == len(shape) and not keepdim:
        return ()
    if keepdim:
        return tuple([1 if d in dims else n for d, n in enumerate(shape)])
    return tuple([n for d, n in enumerate(shape) if d not in dims])


def spread(g: Tensor, like: Any, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduced tensor with the reduced dims back, as size 1."""
    return g if keepdim or g.ndim == like.ndim else g.reshape(reduced_shape(like.shape, dims, True))


def length(shape: tuple[int, ...], dims: tuple[int, ...]) -> int:
    """How many elements one output is made of."""
    return math.prod([shape[d] for d in dims if d < len(shape)])


def as_float(x: Tensor, op: str, dtype: DType | None = None) -> Tensor:
    """x in `dtype`; without one, x itself, which must be of a float dtype."""
    if dtype is not None:
        if isinstance(dtype, Tensor):  # which has what is asked of a dtype here
            raise TypeError(f"{op}(): argument 'dtype' must be dtype, not Tensor")
        if not dtype.is_floating_point:
            raise DTypeError(
                f"{op}: the result needs a floating point dtype, but dtype is {dtype}; use a float dtype"
            )
        return x if x.dtype == dtype else x.to(dtype)
    if not x.dtype.is_floating_point:
        raise DTypeError(
            f"{op}: could not infer output dtype: input dtype must be floating point, got {x.dtype}; "
            f"pass dtype= or convert with .float()"
        )
    return x


# ---- records ----


def same_dtype(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> tuple[tuple[int, ...], DType]:
    """Infers a reduction that keeps the dtype."""
    return reduced_shape(x.shape, dims, keepdim), x.dtype


def _counts(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> tuple[tuple[int, ...], DType]:
    return reduced_shape(x.shape, dims, keepdim), int64


def _truths(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> tuple[tuple[int, ...], DType]:
    return reduced_shape(x.shape, dims, keepdim), uint8 if x.dtype == uint8 else bool_


def _prod_grad(g, x, dims, keepdim):
    """Products of all the others: right with any number of zeros, to any order."""
    if len(dims) != 1 or not x.ndim:
        return spread(g, x, dims, keepdim)  # a single element
    others = cumprod_exclusive(x, dims[0], False) * cumprod_exclusive(x, dims[0], True)
    return spread(g, x, dims, keepdim) * others


def _var_grad(g, y, x, dims, keepdim, root, correction):
    total = None
    if g[0] is not None:
        scale = spread(g[0], x, dims, keepdim)
        if root:
            std = spread(y[0], x, dims, keepdim)
            scale = where(std == 0, 0.0, scale / (2 * where(std == 0, 1.0, std)))
        degrees = length(x.shape, dims) - correction
        total = scale * (2 / degrees if degrees > 0 else math.nan) * (x - _mean(x, dims, True))
    if g[1] is not None:
        mean = spread(g[1], x, dims, keepdim) / length(x.shape, dims)
        total = mean if total is None else total + mean
    return total


_sum = Op(
    "sum",
    inputs=1,
    contiguous=False,
    cast="float32",
    infer=lambda x, dims, keepdim, dtype: (
        reduced_shape(x.shape, dims, keepdim),
        dtype or (x.dtype if x.dtype.is_floating_point else int64),
    ),
    vjp=(lambda g, y, _x, dims, keepdim, dtype: spread(g, _x, dims, keepdim),),
)
_mean = Op(
    "mean",
    inputs=1,
    contiguous=False,
    infer=same_dtype,
    vjp=(lambda g, y, _x, dims, keepdim: spread(g, _x, dims, keepdim) / length(_x.shape, dims),),
)
_prod = Op(
    "prod_dims",
    inputs=1,
    contiguous=False,
    cast="float32",
    infer=lambda x, dims, keepdim: (
        reduced_shape(x.shape, dims, keepdim),
        x.dtype if x.dtype.is_floating_point else int64,
    ),
    vjp=(lambda g, y, x, dims, keepdim: _prod_grad(g, x, dims, keepdim),),
)
_any = Op("any", inputs=1, contiguous=False, infer=_truths)
_all = Op("all", inputs=1, contiguous=False, infer=_truths)
_count_nonzero = Op("count_nonzero", inputs=1, contiguous=False, infer=_counts)
_count_numbers = Op("count_numbers", inputs=1, contiguous=False, infer=_counts)
_var_mean = Op(
    "var_mean",
    inputs=1,
    contiguous=False,
    infer=lambda x, dims, keepdim, root, correction: [same_dtype(x, dims, keepdim)] * 2,
    vjp=(_var_grad,),
)
_logsumexp = Op(
    "logsumexp",
    inputs=1,
    contiguous=False,
    cast="float32",
    infer=same_dtype,
    vjp=(
        lambda g, y, x, dims, keepdim: (x - spread(y, x, dims, keepdim)).exp() * spread(g, x, dims, keepdim),
    ),
)


# ---- sums and means ----


@function(methods=("sum",))
def sum(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    axis: Dims = None,
    out: Tensor | None = None,
) -> Tensor:
    """The sum over dims (all by default); sums of integers and bools are int64.

    >>> al.tensor([[1, 2], [3, 4]]).sum(0)
    tensor([4, 6])
    """
    if out is not None:
        dtype = result_dtype(dtype, out)
    dims = reduced_dims(axis if dim is None else dim, input.ndim, "sum")
    if (
        dtype is None
        or dtype == input.dtype
        or (dtype == float32 and input.dtype.is_floating_point and input.itemsize == 2)
    ):
        result = _sum(input, dims, keepdim, dtype)
    else:
        result = _sum(input.to(dtype), dims, keepdim, dtype)
    return deliver(result, out)


@function(methods=("mean",))
def mean(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    axis: Dims = None,
    out: Tensor | None = None,
) -> Tensor:
    """The mean over dims (all by default), of float dtypes only."""
    x = as_float(input, "mean", dtype)
    return deliver(_mean(x, reduced_dims(axis if dim is None else dim, input.ndim, "mean"), keepdim), out)


@function(methods=("nansum",))
def nansum(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The sum that counts NaN as zero."""
    x = where(input != input, 0, input) if input.dtype.is_floating_point else input
    return sum(x, dim, keepdim, dtype=dtype, out=out)


@function(methods=("nanmean",))
def nanmean(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The mean of what is not NaN."""
    x = as_float(input, "nanmean", dtype)
    numbers = _count_numbers(x, reduced_dims(dim, x.ndim, "nanmean"), keepdim)
    return deliver(nansum(x, dim, keepdim) / numbers.to(x.dtype), out)


@function(methods=("prod",))
def prod(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The product over one dim or over all elements; products of integers and bools are int64."""
    dtype = result_dtype(dtype, out)
    x = input if dtype is None or dtype == input.dtype else input.to(dtype)
    if dim is not None:
        result = _prod(x, (normalize_dim(dim, x.ndim, "prod"),), keepdim)
    else:
        result = _prod(x.reshape(-1), (0,), False)
    return deliver(result if dtype is None or result.dtype == dtype else result.to(dtype), out)


# ---- truths and counts ----


@function(methods=("any",))
def any(input: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Whether an element is nonzero."""
    return deliver(_any(input, reduced_dims(dim, input.ndim, "any"), keepdim), out)


@function(methods=("all",))
def all(input: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Whether all elements are nonzero."""
    return deliver(_all(input, reduced_dims(dim, input.ndim, "all"), keepdim), out)


@function(methods=("count_nonzero",))
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """The number of nonzero elements, NaN included."""
    return _count_nonzero(input, reduced_dims(dim, input.ndim, "count_nonzero"), False)


# ---- variance ----


def _moments(
    op: str,
    x: Tensor,
    dim: Dims | bool,
    unbiased: bool | None,
    keepdim: bool,
    correction: float | None,
    root: bool,
) -> VarMean:
    if isinstance(dim, bool):  # var(x, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None:
        if correction is not None:
            raise TypeError(
                f"{op}(): got both unbiased={unbiased} and correction={correction}; pass one of them"
            )
        correction = 1.0 if unbiased else 0.0
    if not x.dtype.is_floating_point:
        raise DTypeError(
            f"{op}: only floating point dtypes have a {op}, got {x.dtype}; convert with .float()"
        )
    dims = reduced_dims(dim, x.ndim, op) or tuple(range(x.ndim))
    return VarMean(*_var_mean(x, dims, keepdim, root, 1.0 if correction is None else float(correction)))


@function(methods=("var",))
def var(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The variance over dims; the divisor is the number of elements less `correction` (1)."""
    return deliver(_moments("var", input, dim, unbiased, keepdim, correction, False)[0], out)


@function(methods=("std",))
def std(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The standard deviation over dims; see `var`."""
    return deliver(_moments("std", input, dim, unbiased, keepdim, correction, True)[0], out)


@function()
def var_mean(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> VarMean:
    """The variance and the mean over dims."""
    return _moments("var_mean", input, dim, unbiased, keepdim, correction, False)


@function()
def std_mean(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> StdMean:
    """The standard deviation and the mean over dims."""
    return StdMean(*_moments("std_mean", input, dim, unbiased, keepdim, correction, True))


# ---- logsumexp ----


@function(methods=("logsumexp",))
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """log(sum(exp(x))) over dims, without overflow."""
    x = input if input.dtype.is_floating_point else input.to(get_default_dtype())
    return deliver(_logsumexp(x, reduced_dims(dim, x.ndim, "logsumexp"), keepdim), out)
