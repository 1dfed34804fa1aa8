"""The hazard check on kernels in the vendor's style: no false alarm, and no flag or barrier that it does not miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite.npu as npu
from ascendlite.npu import mutation
from ascendlite.npu.programs import Traced
from tests.examples import ascend_c, flash_attention, matmul, matmul_unit, softmax, vector_add


def half(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float16)


def single(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


N = 2 * 8192 * 7 + 100
CASES: dict[str, tuple[Any, int, Callable[[], tuple[Any, ...]]]] = {
    "vadd": (vector_add.vadd, 2, lambda: (half(N), half(N), half(N), N)),
    "vadd_q": (vector_add.vadd_q, 2, lambda: (half(N), half(N), half(N), N)),
    "softmax": (softmax.softmax, 4, lambda: (half(256, 1024), half(256, 1024), 256, 1024)),
    "matmul": (matmul.matmul, 3, lambda: (half(512, 512), half(512, 768), half(512, 768), 512, 768, 512)),
    "matmul_unit": (matmul_unit.matmul_unit, 3, lambda: (half(512, 512), half(512, 768), half(512, 768), 512, 768, 512)),
    "mmad_custom": (ascend_c.mmad_custom, 1, lambda: (half(32, 64), half(64, 48), single(32, 48), 32, 48, 64)),
    "softmax_by_scalars": (ascend_c.softmax_by_scalars, 2, lambda: (single(4, 512), single(4, 512), 4, 512)),
    "atomic_sum": (ascend_c.atomic_sum, 4, lambda: (single(8, 256), single(256), 256)),
    "weave": (ascend_c.weave, 1, lambda: (single(512), single(512), 512)),
    "flash": (
        flash_attention.flash, 2,
        lambda: (*(half(512, 128) for _ in range(4)), single(2, 2, 128, 128), half(2, 2, 128, 128), single(2, 2, 128, 128), 512, 0.1),
    ),
}  # fmt: skip
# mutants, and how many of them stay clean: their order follows from other flags
MUTANTS = {"vadd": (8, 0), "vadd_q": (12, 6), "softmax": (15, 0), "matmul": (10, 0), "matmul_unit": (8, 0), "flash": (41, 7), "mmad_custom": (15, 11), "softmax_by_scalars": (8, 1),
           "atomic_sum": (6, 4), "weave": (2, 0)}  # fmt: skip


def traced(name: str) -> Traced:
    kernel, blocks, args = CASES[name]
    with npu.on_chip("910b1"):
        return kernel[blocks].trace(*args())


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_in_the_vendors_style_is_proved(name: str) -> None:
    kernel, blocks, args = CASES[name]
    with npu.on_chip("910b1"):
        result = kernel[blocks].check(*args())
    assert result.proved, str(result)


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_without_one_of_its_syncs_breaks_a_rule_or_did_not_need_it(name: str) -> None:
    all_mutants = list(mutation.mutants(traced(name)))
    clean = [m.group.name for m in all_mutants if m.redundant]
    assert (len(all_mutants), len(clean)) == MUTANTS[name], clean


def test_a_product_handed_over_by_unit_flags_has_the_right_values() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal((256, 512)).astype(np.float16), rng.standard_normal((512, 512)).astype(np.float16), half(256, 512)
    matmul_unit.matmul_unit[3](a, b, c, 256, 512, 512)
    np.testing.assert_allclose(c, a.astype(np.float32) @ b.astype(np.float32), atol=2e-2, rtol=1e-3)


@pytest.mark.parametrize("name", ["mmad_custom", "softmax_by_scalars", "atomic_sum", "weave"])
def test_a_sample_of_ascend_c_has_the_right_values(name: str) -> None:
    """Products with parameter structs, scalars read back and computed with, atomics, interleaved bitmap masks."""
    kernel, blocks, make = CASES[name]
    rng = np.random.default_rng(0)
    args = tuple(rng.standard_normal(a.shape).astype(a.dtype) if isinstance(a, np.ndarray) else a for a in make())
    out = next(i for i, a in reversed(list(enumerate(args))) if isinstance(a, np.ndarray))
    args[out][...] = 0
    expected = {
        "mmad_custom": lambda a, b: np.maximum(a.astype(np.float32) @ b.astype(np.float32), 0),
        "softmax_by_scalars": lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
        "atomic_sum": lambda x: x.sum(0),
        "weave": lambda x: x + np.arange(512) % 2 + 1,
    }[name](*args[:out])
    kernel[blocks](*args)
    np.testing.assert_allclose(args[out], expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["vadd_q", "flash"])
def test_all_needless_syncs_can_go_together(name: str) -> None:
    from ascendlite.npu.checker import check

    program = traced(name)
    needless = mutation.redundant(program)
    assert needless
    assert check(mutation.left_out(program, needless)).proved


@pytest.mark.parametrize("name", ["vadd_q", "flash"])
def test_a_kernel_without_needless_syncs_gives_the_same_bytes_in_any_order(name: str) -> None:
    program = traced(name)
    less = mutation.left_out(program, mutation.redundant(program))
    rng = np.random.default_rng(0)
    start = [
        a.copy() if name == "flash" and i > 3 else rng.standard_normal(a.shape).astype(a.dtype)
        for i, a in enumerate(CASES[name][2]())
        if isinstance(a, np.ndarray)
    ]

    def run(order: int | None) -> list[np.ndarray]:
        arrays = [a.copy() for a in start]
        pointers = [a.ctypes.data for a in arrays]
        if order is None:
            program.run(pointers)
        else:
            less.executor.run_random(less.blocks, pointers, order, order % 3)
        return arrays

    expected = run(None)
    for order in range(3):
        for a, b in zip(expected, run(order), strict=True):
            np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))
