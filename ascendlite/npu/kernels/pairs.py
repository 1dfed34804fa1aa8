"""Arithmetic of 64-bit integers on a vector unit of 32 bits: each is a pair of words, and wraps around as one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.npu.kernels.expression import Value, cast, constant, eq, floor, fma, ne, rint, shifted, where
from ascendlite.npu.kernels.powers import by_squaring

_SIGN: Final = -(1 << 31)  # added to a word, orders it as an unsigned one
_HALF: Final = 0xFFFF
_WORD: Final = 2.0**32
_ROUNDS: Final = 5  # of a division: they leave at most 2^42, 2^21, 2 and 1 divisors, then less than one


@dataclass(frozen=True, eq=False)
class Pair:
    """A tile of 64-bit integers as tiles of their words."""

    low: Value
    high: Value

    def __and__(self, other: Pair) -> Pair:
        return Pair(self.low & other.low, self.high & other.high)

    def __or__(self, other: Pair) -> Pair:
        return Pair(self.low | other.low, self.high | other.high)

    def __invert__(self) -> Pair:
        return Pair(~self.low, ~self.high)


def split(x: Value) -> Pair:
    """The words of a tile from memory."""
    return Pair(Value("low", "i32", (x,)), Value("high", "i32", (x,)))


def joined(x: Pair) -> Value:
    """The words in turn, as memory has them."""
    return Value("join", "i64", (Value("pair", "pair", (x.low, x.high)),))


def whole(number: int, like: Value) -> Pair:
    """A tile full of one number."""
    low, high = (((number >> shift & 0xFFFFFFFF) ^ -_SIGN) + _SIGN for shift in (0, 32))
    return Pair(constant(low, like), constant(high, like))


def _below(a: Value, b: Value) -> Value:
    """a < b as unsigned words."""
    return a + _SIGN < b + _SIGN


def _one_where(mask: Value, like: Value) -> Value:
    return where(mask, constant(1, like), constant(0, like))


def add(a: Pair, b: Pair) -> Pair:
    """The low words carry where their sum wraps around."""
    low = a.low + b.low
    return Pair(low, a.high + b.high + _one_where(_below(low, a.low), low))


def subtract(a: Pair, b: Pair) -> Pair:
    """The high words lend where the low one is too small."""
    return Pair(a.low - b.low, a.high - b.high - _one_where(_below(a.low, b.low), a.low))


def _upper(a: Value, b: Value) -> Value:
    """The high word of the product of two unsigned words, from products of halves."""
    half = constant(_HALF, a)
    (a0, a1), (b0, b1) = ((x & half, shifted(x, -16)) for x in (a, b))
    x, y = a0 * b1, a1 * b0
    middle = shifted(a0 * b0, -16) + (x & half) + (y & half)
    return a1 * b1 + shifted(x, -16) + shifted(y, -16) + shifted(middle, -16)


def multiply(a: Pair, b: Pair) -> Pair:
    """Modulo 2^64: the product of the high words is out of it."""
    return Pair(a.low * b.low, _upper(a.low, b.low) + a.low * b.high + a.high * b.low)


def negative(a: Pair) -> Pair:
    """0 - a."""
    return subtract(whole(0, a.low), a)


def less(a: Pair, b: Pair) -> Value:
    """A mask: by the high words, and where they are equal by the low ones."""
    return (a.high < b.high) | (eq(a.high, b.high) & _below(a.low, b.low))


def equal(a: Pair, b: Pair) -> Value:
    """A mask."""
    return eq(a.low, b.low) & eq(a.high, b.high)


def choose(mask: Value, a: Pair, b: Pair) -> Pair:
    """a where the mask has a bit, else b."""
    return Pair(where(mask, a.low, b.low), where(mask, a.high, b.high))


def _is_set(a: Pair) -> Value:
    """Where a is not 0."""
    return ne(a.low | a.high, 0)


def _larger(a: Pair, b: Pair) -> Pair:
    return choose(less(a, b), b, a)


def _smaller(a: Pair, b: Pair) -> Pair:
    return choose(less(b, a), b, a)


def _approximate(a: Pair) -> Value:
    """The number in float32, within 2^-22 of it: the low word as it is signed, and a word more where that is negative."""
    carry = where(a.low < 0, constant(_WORD, Value("input", "f32")), 0.0)
    return fma(cast(a.high, "f32", "CAST_RINT"), _WORD, carry) + cast(a.low, "f32", "CAST_RINT")


def _of_whole(x: Value) -> Pair:
    """A whole number of float32; one of 2^63 becomes a smaller one."""
    high = rint(x * (1 / _WORD))
    low = cast(fma(high, -_WORD, x), "i32", "CAST_RINT")
    return Pair(low, cast(high, "i32", "CAST_RINT") - _one_where(low < 0, low))


def _divided(a: Pair, b: Pair) -> tuple[Pair, Pair]:
    """(quotient, rest), the quotient rounded down but for one too much where the rest has not the divisor's sign."""
    divisor, quotient, rest = _approximate(b), whole(0, a.low), a
    for _ in range(_ROUNDS):
        step = _of_whole(floor(_approximate(rest) / divisor))
        quotient, rest = add(quotient, step), subtract(rest, multiply(step, b))
    return quotient, rest


