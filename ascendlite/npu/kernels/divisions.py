"""Division of integers, exact, by quotients of float32: of 32 bits in rounds, each of which divides what the last one left, 2^22 times smaller.

Of 8 and 16 bits one quotient is enough: where it is not whole it is farther from the next whole number than float32 rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ascendlite.core import Tensor, no_grad
from ascendlite.npu import wide
from ascendlite.npu.kernels import kernel_for
from ascendlite.npu.kernels.expression import Value, cast, constant, eq, floor, ne, trunc, where
from ascendlite.npu.kernels.formulas import Formula

_ROUNDS: Final = 3  # leave at most 2^10, 2 and 1 divisors


def _divided(a: Value, b: Value) -> tuple[Value, Value]:
    """(quotient, rest), the quotient rounded down but for one too much where the rest has not the divisor's sign."""
    divisor, quotient, rest = cast(b, "f32", "CAST_RINT"), constant(0, a), a
    for _ in range(_ROUNDS):
        step = cast(cast(rest, "f32", "CAST_RINT") / divisor, "i32", "CAST_FLOOR")
        quotient, rest = quotient + step, rest - step * b
    return quotient, rest


def _wrong(rest: Value, b: Value) -> Value:
    """Where the rest is not 0 and its sign is not the divisor's."""
    return (rest < 0) & (b > 0) | (rest > 0) & (b < 0)


def _floor_divide(a: Value, b: Value) -> Value:
    quotient, rest = _divided(a, b)
    return where(_wrong(rest, b), quotient - 1, quotient)


def _remainder(a: Value, b: Value) -> Value:
    rest = _divided(a, b)[1]
    return where(_wrong(rest, b), rest + b, rest)


def _fmod(a: Value, b: Value) -> Value:
    """The rest with the sign of a: one divisor less where the signs differ."""
    rest = _remainder(a, b)
    return where(eq(rest, 0), rest, where((a < 0) & (b > 0) | (a > 0) & (b < 0), rest - b, rest))


def _trunc_divide(a: Value, b: Value) -> Value:
    """One more than the quotient rounded down where that is below 0 and not exact."""
    quotient, rest = _divided(a, b)
    quotient = where(_wrong(rest, b), quotient - 1, quotient)
    return where((quotient < 0) & ne(rest, 0), quotient + 1, quotient)


_WHOLE: Final[dict[str, Callable[[Value, Value], Value]]] = {"floor_divide": _floor_divide, "remainder": _remainder, "fmod": _fmod, "trunc_divide": _trunc_divide}


def _short(f: Callable[[Value, Value], Value]) -> Formula:
    """A formula of float32 tiles, for operands of which one may be a number."""

    def formula(a: Value | float, b: Value | float) -> Value:
        tile = next(v for v in (a, b) if isinstance(v, Value))
        return f(*(v if isinstance(v, Value) else constant(v, tile) for v in (a, b)))

    return formula


# Of integers of up to 16 bits as float32. Quotients wrap around: -128 / -1 is -128 again.
SHORT: Final[dict[str, Formula]] = {
    "short_floor_divide": _short(lambda a, b: cast(floor(a / b), "i32", "CAST_TRUNC")), "short_trunc_divide": _short(lambda a, b: cast(trunc(a / b), "i32", "CAST_TRUNC")),
    "short_remainder": _short(lambda a, b: a - floor(a / b) * b), "short_fmod": _short(lambda a, b: a - trunc(a / b) * b),
}  # fmt: skip
OF_SHORT: Final = {name: f"short_{name}" for name in _WHOLE}  # op -> its formula for them
SHORT_INTEGERS: Final = ("int16", "int8", "uint8")


def with_integers(name: str, real: Formula) -> Formula:
    """A division of floats that is one of integers where these are given."""

    def formula(a: Value, b: Value) -> Value:
        tile = a if isinstance(a, Value) else b
        if tile.format != "i32":
            return real(a, b)
        return _WHOLE[name](*(v if isinstance(v, Value) else constant(v, tile) for v in (a, b)))

    return formula


def divisions(real: dict[str, Formula]) -> dict[str, Formula]:
    """The divisions among formulas of floats, of integers too."""
    return {name: with_integers(name, real[name]) for name in _WHOLE}


@kernel_for("check_divisor")
def _check_divisor(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    """Whether there is a zero; if so, the AI CPU names it."""
    x = inputs[0].detach()
    if not x.numel():
        return NotImplemented
    with no_grad():
        found = (x == 0).any()
        if not found.is_meta and bool(wide.on_host(found).item()):
            return NotImplemented
        outputs[0].copy_(found)
    return None
