"""Rows of statistics and integrals of samples: quantiles, modes, trapezoids, powers; and of special pointwise ops."""

from __future__ import annotations

import numpy as np
from scipy import stats

import ascendlite as al
from tests.opcase import SINGLE, Case, binary, const, distinct, ints, raises, rand, randn, unary

Q = const([0.1, 0.5, 0.8])
FLOAT_ONLY = "must be either float or double dtype"


def quantiles(method="linear"):
    return lambda x: np.quantile(x, [0.1, 0.5, 0.8], 1, method=method)


def last_mode(x):
    values = stats.mode(x, 1).mode
    return values, np.array([np.nonzero(row == v)[0][-1] for row, v in zip(x, values)])


def renormed(x):
    size = np.sqrt((x * x).sum((1, 2), keepdims=True))
    return x * np.where(size > 2, 2 / (size + 1e-7), 1)


CASES = [
    Case("quantile", quantiles(), [distinct(3, 7)], fn=lambda x: al.quantile(x, al.tensor([0.1, 0.5, 0.8], dtype=x.dtype), 1),
         dtypes=SINGLE, meta=False, errors=[
             raises(lambda: al.quantile(al.ones(2).long(), 0.5), RuntimeError, FLOAT_ONLY),
             raises(lambda: al.quantile(al.ones(2), 1.5), ValueError, r"must be in the range \[0, 1\] but got 1.5"),
             raises(lambda: al.quantile(al.ones(0), 0.5), RuntimeError, "must be non-empty"),
             raises(lambda: al.quantile(al.ones(2), 0.5, interpolation="up"), RuntimeError, "interpolation must be one of linear"),
         ]),
    *(Case(f"quantile:{m}", quantiles(m), [distinct(3, 8)], dtypes=SINGLE, grad=False, meta=False,
           fn=lambda x, m=m: al.quantile(x, al.tensor([0.1, 0.5, 0.8], dtype=x.dtype), 1, interpolation=m))
      for m in ("lower", "higher", "nearest", "midpoint")),
    Case("quantile:all", lambda x: np.quantile(x, 0.3, keepdims=True), [distinct(3, 4)], dtypes=SINGLE, meta=False,
         fn=lambda x: al.quantile(x, 0.3, keepdim=True)),
    Case("nanquantile", lambda x: np.nanquantile(np.where(x > 1.1, np.nan, x), 0.4, 0), [distinct(6, 3)], dtypes=SINGLE, meta=False,
         grad2=False, fn=lambda x: al.nanquantile(x.masked_fill(x > 1.1, al.nan), 0.4, 0),
         errors=[raises(lambda: al.nanquantile(al.ones(2).bool(), 0.5), RuntimeError, FLOAT_ONLY)]),
    Case("mode", last_mode, [ints(4, 30, high=5)], dtypes=("float32",), grad=False, meta=False, fn=lambda x: al.mode(x, 1),
         errors=[raises(lambda: al.mode(al.ones(2, 0)), IndexError, "non-zero size")]),
    Case("trapezoid", lambda y, x: np.trapezoid(y, x, axis=0), [randn(5, 3), rand(5)], fn=lambda y, x: al.trapezoid(y, x, dim=0), tol=4.0,
         errors=[
             raises(lambda: al.trapezoid(al.ones(3), al.ones(2)), RuntimeError, "one `x` value for each sample point"),
             raises(lambda: al.trapezoid(al.ones(3).bool()), RuntimeError, "bool is not supported"),
         ]),
    Case("trapz", lambda y: np.trapezoid(y, dx=0.5), [randn(2, 6)], fn=lambda y: al.trapz(y, dx=0.5), tol=8.0,  # sum less the ends
         errors=[raises(lambda: al.trapz(al.ones(3), dim=1), IndexError, "Dimension out of range")]),
    Case("vander", lambda x: np.vander(x, 4, increasing=True), [rand(5)], args=(4, True), tol=4.0, grad=False,  # repeated products
         errors=[raises(lambda: al.vander(al.ones(2, 2)), RuntimeError, "one-dimensional")]),
    Case("renorm", renormed, [randn(3, 4, 2)], fn=lambda x: al.renorm(x, 2, 0, 2.0), tol=2.0, errors=[
        raises(lambda: al.renorm(al.ones(3), 2, 0, 1.0), RuntimeError, "at least 2 dimensions"),
        raises(lambda: al.renorm(al.ones(3, 3), 0, 0, 1.0), RuntimeError, "non-positive norm"),
        raises(lambda: al.renorm(al.ones(3, 3), 2, 0, -1.0), RuntimeError, "maxnorm to be >= 0"),
    ]),
    Case("matrix_power", lambda x: np.linalg.matrix_power(x, 5), [randn(2, 3, 3)], args=(5,), dtypes=SINGLE, tol=20.0,  # four products
         grad_tol=20.0, errors=[
             raises(lambda: al.matrix_power(al.ones(2, 3), 2), RuntimeError, "square matrices"),
             raises(lambda: al.matrix_power(al.ones(2, 2), -1), RuntimeError, "needs an inverse"),
         ]),
    Case("matrix_power:0", lambda x: np.broadcast_to(np.eye(3), x.shape), [randn(2, 3, 3)], args=(0,), dtypes=SINGLE, grad=False),
    Case("trace", np.trace, [randn(3, 5)], tol=2.0, errors=[raises(lambda: al.trace(al.ones(3)), RuntimeError, "expected a matrix")]),
    unary("sinc", np.sinc, errors=[raises(lambda: al.ones(2).long().sinc_(), RuntimeError, "can't be cast")]),
    unary("rad2deg", np.rad2deg, tol=2.0, errors=[raises(lambda: al.ones(2).long().rad2deg_(), RuntimeError, "can't be cast")]),
    unary("positive", lambda x: x, inplace=False, out=False,
          errors=[raises(lambda: al.positive(al.ones(2).bool()), RuntimeError, "on a bool tensor is not supported")]),
    binary("nextafter", np.nextafter, dtypes=("float64",), grad=False,
           errors=[raises(lambda: al.nextafter(al.ones(2).long(), al.ones(2).long()), RuntimeError, "expected a floating point dtype")]),
    Case("nextafter:float32", lambda: np.nextafter(np.float32([0, -1, 1, 3, np.inf]), np.float32([1, 0, 0, 3, 0])), [], grad=False,
         fn=lambda: al.nextafter(al.tensor([0, -1, 1, 3, al.inf]), al.tensor([1.0, 0, 0, 3, 0])), dtypes=("float32",), meta=False,
         layouts=False),
]
