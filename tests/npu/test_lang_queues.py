"""TPipe, TQue and TBuf: right values with any number of slots, and every misuse refused at its line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.programs import Traced

AIV = 1
VECIN, VECOUT, VECCALC = ac.TPosition.VECIN, ac.TPosition.VECOUT, ac.TPosition.VECCALC


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_tiles_through_queues_and_a_temporary(slots: int) -> None:
    @npu.kernel(kind="aiv")
    def kernel(x, y, n):
        pipe, source, target, temporary = ac.TPipe(), ac.TQue(VECIN, slots), ac.TQue(VECOUT, slots), ac.TBuf(VECCALC)
        pipe.InitBuffer(source, slots, 512)
        pipe.InitBuffer(target, slots, 512)
        pipe.InitBuffer(temporary, 512)
        for i in range(n // 128):
            a = source.AllocTensor(x.dtype)
            ac.DataCopy(a, ac.GlobalTensor(x)[i * 128 :], 128)
            source.EnQue(a)
            a, b, t = source.DeQue(), target.AllocTensor(y.dtype), temporary.Get(npu.f32, 128)
            ac.Muls(t, a, 2.0, 128)
            ac.PipeBarrier(ac.PIPE_V)
            ac.Adds(b, t, 1.0, 128)
            ac.PipeBarrier(ac.PIPE_V)
            source.FreeTensor(a)
            target.EnQue(b)
            b = target.DeQue()
            ac.DataCopy(ac.GlobalTensor(y)[i * 128 :], b, 128)
            target.FreeTensor(b)
        pipe.Destroy()

    x, y = np.random.default_rng(0).standard_normal(1280).astype(np.float32), np.zeros(1280, np.float32)
    kernel[1](x, y, 1280)
    np.testing.assert_array_equal(y, x * 2 + 1)


def steps(loop: Callable[..., Any], slots: int, a_round: int, x: np.ndarray, y: np.ndarray, lead: int = 0) -> Traced:
    """Tiles of 128 numbers plus 1, `a_round` in each round of a loop that begins at the block; the last tiles, `lead` a block, before it."""

    @npu.kernel(kind="aiv")
    def kernel(x, y, rounds):
        pipe, source, target = ac.TPipe(), ac.TQue(VECIN, slots), ac.TQue(VECOUT, slots)
        pipe.InitBuffer(source, slots, 512)
        pipe.InitBuffer(target, slots, 512)

        def tile(at):
            a = source.AllocTensor(npu.f32)
            ac.DataCopy(a, ac.GlobalTensor(x)[at * 128 :], 128)
            source.EnQue(a)
            a, b = source.DeQue(), target.AllocTensor(npu.f32)
            ac.Adds(b, a, 1.0, 128)
            source.FreeTensor(a)
            target.EnQue(b)
            b = target.DeQue()
            ac.DataCopy(ac.GlobalTensor(y)[at * 128 :], b, 128)
            target.FreeTensor(b)

        for _ in range(lead):
            tile(rounds * a_round + ac.GetBlockIdx())
        for i in loop(ac.GetBlockIdx(), rounds, 2):
            for part in range(a_round):
                tile(i * a_round + part)

    rounds = (len(x) // 128 - 2 * lead) // a_round
    assert kernel[2].check(x, y, rounds).proved
    kernel[2](x, y, rounds)
    return kernel[2].trace(x, y, rounds)


@pytest.mark.parametrize("lead", [0, 1])
@pytest.mark.parametrize("a_round", [1, 2, 3])
@pytest.mark.parametrize("slots", [1, 2, 3])
def test_a_queue_takes_its_slots_in_turn_in_a_loop_of_the_program_too(slots: int, a_round: int, lead: int) -> None:
    x = np.random.default_rng(0).standard_normal(128 * (12 * a_round + 2 * lead)).astype(np.float32)
    y = np.zeros_like(x)
    unrolled, looped = (steps(loop, slots, a_round, x, y, lead) for loop in (range, ac.range))
    np.testing.assert_array_equal(x + 1, y)
    for block in range(2):
        expected, actual = ([(i[1], i[3], i[4]) for i in t.program.expand(AIV, block)] for t in (unrolled, looped))  # pipe, regions, arguments
        assert expected == actual


def test_queues_turn_in_nested_loops() -> None:
    """As in the unrolled loops: the inner one's number of rounds is known."""

    def places(loop: Callable[..., Any]) -> list[int]:
        @npu.kernel(kind="aiv")
        def kernel(x):
            q = queue(3)
            for i in loop(4):
                for j in loop(5):
                    a = q.AllocTensor(npu.f32)
                    ac.DataCopy(a, ac.GlobalTensor(x)[i * 640 + j * 128 :], 128)
                    q.EnQue(a)
                    q.FreeTensor(q.DeQue())

        traced = kernel[1].trace(np.zeros(2560, np.float32))
        return [i[3][0][4] for i in traced.program.expand(AIV, 0) if i[3]]  # where the first operand begins

    assert places(range) == places(ac.range)


