"""Attention in one kernel: the cube core multiplies, two vector cores keep the softmax, workspaces in GM between them."""

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac

half, f32 = npu.f16, npu.f32

S_READY, P_READY, O_READY = 8, 9, 10          # cross-core flag ids (0-7: Matmul API, 11-14: SyncAll)

@npu.kernel(kind="mix")
def flash(q, k, v, o, ws, wp, wo, S, scale, BM=128, BN=128, D=128):   # ws,wo: [groups,2,128,128] f32; wp: half
    g = ac.GetBlockIdx() if ac.IsAIC() else ac.GetBlockIdx() // 2     # AIC:AIV = 1:2
    (fa_cube if ac.IsAIC() else fa_vec)(g, *map(ac.GlobalTensor, (q, k, v, o, ws, wp, wo)), S, scale, BM, BN, D)

def fa_cube(g, q, k, v, o, ws, wp, wo, S, scale, BM, BN, D):
    l1  = ac.LocalMemAllocator(ac.Hardware.L1)
    ql  = l1.Alloc(half, BM * D)
    kl, vl, pl = ([l1.Alloc(half, z) for _ in (0, 1)] for z in (BN * D, BN * D, BM * BN))
    l0a = ac.LocalMemAllocator(ac.Hardware.L0A); a0 = [l0a.Alloc(half, BM * 128) for _ in (0, 1)]
    l0b = ac.LocalMemAllocator(ac.Hardware.L0B); b0 = [l0b.Alloc(half, BN * 128) for _ in (0, 1)]
    l0c = ac.LocalMemAllocator(ac.Hardware.L0C); cs, co = l0c.Alloc(f32, BM * BN), l0c.Alloc(f32, BM * D)
    slot = 0
    def dot(dst, lhs, rhs, kdim, n, trans, fixev, out, ld, free):     # L1 x L1 -> L0C -> GM workspace
        nonlocal slot; p = slot; slot ^= 1
        ac.WaitFlag(ac.HardEvent.M_MTE1, p)
        ac.LoadA(a0[p], lhs, BM, kdim); ac.LoadB(b0[p], rhs, kdim, n, trans=trans)
        for e in free: ac.SetFlag(ac.HardEvent.MTE1_MTE2, e)
        ac.SetFlag(ac.HardEvent.MTE1_M, p); ac.WaitFlag(ac.HardEvent.MTE1_M, p)
        ac.WaitFlag(ac.HardEvent.FIX_M, fixev)
        ac.Mmad(dst, a0[p], b0[p], BM, n, kdim, init=True)
        ac.SetFlag(ac.HardEvent.M_MTE1, p)
        ac.SetFlag(ac.HardEvent.M_FIX, fixev); ac.WaitFlag(ac.HardEvent.M_FIX, fixev)
        ac.Fixpipe(out, dst, BM, n, ld)
        ac.SetFlag(ac.HardEvent.FIX_M, fixev)
    def qk(j, last):
        b = j & 1
        ac.WaitFlag(ac.HardEvent.MTE1_MTE2, b)
        ac.DataCopy(kl[b], k[j * BN * D:], ac.Nd2NzParams(BN, D, ld=D))
        ac.SetFlag(ac.HardEvent.MTE2_MTE1, b); ac.WaitFlag(ac.HardEvent.MTE2_MTE1, b)
        dot(cs, ql, kl[b], D, BN, True, 0, ws[(g * 2 + b) * BM * BN:], BN, [b] + ([4] if last else []))
        ac.CrossCoreSetFlag(2, ac.PIPE_FIX, S_READY)
    def pv(j):
        b = j & 1
        ac.WaitFlag(ac.HardEvent.MTE1_MTE2, 2 + b)
        ac.DataCopy(vl[b], v[j * BN * D:], ac.Nd2NzParams(BN, D, ld=D))     # V prefetch does not wait for P
        ac.CrossCoreWaitFlag(P_READY)                                       # both AIVs have written P(j)
        ac.DataCopy(pl[b], wp[(g * 2 + b) * BM * BN:], ac.Nd2NzParams(BM, BN, ld=BN))
        ac.SetFlag(ac.HardEvent.MTE2_MTE1, 2 + b); ac.WaitFlag(ac.HardEvent.MTE2_MTE1, 2 + b)
        dot(co, pl[b], vl[b], BN, D, False, 1, wo[(g * 2 + b) * BM * D:], D, [2 + b])
        ac.CrossCoreSetFlag(2, ac.PIPE_FIX, O_READY)
    for e in range(5): ac.SetFlag(ac.HardEvent.MTE1_MTE2, e)
    for e in (0, 1): ac.SetFlag(ac.HardEvent.M_MTE1, e); ac.SetFlag(ac.HardEvent.FIX_M, e)
    nj = S // BN
    for i in range(g, S // BM, ac.GetBlockNum()):
        ac.WaitFlag(ac.HardEvent.MTE1_MTE2, 4)                              # Q buffer free
        ac.DataCopy(ql, q[i * BM * D:], ac.Nd2NzParams(BM, D, ld=D))
        ac.SetFlag(ac.HardEvent.MTE2_MTE1, 4); ac.WaitFlag(ac.HardEvent.MTE2_MTE1, 4)
        qk(0, nj == 1)
        for j in range(nj):
            if j + 1 < nj: qk(j + 1, j + 2 == nj)                           # cube runs one tile ahead
            pv(j)
    for e in range(5): ac.WaitFlag(ac.HardEvent.MTE1_MTE2, e)
    for e in (0, 1): ac.WaitFlag(ac.HardEvent.M_MTE1, e); ac.WaitFlag(ac.HardEvent.FIX_M, e)

def fa_vec(g, q, k, v, o, ws, wp, wo, S, scale, BM, BN, D):
    R, sub = BM // 2, ac.GetSubBlockIdx()                                   # this AIV owns rows sub*R ...
    n, W = R * BN, (1, 1, 1, 8, 16, 16)
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    s, ot, acc, t = (ub.Alloc(f32, z) for z in (n, R * D, R * D, R * 64))
    p, bc   = ub.Alloc(half, n), ub.Alloc(f32, R * 8)
    m, l, mx, rs = (ub.Alloc(f32, R) for _ in range(4))
    al      = [ub.Alloc(f32, R) for _ in (0, 1)]
    bar = lambda: ac.PipeBarrier(ac.PIPE_V)
    def rowwise(op, dst, stat):                                             # dst[r,:] = op(dst[r,:], stat[r])
        ac.Brcb(bc, stat, R // 8, (1, 8)); bar()
        for c in (0, 64): op(dst[c:], dst[c:], bc, 64, R, (1, 1, 0, 16, 16, 1))
        bar()
    def rescale(j):                                                         # acc = acc*alpha(j) + O(j)
        ac.CrossCoreWaitFlag(O_READY)
        ac.WaitFlag(ac.HardEvent.V_MTE2, 1)
        ac.DataCopy(ot, wo[((g * 2 + (j & 1)) * BM + sub * R) * D:], R * D)
        ac.SetFlag(ac.HardEvent.MTE2_V, 1); ac.WaitFlag(ac.HardEvent.MTE2_V, 1)
        rowwise(ac.Mul, acc, al[j & 1])
        ac.Add(acc, acc, ot, R * D); bar()
        ac.SetFlag(ac.HardEvent.V_MTE2, 1)
    for e in (0, 1): ac.SetFlag(ac.HardEvent.V_MTE2, e)
    ac.SetFlag(ac.HardEvent.MTE3_V, 0)
    nj = S // BN
    for i in range(g, S // BM, ac.GetBlockNum()):
        ac.Duplicate(m, -1e30, R); ac.Duplicate(l, 0.0, R); ac.Duplicate(acc, 0.0, R * D); bar()
        for j in range(nj):
            ac.CrossCoreWaitFlag(S_READY)
            ac.WaitFlag(ac.HardEvent.V_MTE2, 0)
            ac.DataCopy(s, ws[((g * 2 + (j & 1)) * BM + sub * R) * BN:], n)
            ac.SetFlag(ac.HardEvent.MTE2_V, 0); ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
            ac.Muls(s, s, scale, n); bar()
            ac.Max(t, s, s[64:], 64, R, W); bar()                           # 128 -> 64 columns
            ac.ReduceRepeat("MAX", mx, t, 64, R, 1, 1, 8); bar()
            ac.Max(mx, mx, m, R); bar()
            ac.Sub(al[j & 1], m, mx, R); bar()
            ac.Exp(al[j & 1], al[j & 1], R); ac.Adds(m, mx, 0.0, R); bar()
            rowwise(ac.Sub, s, mx)
            ac.Exp(s, s, n); bar()
            ac.WaitFlag(ac.HardEvent.MTE3_V, 0)                             # P of j-1 has left UB
            ac.Cast(p, s, "CAST_RINT", n)
            ac.SetFlag(ac.HardEvent.V_MTE3, 0); ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
            ac.DataCopy(wp[((g * 2 + (j & 1)) * BM + sub * R) * BN:], p, n)
            ac.SetFlag(ac.HardEvent.MTE3_V, 0)
            ac.CrossCoreSetFlag(2, ac.PIPE_MTE3, P_READY)
            ac.Add(t, s, s[64:], 64, R, W); bar()
            ac.ReduceRepeat("SUM", rs, t, 64, R, 1, 1, 8)
            ac.Mul(l, l, al[j & 1], R); bar()
            ac.Add(l, l, rs, R)
            ac.SetFlag(ac.HardEvent.V_MTE2, 0)
            if j: rescale(j - 1)                                            # overlaps P.V(j) on the cube
        rescale(nj - 1)
        rowwise(ac.Div, acc, l)
        ac.WaitFlag(ac.HardEvent.MTE3_V, 0)
        ac.Cast(p, acc, "CAST_RINT", R * D)
        ac.SetFlag(ac.HardEvent.V_MTE3, 0); ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopy(o[(i * BM + sub * R) * D:], p, R * D)
        ac.SetFlag(ac.HardEvent.MTE3_V, 0)
    for e in (0, 1): ac.WaitFlag(ac.HardEvent.V_MTE2, e)
    ac.WaitFlag(ac.HardEvent.MTE3_V, 0)
