"""Kernels of cube cores, and of both kinds, as someone ports them from a card's own samples: slabs of K, bias and scales, a workspace handed over."""

from __future__ import annotations

from typing import Any

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from tests.examples.ports import pass_on

half, f32, i32, i8 = npu.f16, npu.f32, npu.i32, npu.i8
EVENT = ac.HardEvent
READY, DONE = 8, 9  # cross-core flags


@npu.kernel(kind="mix")
def matmul_leaky(a: Any, b: Any, work: Any, y: Any, M: int, N: int, K: int) -> None:
    """A cube core multiplies to a workspace, its two vector cores put the slope on one half each; M and N of one tile."""
    if ac.IsAIC():
        l1 = ac.LocalMemAllocator(ac.Hardware.L1)
        al, bl = l1.Alloc(half, M * K), l1.Alloc(half, K * N)
        a0 = ac.LocalMemAllocator(ac.Hardware.L0A).Alloc(half, M * K)
        b0 = ac.LocalMemAllocator(ac.Hardware.L0B).Alloc(half, K * N)
        c0 = ac.LocalMemAllocator(ac.Hardware.L0C).Alloc(f32, M * N)
        group = ac.GetBlockIdx()
        ac.DataCopy(al, ac.GlobalTensor(a)[group * M * K], ac.Nd2NzParams(M, K, ld=K))
        ac.DataCopy(bl, ac.GlobalTensor(b), ac.Nd2NzParams(K, N, ld=N))
        pass_on(EVENT.MTE2_MTE1)
        ac.LoadA(a0, al, M, K)
        ac.LoadB(b0, bl, K, N)
        pass_on(EVENT.MTE1_M)
        ac.Mmad(c0, a0, b0, M, N, K, init=True)
        pass_on(EVENT.M_FIX)
        ac.Fixpipe(ac.GlobalTensor(work)[group * M * N], c0, M, N, N)
        ac.CrossCoreSetFlag(2, ac.PIPE_FIX, READY)
        return
    part = M * N // 2
    start = ac.GetBlockIdx() * part
    t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, part)
    ac.CrossCoreWaitFlag(READY)
    ac.DataCopy(t, ac.GlobalTensor(work)[start], part)
    pass_on(EVENT.MTE2_V)
    ac.LeakyRelu(t, t, 0.1, part)
    pass_on(EVENT.V_MTE3)
    ac.DataCopy(ac.GlobalTensor(y)[start], t, part)


@npu.kernel(kind="aic")
def quant_matmul(a: Any, b: Any, scales: Any, y: Any, M: int, N: int, K: int) -> None:
    """int8 by int8, each column dequantised on its way out of L0C by a scale in the fixpipe's buffer."""
    l1 = ac.LocalMemAllocator(ac.Hardware.L1)
    al, bl, sl = l1.Alloc(i8, M * K), l1.Alloc(i8, N * K), l1.Alloc(npu.u64, N)
    a0 = ac.LocalMemAllocator(ac.Hardware.L0A).Alloc(i8, M * K)
    b0 = ac.LocalMemAllocator(ac.Hardware.L0B).Alloc(i8, N * K)
    c0 = ac.LocalMemAllocator(ac.Hardware.L0C).Alloc(i32, M * N)
    fb = ac.LocalMemAllocator(ac.Hardware.FIXBUF).Alloc(npu.u64, N)
    ac.DataCopy(al, ac.GlobalTensor(a), ac.Nd2NzParams(1, M, K, 0, K, M, 1, 0))
    ac.DataCopy(bl, ac.GlobalTensor(b), ac.Nd2NzParams(1, N, K, 0, K, N, 1, 0))  # b is N x K
    ac.DataCopy(sl, ac.GlobalTensor(scales), N)
    pass_on(EVENT.MTE2_MTE1)
    pass_on(EVENT.MTE2_FIX)
    ac.LoadA(a0, al, M, K)
    ac.LoadB(b0, bl, K, N, trans=True)
    ac.DataCopy(fb, sl, N)
    pass_on(EVENT.MTE1_M)
    ac.Mmad(c0, a0, b0, ac.MmadParams(M, N, K))
    pass_on(EVENT.M_FIX)
    ac.PipeBarrier(ac.PIPE_FIX)
    out = ac.FixpipeParamsV220(N, M, M, N, True)
    out.quantPre = ac.QuantMode_t.VDEQF16
    ac.Fixpipe(ac.GlobalTensor(y), c0, fb, out)