def fetched_ahead(loop: Callable[..., Any], slots: int, ahead: int, rounds: int, x: np.ndarray, y: np.ndarray, blocks: int = 1) -> Traced:
    """Tiles of 128 numbers plus 1, each fetched `ahead` rounds before its turn; each block has its own, and the next block one round more."""

    @npu.kernel(kind="aiv")
    def kernel(x, y):
        pipe, source, target = ac.TPipe(), ac.TQue(VECIN, slots), ac.TQue(VECOUT, 2)
        pipe.InitBuffer(source, slots, 512)
        pipe.InitBuffer(target, 2, 512)
        begin, count = ac.GetBlockIdx() * (rounds + ahead + blocks), rounds + ac.GetBlockIdx()

        def fetch(tile):
            a = source.AllocTensor(npu.f32)
            ac.DataCopy(a, ac.GlobalTensor(x)[(begin + tile) * 128 :], 128)
            source.EnQue(a)

        def use(tile):
            a, b = source.DeQue(), target.AllocTensor(npu.f32)
            ac.Adds(b, a, 1.0, 128)
            source.FreeTensor(a)
            target.EnQue(b)
            b = target.DeQue()
            ac.DataCopy(ac.GlobalTensor(y)[(begin + tile) * 128 :], b, 128)
            target.FreeTensor(b)

        for i in range(ahead):
            fetch(i)
        for i in loop(count):
            fetch(i + ahead)
            use(i)
        for i in range(ahead):
            use(count + i)

    assert kernel[blocks].check(x, y).proved
    kernel[blocks](x, y)
    return kernel[blocks].trace(x, y)


AHEAD = [(2, 1), (3, 1), (3, 2), (4, 1), (4, 3)]  # slots, rounds ahead


@pytest.mark.parametrize(("slots", "ahead"), AHEAD)
def test_tensors_stay_in_a_queue_from_one_round_of_a_loop_to_the_next(slots: int, ahead: int) -> None:
    x = np.random.default_rng(0).standard_normal(128 * 20).astype(np.float32)
    y = np.zeros_like(x)
    unrolled, looped = (fetched_ahead(loop, slots, ahead, 9, x, y) for loop in (range, ac.range))
    tiles = 9 + ahead
    np.testing.assert_array_equal(x[: tiles * 128] + 1, y[: tiles * 128])
    expected, actual = ([(i[1], i[3], i[4]) for i in t.program.expand(AIV, 0)] for t in (unrolled, looped))  # pipe, regions, arguments
    assert expected == actual
    assert len(looped.words["aiv"]) < len(unrolled.words["aiv"])


