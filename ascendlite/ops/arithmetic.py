"""Pointwise ops of two and more inputs, with torch's options: alpha, rounding modes, bounds, powers."""

from __future__ import annotations

import math
from collections.abc import Callable

from ascendlite.core import (
    FLOAT,
    FLOATONLY,
    NUMERIC,
    PROMOTE,
    Op,
    Tensor,
    deliver,
    dtype_of_name,
    function,
    kept_original,
    pointwise,
    require_tensor,
    result_type,
)
from ascendlite.errors import ArgumentError, DTypeError
from ascendlite.ops.compare import bitwise_or, isnan, where
from ascendlite.ops.pointwise import log, zero

Number = int | float | bool
Plan = tuple[
    Op, tuple[Tensor | Number, ...]
]  # what a call with these options comes to: an op and its operands


def planned_inplace(plan: Callable[..., Plan]) -> Callable[..., Tensor]:
    """The in-place form of a function: the same op and operands, written into the first."""

    def run(self: Tensor, *args: object, **options: object) -> Tensor:
        op, operands = plan(self, *args, **options)
        return op.inplace(*operands)

    return run


_BOOL, _BYTE, _FLOAT64 = dtype_of_name("bool"), dtype_of_name("uint8"), dtype_of_name("float64")

# ---- sums and products ----

_add = pointwise("add", PROMOTE, vjp=(lambda g: g, lambda g: g), public=False)
_sub = pointwise("sub", NUMERIC, vjp=(lambda g: g, lambda g: -g), public=False)
mul = pointwise("mul", PROMOTE, vjp=(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a))
_add_scaled = pointwise(
    "add_scaled",
    PROMOTE,
    vjp=(lambda g: g, lambda g, _y, _a, _b, alpha: g * alpha, lambda g, _y, _a, b: g * b),
    public=False,
)


def _any_bool(*operands: Tensor | Number) -> bool:
    return any(x.dtype is _BOOL if isinstance(x, Tensor) else isinstance(x, bool) for x in operands)


def _scaled(op: Op, sign: int, input: Tensor | Number, other: Tensor | Number, alpha: Number) -> Plan:
    if alpha == 1 and alpha is not True:
        return op, (input, other)
    if sign == -1 and _any_bool(input, other):
        return op, (input, other)  # which says that bools are not subtracted
    if isinstance(alpha, int) and sign == 1 and result_type(input, other) is _BOOL:
        return _add, (input, other * bool(alpha) if isinstance(other, Tensor) else bool(other and alpha))
    if isinstance(alpha, bool):
        raise DTypeError(f"{op.name}: Boolean alpha only supported for Boolean results: alpha is {alpha}, the result "
                         f"{result_type(input, other)}; give a number")
    if isinstance(alpha, float) and not result_type(input, other).is_floating_point:
        raise DTypeError(f"{op.name}: for integral inputs, alpha must not be a float: alpha is {alpha}; give an int")
    return _add_scaled, (input, other, sign * alpha)


def _plan_add(input: Tensor | Number, other: Tensor | Number, *, alpha: Number = 1) -> Plan:
    return _scaled(_add, 1, input, other, alpha)


def _plan_sub(input: Tensor | Number, other: Tensor | Number, *, alpha: Number = 1) -> Plan:
    return _scaled(_sub, -1, input, other, alpha)


@function(methods=("add",), inplace=planned_inplace(_plan_add))
def add(
    input: Tensor | Number, other: Tensor | Number, *, alpha: Number = 1, out: Tensor | None = None
) -> Tensor:
    """input + alpha * other.

    >>> al.add(al.tensor([1, 2]), al.tensor([10, 20]), alpha=2)
    tensor([21, 42])
    """
    op, operands = _plan_add(input, other, alpha=alpha)
    return op(*operands, out=out)


@function(methods=("sub",), inplace=planned_inplace(_plan_sub))
def sub(
    input: Tensor | Number, other: Tensor | Number, *, alpha: Number = 1, out: Tensor | None = None
) -> Tensor:
    """input - alpha * other."""
    op, operands = _plan_sub(input, other, alpha=alpha)
    return op(*operands, out=out)


