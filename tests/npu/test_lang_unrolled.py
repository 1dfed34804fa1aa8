"""Python's range over what depends on the block: the rounds of each block, in a trace that blocks with equally many rounds share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.errors import KernelError

BLOCKS = 7
RANGES: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "a stride of blocks": lambda b: (b, 40, BLOCKS),
    "a part each": lambda b: (b * 6, ac.min(b * 6 + 6, 39)),
    "from zero": lambda b: (b % 3,),
    "downwards": lambda b: (39 - b, 2 * b, -5),
    "empty for some": lambda b: (b, 4),
}
counted = 0


def offsets(kernel: Any, *args: Any) -> list[list[int]]:
    """Byte offsets in GM of each block's operands there, in order."""
    program = kernel[BLOCKS].trace(*args).program
    return [[o[4] for i in program.expand(1, b) for o in i[3] if o[0] == 0] for b in range(BLOCKS)]


@pytest.mark.parametrize("ends", RANGES.values(), ids=RANGES)
def test_each_block_makes_the_rounds_that_python_makes(ends: Callable[[Any], tuple[Any, ...]]) -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.i32, 8)
        for r in range(*ends(ac.GetBlockIdx())):
            ac.DataCopy(ac.GlobalTensor(y)[8 * r :], t, 8)

    assert [[32 * r for r in range(*ends(b))] for b in range(BLOCKS)] == offsets(put, np.zeros(400, np.int32))


def test_blocks_that_make_equally_many_rounds_share_a_trace() -> None:
    traces = []

    @npu.kernel(kind="aiv")
    def put(y, rows):
        traces.append(0)
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.i32, 8)
        for i, r in enumerate(range(ac.GetBlockIdx(), rows, ac.GetBlockNum())):
            ac.SetFlag(ac.HardEvent.V_MTE3, i % 2)
            ac.WaitFlag(ac.HardEvent.V_MTE3, i % 2)
            ac.DataCopy(ac.GlobalTensor(y)[8 * r :], t, 8)

    put[48].trace(np.zeros((1000, 8), np.int32), 1000)
    assert len(traces) == 2  # of 21 rounds, and of 20


def test_an_index_is_looked_up_as_its_value() -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.i32, 8)
        moved, late = {k: 20 + k for k in range(5)}, {1, 8}
        rounds = range(ac.GetBlockIdx(), 2 * BLOCKS, BLOCKS)
        assert len(rounds) == 2
        assert rounds[1] == rounds[-1] == [*rounds][1] == rounds[1:][0]
        for r in rounds:
            if r not in late:
                ac.DataCopy(ac.GlobalTensor(y)[8 * moved.get(r, r) :], t, 8)

    expected = [[32 * (r + 20 if r < 5 else r) for r in (b, b + BLOCKS) if r not in (1, 8)] for b in range(BLOCKS)]
    assert expected == offsets(put, np.zeros(400, np.int32))


@pytest.mark.parametrize("use", [lambda r: int(r / 2 + 0.25), lambda r: (isinstance(r, int) or 1 / 0) and r // 2, lambda r: round(r.bit_length() * 0.5)])
def test_where_python_needs_integers_it_gets_them(use: Callable[[Any], int]) -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.i32, 8)
        for r in range(ac.GetBlockIdx(), 20, BLOCKS):
            ac.DataCopy(ac.GlobalTensor(y)[8 * use(r) :], t, 8)

    assert [[32 * use(r) for r in range(b, 20, BLOCKS)] for b in range(BLOCKS)] == offsets(put, np.zeros(400, np.int32))


def test_a_kernel_that_counts_in_a_global_variable_sees_it_move() -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        global counted
        counted = 0
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.i32, 8)
        for _ in range(ac.GetBlockIdx(), 20, BLOCKS):
            another()
            ac.DataCopy(ac.GlobalTensor(y)[8 * counted :], t, 8)

    assert [[32 * (i + 1) for i, _ in enumerate(range(b, 20, BLOCKS))] for b in range(BLOCKS)] == offsets(put, np.zeros(400, np.int32))


def another() -> None:
    global counted
    counted += 1


def test_operands_that_overlap_in_some_block_are_refused() -> None:
    @npu.kernel(kind="aiv")
    def shift(y, distance):
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f32, 1024)
        for r in range(ac.GetBlockIdx(), 2 * BLOCKS, BLOCKS):
            ac.Adds(t[64 * r :], t[64 * r + 8 * distance :], 1.0, 64)

    for distance in (0, 8):
        shift[BLOCKS].trace(np.zeros(64, np.float32), distance)
    with pytest.raises(KernelError, match=r"R11.*overlap in part"):
        shift[BLOCKS].trace(np.zeros(64, np.float32), 1)
