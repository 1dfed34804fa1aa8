"""Formulas of circular, inverse, gamma and Bessel functions, powers and exact remainders: in float arithmetic alone, so that they hold in wide modes too."""

from __future__ import annotations

import math
from typing import Final

from ascendlite.npu.kernels.expression import (
    Value,
    absolute,
    constant,
    eq,
    exp,
    floor,
    fma,
    ln,
    maximum,
    minimum,
    ne,
    of_tiles,
    rint,
    sqrt,
    trunc,
    where,
)
from ascendlite.npu.kernels.formulas import Formula, log1p, polynomial

_INF, _NAN = math.inf, math.nan
_LARGEST: Final = float.fromhex("0x1.fffffep+127")

# -- sin, cos, tan: Payne and Hanek, 1983, in floats

# 2/pi in binary, 24 bits a number (fdlibm, e_rem_pio2): each is a float32, and so exact in a fused product.
_TWO_OVER_PI: Final = (0xA2F983, 0x6E4E44, 0x1529FC, 0x2757D1, 0xF534DD, 0xC0DB62, 0x95993C)
_FAR: Final = 64  # the later numbers are scaled by 2^64, and x by 2^-64: they would be subnormal


def _rest(x: Value) -> Value:
    """x less the nearest integer: exact."""
    return x - rint(x)


def _turns(x: Value) -> tuple[Value, Value]:
    """x as n quarter turns and r turns, |r| <= 1/8: (n, r).

    x times each part of 1/(2 pi) is a rounded product and, by a fused step, what it lost; whole turns are dropped from both. So nothing is lost of any x.
    """
    high: Value | None = None
    low: Value | None = None
    far = x * 2.0**-_FAR
    for k, bits in enumerate(_TWO_OVER_PI):
        shift = 24 * (k + 1) + 2 - (_FAR if k > 2 else 0)
        operand, part = (far if k > 2 else x), math.ldexp(bits, -shift)
        product = operand * part
        lost = _rest(fma(operand, part, -product))
        whole = _rest(product)
        high, low = (whole, lost) if high is None or low is None else (high, low + whole + lost)
    assert high is not None and low is not None
    low = _rest(low)
    s = high + low
    back = s - high
    error = (high - (s - back)) + (low - back)  # Knuth's two-sum
    n = rint(s * 4.0)
    return n, fma(n, -0.25, s) + error


def _sine_cosine(r: Value) -> tuple[Value, Value]:
    """Of r turns, |r| <= 1/8. Minimax polynomials: those of the CPU's loops (csrc/simd/vmath.h)."""
    t = r * (2 * math.pi)
    z = t * t
    sine = fma(polynomial(z, (2.7175647e-6, -1.9839256e-4, 8.333329e-3, -1.6666667e-1)) * z, t, t)
    cosine = polynomial(z, (-2.7203302e-7, 2.4799436e-5, -1.3888883e-3, 4.1666668e-2)) * z * z + (z * -0.5 + 1.0)
    return sine, cosine


def _sign_of_turns(n: Value) -> Value:
    """1 for 0 and 1 quarter turns, -1 for 2 and 3, and so on."""
    k = floor(n * 0.5) * 0.5
    return 1.0 - (k - floor(k)) * 4.0


def _odd(n: Value) -> Value:
    h = n * 0.5
    return ne(h, rint(h))


def sin(x: Value) -> Value:
    """Within 2 ulp for |x| < 2^20, 1e-6 beyond."""
    n, r = _turns(x)
    sine, cosine = _sine_cosine(r)
    return where(absolute(x) < 2.0**-12, x, where(_odd(n), cosine, sine) * _sign_of_turns(n))


def cos(x: Value) -> Value:
    """The sine of a quarter turn more."""
    n, r = _turns(x)
    sine, cosine = _sine_cosine(r)
    return where(_odd(n), sine, cosine) * _sign_of_turns(n + 1.0)


def tan(x: Value) -> Value:
    """sin / cos; after odd quarter turns -cos / sin."""
    n, r = _turns(x)
    sine, cosine = _sine_cosine(r)
    odd = _odd(n)
    return where(absolute(x) < 2.0**-12, x, where(odd, -cosine, sine) / where(odd, sine, cosine))


# -- inverse circular and hyperbolic functions


def copysign(a: Value, b: Value) -> Value:
    """|a| with the sign of b; -0 shows its sign in its reciprocal."""
    m = absolute(a)
    return where((b < 0.0) | (1.0 / b < 0.0), -m, m)


