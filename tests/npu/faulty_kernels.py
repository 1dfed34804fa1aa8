"""One kernel a rule that breaks it (`ok=False`) and, with `ok=True`, keeps it. The texts about the former are in goldens/npu_findings.txt."""

from __future__ import annotations

import numpy as np

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang.tensors import Argument

f16, f32 = npu.f16, npu.f32
MTE2_V, V_MTE2, V_MTE3, MTE3_V, V_S, MTE2_S, S_MTE2 = (ac.HardEvent[e] for e in ("MTE2_V", "V_MTE2", "V_MTE3", "MTE3_V", "V_S", "MTE2_S", "S_MTE2"))


def ub() -> ac.LocalMemAllocator:
    return ac.LocalMemAllocator(ac.Hardware.UB)


def order(event: ac.HardEvent, number: int = 0) -> None:
    ac.SetFlag(event, number)
    ac.WaitFlag(event, number)


@npu.kernel(kind="aiv")
def r01_capacity(x: Argument, y: Argument, ok: bool) -> None:
    xi, yo = ub().Alloc(x.dtype, 24 * 1024), ub().Alloc(x.dtype, 24 * 1024)
    work = ub().Alloc(f32, 16 * 1024 if ok else 26 * 1024)
    ac.DataCopy(xi, ac.GlobalTensor(x), 1024)
    order(MTE2_V)
    ac.Adds(yo, xi, 1.0, 1024)
    ac.Duplicate(work, 0.0, 64)
    order(V_MTE3)
    ac.DataCopy(ac.GlobalTensor(y), yo, 1024)


@npu.kernel(kind="aiv")
def r02_alignment(x: Argument, y: Argument, ok: bool) -> None:
    a = ub().Alloc(f32, 256)
    with ac.If(ac.GetBlockIdx() < 2):
        ac.DataCopy(a[ac.GetBlockIdx() * (8 if ok else 4) :], ac.GlobalTensor(x), 64)


@npu.kernel(kind="aiv")
def r06_set_twice(x: Argument, y: Argument, ok: bool) -> None:
    a, b = ub().Alloc(f32, 64), ub().Alloc(f32, 64)
    for i in range(2):
        ac.DataCopy(b if i else a, ac.GlobalTensor(x)[i * 64 :], 64)
        ac.SetFlag(MTE2_V, i if ok else 0)
    for i in range(2):
        ac.WaitFlag(MTE2_V, i if ok else 0)
    ac.Adds(b, a, 1.0, 64)


@npu.kernel(kind="aiv")
def r07_flag_left(x: Argument, y: Argument, ok: bool) -> None:
    a = ub().Alloc(f32, 64)
    ac.DataCopy(a, ac.GlobalTensor(x), 64)
    ac.SetFlag(MTE2_V, 3)
    if ok:
        ac.WaitFlag(MTE2_V, 3)


@npu.kernel(kind="aiv")
def r08_same_pipe(x: Argument, y: Argument, ok: bool) -> None:
    a, b = ub().Alloc(f32, 64), ub().Alloc(f32, 64)
    ac.Duplicate(a, 1.0, 64)
    if ok:
        ac.PipeBarrier(ac.PIPE_V)
    ac.Adds(b, a, 1.0, 64)


def tile(x: Argument, m: int, n: int) -> tuple[ac.LocalTensor, ac.LocalTensor, ac.LocalTensor]:
    """Operands of an m x 16 by 16 x n product, loaded."""
    l1 = ac.LocalMemAllocator(ac.Hardware.L1)
    a1, b1 = l1.Alloc(f16, m * 16), l1.Alloc(f16, 16 * n)
    a0 = ac.LocalMemAllocator(ac.Hardware.L0A).Alloc(f16, m * 16)
    b0 = ac.LocalMemAllocator(ac.Hardware.L0B).Alloc(f16, 16 * n)
    c0 = ac.LocalMemAllocator(ac.Hardware.L0C).Alloc(f32, m * n)
    ac.DataCopy(a1, ac.GlobalTensor(x), ac.Nd2NzParams(m, 16, ld=16))
    ac.DataCopy(b1, ac.GlobalTensor(x), ac.Nd2NzParams(16, n, ld=n))
    order(ac.HardEvent.MTE2_MTE1)
    ac.LoadA(a0, a1, m, 16)
    ac.LoadB(b0, b1, 16, n)
    order(ac.HardEvent.MTE1_M)
    return a0, b0, c0


