"""Random programs: the check, the clock and the executor agree with themselves. `-m slow` runs the long form.

The check never crashes; what it finds clean gives the same bytes for one thread and many, and in random legal orders on poisoned memory;
the clock is finite, positive, the same twice, and never faster than the work of its busiest pipe.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ascendlite.npu as npu
from ascendlite.npu.checker import CheckResult, check
from ascendlite.npu.programs import Traced
from ascendlite.npu.timeline import timed
from tests.npu import random_kernels

Array = NDArray[Any]
KERNELS = ((random_kernels.one_core, 1), (random_kernels.one_core, 7), (random_kernels.all_cores, 3), (random_kernels.two_vectors, 2))
SIZE = 16 * random_kernels.PART


def tensors(seed: int) -> tuple[Array, Array]:
    return np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32), np.zeros(SIZE, np.float32)


def pointers(arrays: tuple[Array, ...]) -> list[int]:
    return [a.ctypes.data for a in arrays]


def clock_is_sane(traced: Traced) -> None:
    first, again = timed(traced), timed(traced)
    assert 0 < first.us < math.inf
    assert first.us == again.us
    for pipe in ("V", "MTE2", "MTE3"):
        assert first.cycles(pipe) == again.cycles(pipe)
        assert first.us >= first.cycles(pipe) / traced.chip.clock_hz * 1e6 * (1 - 1e-9), pipe


def same_in_any_order(traced: Traced, seed: int, expected: Array) -> None:
    for policy in range(3):
        x, y = tensors(seed)
        traced.executor.run_random(traced.blocks, pointers((x, y)), seed, policy)
        assert y.tobytes() == expected.tobytes(), f"seed {seed}, policy {policy}: clean, but this order gives other bytes"


def judge(seed: int) -> CheckResult:
    """One random program through everything."""
    kernel, blocks = KERNELS[seed % len(KERNELS)]
    x, y = tensors(seed)
    traced = kernel[blocks].trace(x, y, seed, random.Random(seed).choice((1.0, 0.97, 0.9, 0.5)))
    result = check(traced)
    assert str(result)
    if any(f.rule == "R18" for f in result.errors):
        return result
    clock_is_sane(traced)
    if result.clean:
        traced.executor.run(traced.blocks, pointers((x, y)), 0, 0, True)
        one = y.copy()
        x, y = tensors(seed)
        traced.executor.run(traced.blocks, pointers((x, y)), 0, 0, False)
        assert y.tobytes() == one.tobytes(), f"seed {seed}: one thread and many give different bytes"
        same_in_any_order(traced, seed, one)
    return result


def judge_all(seeds: range) -> None:
    verdicts = Counter(judge(seed).clean for seed in seeds)
    assert min(verdicts[True], verdicts[False]) > len(seeds) // 10  # both kinds were looked at


def test_random_programs() -> None:
    judge_all(range(60))


@pytest.mark.slow
def test_many_random_programs() -> None:
    with npu.on_chip("910b1"):
        judge_all(range(1000, 3000))
