"""Gamma, zeta and Bessel functions."""

from __future__ import annotations

import math

from ascendlite.core import (
    FLOAT,
    FLOATONLY,
    Tensor,
    add_method,
    arange,
    can_cast,
    deliver,
    function,
    get_default_dtype,
    is_grad_enabled,
    kept_original,
    pointwise,
    require_tensor,
)
from ascendlite.errors import ArgumentError, DTypeError, GradError
from ascendlite.ops.compare import where
from ascendlite.ops.pointwise import exp, log, sign

Number = int | float | bool


def _no_rule(op: str) -> None:
    raise GradError(f"the derivative of {op}: self is not implemented: only its second argument may require a gradient; detach the first")


# Derivatives by the first argument are no elementary functions, and torch has none either.
zeta = pointwise("zeta", FLOAT, vjp=(lambda g, _y, s: _no_rule("zeta"), lambda g, _y, s, q: -g * s * zeta(s + 1, q)), public=False)
igamma = pointwise(
    "igamma", FLOATONLY, vjp=(lambda g, _y, a: _no_rule("igamma"), lambda g, _y, a, x: g * _gamma_density(a, x)), tensors=(0, 1),
)  # fmt: skip
igammac = pointwise(
    "igammac", FLOATONLY, vjp=(lambda g, _y, a: _no_rule("igammac"), lambda g, _y, a, x: -g * _gamma_density(a, x)), tensors=(0, 1),
)  # fmt: skip
lgamma = pointwise("lgamma", FLOAT, vjp=(lambda g, _y, x: g * digamma(x),))
digamma = pointwise("digamma", FLOAT, vjp=(lambda g, _y, x: g * _trigamma(x),))
_trigamma = pointwise("trigamma", FLOAT, inputs=1, vjp=(lambda g, _y, x: g * polygamma(2, x),), public=False)
i0 = pointwise("i0", FLOAT, vjp=(lambda g, _y, x: g * _i1(x),))
_i1 = pointwise("i1", FLOAT, vjp=(lambda g, y, x: g * where(x == 0, 0.5, i0(x) - y / _apart(x)),), public=False)
_ndtri = pointwise("ndtri", FLOAT, vjp=(lambda g, y, _x: g * exp(y * y * 0.5) * math.sqrt(2 * math.pi),), public=False)
_i0e = pointwise("i0e", FLOAT, vjp=(lambda g, y, x: g * (_i1e(x) - sign(x) * y),), public=False)
_i1e = pointwise("i1e", FLOAT, vjp=(lambda g, y, x: g * where(x == 0, 0.5, _i0e(x) - y * (sign(x) + 1 / _apart(x))),), public=False)


def _apart(x: Tensor) -> Tensor:
    """x, and 1 where it is 0: a quotient that is not chosen there must not be NaN, or its gradient is."""
    result: Tensor = where(x == 0, 1.0, x)
    return result


def _gamma_density(a: Tensor | Number, x: Tensor | Number) -> Tensor:
    result: Tensor = exp((a - 1) * log(x) - x - lgamma(a))
    return result


@function()
def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of digamma: (-1)^(n + 1) n! zeta(n + 1, x).

    >>> al.polygamma(1, al.tensor([1.0]))
    tensor([1.6449])
    """
    require_tensor("polygamma", input)
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if n < 0:
        raise ArgumentError(f"polygamma: polygamma(n, x) does not support negative n: got {n}")
    if n < 2:
        return deliver((_trigamma if n else digamma)(input), out)
    if n > 170:
        raise ArgumentError(f"polygamma: n is {n}, and {n}! is beyond float64; use n up to 170")
    return deliver(zeta(n + 1, input) * ((-1.0) ** (n + 1) * math.factorial(n)), out)


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return polygamma(n, self)


def _polygamma_in_place(self: Tensor, n: int) -> Tensor:
    """In-place form of polygamma."""
    result = polygamma(n, kept_original(self) if is_grad_enabled() and self.requires_grad else self)
    if not can_cast(result.dtype, self.dtype):
        raise DTypeError(f"polygamma_: result type {result.dtype.name} can't be cast to the desired output type {self.dtype.name}")
    return self.copy_(result)


add_method("polygamma", _polygamma_method)
add_method("polygamma_", _polygamma_in_place)


@function(methods=("mvlgamma",), inplace=True, keeps=True)
def mvlgamma(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p, for elements above (p - 1) / 2.

    >>> al.mvlgamma(al.tensor(1.0), 1)
    tensor(0.)
    """
    require_tensor("mvlgamma", input)
    if p < 1:
        raise ArgumentError(f"mvlgamma: p has to be greater than or equal to 1: got {p}")
    x = input if input.dtype.is_floating_point else input.to(get_default_dtype())
    steps = arange(p, dtype=x.dtype, device=x.device)
    terms: Tensor = lgamma(x.unsqueeze(-1) - steps * 0.5)
    return deliver(terms.sum(-1) + 0.25 * p * (p - 1) * math.log(math.pi), out)
