"""What is added to a product: a row where the sums begin, in the product's own kernel; anything else in one pass over float32 sums."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ascendlite as al
from ascendlite.nn.functional import linear

CLOSE = {al.float32: 2e-6, al.float16: 6e-4, al.bfloat16: 5e-3}  # of one rounding, and of sums in float32
# (rows, summed, columns): tails, one step of a tile and several, sums that are cut in parts
SIZES = [(5, 7, 9), (200, 70, 520), (33, 64, 256), (3, 4096, 130)]
Rule = Callable[..., al.Tensor]
# what is computed, its addend's shape for (m, k, n) or (2, m, k, n), the kernels that run
CASES: dict[str, tuple[Rule, Callable[[int, int], tuple[int, ...]], set[str]]] = {
    "linear": (lambda x, a, b: linear(a, b.transpose(0, 1), x), lambda m, n: (n,), {"matmul"}),
    "addmm, a row": (lambda x, a, b: al.addmm(x, a, b), lambda m, n: (1, n), {"matmul"}),
    "addmm, half a row": (lambda x, a, b: al.addmm(x, a, b, beta=0.5), lambda m, n: (n,), {"matmul", "mul", "cast"}),
    "addmm, a column": (lambda x, a, b: al.addmm(x, a, b), lambda m, n: (m, 1), {"matmul", "scaled_sum", "copy"}),
    "addmm, scaled": (lambda x, a, b: al.addmm(x, a, b, beta=-0.5, alpha=2), lambda m, n: (m, n), {"matmul", "scaled_sum"}),
    "addmv": (lambda x, a, b: al.addmv(x, a, b[:, 0]), lambda m, n: (m,), {"matmul"}),
    "baddbmm, a row each": (lambda x, a, b: al.baddbmm(x, al.stack([a, -a]), al.stack([b, b])), lambda m, n: (2, 1, n), {"matmul"}),
    "baddbmm": (lambda x, a, b: al.baddbmm(x, al.stack([a, -a]), al.stack([b, b])), lambda m, n: (2, m, n), {"matmul", "scaled_sum"}),
}


def drawn(*shape: int, dtype: al.dtype, seed: int) -> al.Tensor:
    return al.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32)).to(dtype)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", CASES)
def test_sums_of_float64_are_rounded_once(name: str, dtype: al.dtype) -> None:
    rule, addend, kernels = CASES[name]
    for m, k, n in SIZES:
        operands = [drawn(*shape, dtype=dtype, seed=i) for i, shape in enumerate((addend(m, n), (m, k), (k, n)))]
        with al.npu.profiler.profile() as p:
            actual = rule(*(t.npu() for t in operands))
        assert {t.name for t in p.tasks if t.kind in ("AI_CORE", "AI_VECTOR_CORE")} - {"matmul_sum", "copy", "stack", "cat", "neg"} <= kernels
        assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
        expected = rule(*(t.double() for t in operands)).numpy()
        np.testing.assert_allclose(actual.float().cpu().numpy(), expected, CLOSE[dtype], CLOSE[dtype] * np.abs(expected).max())


def test_infinite_addends_stay_in_their_place() -> None:
    mask = np.zeros((20, 40), np.float32)
    mask[3, 5:] = -np.inf
    a, b = drawn(20, 33, dtype=al.float16, seed=0), drawn(33, 40, dtype=al.float16, seed=1)
    actual = al.addmm(al.tensor(mask).half().npu(), a.npu(), b.npu()).float().cpu().numpy()
    np.testing.assert_array_equal(np.isneginf(actual), np.isneginf(mask))
    np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(mask))


@pytest.mark.parametrize("mode", ["fp32", "fp64"])
def test_a_bias_in_wide_modes(mode: str) -> None:
    bias, x, w = (drawn(*s, dtype=al.float16, seed=i) for i, s in enumerate(((50,), (20, 300), (50, 300))))
    with al.npu.numerics(mode):
        actual = linear(x.npu(), w.npu(), bias.npu()).float().cpu().numpy()
    expected = linear(x.double(), w.double(), bias.double()).numpy()
    np.testing.assert_allclose(actual, expected.astype(np.float16) if actual.dtype == np.float16 else expected, 1e-3, 1e-3)


@pytest.mark.parametrize("dtype", CLOSE)
def test_a_bias_is_free_on_the_clock(dtype: al.dtype) -> None:
    x, w, bias = (al.empty(s, dtype=dtype, device="meta") for s in ((2048, 1024), (4096, 1024), (4096,)))
    plain, biased = al.npu.estimate(linear, x, w, chip="910b2"), al.npu.estimate(linear, x, w, bias, chip="910b2")
    assert len(biased.rows) == 1
    assert biased.device_us < 1.02 * plain.device_us
