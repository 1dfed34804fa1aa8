"""Reductions, against NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

import ascendlite as al
from tests.opcase import ALL, REAL, SINGLE, Case, const, distinct, positive, raises, randn

_EMPTY = [[(0, 4, 2)], [(3, 0, 2)]]
_NAN = const([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan], [2.0, 5.0, -1.0]])
_LARGE = [(67, 1031)]


def _bad_dim(name: str) -> Any:
    return raises(lambda: getattr(al, name)(al.ones(2), 5), IndexError, "out of range")


def _forms(name: str, ref: Any, **options: Any) -> list[Case]:
    """Over everything, one dim, two dims; `ref(x, axis=, keepdims=)`."""
    fn = getattr(al, name)
    given = {"shapes": (), **options}
    x = given.pop("x", randn(3, 4, 5))
    return [
        Case(name, lambda a: ref(a, axis=None), [x], large=_LARGE, errors=[_bad_dim(name)],
             **{**given, "shapes": [[()], [(1,)], *given["shapes"]]}),
        Case(f"{name}:dim", lambda a: ref(a, axis=1), [x], fn=lambda a: fn(a, 1), large=[(9, 700, 50)], **given),
        Case(f"{name}:dims", lambda a: ref(a, axis=(0, 2)), [x], fn=lambda a: fn(a, (0, -1)), **given),
        Case(f"{name}:keepdim", lambda a: ref(a, axis=-1, keepdims=True), [x], fn=lambda a: fn(a, -1, keepdim=True), **given),
    ]


def _wide(x: Any) -> Any:
    return x.astype(np.int64) if x.dtype == bool else x


def _sum(x: Any, **kw: Any) -> Any:
    return np.sum(_wide(x), **kw)


def _norm(order: float) -> Any:
    def ref(x: Any, axis: Any, keepdims: bool = False) -> Any:
        if order == 0:
            return (x != 0).sum(axis, keepdims=keepdims).astype(x.dtype)
        return (np.abs(x) ** order).sum(axis, keepdims=keepdims) ** (1 / order)

    return ref


def _lower_median(x: Any) -> Any:
    return np.sort(x, 1)[:, (x.shape[1] - 1) // 2]


def _arg(f: Any) -> Any:
    return lambda x: f(x, 1)


CASES = [
    *_forms("sum", _sum, dtypes=ALL, grad2=False, shapes=_EMPTY, tol=4.0),  # NumPy sums wide; halves round once at the end
    Case("sum:dtype", lambda x: x.sum(), [randn(3, 4)], fn=lambda x: al.sum(x, dtype=al.float64), dtypes=("float32",),
         grad=False, out_dtype="float64"),
    *_forms("mean", np.mean, grad2=False),
    Case("nansum", lambda x: np.nansum(x, 1), [_NAN], args=(1,), dtypes=SINGLE, grad=False, errors=[_bad_dim("nansum")]),
    Case("nanmean", lambda x: np.nanmean(x[::2], 1), [_NAN], fn=lambda x: al.nanmean(x[::2], 1), dtypes=SINGLE, grad=False,
         errors=[raises(lambda: al.nanmean(al.tensor([1])), RuntimeError, "nanmean: could not infer output dtype")]),
    Case("prod", lambda x: np.prod(_wide(x)), [randn(3, 4)], dtypes=("float32", "float64", "bool"), shapes=[[()], [(0, 3)]],
         errors=[_bad_dim("prod")]),
    Case("prod:dim", lambda x: np.prod(x, 1), [randn(3, 4, 2)], args=(1,), dtypes=SINGLE),
    Case("prod:zeros", lambda x: np.prod(x, 1), [const([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]], grad=True)], args=(1,), dtypes=SINGLE),
    Case("any", lambda x: x.astype(bool).any(1), [randn(3, 4)], args=(1,), dtypes=("float32", "int64", "bool", "bfloat16"),
         grad=False, out_dtype="bool", errors=[_bad_dim("any")], large=_LARGE),
    Case("all", lambda x: x.astype(bool).all(1), [randn(3, 4)], args=(1,), dtypes=("float32", "int64", "bool", "bfloat16"),
         grad=False, out_dtype="bool", errors=[_bad_dim("all")], large=_LARGE),
    Case("count_nonzero", lambda x: np.count_nonzero(x, 1), [randn(3, 4)], args=(1,), dtypes=("float32", "int32", "bool"),
         grad=False, out_dtype="int64", errors=[_bad_dim("count_nonzero")]),
    *_forms("var", lambda x, **kw: np.var(x, ddof=1, **kw), shapes=[], tol=2.0),  # a difference of squares of rounded inputs
    *_forms("std", lambda x, **kw: np.std(x, ddof=1, **kw), shapes=[], tol=2.0),
    Case("var:correction", lambda x: np.var(x, 1, ddof=0), [randn(3, 4)], fn=lambda x: al.var(x, 1, correction=0)),
    Case("var_mean", lambda x: (np.var(x, 1, ddof=1), x.mean(1)), [randn(3, 4)], args=(1,), tol=2.0,
         errors=[raises(lambda: al.var_mean(al.tensor([1])), RuntimeError, "only floating point")]),
    Case("std_mean", lambda x: (np.std(x, 1, ddof=1), x.mean(1)), [randn(3, 4)], args=(1,), tol=2.0,
         errors=[raises(lambda: al.std_mean(al.tensor([1])), RuntimeError, "only floating point")]),
    Case("norm", lambda x: np.sqrt((x * x).sum()), [randn(3, 4)], large=_LARGE,
         errors=[raises(lambda: al.norm(al.ones(2, 2), "ncu"), ValueError, "norm: p is 'ncu'")]),
    Case("norm:3", lambda x: _norm(3)(x, 1), [randn(3, 4)], args=(3, 1), tol=4.0),  # abs, pow, sum and pow each round
    Case("norm:1", lambda x: _norm(1)(x, 1), [randn(3, 4)], args=(1, 1), grad2=False),
    Case("vector_norm", lambda x: _norm(2)(x, (0, 2)), [randn(3, 4, 2)], fn=lambda x: al.vector_norm(x, 2, (0, 2)),
         errors=[raises(lambda: al.vector_norm(al.zeros(0), np.inf), ValueError, "order inf is not defined")]),
    Case("vector_norm:inf", lambda x: np.abs(x).max(1), [distinct(3, 4)], fn=lambda x: al.vector_norm(x, float("inf"), 1), grad2=False,
         grad=False),
    Case("logsumexp", lambda x: special.logsumexp(x, 1), [randn(3, 4)], args=(1,), large=_LARGE, errors=[_bad_dim("logsumexp")]),
    Case("logsumexp:far", lambda x: special.logsumexp(x, 0), [const([1000.0, 1000.5, -1000.0])], args=(0,), dtypes=SINGLE, grad=False),
    *_forms("amax", np.max, x=distinct(3, 4, 5), dtypes=ALL, grad2=False),
    *_forms("amin", np.min, x=distinct(3, 4, 5), dtypes=ALL, grad2=False),
    Case("aminmax", lambda x: (x.min(1), x.max(1)), [distinct(3, 4)], fn=lambda x: al.aminmax(x, dim=1), grad2=False,
         errors=[raises(lambda: al.aminmax(al.ones(2), dim=3), IndexError, "out of range")]),
    Case("max", np.max, [distinct(3, 4)], dtypes=REAL, grad2=False,
         errors=[raises(lambda: al.max(al.zeros(0)), RuntimeError, "Expected reduction dim to be specified")]),
    Case("max:dim", lambda x: (x.max(1), x.argmax(1)), [distinct(3, 40, 5)], args=(1,), dtypes=REAL, grad2=False, large=_LARGE),
    Case("min", np.min, [distinct(3, 4)], dtypes=REAL, grad2=False,
         errors=[raises(lambda: al.min(al.zeros(0)), RuntimeError, "Expected reduction dim to be specified")]),
    Case("min:dim", lambda x: (x.min(-1), x.argmin(-1)), [distinct(3, 4, 50)], args=(-1,), dtypes=REAL, grad2=False),
    Case("argmax", _arg(np.argmax), [distinct(3, 4)], args=(1,), dtypes=REAL, grad=False, out_dtype="int64",
         errors=[raises(lambda: al.argmax(al.zeros(0)), IndexError, "Expected reduction dim")]),
    Case("argmax:all", np.argmax, [distinct(60, 70)], dtypes=("float32", "float64", "int64"), grad=False, out_dtype="int64"),
    Case("argmax:nan", lambda x: np.argmax(x, 1), [_NAN], args=(1,), dtypes=SINGLE, grad=False, out_dtype="int64"),
    Case("argmin", _arg(np.argmin), [distinct(3, 4)], args=(1,), dtypes=REAL, grad=False, out_dtype="int64",
         errors=[raises(lambda: al.argmin(al.zeros(0)), IndexError, "Expected reduction dim")]),
    Case("median", lambda x: np.sort(x.ravel())[5], [distinct(3, 4)], dtypes=REAL, grad2=False, errors=[_bad_dim("median")]),
    Case("median:dim", lambda x: _lower_median(x), [distinct(3, 6)], fn=lambda x: al.median(x, 1).values, grad2=False),
    Case("nanmedian", lambda x: np.array([1.0, np.nan, 2.0]), [_NAN], fn=lambda x: al.nanmedian(x, 1).values, dtypes=SINGLE, grad=False,
         errors=[_bad_dim("nanmedian")]),
    Case("amax:nan", lambda x: np.max(x, 1), [_NAN], args=(1,), dtypes=SINGLE, grad=False),
    Case("sum:positive", lambda x: x.sum(0), [positive(1000, 3)], args=(0,), dtypes=("float32",), grad=False),
]
