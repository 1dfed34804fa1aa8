"""Running sums, products and extremes along one dim."""

from __future__ import annotations

from ascendlite.core import (
    DType,
    Op,
    Tensor,
    deliver,
    float32,
    function,
    int64,
    normalize_dim,
    zeros,
)
from ascendlite.core import bool as bool_
from ascendlite.errors import DTypeError
from ascendlite.ops.compare import refuse_integers
from ascendlite.ops.movement import cat
from ascendlite.ops.scatter import scatter_add
from ascendlite.ops.sort import Ranked


def _shifted(x: Tensor, dim: int, towards_start: bool) -> Tensor:
    """x moved by one place along dim; what is uncovered is zero."""
    if x.shape[dim] == 0:
        return x
    shape = x.shape[:dim] + (1,) + x.shape[dim + 1 :]
    gap = zeros(shape, dtype=x.dtype, device=x.device)
    n = x.shape[dim] - 1
    return cat([x.narrow(dim, 1, n), gap], dim) if towards_start else cat([gap, x.narrow(dim, 0, n)], dim)


# ---- records ----


def _running_product_grad(g, x, dim, reverse, exclusive):
    """dx[k] = (product before k) * (sum over j >= k of g[j] * product of x from k + 1 to j): no division."""
    if exclusive:
        g = _shifted(g, dim, not reverse)
    tail = linear_scan(g, _shifted(x, dim, not reverse), dim, not reverse)
    return _cumprod(x, dim, reverse, True) * tail


def _extremum_grad(g, y, _x, dim):
    if g[0] is None:
        return None
    return scatter_add(zeros(_x.shape, dtype=g[0].dtype, device=g[0].device), dim, y[1], g[0])


def _log_grad(g, y, x, dim, reverse):
    """dx[k] = exp(x[k] - y[k]) a[k] with a[k] = g[k] + exp(y[k] - y[k + 1]) a[k + 1]: no exponent is positive."""
    if x.shape[dim] == 0:
        return g
    n = x.shape[dim] - 1
    head, tail = y.narrow(dim, 0, n), y.narrow(dim, 1, n)
    decay = (tail - head if reverse else head - tail).exp()
    last = zeros(x.shape[:dim] + (1,) + x.shape[dim + 1 :], dtype=y.dtype, device=y.device)
    factors = cat([last, decay] if reverse else [decay, last], dim)
    return (x - y).exp() * linear_scan(g, factors, dim, not reverse)


_cumsum = Op(
    "cumsum",
    inputs=1,
    infer=lambda x, dim, reverse, exclusive: x,
    cast="float32",
    vjp=(lambda g, y, _x, dim, reverse, exclusive: _cumsum(g, dim, not reverse, exclusive),),
)
_cumprod = Op(
    "cumprod",
    inputs=1,
    infer=lambda x, dim, reverse, exclusive: x,
    cast="float32",
    vjp=(lambda g, y, x, dim, reverse, exclusive: _running_product_grad(g, x, dim, reverse, exclusive),),
)
linear_scan = Op(  # y[i] = a[i] + b[i] * y[i - 1]; reversed: y[i + 1]
    "linear_scan",
    inputs=2,
    infer=lambda a, b, dim, reverse: a,
    vjp=(
        lambda g, y, a, b, dim, reverse: linear_scan(g, _shifted(b, dim, not reverse), dim, not reverse),
        lambda g, y, a, b, dim, reverse: (
            linear_scan(g, _shifted(b, dim, not reverse), dim, not reverse) * _shifted(y, dim, reverse)
        ),
    ),
)
_logcumsumexp = Op(
    "logcumsumexp", inputs=1, infer=lambda x, dim, reverse: x, cast="float32", vjp=(_log_grad,)
)
_cummax = Op("cummax", inputs=1, infer=lambda x, dim: [x, (x.shape, int64)], vjp=(_extremum_grad,))
_cummin = Op("cummin", inputs=1, infer=lambda x, dim: [x, (x.shape, int64)], vjp=(_extremum_grad,))


# ---- functions ----


def _run(op: Op, x: Tensor, dim: int, *attrs: bool) -> Tensor:
    """The scan of a tensor that may be 0-d."""
    dim = normalize_dim(dim, x.ndim, op.name)
    return op(x, dim, *attrs) if x.ndim else op(x.reshape(1), dim, *attrs).reshape(())


def _prepared(x: Tensor, dtype: DType | None) -> Tensor:
    """x in the dtype of the result: int64 for integers and bools."""
    dtype = dtype or (x.dtype if x.dtype.is_floating_point else int64)
    return x if x.dtype == dtype else x.to(dtype)


def _scan(op: Op, x: Tensor, dim: int, dtype: DType | None) -> Tensor:
    if dtype is bool_:
        raise DTypeError(f"{op.name}: not implemented for dtype bool; use an integer dtype")
    if dtype is None or dtype.is_floating_point or dtype == int64:
        return _run(op, _prepared(x, dtype), dim, False, False)
    return _run(op, _prepared(x.to(dtype), int64), dim, False, False).to(dtype)


def result_dtype(dtype: DType | None, out: Tensor | None) -> DType | None:
    """The dtype that `dtype` and `out` ask for; DTypeError where they differ."""
    if out is None or dtype is out.dtype:
        return dtype
    if dtype is not None:
        raise DTypeError(f"out=: Expected out tensor to have dtype {dtype.name}, but got {out.dtype.name} instead; leave dtype out")
    return out.dtype


def cumprod_exclusive(x: Tensor, dim: int, reverse: bool) -> Tensor:
    """Products of all elements before (reverse: after) each one."""
    return _cumprod(x, dim, reverse, True)


@function(methods=("cumsum",), inplace=True)
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Running sums along a dim; of integers and bools in int64.

    >>> al.cumsum(al.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    return deliver(_scan(_cumsum, input, dim, result_dtype(dtype, out)), out)


@function(methods=("cumprod",), inplace=True, keeps=True)
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Running products along a dim; of integers and bools in int64."""
    return deliver(_scan(_cumprod, input, dim, result_dtype(dtype, out)), out)


@function(methods=("logcumsumexp",))
def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """log(cumsum(exp(x))) along a dim, without overflow."""
    refuse_integers("logcumsumexp", input)
    return deliver(_run(_logcumsumexp, input, dim, False), out)


def _running_extremum(op: Op, x: Tensor, dim: int) -> Ranked:
    dim = normalize_dim(dim, x.ndim, op.name)
    wide = x if x.dtype.is_floating_point else x.to(float32 if x.dtype.itemsize <= 2 else int64)  # float32 holds narrow integers
    values, indices = op(wide if x.ndim else wide.reshape(1), dim)
    return Ranked(values.reshape(x.shape).to(x.dtype), indices.reshape(x.shape))


@function(methods=("cummax",))
def cummax(input: Tensor, dim: int, *, out: tuple[Tensor, Tensor] | None = None) -> Ranked:
    """Running maxima along a dim and their indices, the last among equals."""
    return deliver(_running_extremum(_cummax, input, dim), out)


@function(methods=("cummin",))
def cummin(input: Tensor, dim: int, *, out: tuple[Tensor, Tensor] | None = None) -> Ranked:
    """Running minima along a dim and their indices, the last among equals."""
    return deliver(_running_extremum(_cummin, input, dim), out)