@npu.kernel(kind="aic")
def linear_bias(x: Any, w: Any, bias: Any, y: Any, M: int, N: int, K: int, BK: int) -> None:
    """x w + bias: K in slabs through two slots of L1 and L0; the bias goes to its table and is what the first product adds to."""
    l1 = ac.LocalMemAllocator(ac.Hardware.L1)
    al, bl = ([l1.Alloc(half, size) for _ in (0, 1)] for size in (M * BK, BK * N))
    bias_l1 = l1.Alloc(f32, N)
    l0a, l0b = ac.LocalMemAllocator(ac.Hardware.L0A), ac.LocalMemAllocator(ac.Hardware.L0B)
    a0, b0 = [l0a.Alloc(half, M * BK) for _ in (0, 1)], [l0b.Alloc(half, BK * N) for _ in (0, 1)]
    c0 = ac.LocalMemAllocator(ac.Hardware.L0C).Alloc(f32, M * N)
    table = ac.LocalMemAllocator(ac.Hardware.BIAS).Alloc(f32, N)
    ac.DataCopy(bias_l1, ac.GlobalTensor(bias), N)
    pass_on(EVENT.MTE2_MTE1, 2)
    ac.DataCopy(table, bias_l1, N)
    for p in (0, 1):
        ac.SetFlag(EVENT.MTE1_MTE2, p)
        ac.SetFlag(EVENT.M_MTE1, p)
    for i, k in enumerate(range(0, K, BK)):
        p = i % 2
        ac.WaitFlag(EVENT.MTE1_MTE2, p)
        ac.DataCopy(al[p], ac.GlobalTensor(x)[k], ac.Nd2NzParams(M, BK, ld=K))
        ac.DataCopy(bl[p], ac.GlobalTensor(w)[k * N], ac.Nd2NzParams(BK, N, ld=N))
        pass_on(EVENT.MTE2_MTE1, p)
        ac.WaitFlag(EVENT.M_MTE1, p)
        ac.LoadA(a0[p], al[p], M, BK)
        ac.LoadB(b0[p], bl[p], BK, N)
        ac.SetFlag(EVENT.MTE1_MTE2, p)
        pass_on(EVENT.MTE1_M, p)
        ac.Mmad(c0, a0[p], b0[p], M, N, BK, init=i == 0, bias=table if i == 0 else None)
        ac.SetFlag(EVENT.M_MTE1, p)
    pass_on(EVENT.M_FIX)
    ac.Fixpipe(ac.GlobalTensor(y), c0, M, N, N)
    for p in (0, 1):
        ac.WaitFlag(EVENT.MTE1_MTE2, p)
        ac.WaitFlag(EVENT.M_MTE1, p)


@npu.kernel(kind="mix")
def products_in_turn(a: Any, b: Any, work: Any, y: Any, rounds: int, M: int) -> None:
    """Cube and vector cores hand one slot of a workspace to and fro: the cube core may not write before both halves were read."""
    if ac.IsAIC():
        group = ac.GetBlockIdx()
        l1 = ac.LocalMemAllocator(ac.Hardware.L1)
        al, bl = l1.Alloc(half, M * M), l1.Alloc(half, M * M)
        a0 = ac.LocalMemAllocator(ac.Hardware.L0A).Alloc(half, M * M)
        b0 = ac.LocalMemAllocator(ac.Hardware.L0B).Alloc(half, M * M)
        c0 = ac.LocalMemAllocator(ac.Hardware.L0C).Alloc(f32, M * M)
        ac.DataCopy(bl, ac.GlobalTensor(b), ac.Nd2NzParams(M, M, ld=M))
        for i in range(rounds):
            ac.DataCopy(al, ac.GlobalTensor(a)[(group * rounds + i) * M * M], ac.Nd2NzParams(M, M, ld=M))
            pass_on(EVENT.MTE2_MTE1)
            ac.LoadA(a0, al, M, M)
            if i == 0:
                ac.LoadB(b0, bl, M, M)
            pass_on(EVENT.MTE1_M)
            ac.Mmad(c0, a0, b0, M, M, M, init=True)
            pass_on(EVENT.M_FIX)
            if i:
                ac.CrossCoreWaitFlag(DONE)
            ac.Fixpipe(ac.GlobalTensor(work)[group * M * M], c0, M, M, M)
            ac.CrossCoreSetFlag(2, ac.PIPE_FIX, READY)
            pass_on(EVENT.FIX_M)
            pass_on(EVENT.M_MTE1)
            pass_on(EVENT.MTE1_MTE2)
        ac.CrossCoreWaitFlag(DONE)
        return
    group, sub, part = ac.GetBlockIdx() // 2, ac.GetSubBlockIdx(), M * M // 2
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    t, total = ub.Alloc(f32, part), ub.Alloc(f32, part)
    ac.Duplicate(total, 0.0, part)
    ac.SetFlag(EVENT.V_MTE2, 0)
    for _ in range(rounds):
        ac.CrossCoreWaitFlag(READY)
        ac.WaitFlag(EVENT.V_MTE2, 0)
        ac.DataCopy(t, ac.GlobalTensor(work)[group * M * M + sub * part], part)
        ac.CrossCoreSetFlag(2, ac.PIPE_MTE2, DONE)
        pass_on(EVENT.MTE2_V)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Add(total, total, t, part)
        ac.SetFlag(EVENT.V_MTE2, 0)
    ac.WaitFlag(EVENT.V_MTE2, 0)
    pass_on(EVENT.V_MTE3)
    ac.DataCopy(ac.GlobalTensor(y)[group * M * M + sub * part], total, part)
