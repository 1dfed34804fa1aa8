"""Gamma and Bessel functions."""

from __future__ import annotations

from ascendlite.core import FLOAT, pointwise
from ascendlite.ops.compare import where

lgamma = pointwise("lgamma", FLOAT, vjp=(lambda g, _y, x: g * digamma(x),))
digamma = pointwise("digamma", FLOAT, vjp=(lambda g, _y, x: g * _trigamma(x),))
_trigamma = pointwise("trigamma", FLOAT, inputs=1, public=False)
i0 = pointwise("i0", FLOAT, vjp=(lambda g, _y, x: g * _i1(x),))
_i1 = pointwise("i1", FLOAT, vjp=(lambda g, y, x: g * where(x == 0, 0.5, i0(x) - y / x),), public=False)
