"""Activation functions, against their formulas."""

from __future__ import annotations

import numpy as np
from scipy import special

import ascendlite as al
from ascendlite.ops import activation as F
from tests.opcase import FLOATS, INTEGERS, Case, away, raises, rand, randn

_SIGNED = ("int8", "int16", "int32", "int64")


def _act(name: str, ref: object, x: object = None, **options: object) -> Case:
    return Case(name, ref, [x or randn(3, 4, scale=2.0)], pointwise=True, large=[(67, 1031)], **options)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, 0)


def _elu(x: np.ndarray, alpha: float = 1.0, scale: float = 1.0) -> np.ndarray:
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _silu(x: np.ndarray) -> np.ndarray:
    return x * special.expit(x)


_FLOAT_ONLY = raises(lambda: F.gelu(al.tensor([1])), RuntimeError, "gelu: not implemented for dtype int64")

CASES = [
    _act("relu", lambda x: np.maximum(x, 0), away(3, 4), dtypes=FLOATS + INTEGERS, grad2=True, inplace=True,
         errors=[raises(lambda: al.relu(al.tensor([True])), RuntimeError, "relu: not supported on bool")]),
    _act("relu6", lambda x: np.clip(x, 0, 6), away(3, 4, kinks=(0, 6), high=8.0), dtypes=FLOATS + _SIGNED, grad2=True,
         inplace=lambda x: F.relu6(x, inplace=True),
         errors=[raises(lambda: F.relu6(al.ones(1, dtype=al.bool)), RuntimeError, "hardtanh: not supported on bool")]),
    _act("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x), away(3, 4), args=(0.2,), inplace=lambda x: F.leaky_relu(x, 0.2, True),
         errors=[raises(lambda: F.leaky_relu(al.tensor([1])), RuntimeError, "leaky_relu: not implemented for dtype int64")]),
    _act("threshold", lambda x: np.where(x > 1, x, 3), away(3, 4, kinks=(1,)), args=(1, 3), dtypes=FLOATS + INTEGERS,
         errors=[raises(lambda: F.threshold(al.ones(1, dtype=al.bool), 1, 3), RuntimeError, "threshold: not supported on bool")]),
    _act("elu", lambda x: _elu(x, 1.5), away(3, 4), args=(1.5,), inplace=lambda x: F.elu(x, 1.5, inplace=True)),
    _act("selu", lambda x: _elu(x, 1.6732632423543772, 1.0507009873554805), away(3, 4)),
    _act("celu", lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2)), away(3, 4), args=(2.0,),
         errors=[raises(lambda: al.celu(al.ones(1), 0.0), ValueError, "celu: ZeroDivisionError")]),
    _act("silu", _silu, inplace=lambda x: F.silu(x, inplace=True)),
    _act("gelu", lambda x: x * special.ndtr(x), errors=[
        _FLOAT_ONLY, raises(lambda: F.gelu(al.ones(1), approximate="erf"), ValueError, "approximate argument must be")]),
    Case("gelu:tanh", _gelu_tanh, [randn(3, 4, scale=2.0)], fn=lambda x: F.gelu(x, approximate="tanh"), large=[(67, 1031)]),
    _act("mish", lambda x: x * np.tanh(_softplus(x))),
    _act("softplus", _softplus),
    _act("softplus:beta", lambda x: np.where(2 * x > 3, x, _softplus(2 * x) / 2), away(3, 4, kinks=(1.5,)), args=(2.0, 3.0)),
    _act("logsigmoid", lambda x: -_softplus(-x)),
    _act("softsign", lambda x: x / (1 + np.abs(x)), away(3, 4),
         errors=[raises(lambda: F.softsign(al.ones(1, dtype=al.bool)), RuntimeError, "abs: not implemented for dtype bool")]),
    _act("tanhshrink", lambda x: x - np.tanh(x), rand(3, 4, low=0.5, high=3.0)),
    _act("hardtanh", lambda x: np.clip(x, -2, 1), away(3, 4, kinks=(-2, 1)), args=(-2, 1), dtypes=FLOATS + _SIGNED,
         errors=[raises(lambda: F.hardtanh(al.ones(1), 2, 1), ValueError, "min_val cannot be greater")]),
    _act("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, away(3, 4, kinks=(-3, 3), low=-5.0, high=5.0)),
    _act("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, away(3, 4, kinks=(-3, 3), low=-5.0, high=5.0)),
    _act("hardshrink", lambda x: np.where(np.abs(x) <= 0.5, 0, x), away(3, 4, kinks=(-0.5, 0.5)), grad2=False,
         errors=[raises(lambda: F.hardshrink(al.tensor([1])), RuntimeError, "hardshrink: not implemented for dtype int64")]),
    _act("softshrink", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), away(3, 4, kinks=(-0.5, 0.5)), grad2=False,
         errors=[raises(lambda: F.softshrink(al.ones(1), -1.0), ValueError, "lambda must be greater")]),
    Case("prelu", lambda x, w: np.where(x > 0, x, x * w[:, None]), [away(2, 3, 4), rand(3)], errors=[
        raises(lambda: al.prelu(al.ones(2, 3), al.ones(4)), RuntimeError, "prelu: weight has shape")]),
    Case("prelu:one", lambda x, w: np.where(x > 0, x, x * w), [away(2, 3), rand(1)]),
    Case("glu", lambda x: x[:, :2] * special.expit(x[:, 2:]), [randn(3, 4)], args=(1,), errors=[
        raises(lambda: F.glu(al.ones(3)), RuntimeError, "glu: halving dimension must be even")]),
    Case("swiglu", lambda a, b: _silu(a) * b, [randn(3, 4), randn(3, 4)], shapes=[[(0, 2)] * 2, [()] * 2], large=[(67, 1031)] * 2,
         errors=[raises(lambda: al.swiglu(al.ones(2), al.ones(3)), RuntimeError, "swiglu: shapes differ")]),
    Case("rrelu", lambda x: np.where(x > 0, x, x * 0.25), [away(3, 4)], args=(0.125, 0.375), errors=[
        raises(lambda: al.rrelu(al.tensor([1])), RuntimeError, "not implemented for dtype int64")]),
    Case("rrelu:training", None, [away(3, 4)], fn=lambda x: al.rrelu(x, 0.1, 0.3, training=True), dtypes=("float32",), grad=False,
         law=lambda y, x: np.testing.assert_array_equal((y <= np.maximum(x * 0.09, x)) & (y >= np.minimum(x, x * 0.31)), True)),
]
