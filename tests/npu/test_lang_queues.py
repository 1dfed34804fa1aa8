"""TPipe, TQue and TBuf: right values with any number of slots, and every misuse refused at its line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac

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


def queue() -> ac.TQue:
    q = ac.TQue(VECIN, 2)
    ac.TPipe().InitBuffer(q, 2, 512)
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


MISUSES = {
    alloc_before_init: "AllocTensor before InitBuffer", get_before_init: "Get before InitBuffer", more_than_slots: "all 2 slots are in use",
    deque_of_nothing: "nothing is enqueued", enque_twice: "EnQue of slot 0, which is full; it must be allocated",
    free_before_deque: "FreeTensor of slot 0, which is allocated; it must be dequeued", foreign_tensor: "is not one of its slots",
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
