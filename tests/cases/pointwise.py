"""Unary pointwise ops, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
from scipy import special

import ascendlite as al
from tests.opcase import INTEGERS, REAL, Case, away, positive, raises, rand, randn, unary

_STEP = {"grad2": False}  # the gradient is zero everywhere
_HALF_PI = 1.4
_BOOL = raises(lambda: al.neg(al.tensor([True])), RuntimeError, "neg: not supported on bool")


def _rounded(decimals: int) -> Case:
    return Case(
        f"round:{decimals}", lambda x: np.round(x, decimals), [randn(3, 4, scale=3.0, grad=False)],
        fn=lambda x: al.round(x, decimals=decimals), dtypes=("float64", *INTEGERS) if decimals > 0 else ("float64",), grad=False,
    )


CASES = [
    unary("abs", np.abs, away(3, 4), dtypes=REAL, grad2=False,
          errors=[raises(lambda: al.abs(al.tensor([True])), RuntimeError, "abs: not implemented for dtype bool")]),
    unary("neg", np.negative, dtypes=REAL, grad2=False, errors=[_BOOL]),
    unary("sign", np.sign, away(3, 4), dtypes=REAL, **_STEP),
    unary("floor", np.floor, away(3, 4, kinks=(-2, -1, 0, 1, 2)), dtypes=REAL, **_STEP),
    unary("ceil", np.ceil, away(3, 4, kinks=(-2, -1, 0, 1, 2)), dtypes=REAL, **_STEP),
    unary("trunc", np.trunc, away(3, 4, kinks=(-2, -1, 0, 1, 2)), dtypes=REAL, **_STEP),
    unary("round", np.round, away(3, 4, kinks=(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)), dtypes=REAL, **_STEP),
    _rounded(1),
    _rounded(-1),
    unary("frac", lambda x: x - np.trunc(x), away(3, 4, kinks=(-2, -1, 0, 1, 2)), grad2=False,
          errors=[raises(lambda: al.frac(al.tensor([1])), RuntimeError, "frac: not implemented for dtype int64")]),
    unary("square", np.square, dtypes=REAL),
    unary("sqrt", np.sqrt, positive(3, 4)),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), positive(3, 4)),
    unary("reciprocal", lambda x: 1 / x, away(3, 4, gap=0.5)),
    unary("exp", np.exp),
    unary("exp2", np.exp2),
    unary("expm1", np.expm1),
    unary("log", np.log, positive(3, 4)),
    unary("log2", np.log2, positive(3, 4)),
    unary("log10", np.log10, positive(3, 4)),
    unary("log1p", np.log1p, positive(3, 4)),
    unary("sin", np.sin, randn(3, 4, scale=3.0), errors=[raises(lambda: al.sin([1.0]), TypeError, "must be Tensor")]),
    unary("cos", np.cos, randn(3, 4, scale=3.0)),
    unary("tan", np.tan, rand(3, 4, low=-_HALF_PI, high=_HALF_PI)),
    unary("asin", np.arcsin, rand(3, 4, low=-0.9, high=0.9)),
    unary("acos", np.arccos, rand(3, 4, low=-0.9, high=0.9)),
    unary("atan", np.arctan),
    unary("sinh", np.sinh),
    unary("cosh", np.cosh),
    unary("tanh", np.tanh),
    unary("asinh", np.arcsinh),
    unary("acosh", np.arccosh, rand(3, 4, low=1.3, high=4.0)),
    unary("atanh", np.arctanh, rand(3, 4, low=-0.8, high=0.8)),
    unary("erf", special.erf),
    unary("erfc", special.erfc),
    unary("erfinv", special.erfinv, rand(3, 4, low=-0.9, high=0.9)),
    unary("sigmoid", special.expit),
    unary("logit", special.logit, rand(3, 4, low=0.1, high=0.9), errors=[raises(lambda: al.logit("text"), TypeError, "argument 'input' .position 1. must be Tensor")]),
    *(unary(name, ref, **options) for name, ref, options in [
        ("absolute", np.abs, {"x": away(3, 4), "dtypes": REAL, "grad2": False}),
        ("negative", np.negative, {"dtypes": REAL, "grad2": False}),
        ("sgn", np.sign, {"x": away(3, 4), "dtypes": REAL, "grad2": False}),
        ("arcsin", np.arcsin, {"x": rand(3, 4, low=-0.9, high=0.9)}),
        ("arccos", np.arccos, {"x": rand(3, 4, low=-0.9, high=0.9)}),
        ("arctan", np.arctan, {}),
        ("arcsinh", np.arcsinh, {}),
        ("arccosh", np.arccosh, {"x": rand(3, 4, low=1.3, high=4.0)}),
        ("arctanh", np.arctanh, {"x": rand(3, 4, low=-0.8, high=0.8)}),
        ("fix", np.trunc, {"x": away(3, 4, kinks=(-2, -1, 0, 1, 2)), "dtypes": REAL, "grad2": False}),
    ]),
    # integers and bools are computed in the default float
    *(Case(f"{name}:integers", lambda x, ref=ref: ref(x + 0.0), [positive(3, 4)], dtypes=(*INTEGERS, "bool"), grad=False, out_dtype="float32")
      for name, ref in [("exp", np.exp), ("sqrt", np.sqrt), ("sigmoid", special.expit), ("atan", np.arctan)]),
]
