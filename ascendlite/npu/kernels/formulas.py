"""Pointwise ops as formulas over float32 (or native) tiles: one row an op. Domain edges follow the CPU's; constants state their source."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from ascendlite.npu.kernels.expression import (
    Value,
    absolute,
    ceil,
    constant,
    eq,
    exp,
    floor,
    ln,
    maximum,
    minimum,
    ne,
    relu,
    rint,
    sqrt,
    trunc,
    where,
)

Formula = Callable[..., Value]
_LN2 = math.log(2.0)
_SQRT_HALF, _SQRT_2_OVER_PI = math.sqrt(0.5), math.sqrt(2 / math.pi)
_GELU_CUBE = 0.044715  # Hendrycks and Gimpel, arXiv 1606.08415
_INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)


def polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """Highest power first, by Horner's rule."""
    y = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        y = y * x + c
    return y


def sigmoid(x: Value) -> Value:
    """1 / (1 + e^-x)."""
    return 1.0 / (exp(-x) + 1.0)


def tanh(x: Value) -> Value:
    """Of |x|: 1 - 2 / (e^2x + 1); below 0.3 a series keeps relative precision."""
    a = absolute(x)
    far = 1.0 - 2.0 / (exp(minimum(a, 20.0) * 2.0) + 1.0)
    s = x * x
    near = a + a * s * polynomial(s, (-929569 / 638512875, 21844 / 6081075, -1382 / 155925, 62 / 2835, -17 / 315, 2 / 15, -1 / 3))
    return copysign(where(a < 0.3, near, far), x)


def copysign(a: Value, b: Value) -> Value:
    """|a| with the sign of b (a zero of b counts as positive)."""
    m = absolute(a)
    return where(b < 0.0, -m, m)


def expm1(x: Value) -> Value:
    """Below 0.3 a series."""
    near = x * polynomial(x, (1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0))
    return where(absolute(x) < 0.3, near, exp(x) - 1.0)


def log1p(x: Value) -> Value:
    """ln(1 + x), corrected for what 1 + x rounds away (Goldberg 1991, theorem 4)."""
    u = x + 1.0
    d = u - 1.0
    return where(eq(d, 0.0), x, where(eq(u, math.inf), u, ln(u) * (x / d)))


# Abramowitz and Stegun 7.1.26 is good to 1.5e-7 absolute; below 0.5 the series of erf keeps relative precision.
_ERF_FAR = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def erf(x: Value) -> Value:
    """The error function."""
    a = absolute(x)
    t = 1.0 / (a * 0.3275911 + 1.0)
    far = 1.0 - polynomial(t, _ERF_FAR) * t * exp(-(a * a))
    s = x * x
    near = a * polynomial(s, tuple(2 / math.sqrt(math.pi) * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in (6, 5, 4, 3, 2, 1, 0)))
    return copysign(where(a < 0.5, near, far), x)


def _reduced(x: Value) -> tuple[Value, Value]:
    """x - k * pi/2 in three parts (Cody and Waite), and k."""
    k = rint(x * (2 / math.pi))
    r = x - k * 1.5703125 - k * 4.837512969970703e-04 - k * 7.549789948768648e-08
    return r, k


def _sine(r: Value) -> Value:
    s = r * r
    return r + r * s * polynomial(s, (1 / 362880, -1 / 5040, 1 / 120, -1 / 6))


def _cosine(r: Value) -> Value:
    s = r * r
    return polynomial(s, (-1 / 3628800, 1 / 40320, -1 / 720, 1 / 24, -0.5)) * s + 1.0


def _quadrant(k: Value) -> Value:
    return k - floor(k * 0.25) * 4.0


def sin(x: Value) -> Value:
    """By quadrants; arguments beyond 2^17 lose digits, as float32 has none left for their place in a period."""
    r, k = _reduced(x)
    q = _quadrant(k)
    odd = eq(q - floor(q * 0.5) * 2.0, 1.0)
    v = where(odd, _cosine(r), _sine(r))
    return where(q >= 2.0, -v, v)


def cos(x: Value) -> Value:
    """The sine a quadrant on."""
    r, k = _reduced(x)
    q = _quadrant(k + 1.0)
    odd = eq(q - floor(q * 0.5) * 2.0, 1.0)
    v = where(odd, _cosine(r), _sine(r))
    return where(q >= 2.0, -v, v)


def atan(x: Value) -> Value:
    """Reduced to |t| <= tan(pi/8) by atan(x) = pi/4 + atan((x - 1) / (x + 1)) and pi/2 - atan(1/x) (Cephes' atanf ranges)."""
    a = absolute(x)
    big, middle = a > 2.414213562373095, a > 0.4142135623730950
    t = where(big, -1.0 / a, where(middle, (a - 1.0) / (a + 1.0), a))
    base = where(big, constant(math.pi / 2, x), where(middle, constant(math.pi / 4, x), constant(0.0, x)))
    s = t * t
    value = base + t + t * s * polynomial(s, (-1 / 15, 1 / 13, -1 / 11, 1 / 9, -1 / 7, 1 / 5, -1 / 3))
    return copysign(value, x)


def floor_mod(a: Value, b: Value) -> Value:
    """The remainder with the sign of the divisor."""
    r = fmod(a, b)
    return where(ne(r, 0.0) & (((r < 0.0) & (b > 0.0)) | ((r > 0.0) & (b < 0.0))), r + b, r)


def fmod(a: Value, b: Value) -> Value:
    """The remainder with the sign of the dividend: exact as long as the quotient has less than 24 bits."""
    r = absolute(a) - trunc(absolute(a) / absolute(b)) * absolute(b)
    r = where(r < 0.0, r + absolute(b), r)
    return where(a < 0.0, -r, r)


