"""Weighted sums of three tensors: addcmul, addcdiv, lerp."""

from __future__ import annotations

from ascendlite.core import FLOATONLY, PROMOTE, Tensor, function, pointwise, require_tensor
from ascendlite.errors import ArgumentError, DTypeError
from ascendlite.ops.arithmetic import Number, Plan, planned_inplace

_addcmul = pointwise(
    "addcmul",
    PROMOTE,
    vjp=(
        lambda g: g,
        lambda g, _y, _x, _a, b, value: g * b * value,
        lambda g, _y, _x, a, _b, value: g * a * value,
        None,
    ),
    public=False,
)
_addcdiv = pointwise(
    "addcdiv",
    FLOATONLY,
    vjp=(
        lambda g: g,
        lambda g, _y, _x, _a, b, value: g * value / b,
        lambda g, _y, _x, a, b, value: g * a * -value / (b * b),
        None,
    ),
    public=False,
)


def _plan_addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Plan:
    if isinstance(value, float) and not any(isinstance(t, Tensor) and t.is_floating_point() for t in (input, tensor1, tensor2)):
        if not value.is_integer():
            raise ArgumentError(f"addcmul: value is {value}, but the tensors are of integers; pass an integer, or cast them")
        value = int(value)
    return _addcmul, (input, tensor1, tensor2, value)


def _plan_addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Plan:
    return _addcdiv, (input, tensor1, tensor2, value)


@function(methods=("addcmul",), inplace=planned_inplace(_plan_addcmul))
def addcmul(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1, out: Tensor | None = None
) -> Tensor:
    """input + value * tensor1 * tensor2."""
    op, operands = _plan_addcmul(input, tensor1, tensor2, value=value)
    return op(*operands, out=out)


@function(methods=("addcdiv",), inplace=planned_inplace(_plan_addcdiv))
def addcdiv(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1, out: Tensor | None = None
) -> Tensor:
    """input + value * tensor1 / tensor2; floating-point tensors only."""
    return _addcdiv(input, tensor1, tensor2, value, out=out)


_lerp = pointwise(
    "lerp",
    FLOATONLY,
    vjp=(
        lambda g, _y, _a, _b, weight: g * (1 - weight),
        lambda g, _y, _a, _b, weight: g * weight,
        lambda g, _y, a, b: g * (b - a),
    ),
    public=False,
)


def _plan_lerp(input: Tensor, end: Tensor, weight: Tensor | Number) -> Plan:
    require_tensor("lerp", input, end)
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x.dtype is not input.dtype and (x.ndim or x is end):
            raise DTypeError(f"lerp: expected dtype {input.dtype.name} for `{name}` but got dtype {x.dtype.name}; cast one with .to()")
    return _lerp, (input, end, weight)


@function(methods=("lerp",), inplace=planned_inplace(_plan_lerp))
def lerp(input: Tensor, end: Tensor, weight: Tensor | Number, *, out: Tensor | None = None) -> Tensor:
    """input + weight * (end - input); of one dtype, but for a 0-d weight."""
    op, operands = _plan_lerp(input, end, weight)
    return op(*operands, out=out)
