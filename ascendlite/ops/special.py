"""Pointwise ops of two inputs from geometry and information theory, and the repair of NaN and infinities."""

from __future__ import annotations

import math

from ascendlite.core import (
    FLOAT,
    FLOATONLY,
    Tensor,
    bfloat16,
    deliver,
    finfo,
    float16,
    float32,
    function,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    no_grad,
    pointwise,
    require_tensor,
    result_type,
    zeros_like,
)
from ascendlite.core import bool as bool_
from ascendlite.errors import DTypeError
from ascendlite.ops.compare import eq, isfinite, where
from ascendlite.ops.pointwise import exp, exp2, sin, zero
from ascendlite.ops.turning import broadcast_tensors

Number = int | float | bool


def _atan2_rule(g: Tensor, along: Tensor | Number, across: Tensor | Number) -> Tensor:
    length = along * along + across * across
    return where(eq(length, 0), 0.0, g * across / length)


atan2 = pointwise(
    "atan2",
    FLOAT,
    vjp=(lambda g, _y, a, b: _atan2_rule(g, a, b), lambda g, _y, a, b: _atan2_rule(-g, b, a)),
    tensors=(0, 1),
)
hypot = pointwise(
    "hypot",
    FLOATONLY,
    vjp=(lambda g, y, a, _b: g * (a / y), lambda g, y, _a, b: g * (b / y)),
    tensors=(0, 1),
)
copysign = pointwise(
    "copysign", FLOAT, vjp=(lambda g, y, a, _b: g * where(a == 0, 0.0, y / a), zero), tensors=(0,)
)
logaddexp = pointwise(
    "logaddexp",
    FLOATONLY,
    vjp=(lambda g, _y, a, b: g / (exp(b - a) + 1), lambda g, _y, a, b: g / (exp(a - b) + 1)),
    tensors=(0, 1),
)
logaddexp2 = pointwise(
    "logaddexp2",
    FLOATONLY,
    vjp=(lambda g, _y, a, b: g / (exp2(b - a) + 1), lambda g, _y, a, b: g / (exp2(a - b) + 1)),
    tensors=(0, 1),
)


xlogy = pointwise(
    "xlogy",
    FLOAT,
    vjp=(
        lambda g, _y, x, y: where((x == 0) & (y <= 0), 0.0, xlogy(g, y)),
        lambda g, _y, x, y: g * x / y,
    ),
)

_nan_to_num = pointwise(
    "nan_to_num",
    FLOATONLY,
    vjp=(lambda g, _y, x: where(isfinite(x), g, 0.0), None, None, None),
    public=False,
)


@function(methods=("nan_to_num",), inplace=True, keeps=True)
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


@function(methods=("sinc",), inplace=True, keeps=True)
def sinc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0."""
    dtype = input.dtype if input.dtype.is_floating_point else get_default_dtype()
    x = input.to(float32 if dtype in (float16, bfloat16) else dtype)
    angle = x * math.pi
    near = angle.abs() < 0.05  # by its series: the quotient's slope is a difference of near numbers
    s = where(near, angle, 0.0).square()
    series = 1 - s / 6 * (1 - s / 20 * (1 - s / 42))
    apart = where(near, 1.0, angle)
    return deliver(where(near, series, sin(apart) / apart).to(dtype), out)


@function(methods=("rad2deg",), inplace=True)
def rad2deg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Angles in degrees, from radians."""
    x = input if input.dtype.is_floating_point else input.to(get_default_dtype())
    return deliver(x * (180 / math.pi), out)


@function(methods=("positive",))
def positive(input: Tensor) -> Tensor:
    """The input itself, of any dtype but bool."""
    if input.dtype is bool_:
        raise DTypeError("positive: The `+` operator, on a bool tensor is not supported; cast it")
    return input


_BITS = {1: int8, 2: int16, 4: int32, 8: int64}  # the integers of as many bytes as a float


@function(methods=("nextafter",), inplace=True)
def nextafter(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The next number after `input` towards `other`, in their dtype; its gradient is the input's, where it moved."""
    dtype = result_type(input, other)
    if not dtype.is_floating_point:
        raise DTypeError(f"nextafter: expected a floating point dtype, but got {dtype}; cast it")
    tracked, y = broadcast_tensors(input.to(dtype), other.detach().to(dtype))
    x = tracked.detach().contiguous()
    bits = x.view(_BITS[dtype.itemsize])
    away = where((y > x) == (x > 0), 1, -1)  # numbers of one sign are ordered as their bits
    moved = (bits + away.to(bits.dtype)).view(dtype)
    smallest = (zeros_like(bits) + 1).view(dtype)
    moved = where(x == 0, smallest.copysign(y), moved)
    result = where((x == y) | (x != x) | (y != y), where(x == y, y, x + y), moved)
    if tracked.requires_grad:
        held = tracked.clone()  # the new values with the history of the old ones
        with no_grad():
            held.copy_(result)
        result = where(x != y, held, result)
    return deliver(result, out)
