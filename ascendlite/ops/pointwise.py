"""Unary pointwise ops and their gradients. Options and operators of two inputs are in arithmetic.py."""

from __future__ import annotations

import math

from ascendlite.core import (
    FLOAT,
    FLOATONLY,
    NUMERIC,
    PROMOTE,
    Tensor,
    deliver,
    function,
    get_default_dtype,
    is_grad_enabled,
    pointwise,
    zeros_like,
)
from ascendlite.ops.compare import where


def zero(g: Tensor) -> Tensor:
    """The gradient of a step function."""
    return zeros_like(g)


# ---- sign and rounding ----

abs = pointwise("abs", PROMOTE, vjp=(lambda g, _y, x: g * sign(x),))
neg = pointwise("neg", NUMERIC, vjp=(lambda g: -g,))
sign = pointwise("sign", PROMOTE, vjp=(zero,))
floor = pointwise("floor", NUMERIC, vjp=(zero,))
ceil = pointwise("ceil", NUMERIC, vjp=(zero,))
trunc = pointwise("trunc", NUMERIC, vjp=(zero,))
frac = pointwise("frac", FLOATONLY, vjp=(lambda g: g,))
_round = pointwise("round", NUMERIC, vjp=(zero,), public=False)


@function(methods=("round",), inplace=True)
def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Rounds half to even, to `decimals` places.

    >>> al.round(al.tensor([0.5, 1.5, -2.7]))
    tensor([ 0.,  2., -3.])
    """
    if decimals == 0 or not input.dtype.is_floating_point:
        return deliver(_round(input), out)
    scale = 10.0 ** (decimals if decimals > 0 else -decimals)
    rounded = _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale
    return deliver(rounded, out)


# ---- powers and roots ----

square = pointwise("square", PROMOTE, vjp=(lambda g, _y, x: g * x * 2,))
sqrt = pointwise("sqrt", FLOAT, vjp=(lambda g, y: g / (y * 2),))
rsqrt = pointwise("rsqrt", FLOAT, vjp=(lambda g, y: g * (y * y * y) * -0.5,))
reciprocal = pointwise("reciprocal", FLOAT, vjp=(lambda g, y: -g * y * y,))

# ---- exponentials and logarithms ----

exp = pointwise("exp", FLOAT, vjp=(lambda g, y: g * y,))
exp2 = pointwise("exp2", FLOAT, vjp=(lambda g, y: g * y * math.log(2),))
expm1 = pointwise("expm1", FLOAT, vjp=(lambda g, y: g * (y + 1),))
log = pointwise("log", FLOAT, vjp=(lambda g, _y, x: g / x,))
log2 = pointwise("log2", FLOAT, vjp=(lambda g, _y, x: g / (x * math.log(2)),))
log10 = pointwise("log10", FLOAT, vjp=(lambda g, _y, x: g / (x * math.log(10)),))
log1p = pointwise("log1p", FLOAT, vjp=(lambda g, _y, x: g / (x + 1),))

# ---- trigonometric and hyperbolic ----

sin = pointwise("sin", FLOAT, vjp=(lambda g, _y, x: g * cos(x),))
cos = pointwise("cos", FLOAT, vjp=(lambda g, _y, x: -g * sin(x),))
tan = pointwise("tan", FLOAT, vjp=(lambda g, y: g * (y * y + 1),))
asin = pointwise("asin", FLOAT, vjp=(lambda g, _y, x: g * rsqrt(1 - x * x),))
acos = pointwise("acos", FLOAT, vjp=(lambda g, _y, x: -g * rsqrt(1 - x * x),))
atan = pointwise("atan", FLOAT, vjp=(lambda g, _y, x: g / (x * x + 1),))
sinh = pointwise("sinh", FLOAT, vjp=(lambda g, _y, x: g * cosh(x),))
cosh = pointwise("cosh", FLOAT, vjp=(lambda g, _y, x: g * sinh(x),))
asinh = pointwise("asinh", FLOAT, vjp=(lambda g, _y, x: g * rsqrt(x * x + 1),))
acosh = pointwise("acosh", FLOAT, vjp=(lambda g, _y, x: g * rsqrt(x * x - 1),))
atanh = pointwise("atanh", FLOAT, vjp=(lambda g, _y, x: g / (1 - x * x),))
tanh = pointwise("tanh", FLOAT, vjp=(lambda g, y: tanh_backward(g, y),))
tanh_backward = pointwise(
    "tanh_backward",
    FLOATONLY,
    vjp=(lambda gg, _y, _g, y: tanh_backward(gg, y), lambda gg, _y, g, y: gg * g * y * -2),
    public=False,
)

# ---- error functions ----

erf = pointwise("erf", FLOAT, vjp=(lambda g, _y, x: g * exp(-x * x) * (2 / math.sqrt(math.pi)),))
erfc = pointwise("erfc", FLOAT, vjp=(lambda g, _y, x: g * exp(-x * x) * (-2 / math.sqrt(math.pi)),))
erfinv = pointwise("erfinv", FLOAT, vjp=(lambda g, y: g * exp(y * y) * (math.sqrt(math.pi) / 2),))

# ---- logistic ----

sigmoid = pointwise("sigmoid", FLOAT, vjp=(lambda g, y: sigmoid_backward(g, y),))
sigmoid_backward = pointwise(
    "sigmoid_backward",
    FLOATONLY,
    vjp=(lambda gg, _y, _g, y: sigmoid_backward(gg, y), lambda gg, _y, g, y: gg * g * (1 - y * 2)),
    public=False,
)


@function(methods=("logit",), inplace=True, keeps=True)
def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """log(x / (1 - x)), with x kept in [eps, 1 - eps] where `eps` is given."""
    x = input if input.dtype.is_floating_point else input.to(get_default_dtype())
    kept = x if eps is None else x.clamp(eps, 1 - eps)
    if x.requires_grad and is_grad_enabled():  # where the result is NaN, the slope is, too
        outside = (x < 0) | (x > 1) if eps is None else x != x
        kept = where(outside, where(outside, x, 0.0) * math.nan, kept)
    return deliver(log(kept) - log1p(-kept), out)  # not of the quotient, whose slope is 0 times inf at 0 and 1
