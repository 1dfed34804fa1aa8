"""Pointwise ops of two inputs from geometry and information theory, and the repair of NaN and infinities."""

from __future__ import annotations

import math

from ascendlite.core import require_tensor, FLOAT, FLOATONLY, Tensor, deliver, finfo, function, pointwise
from ascendlite.ops.compare import isfinite, where
from ascendlite.ops.pointwise import exp, exp2, log, zero

Number = int | float | bool


def _atan2_rule(g: Tensor, along: Tensor | Number, across: Tensor | Number) -> Tensor:
    length = along * along + across * across
    return where(length == 0, 0.0, g * across / length)


atan2 = pointwise(
    "atan2",
    FLOAT,
    vjp=(lambda g, _y, a, b: _atan2_rule(g, a, b), lambda g, _y, a, b: _atan2_rule(-g, b, a)),
)
hypot = pointwise("hypot", FLOATONLY, vjp=(lambda g, y, a, _b: g * (a / y), lambda g, y, _a, b: g * (b / y)))
copysign = pointwise("copysign", FLOAT, vjp=(lambda g, y, a, _b: g * where(a == 0, 0.0, y / a), zero))
logaddexp = pointwise(
    "logaddexp",
    FLOATONLY,
    vjp=(lambda g, _y, a, b: g / (exp(b - a) + 1), lambda g, _y, a, b: g / (exp(a - b) + 1)),
)
logaddexp2 = pointwise(
    "logaddexp2",
    FLOATONLY,
    vjp=(lambda g, _y, a, b: g / (exp2(b - a) + 1), lambda g, _y, a, b: g / (exp2(a - b) + 1)),
)


def _log_of(y: Tensor | Number) -> Tensor | float:
    if isinstance(y, Tensor):
        return log(y)
    return math.log(y) if y > 0 else (-math.inf if y == 0 else math.nan)


xlogy = pointwise(
    "xlogy",
    FLOAT,
    vjp=(
        lambda g, _y, x, y: where((x == 0) & (y <= 0), 0.0, g * _log_of(y)),
        lambda g, _y, x, y: g * x / y,
    ),
)

_nan_to_num = pointwise(
    "nan_to_num",
    FLOATONLY,
    vjp=(lambda g, _y, x: where(isfinite(x), g, 0.0), None, None, None),
    public=False,
)


@function(methods=("nan_to_num",), inplace=True)
def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Replaces NaN by `nan` (0) and the infinities by `posinf` and `neginf` (the dtype's largest values)."""
    require_tensor("nan_to_num", input)
    if not input.dtype.is_floating_point:
        return deliver(input.clone(), out)
    limits = finfo(input.dtype)
    low = limits.min if neginf is None else neginf
    return _nan_to_num(input, nan or 0.0, limits.max if posinf is None else posinf, low, out=out)
