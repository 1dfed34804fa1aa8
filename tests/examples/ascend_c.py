"""Kernels as the vendor's samples are written: queues, parameter structs, SetGlobalBuffer, scalars read back, atomics."""

from __future__ import annotations

from typing import Any

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac

half, f32 = npu.f16, npu.f32
EVEN = 0x5555555555555555


def after(event: ac.HardEvent) -> None:
    ac.SetFlag(event, ac.EVENT_ID0)
    ac.WaitFlag(event, ac.EVENT_ID0)


@npu.kernel(kind="aic")
def mmad_custom(a: Any, b: Any, c: Any, m: int, n: int, k: int) -> None:
    a_gm, b_gm, c_gm = ac.GlobalTensor(half), ac.GlobalTensor(half), ac.GlobalTensor(f32)
    for gm, x in ((a_gm, a), (b_gm, b), (c_gm, c)):
        gm.SetGlobalBuffer(x)
    pipe = ac.TPipe()
    queues = [ac.TQue(p, 1) for p in (ac.TPosition.A1, ac.TPosition.A2, ac.TPosition.B1, ac.TPosition.B2, ac.TPosition.CO1)]
    a1q, a2q, b1q, b2q, c1q = queues
    for q, size in zip(queues, (m * k * 2, m * k * 2, k * n * 2, k * n * 2, m * n * 4), strict=True):
        pipe.InitBuffer(q, 1, size)
    how = ac.Nd2NzParams()
    how.ndNum, how.nValue, how.dValue, how.srcDValue, how.dstNzC0Stride = 1, m, k, k, m
    for q, gm, params in ((a1q, a_gm, how), (b1q, b_gm, ac.Nd2NzParams(1, k, n, 0, n, k, 1, 0))):
        tile = q.AllocTensor(half)
        ac.DataCopy(tile, gm, params)
        q.EnQue(tile)
    load = ac.LoadData2DParams()
    for source, target, rows, columns, turned in ((a1q, a2q, m, k, False), (b1q, b2q, k, n, True)):
        tile, loaded = source.DeQue(half), target.AllocTensor(half)
        load.repeatTimes, load.srcStride, load.ifTranspose = columns // 16, rows // 16, turned
        for i in range(rows // 16):
            ac.LoadData(loaded[i * columns * 16], tile[i * 256], load)
        target.EnQue(loaded)
        source.FreeTensor(tile)
    a2, b2, c1 = a2q.DeQue(half), b2q.DeQue(half), c1q.AllocTensor(f32)
    ac.Mmad(c1, a2, b2, ac.MmadParams(m, n, k))
    c1q.EnQue(c1)
    a2q.FreeTensor(a2)
    b2q.FreeTensor(b2)
    c1 = c1q.DeQue(f32)
    ac.Fixpipe(c_gm, c1, ac.FixpipeParamsV220(n, m, m, n, True))
    c1q.FreeTensor(c1)


@npu.kernel(kind="aiv")
def softmax_by_scalars(x: Any, y: Any, rows: int, columns: int) -> None:
    pipe = ac.TPipe()
    into, out = ac.TQue(ac.QuePosition.VECIN, 1), ac.TQue(ac.QuePosition.VECOUT, 1)
    work_buf, number_buf = ac.TBuf(ac.TPosition.VECCALC), ac.TBuf(ac.TPosition.VECCALC)
    for buffer, size in ((work_buf, columns * 4), (number_buf, 32)):
        pipe.InitBuffer(buffer, size)
    for q in (into, out):
        pipe.InitBuffer(q, 1, columns * 4)
    work, number = work_buf.Get(f32), number_buf.Get(f32)
    x_gm, y_gm = ac.GlobalTensor(), ac.GlobalTensor()
    part = rows // ac.GetBlockNum() * columns
    x_gm.SetGlobalBuffer(x + ac.GetBlockIdx() * part, part)
    y_gm.SetGlobalBuffer(y + ac.GetBlockIdx() * part, part)
    for at in range(0, part, columns):
        tile = into.AllocTensor(f32)
        ac.DataCopy(tile, x_gm[at], columns)
        into.EnQue(tile)
        tile, result = into.DeQue(f32), out.AllocTensor(f32)
        ac.ReduceMax(number, tile, work, columns, False)
        after(ac.HardEvent.V_S)
        most = number.GetValue(0)
        after(ac.HardEvent.S_V)
        ac.Adds(result, tile, -most, columns)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Exp(result, result, columns)
        ac.PipeBarrier(ac.PIPE_V)
        ac.ReduceSum(number, result, work, columns)
        after(ac.HardEvent.V_S)
        share = 1.0 / number.GetValue(0)
        after(ac.HardEvent.S_V)
        ac.Muls(result, result, share, columns)
        out.EnQue(result)
        into.FreeTensor(tile)
        result = out.DeQue(f32)
        ac.DataCopy(y_gm[at], result, columns)
        out.FreeTensor(result)


@npu.kernel(kind="aiv")
def atomic_sum(x: Any, y: Any, columns: int) -> None:
    pipe, through = ac.TPipe(), ac.TQueBind(ac.TPosition.VECIN, ac.TPosition.VECOUT, 2)
    pipe.InitBuffer(through, 2, columns * 4)
    ac.SetAtomicAdd(f32)
    for i in range(2):
        tile = through.AllocTensor(f32)
        ac.DataCopy(tile, ac.GlobalTensor(x)[(ac.GetBlockIdx() * 2 + i) * columns], columns)
        through.EnQue(tile)
        tile = through.DeQue(f32)
        ac.DataCopy(ac.GlobalTensor(y), tile, columns)
        through.FreeTensor(tile)
    ac.SetAtomicNone()


@npu.kernel(kind="aiv")
def weave(x: Any, y: Any, n: int) -> None:
    """Even elements plus 1, odd ones plus 2: bitmap masks that interleave, so no barrier is needed between the two."""
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    a, b = ub.Alloc(f32, n), ub.Alloc(f32, n)
    ac.DataCopy(a, ac.GlobalTensor(x), n)
    after(ac.HardEvent.MTE2_V)
    how = ac.UnaryRepeatParams()
    how.dstRepStride = how.srcRepStride = 8
    ac.Adds(b, a, 1.0, [EVEN], n // 64, how)
    ac.Adds(b, a, 2.0, [EVEN << 1], n // 64, how)
    after(ac.HardEvent.V_MTE3)
    ac.DataCopy(ac.GlobalTensor(y), b, n)