def _off(rest: Pair, b: Pair) -> Value:
    """Where the rest is not 0 and its sign is not the divisor's."""
    return _is_set(rest) & ((rest.high < 0) & (b.high >= 0) | (rest.high >= 0) & (b.high < 0))


def _floor_divide(a: Pair, b: Pair) -> Pair:
    quotient, rest = _divided(a, b)
    return choose(_off(rest, b), subtract(quotient, whole(1, a.low)), quotient)


def _remainder(a: Pair, b: Pair) -> Pair:
    rest = _divided(a, b)[1]
    return choose(_off(rest, b), add(rest, b), rest)


def _fmod(a: Pair, b: Pair) -> Pair:
    """The rest with the sign of a: one divisor less where the signs differ."""
    rest = _remainder(a, b)
    return choose(_off(rest, a), subtract(rest, b), rest)


def _trunc_divide(a: Pair, b: Pair) -> Pair:
    """One more than the quotient rounded down where that is below 0 and not exact."""
    quotient, rest = _divided(a, b)
    quotient = choose(_off(rest, b), subtract(quotient, whole(1, a.low)), quotient)
    return choose((quotient.high < 0) & _is_set(rest), add(quotient, whole(1, a.low)), quotient)


# By op; of `where` the first operand is a bool.
PAIRS: Final[dict[str, Callable[..., Pair | Value]]] = {
    "add": add, "sub": subtract, "mul": multiply, "neg": negative, "maximum": _larger, "minimum": _smaller, "clamp_min": _larger, "clamp_max": _smaller,
    "clamp": lambda x, low, high: _smaller(_larger(x, low), high), "relu": lambda x: _larger(x, whole(0, x.low)),
    "abs": lambda x: choose(less(x, whole(0, x.low)), negative(x), x), "where": lambda c, a, b: choose(ne(c, 0), a, b),
    "lt": less, "gt": lambda a, b: less(b, a), "le": lambda a, b: ~less(b, a), "ge": lambda a, b: ~less(a, b),
    "eq": equal, "ne": lambda a, b: ~equal(a, b),
    "logical_not": lambda x: ~_is_set(x), "logical_and": lambda a, b: _is_set(a) & _is_set(b), "logical_or": lambda a, b: _is_set(a) | _is_set(b),
    "logical_xor": lambda a, b: (_is_set(a) | _is_set(b)) & ~(_is_set(a) & _is_set(b)),
    "bitwise_and": lambda a, b: a & b, "bitwise_or": lambda a, b: a | b, "bitwise_not": lambda x: ~x, "bitwise_xor": lambda a, b: (a | b) & ~(a & b),
    "fill": lambda x: x, "floor_divide": _floor_divide, "remainder": _remainder, "fmod": _fmod, "trunc_divide": _trunc_divide,
    "pow": lambda x, exponent: by_squaring(x, exponent, multiply) if exponent else whole(1, x.low),
}  # fmt: skip


def of_pairs(name: str, inputs: Sequence[Value], operands: Sequence[Any]) -> Value:
    """The formula of an op: a mask, or the tile of the result. operands: numbers, and something else for each tile of the inputs."""
    tiles = iter(inputs)
    values: list[Any] = []
    for operand in operands:
        if name == "pow" and isinstance(operand, int):
            values.append(operand)
            continue
        tile = whole(operand, Value("input", "i32")) if isinstance(operand, int) else next(tiles)
        values.append(split(tile) if isinstance(tile, Value) and tile.format == "i64" else tile)
    result = PAIRS[name](*values)
    return joined(result) if isinstance(result, Pair) else result
