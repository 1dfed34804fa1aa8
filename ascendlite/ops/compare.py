"""Comparisons, tests of values, logic, bits, and selection by a condition."""

from __future__ import annotations

from typing import overload

from ascendlite.core import (
    BITWISE,
    COMPARE,
    LOGICAL,
    PROMOTE,
    Op,
    Tensor,
    add_method,
    check_writable,
    dtype_of_name,
    function,
    overwrite,
    pointwise,
    register,
    require_tensor,
)
from ascendlite.errors import ArgumentError, DTypeError, ShapeError

Number = int | float | bool
_BOOL, _UINT8 = dtype_of_name("bool"), dtype_of_name("uint8")

# ---- comparisons, with torch's other names ----


def _test(name: str, *aliases: str, rule: int = COMPARE, inputs: int = 2) -> Op:
    """An op with a bool result; its in-place form stores 0 and 1 in the tensor's own dtype."""
    tensors = () if inputs == 1 else (0, 1) if rule == LOGICAL else (0,)
    op = pointwise(name, rule, inputs=inputs, public=False, tensors=tensors)
    for public in (name, *aliases):
        register(op, name=public, inplace=inputs == 2 or rule == LOGICAL)
    return op


eq = _test("eq")
ne = _test("ne", "not_equal")
lt = _test("lt", "less")
le = _test("le", "less_equal")
gt = _test("gt", "greater")
ge = _test("ge", "greater_equal")

isnan = _test("isnan", inputs=1)
isinf = _test("isinf", inputs=1)
isfinite = _test("isfinite", inputs=1)
isposinf = _test("isposinf", inputs=1)
isneginf = _test("isneginf", inputs=1)
signbit = _test("signbit", inputs=1)

# ---- logic and bits ----

logical_not = _test("logical_not", rule=LOGICAL, inputs=1)
logical_and = _test("logical_and", rule=LOGICAL)
logical_or = _test("logical_or", rule=LOGICAL)
logical_xor = _test("logical_xor", rule=LOGICAL)

bitwise_not = pointwise("bitwise_not", BITWISE, inputs=1)
bitwise_and = pointwise("bitwise_and", BITWISE, inputs=2)
bitwise_or = pointwise("bitwise_or", BITWISE, inputs=2)
bitwise_xor = pointwise("bitwise_xor", BITWISE, inputs=2)
bitwise_left_shift = pointwise("bitwise_left_shift", BITWISE, inputs=2)
bitwise_right_shift = pointwise("bitwise_right_shift", BITWISE, inputs=2)

# ---- selection ----

_where = pointwise(
    "where",
    PROMOTE,
    vjp=(
        None,
        lambda g, _y, condition: _where(condition, g, 0.0),
        lambda g, _y, condition: _where(condition, 0.0, g),
    ),
    cond=True,
    public=False,
)


@overload
def where(condition: Tensor) -> tuple[Tensor, ...]: ...


@overload
def where(
    condition: Tensor, input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None
) -> Tensor: ...


@function()
def where(
    condition: Tensor,
    input: Tensor | Number | None = None,
    other: Tensor | Number | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """Elements of `input` where the condition holds, of `other` elsewhere; with the condition alone: where it holds.

    >>> al.where(al.tensor([True, False]), 1.0, 0.0)
    tensor([1., 0.])
    """
    if input is None and other is None:
        from ascendlite.ops.nonzero import nonzero

        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise ArgumentError("where: input and other go together: one of them is None; give both, or neither")
    require_tensor("where", condition)
    if condition.dtype is not _BOOL:
        if condition.dtype is not _UINT8:  # torch still takes uint8 for a condition
            raise DTypeError(
                f"where: expected a bool condition, got {condition.dtype.name}; cast it with .bool()"
            )
        condition = condition.to(_BOOL)
    return _where(condition, input, other, out=out)


def _where_method(self: Tensor, condition: Tensor, other: Tensor | Number) -> Tensor:
    """`self` where the condition holds, `other` elsewhere."""
    result = where(condition, self, other)
    assert isinstance(result, Tensor)
    return result


add_method("where", _where_method)


def _masked_fill_(self: Tensor, mask: Tensor, value: Tensor | Number) -> Tensor:
    """In-place form of masked_fill; an element that an expanded tensor shows at many places is filled where the mask holds at any."""
    target = self
    if 0 in self.stride():
        for d in [d for d, n in enumerate(self.shape) if n > 1 and self.stride(d) == 0]:
            mask = mask.broadcast_to(target.shape).any(d, keepdim=True)
            target = target.narrow(d, 0, 1)
    check_writable(target, "masked_fill_")
    overwrite(target, masked_fill(target, mask, value), "masked_fill_")
    return self


@function(methods=("masked_fill",), inplace=_masked_fill_)
def masked_fill(input: Tensor, mask: Tensor, value: Tensor | Number) -> Tensor:
    """input with `value` where the bool mask holds; the dtype stays input's.

    >>> al.masked_fill(al.zeros(3), al.tensor([True, False, True]), -1.0)
    tensor([-1.,  0., -1.])
    """
    if mask.dtype is not _BOOL:
        raise DTypeError(f"masked_fill: expected a bool mask, got {mask.dtype.name}; cast it with .bool()")
    if isinstance(value, Tensor):
        if value.ndim:
            raise ShapeError(f"masked_fill: expected a 0-d value, got one of shape {tuple(value.shape)}; use where")
        return _where(mask, value.to(input.dtype), input)
    if not input.dtype.is_floating_point:
        value = bool(value) if input.dtype is _BOOL else int(value)  # the dtype stays input's, as in torch
    return _where(mask, value, input)


# ---- dtypes that are refused ----


def refuse_integers(op: str, input: Tensor) -> None:
    """DTypeError for a tensor of integers or bools."""
    if not input.dtype.is_floating_point:
        raise DTypeError(f"{op}: not implemented for dtype {input.dtype.name}; cast to a float dtype first, as with .float()")


def refuse_bool(op: str, input: Tensor) -> None:
    """DTypeError for a bool tensor."""
    if input.dtype is _BOOL:
        raise DTypeError(f"{op}: not supported on bool tensors; cast to an integer or float dtype")


# ---- nearness ----


@function(methods=("isclose",))
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether |input - other| <= atol + rtol * |other|, element by element."""
    if input.dtype is not other.dtype:
        raise DTypeError(
            f"isclose: dtypes differ: input is {input.dtype.name}, other is {other.dtype.name}; cast one with .to()"
        )
    if rtol < 0 or atol < 0:
        raise ArgumentError(f"isclose: tolerances must not be negative: rtol is {rtol}, atol is {atol}")
    close = eq(input, other)
    if equal_nan and input.dtype.is_floating_point:
        close = bitwise_or(close, bitwise_and(isnan(input), isnan(other)))
    if rtol == 0 and atol == 0:
        return close
    if input.dtype is _BOOL:
        input, other = input.to(_UINT8), other.to(_UINT8)
    gap = (input - other).abs()
    near = bitwise_and(isfinite(gap), le(gap, (other * rtol).abs() + atol))
    return bitwise_or(close, near)


@function(methods=("allclose",))
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, as in `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@function(methods=("equal",))
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements."""
    require_tensor("equal", input, other)
    return input.shape == other.shape and bool(eq(input, other).all())
