"""Formulas of float16 tensors that take fewer instructions than those of float32: their numbers have 11 bits and stay below 2^16."""

from __future__ import annotations

import math
from typing import Final

from ascendlite.npu.kernels.expression import Value, absolute, eq, exp, fma, minimum, ne, rint, where
from ascendlite.npu.kernels.formulas import Formula, polynomial

_PI: Final = 3.1415927410125732  # in float32
_PI_REST: Final = math.pi - _PI
# (sin r / r - 1) / r^2 by powers of r^2, |r| <= pi/2: a Chebyshev fit, within 1.2e-6.
_SINE: Final = (-1.8550777e-4, 8.314599e-3, -1.6665882e-1)


def _sine(x: Value, ahead: float) -> Value:
    """sin(x + ahead pi): of the r that x is away from the nearest n pi, with a sign. n has 16 bits at most, so both fused steps lose nothing that counts."""
    k = rint(x * (1 / math.pi) + ahead) if ahead else rint(x * (1 / math.pi))
    n = k - ahead if ahead else k
    r = fma(n, -_PI_REST, fma(n, -_PI, x))
    z = r * r
    half = k * 0.5
    odd = half - rint(half)  # 0, or 1/2 of either sign
    return (polynomial(z, _SINE) * z * r + r) * (1.0 - odd * odd * 8.0)


def sin(x: Value) -> Value:
    """Within 2e-6; a zero keeps its sign."""
    return where(eq(x, 0.0), x, _sine(x, 0.0))


def cos(x: Value) -> Value:
    """The sine of a quarter turn more, within 2e-6."""
    return _sine(x, 0.5)


# erfc(a) e^(a^2) / t by powers of t = 1 / (1 + 0.44 a), 0 <= a <= 10.5: a Chebyshev fit, relatively within 6e-6.
_ERFC: Final = (-1.4707689e-1, 3.5358137e-1, 3.738665e-2, 2.6537576e-1, 2.42126e-1, 2.4860132e-1)


def erfc(x: Value) -> Value:
    """1 - erf, relatively right in its tail: the square of 11 bits is exact."""
    a = minimum(absolute(x), 10.5)
    t = 1.0 / (a * 0.44 + 1.0)
    tail = polynomial(t, _ERFC) * t * exp(a * a * -1.0)
    y = where(x < 0.0, 2.0 - tail, tail)
    return where(ne(x, x), x, y)


HALVES: Final[dict[str, Formula]] = {"sin": sin, "cos": cos, "erfc": erfc}