def signbit(x: Value) -> Value:
    """Whether the sign is negative."""
    return (x < 0.0) | (1.0 / x < 0.0)


_ATAN: Final = (-1.8272073e-3, 1.1064418e-2, -3.1455662e-2, 5.8234517e-2, -8.419458e-2, 1.09575756e-1, -1.4265245e-1, 1.9998638e-1, -3.3333302e-1)
_ASIN: Final = (3.769514e-2, 1.43141905e-2, 3.183983e-2, 4.4513207e-2, 7.500523e-2, 1.666666e-1)


def _atan_unit(t: Value) -> Value:
    """Of 0 <= t <= 1."""
    z = t * t
    return polynomial(z, _ATAN) * z * t + t


def atan2(y: Value, x: Value) -> Value:
    """The angle of (x, y), zeros and infinities by their signs."""
    ax, ay = absolute(x), absolute(y)
    high, low = maximum(ax, ay), minimum(ax, ay)
    ratio = where(eq(high, 0.0), constant(0.0, x), where(eq(low, _INF), constant(1.0, x), low / high))
    a = _atan_unit(ratio)
    a = where(ay > ax, math.pi / 2 - a, a)
    a = where(signbit(x), math.pi - a, a)
    return copysign(a, y)


def _asin_of(a: Value) -> tuple[Value, Value]:
    """(asin of a or of sqrt((1 - a) / 2), whether it is the latter) for a in 0..1: z <= 1/4."""
    high = a > 0.5
    z = where(high, (1.0 - a) * 0.5, a * a)
    t = where(high, sqrt(z), a)
    return polynomial(z, _ASIN) * z * t + t, high


def asin(x: Value) -> Value:
    """From 1/2 on pi/2 - 2 asin(sqrt((1 - a) / 2))."""
    p, high = _asin_of(absolute(x))
    return copysign(where(high, math.pi / 2 - p * 2.0, p), x)


def acos(x: Value) -> Value:
    """pi/2 - asin(x), without its cancellation near 1."""
    p, high = _asin_of(absolute(x))
    right, left = where(high, p * 2.0, math.pi / 2 - p), where(high, math.pi - p * 2.0, p + math.pi / 2)
    return where(x < 0.0, left, right)


def asinh(x: Value) -> Value:
    """ln(a + sqrt(a^2 + 1)) as log1p; from 2.5e8 on ln(2 a)."""
    a = absolute(x)
    big = a > 2.5e8
    small = minimum(a, 2.5e8)
    y = log1p(where(big, a, small + small * small / (sqrt(small * small + 1.0) + 1.0)))
    return copysign(where(big, y + math.log(2.0), y), x)


def acosh(x: Value) -> Value:
    """ln(x + sqrt(x^2 - 1)) as log1p; from 2.5e8 on ln(2 x)."""
    big = x > 2.5e8
    t = minimum(x, 2.5e8) - 1.0
    y = log1p(where(big, x, t + sqrt(t * t + t * 2.0)))
    return where(x < 1.0, constant(_NAN, x), where(big, y + math.log(2.0), y))


def atanh(x: Value) -> Value:
    """ln((1 + a) / (1 - a)) / 2."""
    a = absolute(x)
    return where(a > 1.0, constant(_NAN, x), copysign(log1p(a * 2.0 / (1.0 - a)) * 0.5, x))


# -- error functions

# erfc(a) e^(a^2) (a + 3) as a polynomial of (a - 3) / (a + 3) (csrc/simd/vmath.h).
_ERFC: Final = (9.9897625e-06, -3.0695033e-04, -4.8175853e-04, 3.0680662e-03, -1.2297897e-03, -2.6836917e-02, 1.19529836e-01, -3.104663e-01,
                5.9022826e-01, -8.833945e-01, 1.0740069)
_ERF_INNER: Final = (-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1)


def erfc(x: Value) -> Value:
    """1 - erf, relatively right in its tail: what the square rounds away is made good."""
    a = minimum(absolute(x), 10.5)
    r = 1.0 / (a + 3.0)
    high = a * a
    e = exp(-high)
    tail = polynomial((a - 3.0) * r, _ERFC) * r * (e - e * fma(a, a, -high))
    inner = 1.0 - (polynomial(x * x, _ERF_INNER) * x + x)
    y = where(a < 0.9, inner, where(x < 0.0, 2.0 - tail, tail))
    return where(ne(x, x), x, y)


