"""The array API standard's set functions."""

from __future__ import annotations

from typing import NamedTuple

from ascendlite.core import FUNCTIONS as _F
from ascendlite.core import Tensor


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Tensor, /) -> UniqueAll:
    """Distinct values, where each stands first, where each value went, and how often each is there."""
    values, inverse, counts = _F["unique"](x, return_inverse=True, return_counts=True)
    flat = inverse.reshape(-1)
    order = _F["argsort"](flat, stable=True)
    starts = _F["cumsum"](counts, 0) - counts
    return UniqueAll(values, order[starts], inverse, counts)


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """Distinct values and how often each is there."""
    return UniqueCounts(*_F["unique"](x, return_counts=True))


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """Distinct values and where each value went."""
    return UniqueInverse(*_F["unique"](x, return_inverse=True))


def unique_values(x: Tensor, /) -> Tensor:
    """Distinct values."""
    return _F["unique"](x)