def gelu(x: Value) -> Value:
    """x * Phi(x)."""
    return x * 0.5 * (erf(x * _SQRT_HALF) + 1.0)


def gelu_backward(g: Value, x: Value) -> Value:
    """Phi(x) + x * phi(x)."""
    return g * ((erf(x * _SQRT_HALF) + 1.0) * 0.5 + x * exp(x * x * -0.5) * _INV_SQRT_2PI)


def _inner(x: Value) -> Value:
    return (x + x * x * x * _GELU_CUBE) * _SQRT_2_OVER_PI


def gelu_tanh(x: Value) -> Value:
    """0.5 x (1 + tanh(u)) = x / (1 + e^(-2 u)): one constant and one division."""
    return x / (exp((x + x * x * x * _GELU_CUBE) * (-2 * _SQRT_2_OVER_PI)) + 1.0)


def gelu_tanh_backward(g: Value, x: Value) -> Value:
    """s + x s (1 - s) 2 u'."""
    s = sigmoid(_inner(x) * 2.0)
    slope = (x * x * (3 * _GELU_CUBE) + 1.0) * (2 * _SQRT_2_OVER_PI)
    return g * (s + x * s * (1.0 - s) * slope)


def silu_backward(g: Value, x: Value) -> Value:
    """s (1 + x (1 - s))."""
    s = sigmoid(x)
    return g * s * (x * (1.0 - s) + 1.0)


def softplus(x: Value) -> Value:
    """max(x, 0) + log1p(e^-|x|)."""
    return relu(x) + log1p(exp(-absolute(x)))


def sign(x: Value) -> Value:
    """-1, 0 or 1."""
    return where(x > 0.0, constant(1.0, x), where(x < 0.0, constant(-1.0, x), constant(0.0, x)))


def _bool(f: Callable[[Value, Value], Value]) -> Formula:
    return lambda a, b: f(a, b)


# In float32: bf16 and f16 are widened, and rounded once at the end.
FLOAT: Final[dict[str, Formula]] = {
    "exp": exp, "exp2": lambda x: exp(x * _LN2), "expm1": expm1, "log": ln, "log2": lambda x: ln(x) * (1 / _LN2), "log10": lambda x: ln(x) * (1 / math.log(10)),
    "log1p": log1p, "sqrt": sqrt, "rsqrt": lambda x: 1.0 / sqrt(x), "reciprocal": lambda x: 1.0 / x, "square": lambda x: x * x,
    "sin": sin, "cos": cos, "tan": lambda x: sin(x) / cos(x), "atan": atan, "tanh": tanh, "sigmoid": sigmoid, "erf": erf,
    "tanh_backward": lambda g, y: g * (1.0 - y * y), "sigmoid_backward": lambda g, y: g * y * (1.0 - y),
    "sinh": lambda x: (expm1(x) + expm1(x) / (expm1(x) + 1.0)) * 0.5, "cosh": lambda x: (exp(x) + exp(-x)) * 0.5,
    "gelu": gelu, "gelu_backward": gelu_backward, "gelu_tanh": gelu_tanh, "gelu_tanh_backward": gelu_tanh_backward,
    "silu": lambda x: x / (exp(-x) + 1.0), "silu_backward": silu_backward,
    "floor": floor, "ceil": ceil, "trunc": trunc, "round": rint, "frac": lambda x: x - trunc(x), "sign": sign,
    "div": lambda a, b: a / b, "fmod": fmod, "remainder": floor_mod, "trunc_divide": lambda a, b: trunc(a / b),
    "add_scaled": lambda a, b, alpha: a + b * alpha, "addcmul": lambda x, a, b, value: x + a * b * value, "addcdiv": lambda x, a, b, value: x + a / b * value,
    "threshold_backward": lambda g, y, t: where(y > t, g, constant(0.0, g)), "hypot": lambda a, b: _hypot(a, b),
    "squared_error": lambda a, b: (a - b) * (a - b), "hardtanh": lambda x, low, high: _clamp(x, low, high),
}


def _hypot(a: Value, b: Value) -> Value:
    large, small = maximum(absolute(a), absolute(b)), minimum(absolute(a), absolute(b))
    ratio = where(eq(large, 0.0), constant(0.0, large), small / large)
    return large * sqrt(ratio * ratio + 1.0)


def _clamp(x: Value, low: Value | float, high: Value | float) -> Value:
    return minimum(maximum(x, low), high)


# One instruction or few, in the tensor's own format where the vector unit has it (f32, f16, i32, i16).
NATIVE: Final[dict[str, Formula]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "maximum": maximum, "minimum": minimum,
    "neg": lambda x: -x, "abs": lambda x: maximum(x, -x), "relu": lambda x: maximum(x, 0), "clamp": _clamp,
    "clamp_min": maximum, "clamp_max": minimum,
}
# The first operand is a bool; the others, and the result, are of the format that is computed in.
CHOICES: Final[dict[str, Formula]] = {"where": lambda c, a, b: where(ne(c, 0.0), a, b)}
# Of bools, which are computed in f16 as 0 and 1, and give bools.
LOGIC: Final[dict[str, Formula]] = {
    "logical_not": lambda x: eq(x, 0.0), "logical_and": lambda a, b: ne(a * b, 0.0), "logical_or": lambda a, b: ne(a + b, 0.0), "logical_xor": ne,
}
# Give a mask, stored as bools.
MASKS: Final[dict[str, Formula]] = {
    "isfinite": lambda x: absolute(x) < math.inf, "isinf": lambda x: eq(absolute(x), math.inf), "isnan": lambda x: ne(x, x),
    "lt": lambda a, b: a < b, "gt": lambda a, b: a > b, "le": lambda a, b: a <= b, "ge": lambda a, b: a >= b, "eq": eq, "ne": ne,
}