@function(methods=("rsub",))
def rsub(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """other - alpha * input."""
    require_tensor("rsub", input)
    return sub(other, input, alpha=alpha)


# ---- division ----

_div = pointwise("div", FLOAT, vjp=(lambda g, _y, _a, b: g / b, lambda g, _y, a, b: -g * (a / b / b)), public=False)
_floor_divide = pointwise("floor_divide", NUMERIC, vjp=(zero, zero), public=False)
_trunc_divide = pointwise("trunc_divide", NUMERIC, vjp=(zero, zero), public=False)
_remainder = pointwise(
    "remainder", NUMERIC, vjp=(lambda g: g, lambda g, _y, a, b: -g * _floor_divide(a, b)), public=False
)
_fmod = pointwise(
    "fmod", NUMERIC, vjp=(lambda g: g, lambda g, _y, a, b: -g * _trunc_divide(a, b)), public=False, tensors=(0,)
)
_check_divisor = Op("check_divisor", inputs=1, infer=lambda divisor: ((), _BOOL))


def _whole(op: Op, input: Tensor | Number, other: Tensor | Number) -> Plan:
    """An integer-capable division, after refusing an integer divisor that holds a zero."""
    dtype = result_type(input, other)
    if not dtype.is_floating_point:
        if isinstance(other, Tensor):
            if dtype is not _BOOL and other.device.type != "meta":
                _check_divisor(other.to(_BYTE) if other.dtype is _BOOL else other)
        elif other == 0:
            raise RuntimeError(f"{op.name}: ZeroDivisionError: an integer tensor is divided by 0; use floats")
    return op, (input, other)


ROUNDING = {"floor": _floor_divide, "trunc": _trunc_divide}


def _plan_div(input: Tensor | Number, other: Tensor | Number, *, rounding_mode: str | None = None) -> Plan:
    if rounding_mode is None:
        return _div, (input, other)
    if rounding_mode not in ROUNDING:
        raise ArgumentError(f"div: rounding_mode must be None, 'trunc' or 'floor': it is {rounding_mode!r}")
    return _whole(ROUNDING[rounding_mode], input, other)


@function(methods=("div",), inplace=planned_inplace(_plan_div))
def div(
    input: Tensor | Number,
    other: Tensor | Number,
    *,
    rounding_mode: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """input / other; integers give floats, unless `rounding_mode` is "floor" or "trunc".

    >>> al.div(al.tensor([7, -7]), 2, rounding_mode="floor")
    tensor([ 3, -4])
    """
    op, operands = _plan_div(input, other, rounding_mode=rounding_mode)
    return op(*operands, out=out)


def _whole_function(op: Op, doc: str) -> Callable[..., Tensor]:
    def plan(input: Tensor, other: Tensor | Number) -> Plan:
        return _whole(op, input, other)

    def run(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor:
        return op(*_whole(op, input, other)[1], out=out)

    run.__name__ = run.__qualname__ = op.name
    run.__doc__ = doc
    return function(methods=(op.name,), inplace=planned_inplace(plan))(run)


floor_divide = _whole_function(_floor_divide, "The quotient rounded down; integers stay integers.")
remainder = _whole_function(
    _remainder, "What floor division leaves: it has the sign of `other`, as Python's %."
)
fmod = _whole_function(_fmod, "What truncating division leaves: it has the sign of `input`, as C's fmod.")


# ---- powers ----


def _pow_base_rule(g: Tensor, _y: Tensor, a: Tensor, b: Tensor | Number) -> Tensor:
    if not isinstance(b, Tensor):
        return zero(g) if b == 0 else g * (_pow(a, b - 1) * b)
    return where(b == 0, 0.0, g * (b * _pow(a, b - 1)))


def _pow_exponent_rule(g: Tensor, y: Tensor, a: Tensor | Number, b: Tensor) -> Tensor:
    if not isinstance(a, Tensor):
        return (
            where(b >= 0, 0.0, g * y * -math.inf) if a == 0 else g * y * (math.log(a) if a > 0 else math.nan)
        )
    return where((a == 0) & (b >= 0), 0.0, g * (y * log(a)))


_pow = pointwise("pow", NUMERIC, vjp=(_pow_base_rule, _pow_exponent_rule), public=False)


def _plan_pow(input: Tensor | Number, exponent: Tensor | Number) -> Plan:
    if isinstance(exponent, int) and exponent < 0 and not result_type(input, exponent).is_floating_point:
        raise ArgumentError(
            f"pow: integers to negative integer powers are not allowed: exponent {exponent}; use float_power"
        )
    if isinstance(exponent, bool) and isinstance(input, Tensor) and input.dtype is _BOOL:
        return bitwise_or, (input, not exponent)  # x ** True is x, x ** False is True; torch has no other powers of bools
    return _pow, (input, exponent)


@function(methods=("pow",), inplace=planned_inplace(_plan_pow))
def pow(input: Tensor | Number, exponent: Tensor | Number, *, out: Tensor | None = None) -> Tensor:
    """input ** exponent.

    >>> al.pow(al.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    op, operands = _plan_pow(input, exponent)
    return op(*operands, out=out)


def _float_power_(self: Tensor, exponent: Tensor | Number) -> Tensor:
    if self.dtype is not _FLOAT64:
        raise DTypeError(
            f"float_power_: the base has dtype {self.dtype.name} but the operation's result requires dtype float64"
        )
    return self.copy_(float_power(kept_original(self), exponent))  # the gradient reads the old values


@function(methods=("float_power",), inplace=_float_power_)
def float_power(input: Tensor | Number, exponent: Tensor | Number, *, out: Tensor | None = None) -> Tensor:
    """input ** exponent, computed and given in float64."""
    operands = [x.to(_FLOAT64) if isinstance(x, Tensor) else float(x) for x in (input, exponent)]
    return deliver(_pow(*operands), out)


# ---- extremes ----

maximum = pointwise(
    "maximum",
    PROMOTE,
    vjp=(
        lambda g, _y, a, b: where(a < b, 0.0, where(a == b, g * 0.5, g)),
        lambda g, _y, a, b: where(a > b, 0.0, where(a == b, g * 0.5, g)),
    ),
    tensors=(0, 1),
)
minimum = pointwise(
    "minimum",
    PROMOTE,
    vjp=(
        lambda g, _y, a, b: where(a > b, 0.0, where(a == b, g * 0.5, g)),
        lambda g, _y, a, b: where(a < b, 0.0, where(a == b, g * 0.5, g)),
    ),
    tensors=(0, 1),
)
fmax = pointwise(
    "fmax",
    PROMOTE,
    vjp=(
        lambda g, _y, a, b: where((a >= b) | isnan(b), g, 0.0),
        lambda g, _y, a, b: where((a >= b) | isnan(b), 0.0, g),
    ),
    tensors=(0, 1),
)
fmin = pointwise(
    "fmin",
    PROMOTE,
    vjp=(
        lambda g, _y, a, b: where((a <= b) | isnan(b), g, 0.0),
        lambda g, _y, a, b: where((a <= b) | isnan(b), 0.0, g),
    ),
    tensors=(0, 1),
)

_clamp_backward = pointwise(
    "clamp_backward",
    FLOATONLY,
    vjp=(lambda gg, _y, _g, x, low, high: _clamp_backward(gg, x, low, high), None, None, None),
    public=False,
)
_clamp = pointwise(
    "clamp",
    NUMERIC,
    vjp=(
        lambda g, _y, x, low, high: _clamp_backward(g, x, low, high),
        lambda g, _y, x, low, high: where((x < low) & (low < high), g, 0.0),
        lambda g, _y, x, low, high: where((x > high) | (high < low), g, 0.0),
    ),
    public=False,
)
clamp_min = pointwise(
    "clamp_min",
    PROMOTE,
    vjp=(lambda g, _y, x, low: where(x >= low, g, 0.0), lambda g, _y, x, low: where(x < low, g, 0.0)),
    tensors=(0,),
)
clamp_max = pointwise(
    "clamp_max",
    PROMOTE,
    vjp=(lambda g, _y, x, high: where(x <= high, g, 0.0), lambda g, _y, x, high: where(x > high, g, 0.0)),
    tensors=(0,),
)


def _plan_clamp(
    input: Tensor, min: Tensor | Number | None = None, max: Tensor | Number | None = None
) -> Plan:
    if min is None and max is None:
        raise ArgumentError("clamp: at least one of 'min' or 'max' must not be None: both are; give a bound")
    if min is None or max is None:
        bound = max if min is None else min
        assert bound is not None
        return clamp_max if min is None else clamp_min, (input, bound)
    return _clamp, (input, min, max)


@function(methods=("clamp",), inplace=planned_inplace(_plan_clamp))
def clamp(
    input: Tensor,
    min: Tensor | Number | None = None,
    max: Tensor | Number | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """input, raised to `min` and lowered to `max`; where they cross, `max` wins.

    >>> al.clamp(al.tensor([-2.0, 0.5, 2.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    op, operands = _plan_clamp(input, min, max)
    return op(*operands, out=out)
