"""The kernels of tests/examples, written as a user writes them: right values, tails included, and nothing that the checker minds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.examples.flash_attention import flash
from tests.examples.matmul import matmul
from tests.examples.softmax import softmax
from tests.examples.vector_add import vadd, vadd_q

Array = NDArray[Any]
f16, f32 = np.float16, np.float32


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(f16)


@pytest.mark.parametrize("kernel", [vadd, vadd_q], ids=["flags", "queues"])
@pytest.mark.parametrize(("n", "blocks", "tile"), [(1000, 1, 256), (70_001, 4, 4096), (5, 3, 64), (16_384, 8, 8192)])
def test_vector_add_equals_the_sum(kernel: Any, n: int, blocks: int, tile: int) -> None:
    x, y, z = normal(0, n), normal(1, n), np.full(n, np.nan, f16)
    kernel[blocks](x, y, z, n, tile)
    np.testing.assert_array_equal(z, x + y)


@pytest.mark.parametrize(("rows", "columns", "blocks"), [(8, 128, 1), (48, 1024, 4), (64, 192, 3)])
def test_softmax_of_rows(rows: int, columns: int, blocks: int) -> None:
    x, y = normal(2, rows, columns), np.full((rows, columns), np.nan, f16)
    softmax[blocks](x, y, rows, columns)
    e = np.exp(x.astype(f32) - x.max(1, keepdims=True).astype(f32))
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize(("m", "n", "k", "blocks"), [(128, 256, 256, 1), (256, 512, 512, 3)])
def test_matmul_sums_in_f32(m: int, n: int, k: int, blocks: int) -> None:
    a, b, c = normal(3, m, k), normal(4, k, n), np.full((m, n), np.nan, f16)
    matmul[blocks](a, b, c, m, n, k)
    np.testing.assert_allclose(c, a.astype(f32) @ b.astype(f32), atol=2e-2, rtol=1e-3)


@pytest.mark.parametrize(("rows", "groups"), [(256, 1), (512, 3)])
def test_flash_attention_equals_attention(rows: int, groups: int) -> None:
    q, k, v, o = *(normal(5 + i, rows, 128) for i in range(3)), np.full((rows, 128), np.nan, f16)
    ws, wo = (np.full((groups, 2, 128, 128), np.nan, f32) for _ in range(2))
    wp = np.full((groups, 2, 128, 128), np.nan, f16)
    flash[groups](q, k, v, o, ws, wp, wo, rows, 128**-0.5)
    s = q.astype(f32) @ k.astype(f32).T * 128**-0.5
    p = np.exp(s - s.max(1, keepdims=True))
    np.testing.assert_allclose(o, (p / p.sum(1, keepdims=True)) @ v.astype(f32), atol=1e-3, rtol=1e-2)
