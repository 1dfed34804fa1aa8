"""Comparisons, tests, logic, bits and selection, against NumPy."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from tests.opcase import ALL, INTEGERS, REAL, Case, bools, const, positive, raises, randn

_WHOLE = (*INTEGERS, "bool")
_TIES = const([[0.0, 1.0, -1.0], [2.0, 2.0, 0.0]])
_OTHER = const([[0.0, -1.0, 1.0], [2.0, 3.0, 1.0]])
_ODD = const([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan])
_EXACT = ("float32", "float64", "bfloat16", "float16")


def _compared(name: str, ref: object, **options: object) -> Case:
    return Case(name, ref, [randn(3, 4), randn(3, 4)], dtypes=ALL, grad=False, out=True, pointwise=True, out_dtype="bool",
                large=[(67, 1031)] * 2, **options)


CASES = [
    *(_compared(name, ref) for name, ref in [
        ("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal), ("gt", np.greater),
        ("ge", np.greater_equal), ("not_equal", np.not_equal), ("less", np.less), ("less_equal", np.less_equal),
        ("greater", np.greater), ("greater_equal", np.greater_equal),
    ]),
    *(Case(f"{name}:ties", ref, [_TIES, _OTHER], dtypes=_EXACT, grad=False, out_dtype="bool") for name, ref in [
        ("eq", np.equal), ("lt", np.less), ("le", np.less_equal)]),
    _compared("logical_and", np.logical_and, inplace=True),
    _compared("logical_or", np.logical_or),
    _compared("logical_xor", np.logical_xor),
    Case("logical_not", np.logical_not, [randn(3, 4)], dtypes=ALL, grad=False, pointwise=True, out=True, out_dtype="bool"),
    *(Case(name, ref, [_ODD], dtypes=_EXACT, grad=False, out_dtype="bool", errors=[
        raises(lambda name=name: al.core.FUNCTIONS[name]("text"), TypeError, "must be Tensor or a number, not str")]) for name, ref in [
        ("isnan", np.isnan), ("isinf", np.isinf), ("isfinite", np.isfinite), ("isposinf", np.isposinf),
        ("isneginf", np.isneginf), ("signbit", np.signbit)]),
    *(Case(f"{name}:integers", ref, [randn(3, 4)], dtypes=INTEGERS, grad=False, out_dtype="bool") for name, ref in [
        ("isnan", np.isnan), ("isinf", np.isinf), ("isfinite", np.isfinite), ("signbit", lambda x: x < 0)]),
    *(Case(name, ref, [randn(3, 4), randn(3, 4)], dtypes=_WHOLE, grad=False, pointwise=True, inplace=True, out=True) for name, ref in [
        ("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor)]),
    Case("bitwise_not", np.bitwise_not, [randn(3, 4)], dtypes=_WHOLE, grad=False, pointwise=True, inplace=True, out=True,
         errors=[raises(lambda: ~al.ones(1), RuntimeError, "bitwise_not: not implemented for dtype float32")]),
    Case("bitwise_left_shift", np.left_shift, [randn(3, 4), positive(3, 4, low=0, high=4)], dtypes=INTEGERS, grad=False, inplace=True,
         errors=[raises(lambda: al.ones(1) << 1, RuntimeError, "bitwise_left_shift: not implemented for dtype float32")]),
    Case("bitwise_right_shift", np.right_shift, [randn(3, 4), positive(3, 4, low=0, high=4)], dtypes=INTEGERS, grad=False,
         inplace=True, errors=[raises(lambda: al.ones(1) >> 1, RuntimeError, "bitwise_right_shift: not implemented for dtype float32")]),
    Case("where", np.where, [bools(3, 4), randn(3, 4), randn(3, 4)], dtypes=ALL, grad2=False, out=True, method=False,
         shapes=[[(3, 1), (4,), ()], [(0, 2), (2,), (1, 2)]],
         errors=[raises(lambda: al.where(al.ones(2), 1.0, 2.0), RuntimeError, "expected a bool condition")]),
    Case("where:number", lambda c, x: np.where(c, x, 3), [bools(3, 4), randn(3, 4)], fn=lambda c, x: al.where(c, x, 3), dtypes=REAL,
         grad2=False),
    Case("masked_fill", lambda x, m: np.where(m, 2, x), [randn(3, 4), bools(3, 4)], args=(2,), dtypes=REAL, inplace=True, grad2=False,
         errors=[raises(lambda: al.masked_fill(al.ones(2), al.ones(2), 1), RuntimeError, "expected a bool mask"),
                 raises(lambda: al.masked_fill(al.ones(2), al.ones(2) > 0, al.ones(2)), RuntimeError, "expected a 0-d value")]),
    Case("isclose", lambda a, b: np.isclose(a, b, 0.1, 0.2), [randn(3, 4), randn(3, 4)], args=(0.1, 0.2), dtypes=("float64", "int64"),
         grad=False, out_dtype="bool", errors=[
             raises(lambda: al.isclose(al.ones(1), al.ones(1), -1.0), ValueError, "tolerances must not be negative")]),
    Case("isclose:odd", lambda a: np.isclose(a, a, equal_nan=True), [_ODD], fn=lambda a: al.isclose(a, a, equal_nan=True),
         dtypes=_EXACT, grad=False, out_dtype="bool"),
    Case("allclose", lambda a, b: np.allclose(a, b), [randn(3, 4), randn(3, 4)], fn=lambda a, b: al.tensor(al.allclose(a, b)),
         dtypes=("float64",), grad=False, meta=False, out_dtype="bool", method=False, errors=[
             raises(lambda: al.allclose(al.ones(1), al.ones(1).double()), RuntimeError, "dtypes differ")]),
    Case("equal", np.array_equal, [randn(3, 4), randn(3, 4)], fn=lambda a, b: al.tensor(al.equal(a, b)), dtypes=ALL, grad=False,
         meta=False, out_dtype="bool", method=False, errors=[
             raises(lambda: al.equal(al.ones(1), "text"), TypeError, "argument 2 must be Tensor, not str")]),
    Case("equal:same", lambda a: np.array_equal(a, a), [randn(3, 4)], fn=lambda a: al.tensor(al.equal(a, a.clone())), dtypes=ALL,
         grad=False, meta=False, out_dtype="bool"),
]