@npu.kernel(kind="aic")
def r09_accumulate(x: Argument, y: Argument, ok: bool) -> None:
    m, n = (64, 64) if ok else (32, 32)
    a0, b0, c0 = tile(x, m, n)
    ac.Mmad(c0, a0, b0, m, n, 16, init=True)
    ac.Mmad(c0, a0, b0, m, n, 16, init=False)


@npu.kernel(kind="aic")
def r10_unit_flag(x: Argument, y: Argument, ok: bool) -> None:
    a0, b0, c0 = tile(x, 64, 64)
    ac.Mmad(c0, a0, b0, 64, 64, 16, init=True, unitFlag=2)
    ac.Mmad(c0, a0, b0, 64, 64, 16, init=False, unitFlag=3 if ok else 2)
    ac.Fixpipe(ac.GlobalTensor(y), c0, 64, 64, 64, unitFlag=3)


@npu.kernel(kind="aic")
def r10_not_taken(x: Argument, y: Argument, ok: bool) -> None:
    a0, b0, c0 = tile(x, 64, 64)
    ac.Mmad(c0, a0, b0, 64, 64, 16, init=True, unitFlag=3)
    order(ac.HardEvent.M_FIX)
    ac.Fixpipe(ac.GlobalTensor(y), c0, 64, 64, 64, unitFlag=3 if ok else 0)


@npu.kernel(kind="aiv")
def r14_unwritten(x: Argument, y: Argument, ok: bool) -> None:
    a, b = ub().Alloc(f32, 128), ub().Alloc(f32, 128)
    ac.DataCopy(a, ac.GlobalTensor(x), 128 if ok else 64)
    order(MTE2_V)
    ac.Adds(b, a, 1.0, 128)
    order(V_MTE3)
    ac.DataCopy(ac.GlobalTensor(y), b, 128)


@npu.kernel(kind="aiv")
def r15_out_of_bounds(x: Argument, y: Argument, ok: bool) -> None:
    a = ub().Alloc(f32, 1032)
    each = 1024 if ok else 1032
    ac.DataCopy(a, ac.GlobalTensor(x)[ac.GetBlockIdx() * each :], each)


@npu.kernel(kind="aiv")
def r16_read_too_early(x: Argument, y: Argument, ok: bool) -> None:
    a, b = ub().Alloc(f32, 64), ub().Alloc(f32, 64)
    ac.DataCopy(a, ac.GlobalTensor(x), 64)
    if ok:
        order(MTE2_V)
    ac.Adds(b, a, 1.0, 64)


@npu.kernel(kind="aiv")
def r16_overwritten(x: Argument, y: Argument, ok: bool) -> None:
    a, b = ub().Alloc(f32, 64), ub().Alloc(f32, 64)
    for i in range(2):
        ac.DataCopy(a, ac.GlobalTensor(x)[i * 64 :], 64)
        order(MTE2_V)
        ac.Adds(b, a, 1.0, 64)
        if ok:
            ac.PipeBarrier(ac.PIPE_ALL)


@npu.kernel(kind="aiv")
def r17_blocks_overlap(x: Argument, y: Argument, ok: bool) -> None:
    a = ub().Alloc(f32, 64)
    ac.Duplicate(a, 1.0, 64)
    order(V_MTE3)
    ac.DataCopy(ac.GlobalTensor(y)[ac.GetBlockIdx() * (64 if ok else 56) :], a, 64)


