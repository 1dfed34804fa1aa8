"""Softmax of rows, f16 in and out, f32 inside: 128 <= C <= 2040, C % 64 == 0, R % RT == 0."""

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac

half, f32 = npu.f16, npu.f32


@npu.kernel(kind="aiv")
def softmax(x, y, R, C, RT=8):
    xg, yg = ac.GlobalTensor(x), ac.GlobalTensor(y)
    n, rs  = RT * C, C // 8                                        # rs: row stride in 32-byte blocks (fp32)
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    xi = [ub.Alloc(half, n) for _ in (0, 1)]
    yo = [ub.Alloc(half, n) for _ in (0, 1)]
    w, t     = ub.Alloc(f32, n), ub.Alloc(f32, RT * 64)
    st, bc   = ub.Alloc(f32, RT), ub.Alloc(f32, RT * 8)
    bar = lambda: ac.PipeBarrier(ac.PIPE_V)
    def fold(op, kind):                                            # [RT, C] -> [RT]
        op(t, w, w[64:], 64, RT, (1, 1, 1, 8, rs, rs)); bar()
        for c in range(128, C, 64):
            op(t, t, w[c:], 64, RT, (1, 1, 1, 8, 8, rs)); bar()
        ac.ReduceRepeat(kind, st, t, 64, RT, 1, 1, 8); bar()
        ac.Brcb(bc, st, RT // 8, (1, 8)); bar()                    # one value -> one 32-byte block
    def rowwise(op):                                               # w[r, :] = op(w[r, :], st[r])
        for c in range(0, C, 64):
            op(w[c:], w[c:], bc, 64, RT, (1, 1, 0, rs, rs, 1))     # src1 block stride 0: broadcast
        bar()
    for b in (0, 1):
        ac.SetFlag(ac.HardEvent.V_MTE2, b); ac.SetFlag(ac.HardEvent.MTE3_V, b)
    for i, r in enumerate(range(ac.GetBlockIdx() * RT, R, ac.GetBlockNum() * RT)):
        b = i & 1
        ac.WaitFlag(ac.HardEvent.V_MTE2, b)
        ac.DataCopy(xi[b], xg[r * C:], n)
        ac.SetFlag(ac.HardEvent.MTE2_V, b); ac.WaitFlag(ac.HardEvent.MTE2_V, b)
        ac.Cast(w, xi[b], "CAST_NONE", n); bar()
        ac.SetFlag(ac.HardEvent.V_MTE2, b)
        fold(ac.Max, "MAX"); rowwise(ac.Sub)
        ac.Exp(w, w, n); bar()
        fold(ac.Add, "SUM"); rowwise(ac.Div)
        ac.WaitFlag(ac.HardEvent.MTE3_V, b)
        ac.Cast(yo[b], w, "CAST_RINT", n)
        ac.SetFlag(ac.HardEvent.V_MTE3, b); ac.WaitFlag(ac.HardEvent.V_MTE3, b)
        ac.DataCopy(yg[r * C:], yo[b], n)
        ac.SetFlag(ac.HardEvent.MTE3_V, b)
    for b in (0, 1):
        ac.WaitFlag(ac.HardEvent.V_MTE2, b); ac.WaitFlag(ac.HardEvent.MTE3_V, b)
