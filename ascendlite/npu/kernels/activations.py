"""Activation functions and their gradients as formulas over float32 tiles: one row an op. Edges follow the CPU's (csrc/simd/pointwise_activation.cpp)."""

from __future__ import annotations

from typing import Final

from ascendlite.npu.kernels.expression import Value, constant, exp, maximum, minimum, where
from ascendlite.npu.kernels.formulas import Formula, expm1, log1p, sigmoid

_FLAT: Final = 20.0  # e^20 squared is beyond float32's precision of 1: mish is x
_DEEP: Final = -80.0  # e^x is about to leave float32's normal numbers
_GONE: Final = -103.97  # ln 2^-150: e^x rounds to 0


def _softplus(x: Value, beta: float, threshold: float) -> Value:
    z = x * beta
    return where(z > threshold, x, log1p(exp(z)) / beta)


def _softplus_backward(g: Value, x: Value, beta: float, threshold: float) -> Value:
    z = x * beta
    return where(z > threshold, g, g * sigmoid(z))


def _logsigmoid(x: Value) -> Value:
    """min(x, 0) - ln(1 + e^-|x|)."""
    return minimum(x, 0.0) - log1p(exp(minimum(x, -x)))


def _mish_parts(x: Value) -> tuple[Value, Value]:
    """(e^x, tanh(ln(1 + e^x)) = m / (m + 2) with m = e^x (e^x + 2))."""
    e = exp(x)
    m = e * (e + 2.0)
    return e, m / (m + 2.0)


def _mish(x: Value) -> Value:
    return x * _mish_parts(minimum(x, _FLAT))[1]


def _mish_backward(g: Value, x: Value) -> Value:
    b = maximum(minimum(x, _FLAT), _DEEP)
    e, t = _mish_parts(b)
    return g * where(x < _GONE, 0.0, t + b * (1.0 - t * t) * (e / (e + 1.0)))


def _elu(x: Value, alpha: float, scale: float, input_scale: float) -> Value:
    """elu, selu and celu: scale (x, or alpha (e^(input_scale x) - 1))."""
    return where(x > 0.0, x * scale, expm1(x * input_scale) * (alpha * scale))


def _elu_backward(g: Value, x: Value, alpha: float, scale: float, input_scale: float) -> Value:
    return where(x > 0.0, g * scale, g * (alpha * scale * input_scale) * exp(x * input_scale))


def _six(x: Value) -> Value:
    """x + 3 cut to 0..6."""
    return minimum(maximum(x + 3.0, 0.0), 6.0)


def _hardswish_backward(g: Value, x: Value) -> Value:
    return where(x >= 3.0, g, where(x <= -3.0, constant(0.0, g), g * (x / 3.0 + 0.5)))


def _inside(g: Value, x: Value, low: Value | float, high: Value | float) -> Value:
    """g where low < x < high."""
    return where((x <= low) | (x >= high), constant(0.0, g), g)


def _silu(x: Value) -> Value:
    return x / (exp(-x) + 1.0)


def _swiglu_gate(g: Value, gate: Value, up: Value) -> Value:
    """g up times the slope of silu: s (1 + gate (1 - s))."""
    s = sigmoid(gate)
    return g * up * s * (gate * (1.0 - s) + 1.0)


ACTIVATIONS: Final[dict[str, Formula]] = {
    "softplus": _softplus, "softplus_backward": _softplus_backward, "logsigmoid": _logsigmoid, "logsigmoid_backward": lambda g, x: g * sigmoid(-x),
    "mish": _mish, "mish_backward": _mish_backward, "elu": _elu, "elu_backward": _elu_backward,
    "leaky_relu": lambda x, slope: where(x > 0.0, x, x * slope), "leaky_relu_backward": lambda g, x, slope: where(x > 0.0, g, g * slope),
    "hardswish": lambda x: x * _six(x) / 6.0, "hardswish_backward": _hardswish_backward,
    "hardsigmoid": lambda x: _six(x) / 6.0, "hardsigmoid_backward": lambda g, x: where((x > -3.0) & (x < 3.0), g / 6.0, constant(0.0, g)),
    "hardtanh_backward": _inside, "threshold": lambda x, limit, value: where(x <= limit, value, x),
    "swiglu": lambda gate, up: _silu(gate) * up, "swiglu_gate": _swiglu_gate, "swiglu_up": lambda g, gate: g * _silu(gate),
}  # fmt: skip
