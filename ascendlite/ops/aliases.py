"""torch's second names of pointwise ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ascendlite.core import METHODS, Op, add_method, function, register
from ascendlite.ops import arithmetic, pointwise, special

_OPS = {
    "absolute": pointwise.abs,
    "negative": pointwise.neg,
    "sgn": pointwise.sign,
    "arcsin": pointwise.asin,
    "arccos": pointwise.acos,
    "arctan": pointwise.atan,
    "arcsinh": pointwise.asinh,
    "arccosh": pointwise.acosh,
    "arctanh": pointwise.atanh,
    "arctan2": special.atan2,
    "fix": pointwise.trunc,
    "multiply": arithmetic.mul,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "subtract": arithmetic.sub,
    "divide": arithmetic.div,
    "true_divide": arithmetic.div,
    "clip": arithmetic.clamp,
}


def _register() -> None:
    for name, op in _OPS.items():
        assert isinstance(op, Op), name
        register(op, name=name)
    for name, fn in _FUNCTIONS.items():
        function(name, methods=(name,))(fn)
        add_method(name + "_", METHODS[fn.__name__ + "_"])


_register()