@pytest.mark.parametrize(("slots", "ahead"), AHEAD)
def test_a_queue_is_taken_up_behind_a_loop_of_each_blocks_own_length(slots: int, ahead: int) -> None:
    rounds, blocks = 2, 5
    share = rounds + ahead + blocks  # tiles of a block; the last ones stay as they are
    x = np.random.default_rng(0).standard_normal((blocks, share * 128)).astype(np.float32)
    y = np.zeros_like(x)
    fetched_ahead(ac.range, slots, ahead, rounds, x.reshape(-1), y.reshape(-1), blocks)
    for block in range(blocks):
        done = (rounds + block + ahead) * 128
        np.testing.assert_array_equal(x[block, :done] + 1, y[block, :done])
        assert not y[block, done:].any()


def queue(slots: int = 2) -> ac.TQue:
    q = ac.TQue(VECIN, slots)
    ac.TPipe().InitBuffer(q, slots, 512)
    return q


def alloc_before_init(x):
    ac.TQue(VECIN, 2).AllocTensor(npu.f32)


def get_before_init(x):
    ac.TBuf().Get(npu.f32)


def more_than_slots(x):
    q = queue()
    for _ in range(3):
        q.AllocTensor(npu.f32)


def deque_of_nothing(x):
    queue().DeQue()


def enque_twice(x):
    q = queue()
    t = q.AllocTensor(npu.f32)
    q.EnQue(t)
    q.EnQue(t)


def free_before_deque(x):
    q = queue()
    q.FreeTensor(q.AllocTensor(npu.f32))


def foreign_tensor(x):
    q, other = queue(), queue()
    q.EnQue(other.AllocTensor(npu.f32))


def never_freed(x):
    q = queue()
    q.EnQue(q.AllocTensor(npu.f32))


def too_many_queues(x):
    for _ in range(4):
        queue()


def more_each_round(x):
    q = queue(3)
    for _ in ac.range(3):
        q.EnQue(q.AllocTensor(npu.f32))


def fetched_in_a_branch(x):
    q = queue()
    q.EnQue(q.AllocTensor(npu.f32))
    for i in ac.range(4):
        with ac.If(i < 3):
            q.EnQue(q.AllocTensor(npu.f32))
        q.FreeTensor(q.DeQue())


def turned_by_a_loop_within(x):
    q = queue()
    q.EnQue(q.AllocTensor(npu.f32))
    for i in ac.range(4):
        for _ in ac.range(i):
            q.EnQue(q.AllocTensor(npu.f32))
            q.FreeTensor(q.DeQue())


MISUSES = {
    alloc_before_init: "AllocTensor before InitBuffer", get_before_init: "Get before InitBuffer", more_than_slots: "all 2 slots are in use",
    deque_of_nothing: "nothing is enqueued", enque_twice: "EnQue of slot 0, which is full; it must be allocated",
    free_before_deque: "FreeTensor of slot 0, which is allocated; it must be dequeued", foreign_tensor: "is not one of its slots",
    more_each_round: r"ac.range at .* leaves a TQue with slot 0 full; it found it with no tensor",
    fetched_in_a_branch: "ac.If at .* leaves a TQue with slot 0 full, slot 1 full; it found it with slot 0 full",
    turned_by_a_loop_within: "by a number of slots that is not known",
    never_freed: "1 tensors were not freed at the end", too_many_queues: "8 ids of MTE2_V are needed; the kernel has 6",
}  # fmt: skip


@pytest.mark.parametrize(("body", "text"), MISUSES.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_misuse_is_refused(body: Callable[..., None], text: str) -> None:
    with pytest.raises(npu.KernelError, match=text):
        npu.kernel(body, kind="aiv")[1].trace(np.zeros(64, np.float32))


def test_there_is_no_queue_at_a_temporary_position() -> None:
    def body(x):
        ac.TQue(VECCALC, 1)

    with pytest.raises(npu.KernelError, match="there is no queue at VECCALC"):
        npu.kernel(body, kind="aiv")[1].trace(np.zeros(64, np.float32))
