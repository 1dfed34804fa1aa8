"""One number for every spatial dimension, or one each."""

from __future__ import annotations

from collections.abc import Sequence

Size = int | Sequence[int]


def spread(value: Size, count: int) -> tuple[int, ...]:
    """`value` as a tuple of `count` numbers."""
    return (value,) * count if isinstance(value, int) else tuple(value)
