"""Tracing: expressions mean what Python means, blocks share code where they may, loops stay loops, and what can't be left open is refused."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang import sym
from ascendlite.npu.programs import Kernel

BLOCKS = 7
OPERATORS: list[Callable[[Any, Any], Any]] = [
    operator.add, operator.sub, operator.mul, operator.and_, operator.or_, operator.xor, ac.min, ac.max, operator.lt, operator.le, operator.eq,
    operator.ne, operator.gt, operator.ge,
]


def values_of(kernel: Kernel[Any], *args: Any, blocks: int = BLOCKS, core: int = 1) -> list[list[tuple[Any, ...]]]:
    """Instructions of each block."""
    traced = kernel[blocks].trace(*args)
    return [traced.program.expand(core, b) for b in range(blocks)]


def offsets(instructions: list[tuple[Any, ...]]) -> list[int]:
    """Byte offsets in GM of the first operand, in order."""
    return [i[3][0][4] for i in instructions if i[3] and i[3][0][0] == 0]


def random_expression(rng: random.Random, depth: int) -> Callable[[Any, Any], Any]:
    """A function of block and loop index, the same on integers as on expressions."""
    if depth == 0:
        constant = rng.randrange(-5, 40)
        return rng.choice([lambda b, i: b, lambda b, i: i, lambda b, i: constant])
    left, right = random_expression(rng, depth - 1), random_expression(rng, depth - 1)
    which = rng.randrange(len(OPERATORS) + 3)
    if which < len(OPERATORS):
        return lambda b, i: OPERATORS[which](left(b, i), right(b, i)) + 0
    number = rng.randrange(1, 9)
    if which == len(OPERATORS):
        return lambda b, i: left(b, i) // number
    if which == len(OPERATORS) + 1:
        return lambda b, i: left(b, i) % number
    return lambda b, i: ac.select(left(b, i) < right(b, i), left(b, i), right(b, i))


@pytest.mark.parametrize("seed", range(40))
def test_expressions_are_python_integers(seed: int) -> None:
    formula = random_expression(random.Random(seed), 4)

    @npu.kernel(kind="aiv")
    def put(y):
        for i in ac.range(3):
            value = formula(ac.GetBlockIdx(), i)
            at = ac.max(0, ac.min(value, 1000))
            ac.SetValue(ac.GlobalTensor(y), at, 1)

    y = np.zeros(1001, np.int32)
    for block, instructions in enumerate(values_of(put, y)):
        assert offsets(instructions) == [4 * max(0, min(int(formula(block, i)), 1000)) for i in range(3)]


@pytest.mark.parametrize("seed", range(25))
def test_ranges_hold_every_value(seed: int) -> None:
    formula = random_expression(random.Random(1000 + seed), 3)
    seen: list[tuple[int, int]] = []

    @npu.kernel(kind="aiv")
    def put(y):
        for i in ac.range(5):
            value = formula(ac.GetBlockIdx(), i)
            seen.append(sym.bounds(value))
            ac.SetValue(ac.GlobalTensor(y), 0, value)

    put[BLOCKS].trace(np.zeros(1, np.int64))
    low, high = seen[0]
    assert all(low <= int(formula(b, i)) <= high for b in range(BLOCKS) for i in range(5))


def test_blocks_with_the_same_answers_share_their_code() -> None:
    traced = []

    @npu.kernel(kind="aiv")
    def put(y, n):
        traced.append(1)
        first = ac.GetBlockIdx() * 10
        for i in range(min(10, n - first)):  # full blocks, one short block
            ac.SetValue(ac.GlobalTensor(y), first + i, 1)

    counts = [len(offsets(i)) for i in values_of(put, np.zeros(100, np.int32), 64)]
    assert counts == [10, 10, 10, 10, 10, 10, 4]
    assert len(traced) == 2


def test_blocks_that_need_their_index_are_traced_alone() -> None:
    traced = []

    @npu.kernel(kind="aiv")
    def put(y):
        traced.append(1)
        table = [5, 3, 8, 1, 0, 2, 9]
        ac.SetValue(ac.GlobalTensor(y), table[ac.GetBlockIdx()], 1)

    assert [offsets(i) for i in values_of(put, np.zeros(10, np.int32))] == [[20], [12], [32], [4], [0], [8], [36]]
    assert len(traced) == BLOCKS


def test_mixed_kernels_number_vector_cores_two_a_group() -> None:
    @npu.kernel(kind="mix")
    def put(y):
        if ac.IsAIV():
            ac.SetValue(ac.GlobalTensor(y), ac.GetBlockIdx(), ac.GetSubBlockIdx())
        else:
            ac.SetValue(ac.GlobalTensor(y), 50 + ac.GetBlockIdx(), ac.GetBlockNum())

    y = np.zeros(60, np.int32)
    traced = put[3].trace(y)
    vector = [[offsets(traced.program.expand(1, b, s)) for s in (0, 1)] for b in range(3)]
    assert vector == [[[0], [4]], [[8], [12]], [[16], [20]]]
    assert [offsets(traced.program.expand(0, b)) for b in range(3)] == [[200], [204], [208]]


def test_an_index_of_two_loops() -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        for i in ac.range(2, 8, 3):
            for j in ac.range(i):
                with ac.If(j % 2 == 0):
                    ac.SetValue(ac.GlobalTensor(y), i * 10 + j, 1)
                with ac.Else():
                    ac.SetValue(ac.GlobalTensor(y), i * 10 + j + 100, 1)

    found = offsets(values_of(put, np.zeros(300, np.int32), blocks=1)[0])
    assert [f // 4 for f in found] == [i * 10 + j + 100 * (j % 2) for i in (2, 5) for j in range(i)]


def test_a_loop_that_runs_once_or_never_is_no_loop() -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        for i in ac.range(4, 5):
            assert i == 4 and isinstance(i, int)
            ac.SetValue(ac.GlobalTensor(y), i, 1)
        for _ in ac.range(3, 3):
            raise AssertionError

    assert [offsets(i) for i in values_of(put, np.zeros(10, np.int32), blocks=1)] == [[16]]


def test_python_state_carried_through_a_loop_is_refused() -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        slot = 0
        for _ in ac.range(8):
            ac.SetValue(ac.GlobalTensor(y), slot, 1)
            slot ^= 1

    with pytest.raises(npu.KernelError, match="the body of ac.range does something else the second time"):
        put[1].trace(np.zeros(10, np.int32))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_python_state_is_refused_wherever_it_changes_within_nested_loops(depth: int) -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        slot = 0
        for i in ac.range(8):
            slot ^= int(depth == 0)
            for j in ac.range(8):
                slot ^= int(depth == 1)
                for k in ac.range(8):
                    ac.SetValue(ac.GlobalTensor(y), i + j + k + slot, 1)
                    slot ^= int(depth == 2)

    with pytest.raises(npu.KernelError, match="the body of ac.range does something else the second time"):
        put[1].trace(np.zeros(30, np.int32))


def test_a_body_within_nested_loops_runs_once_more_for_each() -> None:
    runs = []

    @npu.kernel(kind="aiv")
    def put(y):
        for i in ac.range(8):
            for j in ac.range(8):
                for k in ac.range(8):
                    runs.append(1)
                    ac.SetValue(ac.GlobalTensor(y), i + j + k, 1)

    put[1].trace(np.zeros(30, np.int32))
    assert len(runs) == 4


def test_instructions_are_remembered_through_a_loop_unless_something_is_set_in_it() -> None:
    @npu.kernel(kind="aiv")
    def add(y):
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f32, 64)
        for i in ac.range(8):
            ac.DataCopy(ac.GlobalTensor(y)[64 * i :], t, 64)
            ac.SetAtomicAdd(npu.f32)
            ac.DataCopy(ac.GlobalTensor(y)[64 * i :], t, 64)
            ac.SetAtomicNone()

    text = add[1].dump(np.zeros(512, np.float32))
    assert [("atomic>" in line) for line in text.splitlines() if "DataCopy" in line] == [False, True]


def test_a_loop_that_is_left_early_is_refused() -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        for i in ac.range(8):
            ac.SetValue(ac.GlobalTensor(y), i, 1)
            break

    with pytest.raises(npu.KernelError, match="still open"):
        put[1].trace(np.zeros(10, np.int32))


def test_what_only_the_device_knows_is_refused_as_a_condition() -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        for i in ac.range(8):
            if i < 3:
                ac.SetValue(ac.GlobalTensor(y), i, 1)

    with pytest.raises(npu.KernelError, match="Python needs the value of an integer that only the device knows"):
        put[1].trace(np.zeros(10, np.int32))


def test_names_outside_of_a_kernel_are_refused() -> None:
    with pytest.raises(npu.KernelError, match="no kernel is being traced"):
        ac.PipeBarrier(ac.PIPE_V)


def test_a_program_is_made_once_for_a_kind_of_call() -> None:
    @npu.kernel(kind="aiv")
    def put(y, n, scale=1.0):
        ac.SetValue(ac.GlobalTensor(y), n, scale)

    y = np.zeros(10, np.float32)
    first = put[1].trace(y, 1)
    assert put[1].trace(np.ones(10, np.float32), 1) is first
    others = [put[1].trace(y, 2), put[2].trace(y, 1), put[1].trace(y, 1, 2.0), put[1].trace(np.zeros(11, np.float32), 1), put[1].trace(np.zeros(10, np.float16), 1)]
    with npu.on_chip("910b4"):
        others.append(put[1].trace(y, 1))
    assert len({id(t) for t in (first, *others)}) == 7


def test_a_listing_shows_loops_branches_and_lines() -> None:
    @npu.kernel(kind="aiv")
    def put(y):
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f32, 64)
        for i in ac.range(4):
            with ac.If(i == ac.GetBlockIdx()):
                ac.DataCopy(ac.GlobalTensor(y)[i * 64 :], t, 64)

    text = put[4].dump(np.zeros(256, np.float32))
    assert "for i0 in range(0, 4, 1):" in text and "if i0 == block:" in text
    assert "MTE3 DataCopy" in text and ">y[(i0 * 64) * 4, +256) f32  <UB:t[0, 256) f32" in text and "# test_lang_trace.py:" in text