# Giles, "Approximating the erfinv function", 2010: single precision.
_ERFINV_NEAR: Final = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)
_ERFINV_FAR: Final = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)


def erfinv(x: Value) -> Value:
    """The inverse of erf; infinite at 1 and -1."""
    w = -ln((1.0 - x) * (x + 1.0))
    y = where(w < 5.0, polynomial(minimum(w, 5.0) - 2.5, _ERFINV_NEAR), polynomial(sqrt(maximum(w, 5.0)) - 3.0, _ERFINV_FAR)) * x
    return where(eq(absolute(x), 1.0), x * _INF, y)


# -- gamma and Bessel functions

# lgamma(x) / ((x - 1) (x - 2)) on 1..3 by powers of x - 2: a Chebyshev fit, relatively good to 1e-7.
_LGAMMA: Final = (7.817561709e-05, -1.589385065e-04, 1.306324702e-04, -3.190523130e-04, 9.442965966e-04, -2.148663625e-03, 4.991560709e-03,
                  -1.2376653e-02, 3.2965627e-02, -1.0031769e-01, 4.2278433e-01)
_STIRLING: Final = (1 / 1260, -1 / 360, 1 / 12)  # Abramowitz and Stegun 6.1.41


def _lgamma_positive(x: Value) -> Value:
    """Near the zeros at 1 and 2 a polynomial; above 3 Stirling's series, of x + 5 below 8."""
    below = x < 1.0
    u = where(below, x + 1.0, x)
    near = polynomial(u - 2.0, _LGAMMA) * (u - 1.0) * (u - 2.0)
    near = where(below, near - ln(x), near)
    shifted = x < 8.0
    s = where(shifted, x + 5.0, x)
    t = minimum(x, 8.0)
    product = t * (t + 1.0) * (t + 2.0) * (t + 3.0) * (t + 4.0)
    r = 1.0 / s
    far = (s - 0.5) * (ln(s) - 1.0) + (0.5 * math.log(2 * math.pi) - 0.5) + polynomial(r * r, _STIRLING) * r
    return where(x < 3.0, near, where(shifted, far - ln(product), far))


def _sine_of_pi(a: Value) -> Value:
    """|sin(pi a)|, exactly 0 for integers: above a quarter it is a cosine."""
    f = absolute(_rest(a))
    high = f > 0.25
    sine, cosine = _sine_cosine(where(high, 0.5 - f, f) * 0.5)
    return where(high, cosine, sine)


def lgamma(x: Value) -> Value:
    """ln |gamma(x)|; below 0 by reflection, there within 1e-5 of the value before it cancels."""
    a = absolute(x)
    s = _sine_of_pi(a)
    reflected = math.log(math.pi) - ln(a * s) - _lgamma_positive(a)
    y = where(x < 0.0, where(eq(s, 0.0), constant(_INF, x), reflected), _lgamma_positive(a))
    return where(eq(a, _INF), a, where(eq(x, 0.0), constant(_INF, x), y))


# -- powers


def power(a: Value, b: Value | float) -> Value:
    """a^b. Small constant exponents are products and roots, as on the CPU."""
    simple = None if isinstance(b, Value) else _POWERS.get(float(b))
    return simple(a) if simple else _power(a, b if isinstance(b, Value) else constant(float(b), a))


def _power(a: Value, b: Value) -> Value:
    """e^(b ln |a|), what the product rounds away made good; signs and edges by IEEE 754's pow."""
    m = absolute(a)
    logarithm = ln(m)
    product = b * logarithm
    lost = where(absolute(product) < 128.0, fma(b, logarithm, -product), constant(0.0, a))
    e = exp(product)
    y = where(e < _INF, e + e * lost, e)
    whole, odd = eq(b, rint(b)), _odd(b)
    negative = (a < 0.0) | (1.0 / a < 0.0)
    y = where(negative & whole & odd, -y, y)
    y = where((a < 0.0) & ~whole & (m < _INF), constant(_NAN, a), y)
    y = where(eq(m, 1.0) & (eq(absolute(b), _INF) | (whole & ~odd)), constant(1.0, a), y)
    return where(eq(b, 0.0) | eq(a, 1.0), constant(1.0, a), y)


_POWERS: Final[dict[float, Formula]] = {
    2.0: lambda x: x * x, 3.0: lambda x: x * x * x, 0.5: sqrt, 1.0: lambda x: x * 1.0, -1.0: lambda x: 1.0 / x, -2.0: lambda x: 1.0 / (x * x),
    0.0: lambda x: constant(1.0, x),
}

