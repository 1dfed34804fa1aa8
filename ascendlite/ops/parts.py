"""Small pointwise functions: divisors, mantissas and exponents, degrees, steps."""

from __future__ import annotations

import math
from typing import NamedTuple

from ascendlite.core import FLOATONLY, NUMERIC, Tensor, deliver, function, int32, ones_like, pointwise, require_tensor
from ascendlite.core import bool as bool_
from ascendlite.errors import DTypeError
from ascendlite.ops.compare import where
from ascendlite.ops.pointwise import exp2

# ---- divisors ----

gcd = pointwise("gcd", NUMERIC, inputs=2, tensors=(0, 1))
lcm = pointwise("lcm", NUMERIC, inputs=2, tensors=(0, 1))

# ---- parts of floats ----

_mantissa = pointwise("mantissa", FLOATONLY, vjp=(lambda g, _y, x: g * exp2(-_exponent(x).to(x.dtype)),), public=False)
_exponent = pointwise("exponent", FLOATONLY, inputs=1, public=False)


class Parts(NamedTuple):
    """A float as mantissa * 2 ** exponent."""

    mantissa: Tensor
    exponent: Tensor


@function(methods=("frexp",))
def frexp(input: Tensor, *, out: tuple[Tensor, Tensor] | None = None) -> Parts:
    """Mantissas, 0.5 <= |m| < 1, and exponents in int32, so that input = mantissa * 2 ** exponent."""
    if not input.dtype.is_floating_point:
        raise DTypeError(f"frexp: only supports floating-point dtypes: got {input.dtype}; convert with .float()")
    return deliver(Parts(_mantissa(input), _exponent(input).to(int32)), out)


@function(methods=("ldexp",), inplace=True, keeps=True)
def ldexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input * 2 ** other, in floats."""
    require_tensor("ldexp", input)
    return deliver(input * exp2(other), out)


# ---- angles and steps ----


@function(methods=("deg2rad",), inplace=True)
def deg2rad(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Degrees as radians."""
    return deliver(input * (math.pi / 180), out)


@function(methods=("heaviside",), inplace=True)
def heaviside(input: Tensor, values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0 below zero, 1 above, and `values` at zero; it has no gradient."""
    if input.dtype is not values.dtype:
        raise DTypeError(
            f"heaviside: not yet implemented for tensors with different dtypes: got {input.dtype} and {values.dtype}"
        )
    input, values = input.detach(), values.detach()
    return deliver(where(input == 0, values, (input > 0).to(input.dtype)), out)


@function(methods=("isreal",))
def isreal(input: Tensor) -> Tensor:
    """True everywhere: there are no complex tensors."""
    return ones_like(input, dtype=bool_)
