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


# Eigen's and XLA's rational functions of float32: x P(x^2) / Q(x^2) within the bound, at which it is 1.
_TANH = 7.90531110763549805, (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04,
              4.89352455891786e-03), (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)  # fmt: skip
_ERF = 3.6187119483947754, (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03,
             -1.60960333262415e-02), (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02)  # fmt: skip


def _rational(x: Value, bound: float, above: tuple[float, ...], below: tuple[float, ...]) -> Value:
    x = minimum(maximum(x, -bound), bound)
    s = x * x
    return x * polynomial(s, above) / polynomial(s, below)


def tanh(x: Value) -> Value:
    """Within 4e-7, relatively."""
    return _rational(x, *_TANH)


def copysign(a: Value, b: Value) -> Value:
    """|a| with the sign of b (a zero of b counts as positive)."""
    m = absolute(a)
    return where(b < 0.0, -m, m)


def expm1(x: Value) -> Value:
    """Below 0.3 a series."""
    near = x * polynomial(x, (1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0))
    return where(absolute(x) < 0.3, near, exp(x) - 1.0)


def _half_exp(a: Value) -> Value:
    """e^a / 2, which is finite a little longer than e^a."""
    h = exp(a * 0.5)
    return h * 0.5 * h


def sinh(x: Value) -> Value:
    """(e + e / (e + 1)) / 2 with e = e^a - 1, a = |x|; from 10 on e^-a no longer counts."""
    a = absolute(x)
    e = expm1(minimum(a, 10.0))
    return copysign(where(a < 10.0, (e + e / (e + 1.0)) * 0.5, _half_exp(a)), x)


def cosh(x: Value) -> Value:
    """(e^a + e^-a) / 2, a = |x|."""
    a = absolute(x)
    return _half_exp(a) + exp(-a) * 0.5


def log1p(x: Value) -> Value:
    """ln(1 + x), corrected for what 1 + x rounds away (Goldberg 1991, theorem 4)."""
    u = x + 1.0
    d = u - 1.0
    return where(eq(d, 0.0), x, where(eq(u, math.inf), u, ln(u) * (x / d)))


def erf(x: Value) -> Value:
    """The error function, within 5e-7, relatively."""
    return _rational(x, *_ERF)


def atan(x: Value) -> Value:
    """Reduced to |t| <= tan(pi/8) by atan(x) = pi/4 + atan((x - 1) / (x + 1)) and pi/2 - atan(1/x) (Cephes' atanf ranges)."""
    a = absolute(x)
    big, middle = a > 2.414213562373095, a > 0.4142135623730950
    t = where(big, -1.0 / a, where(middle, (a - 1.0) / (a + 1.0), a))
    base = where(big, constant(math.pi / 2, x), where(middle, constant(math.pi / 4, x), constant(0.0, x)))
    s = t * t
    value = base + t + t * s * polynomial(s, (-1 / 15, 1 / 13, -1 / 11, 1 / 9, -1 / 7, 1 / 5, -1 / 3))
    return copysign(value, x)


# Abramowitz and Stegun 7.1.26, of erfc(a / sqrt(2)) / 2: good to 7.5e-8.
_TAIL = tuple(c / 2 for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592))
_TAIL_SCALE = 0.3275911 * _SQRT_HALF
_DEEPEST = 20.0  # e^(-20^2 / 2) is 0 in float32


def _tail(a: Value) -> tuple[Value, Value]:
    """(Phi(-a) / e, e = e^(-a^2 / 2)) for a >= 0."""
    t = 1.0 / (a * _TAIL_SCALE + 1.0)
    return polynomial(t, _TAIL) * t, exp(a * a * -0.5)


def gelu(x: Value) -> Value:
    """x Phi(x) = max(x, 0) - |x| Phi(-|x|)."""
    a = maximum(minimum(x, _DEEPEST), -x)
    tail, e = _tail(a)
    return maximum(x, 0.0) - tail * e * a


