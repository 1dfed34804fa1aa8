"""Convolutions and pools of integers: what the float kernels compute of the same numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ascendlite as al

F = al.nn.functional
RNG = np.random.default_rng(0)


def integers(*shape: int) -> np.ndarray:
    return RNG.integers(-9, 10, shape)


def both(fn, *arrays, rounding=lambda y: y):
    """`fn` of integers, and of the same numbers as doubles."""
    exact = fn(*(al.tensor(a) for a in arrays))
    assert exact.dtype is al.int64
    np.testing.assert_array_equal(exact.numpy(), rounding(fn(*(al.tensor(a.astype(float)) for a in arrays)).numpy()))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), list(itertools.product((1, 2), (0, 2), (1, 2), (1, 2))))
def test_convolutions_are_exact(n, stride, padding, dilation, groups):
    sizes = (7, 6, 5)[:n]
    conv, transposed = getattr(F, f"conv{n}d"), getattr(F, f"conv_transpose{n}d")
    both(lambda x, w, b: conv(x, w, b, stride, padding, dilation, groups), integers(2, 4, *sizes), integers(6, 4 // groups, *(2,) * n), integers(6))
    both(lambda x, w, b: transposed(x, w, b, stride, padding, stride - 1, groups, dilation), integers(2, 4, *sizes), integers(4, 3, *(3,) * n), integers(3 * groups))
    both(lambda x, w: conv(x[0], w, padding="same"), integers(2, 4, *sizes), integers(6, 4, *(2,) * n))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(("padding", "ceil", "counted"), list(itertools.product((0, 1), (False, True), (False, True))))
def test_means_round_towards_zero(n, padding, ceil, counted):
    pool = getattr(F, f"avg_pool{n}d")
    both(lambda x: pool(x, 3, 2, padding, ceil, counted), integers(2, 3, *(7, 6, 8)[:n]), rounding=lambda y: np.trunc(y + np.sign(y) * 1e-9))


def test_integers_have_their_errors_too():
    with pytest.raises(RuntimeError, match="should be the same"):
        F.conv1d(al.ones(1, 1, 3, dtype=al.int64), al.ones(1, 1, 2))
    with pytest.raises(RuntimeError, match="bool"):
        F.conv1d(al.ones(1, 1, 3).bool(), al.ones(1, 1, 2).bool())
