"""Powers of integers by squaring: modulo 2^32, of which shorter integers keep the low bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ascendlite.npu.kernels.expression import ITEMSIZE, Value, constant, eq, shifted, where
from ascendlite.npu.kernels.functions import power

T = TypeVar("T")
INTEGERS: Final = {"int32": "i32", "int16": "i32", "int8": "i32", "uint8": "i32"}


def by_squaring(base: T, exponent: int, multiply: Callable[[T, T], T]) -> T:
    """base^exponent for a number of at least 1: as many squarings as it has bits, and a product more for each that is set."""
    result: T | None = None
    while exponent:
        if exponent & 1:
            result = base if result is None else multiply(result, base)
        exponent >>= 1
        if exponent:
            base = multiply(base, base)
    assert result is not None, exponent
    return result


def _memory_format(x: Value) -> str:
    """The format that a widened tile has in memory."""
    while x.operands:
        x = x.operands[0]
    return x.format


def _below_zero(a: Value, b: Value) -> Value:
    """a^b for negative exponents, of which only powers of 1 and -1 are whole."""
    one = constant(1, a)
    return where(eq(a, 1), one, where(eq(a, -1), (b & 1) * -2 + 1, constant(0, a)))


def _of_tiles(a: Value, b: Value) -> Value:
    """A product more for each bit of the exponent: by the base where it is set, else by 1."""
    format = _memory_format(b)
    one, rest, base = constant(1, a), b, a
    result: Value | None = None
    for left in range(8 * int(ITEMSIZE[format]) - (format != "u8"), 0, -1):
        factor = (base - one) * (rest & one) + one
        result = factor if result is None else result * factor
        if left > 1:
            base, rest = base * base, shifted(rest, -1)
    assert result is not None, format
    return result if format == "u8" else where(b < 0, _below_zero(a, b), result)


def integer_power(a: Value, b: Value | int) -> Value:
    """a^b, wrapped around; a negative power of a number other than 1 and -1 is 0."""
    if isinstance(b, int) and b >= 0:
        return by_squaring(a, b, lambda x, y: x * y) * 1 if b else constant(1, a)
    return _of_tiles(a, b if isinstance(b, Value) else constant(b, a))


def any_power(a: Value, b: Value | float) -> Value:
    """a^b of floats, or of integers where these are given."""
    if a.format == "i32":
        return integer_power(a, b if isinstance(b, Value) else int(b))
    return power(a, b)