def _within(x: Value) -> Value:
    """x cut to +-40, beyond which the slope of gelu is 1 or 0: no infinity meets a zero."""
    return minimum(maximum(x, -40.0), 40.0)


def gelu_backward(g: Value, x: Value) -> Value:
    """Phi(x) + x phi(x): of -|x| it is e (Phi / e - |x| / sqrt(2 pi)), of |x| what is left of 1."""
    a = minimum(absolute(x), _DEEPEST)
    tail, e = _tail(a)
    slope = (tail - a * _INV_SQRT_2PI) * e
    return g * where(x < 0.0, slope, 1.0 - slope)


def _minus_2u(x: Value) -> Value:
    """-2 u of gelu's tanh(u)."""
    return x * (x * x * (-2 * _SQRT_2_OVER_PI * _GELU_CUBE) + -2 * _SQRT_2_OVER_PI)


def gelu_tanh(x: Value) -> Value:
    """0.5 x (1 + tanh(u)) = x / (1 + e^(-2 u)): one division."""
    return x / (exp(_minus_2u(x)) + 1.0)


def gelu_tanh_backward(g: Value, x: Value) -> Value:
    """s + 2 u' x s (1 - s), where 2 u' x is 3 (2 u) less what it has too much of the linear part."""
    x = _within(x)
    v = _minus_2u(x)
    s = 1.0 / (exp(v) + 1.0)
    return g * fma(s - s * s, fma(v, -3.0, x * (-4 * _SQRT_2_OVER_PI)), s)


def silu_backward(g: Value, x: Value) -> Value:
    """s (1 + x (1 - s))."""
    s = sigmoid(x)
    return g * s * (x * (1.0 - s) + 1.0)


def sign(x: Value) -> Value:
    """-1, 0 or 1."""
    return where(x > 0.0, constant(1.0, x), where(x < 0.0, constant(-1.0, x), constant(0.0, x)))


# In float32: bf16 and f16 are widened, and rounded once at the end.
FLOAT: Final[dict[str, Formula]] = {
    "exp": exp, "exp2": lambda x: exp(x * _LN2), "expm1": expm1, "log": ln, "log2": lambda x: ln(x) * (1 / _LN2), "log10": lambda x: ln(x) * (1 / math.log(10)),
    "log1p": log1p, "sqrt": sqrt, "rsqrt": lambda x: 1.0 / sqrt(x), "reciprocal": lambda x: 1.0 / x, "square": lambda x: x * x,
    "atan": atan, "tanh": tanh, "sigmoid": sigmoid, "erf": erf,
    "tanh_backward": lambda g, y: g * (1.0 - y * y), "sigmoid_backward": lambda g, y: g * y * (1.0 - y),
    "sinh": sinh, "cosh": cosh,
    "gelu": gelu, "gelu_backward": gelu_backward, "gelu_tanh": gelu_tanh, "gelu_tanh_backward": gelu_tanh_backward,
    "silu": lambda x: x / (exp(-x) + 1.0), "silu_backward": silu_backward,
    "floor": floor, "ceil": ceil, "trunc": trunc, "round": rint, "frac": lambda x: x - trunc(x), "sign": sign,
    "div": lambda a, b: a / b, "trunc_divide": lambda a, b: trunc(a / b),
    "add_scaled": lambda a, b, alpha: a + b * alpha, "scaled_sum": lambda a, b, alpha, beta: _times(a, alpha) + _times(b, beta), "addcmul": lambda x, a, b, value: x + a * b * value, "addcdiv": lambda x, a, b, value: x + a / b * value,
    "threshold_backward": lambda g, y, t: where(y <= t, constant(0.0, g), g), "hypot": of_tiles(lambda a, b: _hypot(a, b)),
    "hardtanh": lambda x, low, high: _clamp(x, low, high),
    "clamp_backward": lambda g, x, low, high: where((x >= low) & (x <= high), g, constant(0.0, g)),
    "squared_error": lambda a, b: (a - b) * (a - b), "huber": lambda x, t, delta: _huber(absolute(x - t), delta),
    "smooth_l1": lambda x, t, beta: _smooth(absolute(x - t), beta), "binary_cross_entropy": lambda x, t: _bce(x, t),
    "binary_cross_entropy_logits": lambda x, t: maximum(x, 0.0) - x * t + log1p(exp(-absolute(x))),
}


