"""Pointwise ops of two and more inputs, with their options, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
from scipy import special

import ascendlite as al
from tests.opcase import ALL, INTEGERS, REAL, Case, away, binary, positive, raises, rand, randn

_NARROW = ("float32", "float64")  # a quotient near an integer rounds to it in 16 bits, and the whole part jumps
_ZERO = raises(lambda: al.tensor([1, 2]) // al.tensor([1, 0]), RuntimeError, "ZeroDivisionError")


CASES = [
    binary("add", np.add, dtypes=REAL, grad2=False,
           errors=[raises(lambda: al.ones(2) + al.ones(3), RuntimeError, "add: "),
                   raises(lambda: al.add(al.tensor([1]), 1, alpha=1.5), RuntimeError, "alpha must not be a float")]),
    Case("add:alpha", lambda a, b: a + 3 * b, [randn(3, 4), randn(3, 4)], fn=lambda a, b: al.add(a, b, alpha=3),
         dtypes=REAL, grad2=False, inplace=lambda a, b: a.add_(b, alpha=3)),
    Case("add:bool", np.logical_or, [randn(3, 4), randn(3, 4)], dtypes=("bool",), grad=False),
    binary("sub", np.subtract, dtypes=REAL, grad2=False,
           errors=[raises(lambda: al.tensor([True]) - al.tensor([True]), RuntimeError, "sub: not supported on bool")]),
    binary("subtract", np.subtract, dtypes=REAL, grad2=False),
    Case("sub:alpha", lambda a, b: a - 2 * b, [randn(3, 4), randn(3, 4)], fn=lambda a, b: al.sub(a, b, alpha=2),
         dtypes=REAL, grad2=False, inplace=lambda a, b: a.sub_(b, alpha=2)),
    Case("rsub", lambda a, b: b - a, [randn(3, 4), randn(3, 4)], dtypes=REAL, grad2=False, pointwise=True),
    binary("mul", np.multiply, dtypes=REAL),
    binary("multiply", np.multiply, dtypes=REAL),
    Case("mul:bool", np.logical_and, [randn(3, 4), randn(3, 4)], dtypes=("bool",), grad=False),
    binary("div", np.divide, b=away(3, 4, gap=0.5)),
    binary("divide", np.divide, b=away(3, 4, gap=0.5)),
    binary("true_divide", np.divide, b=away(3, 4, gap=0.5)),
    Case("div:integers", np.divide, [randn(3, 4), positive(3, 4, low=1)], dtypes=INTEGERS, grad=False, out_dtype="float32"),
    Case("div:floor", np.floor_divide, [randn(3, 4, scale=4.0), positive(3, 4, low=1)], dtypes=(*_NARROW, *INTEGERS), grad=False,
         fn=lambda a, b: al.div(a, b, rounding_mode="floor"), errors=[
             raises(lambda: al.div(al.ones(1), 2, rounding_mode="up"), ValueError, "rounding_mode must be None")]),
    Case("div:trunc", lambda a, b: np.trunc(a / b).astype(a.dtype), [randn(3, 4, scale=4.0), positive(3, 4, low=1)],
         dtypes=(*_NARROW, *INTEGERS), grad=False, fn=lambda a, b: al.div(a, b, rounding_mode="trunc"),
         inplace=lambda a, b: a.div_(b, rounding_mode="trunc")),
    Case("floor_divide", np.floor_divide, [randn(3, 4, scale=4.0), positive(3, 4, low=1)], dtypes=(*_NARROW, *INTEGERS),
         grad=False, inplace=True, out=True, errors=[_ZERO]),
    Case("remainder", np.remainder, [randn(3, 4, scale=4.0), positive(3, 4, low=1)], dtypes=(*_NARROW, *INTEGERS),
         inplace=True, out=True, grad2=False, errors=[
             raises(lambda: al.tensor([1]) % 0, RuntimeError, "remainder: ZeroDivisionError: an integer tensor is divided by 0")]),
    Case("fmod", np.fmod, [randn(3, 4, scale=4.0), positive(3, 4, low=1)], dtypes=(*_NARROW, *INTEGERS),
         inplace=True, out=True, grad2=False, errors=[
             raises(lambda: al.fmod(al.tensor([1]), al.tensor([0])), RuntimeError, "ZeroDivisionError: the divisor has a 0")]),
    binary("pow", np.power, positive(3, 4), rand(3, 4, low=-2.0, high=2.0), errors=[
        raises(lambda: al.pow(al.tensor([2]), -1), ValueError, "integers to negative integer powers")]),
    Case("pow:integers", lambda a, b: np.power(a, b), [randn(3, 4), positive(3, 4, low=0, high=3)], dtypes=INTEGERS, grad=False),
    *(Case(f"pow:{e}", lambda x, e=e: x**float(e), [positive(3, 4)], fn=lambda x, e=e: al.pow(x, e), inplace=lambda x, e=e: x.pow_(e),
           grad2=e not in (0, 1)) for e in (2, 3, 0.5, 1, 0, -1, -2, 2.5)),
    Case("pow:base", lambda b: 2.0**b, [randn(3, 4)], fn=lambda b: al.pow(2.0, b)),
    Case("float_power", np.power, [positive(3, 4), randn(3, 4)], dtypes=("float32", "float64"), out_dtype="float64", errors=[
        raises(lambda: al.float_power(al.ones(2), al.ones(3)), RuntimeError, "must match the size of tensor b")]),
    binary("maximum", np.maximum, rand(3, 4), rand(3, 4, low=-1.0), dtypes=ALL, grad2=False),
    binary("minimum", np.minimum, rand(3, 4), rand(3, 4, low=-1.0), dtypes=ALL, grad2=False),
    binary("fmax", np.fmax, rand(3, 4), rand(3, 4, low=-1.0), dtypes=REAL, grad2=False),
    binary("fmin", np.fmin, rand(3, 4), rand(3, 4, low=-1.0), dtypes=REAL, grad2=False),
    Case("clamp", lambda x: np.clip(x, -1, 2), [away(3, 4, kinks=(-1, 2))], args=(-1, 2),
         dtypes=("float32", "float64", "bfloat16", "float16", "int8", "int16", "int32", "int64"), inplace=True, out=True,
         grad2=False, errors=[raises(lambda: al.clamp(al.ones(1)), ValueError, "at least one of 'min' or 'max'")]),
    Case("clip", lambda x: np.clip(x, 0, 2), [away(3, 4, kinks=(0, 2))], args=(0, 2), dtypes=REAL, grad2=False, errors=[
        raises(lambda: al.clip(al.ones(1)), ValueError, "at least one of 'min' or 'max'")]),
    Case("clamp:min", lambda x: np.maximum(x, 1), [away(3, 4, kinks=(1,))], fn=lambda x: al.clamp(x, min=1), dtypes=REAL, grad2=False),
    Case("clamp:max", lambda x: np.minimum(x, 1), [away(3, 4, kinks=(1,))], fn=lambda x: al.clamp(x, max=1), dtypes=REAL, grad2=False),
    Case("clamp:tensors", np.clip, [randn(3, 4), rand(3, 4, low=-2.0, high=-0.1), rand(3, 4, low=0.1, high=2.0)], grad2=False,
         fn=lambda x, low, high: al.clamp(x, low, high)),
    binary("clamp_min", np.maximum, rand(3, 4), rand(3, 4, low=-1.0), dtypes=REAL, grad2=False),
    binary("clamp_max", np.minimum, rand(3, 4), rand(3, 4, low=-1.0), dtypes=REAL, grad2=False),
    Case("lerp", lambda a, b, w: a + w * (b - a), [randn(3, 4), randn(3, 4), rand(3, 4)], inplace=True, out=True, pointwise=True,
         tol=2.0, errors=[raises(lambda: al.lerp(al.tensor([1]), al.tensor([2]), 1), RuntimeError, "lerp: not implemented")]),
    Case("addcmul", lambda x, a, b: x + 2 * a * b, [randn(3, 4), randn(3, 4), randn(3, 4)], dtypes=REAL,
         fn=lambda x, a, b, **o: al.addcmul(x, a, b, value=2, **o), inplace=lambda x, a, b: x.addcmul_(a, b, value=2), out=True,
         tol=2.0, errors=[raises(lambda: al.addcmul(al.ones(2), al.ones(2), al.ones(3)), RuntimeError, "addcmul: The size of tensor a")]),
    Case("addcdiv", lambda x, a, b: x + 2 * a / b, [randn(3, 4), randn(3, 4), away(3, 4, gap=0.6)], tol=4.0,
         fn=lambda x, a, b, **o: al.addcdiv(x, a, b, value=2, **o), inplace=lambda x, a, b: x.addcdiv_(a, b, value=2), out=True,
         errors=[raises(lambda: al.addcdiv(al.tensor([1]), al.tensor([1]), al.tensor([1])), RuntimeError, "addcdiv: not impl")]),
    binary("arctan2", np.arctan2, away(3, 4, gap=0.3), away(3, 4, gap=0.3),
           errors=[raises(lambda: al.arctan2(al.ones(2), al.ones(3)), RuntimeError, "atan2: ")]),
    binary("atan2", np.arctan2, away(3, 4, gap=0.3), away(3, 4, gap=0.3),
           errors=[raises(lambda: al.atan2(al.ones(2), al.ones(3)), RuntimeError, "atan2: ")]),
    binary("hypot", np.hypot, away(3, 4), away(3, 4)),
    binary("copysign", np.copysign, away(3, 4), away(3, 4), grad2=False),
    binary("logaddexp", np.logaddexp),
    binary("logaddexp2", np.logaddexp2),
    binary("xlogy", special.xlogy, away(3, 4), positive(3, 4)),
    Case("nan_to_num", np.nan_to_num, [randn(3, 4)], inplace=True, out=True, grad2=False, errors=[
        raises(lambda: al.nan_to_num("text"), TypeError, "must be Tensor, not str")]),
    Case("nan_to_num:values", lambda x: np.nan_to_num(1 / np.trunc(x), posinf=3.0, neginf=-4.0), [randn(3, 4)], grad=False,
         fn=lambda x: al.nan_to_num(1 / al.trunc(x), posinf=3.0, neginf=-4.0)),
]
