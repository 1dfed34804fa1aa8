"""The check against a second judge: kernels that it finds clean give the same bytes in every order that the card might choose.

`-m slow` runs the long form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ascendlite.npu as npu
from ascendlite.npu.checker import check
from ascendlite.npu.programs import Traced
from tests.npu import random_kernels

Array = NDArray[Any]
POLICIES = (0, 1, 2)  # any legal step, as late as possible, as early as possible
CARE = (1.0, 0.97, 0.9)  # how often a sync that is needed is there
KERNELS = [
    pytest.param(random_kernels.one_core, 1, id="one_core"),
    pytest.param(random_kernels.all_cores, 3, id="all_cores"),
    pytest.param(random_kernels.two_vectors, 2, id="two_vectors"),
]
SEEDS = range(45)


def tensors() -> tuple[Array, Array]:
    size = 8 * random_kernels.PART
    return np.random.default_rng(0).standard_normal(size).astype(np.float32), np.zeros(size, np.float32)


def pointers(arrays: tuple[Array, ...]) -> list[int]:
    return [a.ctypes.data for a in arrays]


def differs(traced: Traced, expected: Array) -> bool:
    """Whether some order gives other bytes, or does not come to an end."""
    for seed, policy in enumerate(POLICIES):
        x, y = tensors()
        try:
            traced.executor.run_random(traced.blocks, pointers((x, y)), seed, policy)
        except RuntimeError as error:
            assert "deadlock" in str(error)
            return True
        if not np.array_equal(y.view(np.uint8), expected.view(np.uint8)):
            return True
    return False


@pytest.mark.parametrize(("kernel", "blocks"), KERNELS)
def test_a_clean_kernel_gives_the_same_bytes_in_any_order(kernel: npu.Kernel, blocks: int) -> None:
    judge_all(kernel, blocks, SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "blocks"), KERNELS)
def test_many_clean_kernels(kernel: npu.Kernel, blocks: int) -> None:
    judge_all(kernel, blocks, range(10_000, 12_500))


def judge_all(kernel: npu.Kernel, blocks: int, seeds: range) -> None:
    clean = wrong = 0
    for seed in seeds:
        x, y = tensors()
        traced = kernel[blocks].trace(x, y, seed, CARE[seed % 3])
        result = check(traced)
        if any(f.rule == "R18" for f in result.errors):
            continue
        traced.run(pointers((x, y)))
        other = differs(traced, y)
        assert not (result.clean and other), f"seed {seed}: the check finds nothing, but an order gives other bytes"
        clean += result.clean
        wrong += other
    assert clean > len(seeds) // 2  # the test looked at clean kernels,
    assert wrong > 0  # and its orders do show hazards


def test_an_operand_is_read_before_a_later_instruction_of_its_pipe_overwrites_it() -> None:
    import ascendlite.npu.ascendc as ac

    @npu.kernel(kind="aiv")
    def read_then_overwrite(x: Any, y: Any, n: int) -> None:
        alloc = ac.LocalMemAllocator(ac.Hardware.UB).Alloc
        a, b = alloc(npu.f32, n), alloc(npu.f32, n)
        ac.Duplicate(a, 3.0, n)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Adds(b, a, 1.0, n)
        ac.Duplicate(a, 7.0, n)  # no barrier: a pipe reads its operands in order
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopy(ac.GlobalTensor(y), b, n)

    x, y = tensors()
    traced = read_then_overwrite[1].trace(x, y, 512)
    assert check(traced).proved
    for policy in POLICIES:
        for seed in range(8):
            traced.executor.run_random(1, pointers((x, y)), seed, policy)
            assert (y[:512] == 4).all()