def _times(x: Value, factor: float) -> Value:
    """x factor, in no instruction for 1."""
    return x if factor == 1 else x * factor


def _huber(d: Value, delta: float) -> Value:
    return where(d <= delta, d * d * 0.5, (d - delta * 0.5) * delta)


def _smooth(d: Value, beta: float) -> Value:
    return where(d < beta, d * d * 0.5 / beta, d - beta * 0.5)


def _bce(x: Value, t: Value) -> Value:
    """Logarithms are held at -100, as in torch: a sure and wrong prediction has a finite loss."""
    return (t - 1.0) * maximum(log1p(-x), -100.0) - t * maximum(ln(x), -100.0)


def _hypot(a: Value, b: Value) -> Value:
    large, small = maximum(absolute(a), absolute(b)), minimum(absolute(a), absolute(b))
    ratio = where(eq(large, 0.0), constant(0.0, large), small / large)
    endless = eq(absolute(a), math.inf) | eq(absolute(b), math.inf)  # infinite whatever the other is
    return where(endless, constant(math.inf, a), large * sqrt(ratio * ratio + 1.0))


def _clamp(x: Value, low: Value | float, high: Value | float) -> Value:
    return minimum(maximum(x, low), high)


# One instruction or few, in the tensor's own format where the vector unit has it (f32, f16, i32, i16).
NATIVE: Final[dict[str, Formula]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "maximum": maximum, "minimum": minimum,
    "neg": lambda x: -x, "abs": lambda x: maximum(x, -x), "relu": lambda x: maximum(x, 0), "clamp": _clamp,
    "clamp_min": maximum, "clamp_max": minimum,
}
# The first operand is a bool; the others, and the result, are of the format that is computed in.
CHOICES: Final[dict[str, Formula]] = {"where": lambda c, a, b: where(ne(c, 0), a, b)}
# Give a mask; anything but 0 counts as true. Bools are computed in f16.
LOGIC: Final[dict[str, Formula]] = {
    "logical_not": lambda x: eq(x, 0), "logical_and": lambda a, b: ne(a, 0) & ne(b, 0), "logical_or": lambda a, b: ne(a, 0) | ne(b, 0),
    "logical_xor": lambda a, b: (ne(a, 0) & eq(b, 0)) | (eq(a, 0) & ne(b, 0)),
}
# Of integers, bit by bit.
BITS: Final[dict[str, Formula]] = {
    "bitwise_and": lambda a, b: a & b, "bitwise_or": lambda a, b: a | b, "bitwise_not": lambda x: ~x,
    "bitwise_xor": lambda a, b: (a | b) & ~(a & b),
}
# Arithmetic of bools: which other op it is.
OF_BOOLS: Final = {
    "add": "maximum", "mul": "minimum", "maximum": "maximum", "minimum": "minimum",
    "bitwise_and": "minimum", "bitwise_or": "maximum", "bitwise_xor": "logical_xor", "bitwise_not": "logical_not",
}
# Give a mask, stored as bools: tests of floats, and comparisons of any numbers.
TESTS: Final[dict[str, Formula]] = {
    "isfinite": lambda x: absolute(x) < math.inf, "isinf": lambda x: eq(absolute(x), math.inf), "isnan": lambda x: ne(x, x),
}
MASKS: Final[dict[str, Formula]] = {
    "lt": lambda a, b: a < b, "gt": lambda a, b: a > b, "le": lambda a, b: a <= b, "ge": lambda a, b: a >= b, "eq": eq, "ne": ne,
}
