"""Matrix product whose results are handed from the cube to Fixpipe block by block, by the unit flags of L0C: no M_FIX and no FIX_M."""

from __future__ import annotations

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac

half, f32 = npu.f16, npu.f32


@npu.kernel(kind="aic")
def matmul_unit(a, b, c, M, N, K, BM=128, BN=256, BK=64, KL1=256):
    ag, bg, cg = ac.GlobalTensor(a), ac.GlobalTensor(b), ac.GlobalTensor(c)
    l1 = ac.LocalMemAllocator(ac.Hardware.L1)
    al = [l1.Alloc(half, BM * KL1) for _ in (0, 1)]  # 2 x 64 KiB
    bl = [l1.Alloc(half, KL1 * BN) for _ in (0, 1)]  # 2 x 128 KiB
    l0a = ac.LocalMemAllocator(ac.Hardware.L0A)
    a0 = [l0a.Alloc(half, BM * BK) for _ in (0, 1)]
    l0b = ac.LocalMemAllocator(ac.Hardware.L0B)
    b0 = [l0b.Alloc(half, BK * BN) for _ in (0, 1)]
    c0 = ac.LocalMemAllocator(ac.Hardware.L0C).Alloc(f32, BM * BN)  # all 128 KiB
    for p in (0, 1):
        ac.SetFlag(ac.HardEvent.MTE1_MTE2, p)
        ac.SetFlag(ac.HardEvent.M_MTE1, p)
    s = p = 0  # L1 slot, L0 slot
    for tile in range(ac.GetBlockIdx(), (M // BM) * (N // BN), ac.GetBlockNum()):
        m0, n0 = tile // (N // BN) * BM, tile % (N // BN) * BN
        for k1 in range(0, K, KL1):
            ac.WaitFlag(ac.HardEvent.MTE1_MTE2, s)  # L1 slot s free
            ac.DataCopy(al[s], ag[m0 * K + k1 :], ac.Nd2NzParams(BM, KL1, ld=K))
            ac.DataCopy(bl[s], bg[k1 * N + n0 :], ac.Nd2NzParams(KL1, BN, ld=N))
            ac.SetFlag(ac.HardEvent.MTE2_MTE1, s)
            ac.WaitFlag(ac.HardEvent.MTE2_MTE1, s)
            for k0 in range(0, KL1, BK):
                ac.WaitFlag(ac.HardEvent.M_MTE1, p)  # L0 slot p free
                ac.LoadA(a0[p], al[s], BM, BK, k0)  # Nz -> Zz
                ac.LoadB(b0[p], bl[s], BK, BN, k0, rows=KL1)  # Nz -> Zn, transposing fractals
                ac.SetFlag(ac.HardEvent.MTE1_M, p)
                ac.WaitFlag(ac.HardEvent.MTE1_M, p)
                last = k1 + k0 + BK == K
                ac.Mmad(c0, a0[p], b0[p], BM, BN, BK, init=(k1 + k0 == 0), unitFlag=3 if last else 2)
                ac.SetFlag(ac.HardEvent.M_MTE1, p)
                p ^= 1
            ac.SetFlag(ac.HardEvent.MTE1_MTE2, s)
            s ^= 1
        ac.Fixpipe(cg[m0 * N + n0 :], c0, BM, BN, ld=N, unitFlag=3)  # L0C fp32 -> GM half, Nz -> ND
    for p in (0, 1):
        ac.WaitFlag(ac.HardEvent.MTE1_MTE2, p)
        ac.WaitFlag(ac.HardEvent.M_MTE1, p)
