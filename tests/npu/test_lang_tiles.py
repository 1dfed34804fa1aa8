"""The second layer: kernels on it give right values for sizes with tails, and its programs stay small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang import tiles
from tests.examples.with_tiles import add, matmul, silu, softmax

f16, f32 = np.float16, np.float32


def normal(seed: int, *shape: int) -> NDArray[Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(f16)


@pytest.mark.parametrize(("n", "blocks"), [(1, 1), (8192, 2), (8193, 1), (100_003, 5), (300, 48)])
def test_add_equals_the_sum(n: int, blocks: int) -> None:
    x, y, z = normal(0, n), normal(1, n), np.full(n, np.nan, f16)
    add[blocks](x, y, z, n)
    np.testing.assert_array_equal(z, x + y)


def test_a_loop_stays_a_loop() -> None:
    sizes = []
    for n in (100_000, 10_000_000):
        x = np.zeros(n, f16)
        sizes.append(len(add[48].trace(x, x, x, n).words["aiv"]))
    assert sizes[0] == sizes[1] < 600


@pytest.mark.parametrize("n", [3 * 4 * 512, 3 * 4 * 512 + 1, 3 * 11 * 512 - 700, 3 * 9 * 512, 5])
def test_tiles_of_long_tensors_are_those_of_short_ones(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unrolled or as a loop: the same instructions on the same bytes."""

    def steps() -> list[list[tuple[Any, ...]]]:
        @npu.kernel(kind="aiv")
        def twice(x: Any, y: Any) -> None:
            pipe, moved_in, moved_out = ac.TPipe(), ac.TQue(ac.TPosition.VECIN, 2), ac.TQue(ac.TPosition.VECOUT, 2)
            for queue in (moved_in, moved_out):
                pipe.InitBuffer(queue, 2, 1024)
            for at, count in npu.my_tiles(n, 512):
                a = moved_in.AllocTensor(x.dtype)
                ac.DataCopyPad(a, ac.GlobalTensor(x)[at:], count)
                moved_in.EnQue(a)
                a, b = moved_in.DeQue(), moved_out.AllocTensor(x.dtype)
                ac.Add(b, a, a, count)
                moved_in.FreeTensor(a)
                moved_out.EnQue(b)
                b = moved_out.DeQue()
                ac.DataCopyPad(ac.GlobalTensor(y)[at:], b, count)
                moved_out.FreeTensor(b)

        x, y = normal(6, n), np.zeros(n, f16)
        twice[3](x, y)
        np.testing.assert_array_equal(x + x, y)
        traced = twice[3].trace(x, y)
        return [[i[1:5:2] + (i[4],) for i in traced.program.expand(1, block)] for block in range(3)]

    unrolled = steps()
    monkeypatch.setattr(tiles, "MOST_UNROLLED", 3)
    assert unrolled == steps()


@pytest.mark.parametrize("n", [7, 20_000])
def test_silu(n: int) -> None:
    x, y = normal(2, n), np.full(n, np.nan, f16)
    silu[3](x, y, n)
    wide = x.astype(f32)
    np.testing.assert_allclose(y, wide / (1 + np.exp(-wide)), atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(("rows", "columns", "blocks"), [(16, 64, 1), (9, 50, 2), (37, 100, 3), (24, 1000, 4), (5, 2100, 2), (3, 3000, 1)])
def test_softmax_of_any_width(rows: int, columns: int, blocks: int) -> None:
    x, y = normal(3, rows, columns), np.full((rows, columns), np.nan, f16)
    softmax[blocks](x, y, rows, columns, rows=2 if columns > 2000 else 8)
    e = np.exp(x.astype(f32) - x.max(1, keepdims=True).astype(f32))
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize(("m", "n", "k"), [(128, 256, 256), (300, 520, 700), (16, 16, 16), (5, 7, 3), (129, 257, 65)])
@pytest.mark.parametrize(("trans_a", "trans_b"), [(False, False), (True, False), (False, True), (True, True)])
def test_matmul_of_any_size(m: int, n: int, k: int, trans_a: bool, trans_b: bool) -> None:
    a, b, c = normal(4, m, k), normal(5, k, n), np.full((m, n), np.nan, f16)
    expected = a.astype(f32) @ b.astype(f32)
    stored_a, stored_b = (np.ascontiguousarray(x.T) if t else x for x, t in ((a, trans_a), (b, trans_b)))
    matmul[3](stored_a, stored_b, c, m, n, k, trans_a, trans_b)
    np.testing.assert_allclose(c, expected, atol=3e-2, rtol=1e-3)
