"""Sizes per spatial dimension as functions of windows take them: an int for all, or one each."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.errors import ArgumentError

Size = int | Sequence[int]


def spread(op: str, name: str, value: Size, n: int) -> tuple[int, ...]:
    """`value` as n ints; one int, or a sequence of one, stands for all."""
    if isinstance(value, int):
        return (value,) * n
    values = tuple(int(v) for v in value)
    if len(values) == 1:
        return values * n
    if len(values) != n:
        raise ArgumentError(
            f"{op}: expected {name} to be a single integer value or a list of {n} values to match the "
            f"spatial dimensions, but got {name}={list(values)}"
        )
    return values


def check_positive(op: str, name: str, values: tuple[int, ...]) -> None:
    if any(v <= 0 for v in values):
        raise ArgumentError(f"{op}: {name} should be greater than zero, but got {name}={list(values)}")