# -- remainders: long division in base 2^21, every step exact

_DIGIT: Final = 21  # bits of a quotient's digit: fewer than 24, so that its product with the divisor is exact in a fused step
_DIGITS: Final = 13  # of the largest quotient, 2^(128 + 149)


def _modulo(a: Value, b: Value) -> Value:
    """|a| mod |b|. A digit can only come out 1 too large; then the rest is negative and the divisor is added back."""
    rest, divisor = absolute(a), absolute(b)
    for k in range(_DIGITS, -1, -1):
        shift = k * _DIGIT
        scaled = divisor
        while shift:
            scaled, shift = scaled * 2.0 ** min(shift, 126), shift - min(shift, 126)
        digit = trunc(rest / scaled)
        finite = minimum(scaled, _LARGEST)
        rest = fma(-digit, finite, rest)
        rest = where(rest < 0.0, rest + finite, rest)
    return rest


def fmod(a: Value, b: Value) -> Value:
    """The rest of a / b with the sign of a, exactly."""
    return copysign(_modulo(a, b), a)


def _off(rest: Value, b: Value) -> Value:
    """Where the rest is not 0 and its sign is not the divisor's."""
    return (rest < 0.0) & (b > 0.0) | (rest > 0.0) & (b < 0.0)


def remainder(a: Value, b: Value) -> Value:
    """The rest of a / b with the sign of b."""
    rest = fmod(a, b)
    return where(_off(rest, b), rest + b, rest)


def floor_divide(a: Value, b: Value) -> Value:
    """The quotient rounded down, from the exact rest."""
    rest, quotient = fmod(a, b), a / b
    whole = (a - rest) / b
    whole = where(_off(rest, b), whole - 1.0, whole)
    down = floor(whole)
    down = where(whole - down > 0.5, down + 1.0, down)
    down = where(eq(whole, 0.0), copysign(constant(0.0, a), quotient), down)
    return where(eq(b, 0.0), quotient, down)


# -- choices and mixtures


def _fmax(a: Value, b: Value, larger: Formula) -> Value:
    return where(ne(a, a), b, where(ne(b, b), a, larger(a, b)))


def _logaddexp(a: Value, b: Value, base: float) -> Value:
    """max + ln(1 + e^-|a - b|); equal infinities have no difference."""
    high, scale = maximum(a, b), math.log(base)
    y = high + log1p(exp(absolute(a - b) * -scale)) * (1 / scale)
    return where(eq(a, b) & eq(absolute(a), _INF), a, y)


def _lerp(a: Value, b: Value, w: Value | float) -> Value:
    """Exact at both ends."""
    d = b - a
    if isinstance(w, Value):
        return where(absolute(w) < 0.5, a + w * d, b - d * (1.0 - w))
    return a + d * w if abs(w) < 0.5 else b - d * (1.0 - w)


def _xlogy(x: Value, y: Value) -> Value:
    return where(eq(x, 0.0) & eq(y, y), constant(0.0, x), x * ln(y))


def _nan_to_num(x: Value, nan: float, high: float, low: float) -> Value:
    return where(ne(x, x), nan, where(eq(x, _INF), high, where(eq(x, -_INF), low, x)))


FUNCTIONS: Final[dict[str, Formula]] = {
    "sin": sin, "cos": cos, "tan": tan, "asin": asin, "acos": acos, "atan2": of_tiles(atan2), "asinh": asinh, "acosh": acosh, "atanh": atanh,
    "erfc": erfc, "erfinv": erfinv, "lgamma": lgamma, "pow": power, "fmod": of_tiles(fmod), "remainder": of_tiles(remainder), "floor_divide": of_tiles(floor_divide),
    "copysign": of_tiles(copysign), "fmax": of_tiles(lambda a, b: _fmax(a, b, maximum)), "fmin": of_tiles(lambda a, b: _fmax(a, b, minimum)),
    "logaddexp": lambda a, b: _logaddexp(a, b, math.e), "logaddexp2": lambda a, b: _logaddexp(a, b, 2.0), "lerp": _lerp, "xlogy": of_tiles(_xlogy),
    "nan_to_num": _nan_to_num,
}
# Give a mask.
SIGNS: Final[dict[str, Formula]] = {"signbit": signbit, "isposinf": lambda x: eq(x, _INF), "isneginf": lambda x: eq(x, -_INF)}
