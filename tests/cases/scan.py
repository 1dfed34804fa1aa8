"""Running sums, products and extremes, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

import ascendlite as al
from tests.opcase import FLOATS, REAL, SINGLE, Case, const, distinct, raises, randn

_ZEROS = const([[1.0, 0.0, 2.0, -3.0], [0.0, 3.0, 0.0, 2.0]], grad=True)


def _bad_dim(name: str) -> Any:
    return raises(lambda: getattr(al, name)(al.ones(2), 5), IndexError, "out of range")


def _last_index(x: Any, running: Any) -> Any:
    """The last place along dim 1 where the running extreme was met."""
    at = np.where(x == running, np.arange(x.shape[1]).reshape(1, -1), 0)
    return np.maximum.accumulate(at, 1)


def _cummax(x: Any) -> Any:
    y = np.maximum.accumulate(x, 1)
    return y, _last_index(x, y)


def _cummin(x: Any) -> Any:
    y = np.minimum.accumulate(x, 1)
    return y, _last_index(x, y)


CASES = [
    Case("cumsum", lambda x: np.cumsum(x, 1), [randn(3, 4)], args=(1,), dtypes=(*FLOATS, "int64", "bool"), grad2=False,
         shapes=[[(0, 4)], [(3, 0)]], large=[(67, 1031)], errors=[_bad_dim("cumsum")]),
    Case("cumsum:first", lambda x: np.cumsum(x, 0), [randn(5, 4)], args=(0,), grad2=False, large=[(700, 130)]),
    Case("cumprod", lambda x: np.cumprod(x, 1), [randn(3, 4)], args=(1,), dtypes=(*SINGLE, "int64"), errors=[_bad_dim("cumprod")]),
    Case("cumprod:zeros", lambda x: np.cumprod(x, 1), [_ZEROS], args=(1,), dtypes=SINGLE),
    Case("cummax", _cummax, [distinct(3, 9)], args=(1,), dtypes=REAL, grad2=False, errors=[_bad_dim("cummax")]),
    Case("cummin", _cummin, [distinct(3, 9)], args=(1,), dtypes=REAL, grad2=False, errors=[_bad_dim("cummin")]),
    Case("logcumsumexp", lambda x: np.logaddexp.accumulate(x, 1), [randn(3, 4)], args=(1,), errors=[_bad_dim("logcumsumexp")]),
    Case("logcumsumexp:far", lambda x: np.logaddexp.accumulate(x, 0), [const([-1000.0, 1000.0, 1000.5])], args=(0,), dtypes=SINGLE,
         grad=False),
]
