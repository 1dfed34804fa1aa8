"""Outputs that the caches can't hold are stored past them: the values are those of small outputs."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al

SIZE = (36 << 20) // 4 + 13  # floats; some more than 32 MiB, the largest common last-level cache of one core complex


@pytest.mark.parametrize("start", [0, 1, 7])
def test_a_large_result_has_the_bits_of_its_parts(start: int) -> None:
    x = al.arange(SIZE, dtype=al.float32).sub_(SIZE / 3)
    y = x.flip(0)
    out = al.zeros(SIZE)
    al.mul(x[start:], y[start:], out=out[start:])
    expected = x.numpy()[start:] * y.numpy()[start:]
    np.testing.assert_array_equal(expected, out.numpy()[start:])
    assert out.numpy()[:start].tolist() == [0.0] * start


def test_a_large_tensor_is_changed_in_place() -> None:
    x = al.arange(SIZE, dtype=al.float32)
    x.mul_(2.0).add_(x)
    np.testing.assert_array_equal(np.arange(SIZE, dtype=np.float32) * 4, x.numpy())


def test_large_and_small_activations_agree() -> None:
    x = al.linspace(-9, 9, SIZE)
    whole = al.nn.functional.gelu(x)
    for at in (0, SIZE // 2 + 3, SIZE - 999):
        np.testing.assert_array_equal(al.nn.functional.gelu(x[at : at + 999]).numpy(), whole[at : at + 999].numpy())