@npu.kernel(kind="mix")
def r17_cores(x: Argument, y: Argument, ok: bool) -> None:
    out = ac.GlobalTensor(y)[(ac.GetBlockIdx() if ac.IsAIC() else ac.GetBlockIdx() // 2) * 4096 :]
    if ac.IsAIC():
        a0, b0, c0 = tile(x, 64, 64)
        ac.Mmad(c0, a0, b0, 64, 64, 16, init=True)
        order(ac.HardEvent.M_FIX)
        ac.Fixpipe(out, c0, 64, 64, 64)
        if ok:
            ac.CrossCoreSetFlag(2, ac.PIPE_FIX, 8)
    else:
        a = ub().Alloc(y.dtype, 2048)
        if ok:
            ac.CrossCoreWaitFlag(8)
        ac.DataCopy(a, out[ac.GetSubBlockIdx() * 2048 :], 2048)


@npu.kernel(kind="mix")
def r18_deadlock(x: Argument, y: Argument, ok: bool) -> None:
    if ac.IsAIC():
        ac.CrossCoreWaitFlag(9)
    else:
        if ok or ac.GetSubBlockIdx() == 0:
            ac.CrossCoreSetFlag(2, ac.PIPE_MTE3, 9)
        ac.SetFlag(MTE2_V, 0)
        ac.WaitFlag(MTE2_V, 0 if ok else 1)
        ac.PipeBarrier(ac.PIPE_ALL)


@npu.kernel(kind="aiv")
def r18_uneven_barrier(x: Argument, y: Argument, ok: bool) -> None:
    for _ in range(2 if ok or ac.GetBlockIdx() else 1):
        ac.SyncAll()


@npu.kernel(kind="mix")
def r19_counter(x: Argument, y: Argument, ok: bool) -> None:
    for _ in range(15 if ok else 16):
        if ac.IsAIC():
            ac.CrossCoreSetFlag(2, ac.PIPE_FIX, 8)
        else:
            ac.CrossCoreWaitFlag(8)


@npu.kernel(kind="aiv")
def r20_resident(x: Argument, y: Argument, ok: bool) -> None:
    if not ok:
        ac.SyncAll()


@npu.kernel(kind="aiv")
def r21_scalar_write(x: Argument, y: Argument, ok: bool) -> None:
    a = ub().Alloc(f32, 64)
    out = ac.GlobalTensor(y)
    ac.SetValue(out, 0, 1.0)
    if ok:
        ac.DataCacheCleanAndInvalid(out)
    order(S_MTE2)
    ac.DataCopy(a, out, 64)


@npu.kernel(kind="aiv")
def r24_scalar_read(x: Argument, y: Argument, ok: bool) -> None:
    a = ub().Alloc(npu.i32, 64)
    ac.Duplicate(a, 1, 64)
    if ok:
        order(V_S)
    ac.GetValue(a, 0, 0, 10)


@npu.kernel(kind="aiv")
def unsupported_flow(x: Argument, y: Argument, ok: bool) -> None:
    a = ub().Alloc(npu.i32, 64)
    ac.Duplicate(a, 1, 64)
    order(V_S)
    n = ac.GetValue(a, 0, 0, 10)
    with ac.If(ac.GetBlockNum() if ok else n):
        order(V_MTE2)


@npu.kernel(kind="aiv")
def note_atomics(x: Argument, y: Argument, ok: bool) -> None:
    a = ub().Alloc(f32, 64)
    ac.Duplicate(a, 1.0, 64)
    order(V_MTE3)
    ac.SetAtomicAdd(f32)
    ac.DataCopy(ac.GlobalTensor(y)[ac.GetBlockIdx() * 64 if ok else 0 :], a, 64)
    ac.SetAtomicNone()


# kernel, blocks, dtype of its tensors
KERNELS = (
    (r01_capacity, 1, np.float16), (r02_alignment, 2, np.float32), (r06_set_twice, 1, np.float32), (r07_flag_left, 1, np.float32),
    (r08_same_pipe, 1, np.float32), (r09_accumulate, 1, np.float16), (r10_unit_flag, 1, np.float16), (r10_not_taken, 1, np.float16), (r14_unwritten, 1, np.float32),
    (r15_out_of_bounds, 8, np.float32), (r16_read_too_early, 1, np.float32), (r16_overwritten, 8, np.float32), (r17_blocks_overlap, 4, np.float32),
    (r17_cores, 2, np.float16), (r18_deadlock, 2, np.float32), (r18_uneven_barrier, 3, np.float32), (r19_counter, 1, np.float32),
    (r20_resident, 50, np.float32), (r21_scalar_write, 1, np.float32), (r24_scalar_read, 1, np.float32), (unsupported_flow, 1, np.float32),
    (note_atomics, 4, np.float32),
)  # fmt: skip
