"""z = x + y: tiles with two buffers, flags set by hand; and the same with queues."""

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac


@npu.kernel(kind="aiv")
def vadd(x, y, z, n, tile=8192):
    T    = x.dtype
    per  = ac.CeilAlign(ac.CeilDiv(n, ac.GetBlockNum()), 256)      # 512-byte aligned split (half)
    base = ac.GetBlockIdx() * per
    cnt  = max(0, min(per, n - base))                              # tail core: fewer, or none
    xg, yg, zg = (ac.GlobalTensor(t)[base:] for t in (x, y, z))
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    xl, yl, zl = ([ub.Alloc(T, tile) for _ in (0, 1)] for _ in range(3))
    for b in (0, 1):                                               # reverse flags: buffers start free
        ac.SetFlag(ac.HardEvent.V_MTE2, b)
        ac.SetFlag(ac.HardEvent.MTE3_V, b)
    for i in range(ac.CeilDiv(cnt, tile)):
        b, off = i & 1, i * tile
        m = min(tile, cnt - off)
        ac.WaitFlag(ac.HardEvent.V_MTE2, b)                        # x,y[b] consumed
        ac.DataCopyPad(xl[b], xg[off:], m)
        ac.DataCopyPad(yl[b], yg[off:], m)
        ac.SetFlag(ac.HardEvent.MTE2_V, b)
        ac.WaitFlag(ac.HardEvent.MTE2_V, b)                        # x,y[b] arrived
        ac.WaitFlag(ac.HardEvent.MTE3_V, b)                        # z[b] written out
        ac.Add(zl[b], xl[b], yl[b], m)
        ac.SetFlag(ac.HardEvent.V_MTE2, b)
        ac.SetFlag(ac.HardEvent.V_MTE3, b)
        ac.WaitFlag(ac.HardEvent.V_MTE3, b)
        ac.DataCopyPad(zg[off:], zl[b], m)
        ac.SetFlag(ac.HardEvent.MTE3_V, b)
    for b in (0, 1):                                               # drain: leave no flag set
        ac.WaitFlag(ac.HardEvent.V_MTE2, b)
        ac.WaitFlag(ac.HardEvent.MTE3_V, b)


@npu.kernel(kind="aiv")
def vadd_q(x, y, z, n, tile=8192):
    pipe = ac.TPipe()
    qx, qy = ac.TQue(ac.TPosition.VECIN, 2), ac.TQue(ac.TPosition.VECIN, 2)
    qz = ac.TQue(ac.TPosition.VECOUT, 2)
    for q in (qx, qy, qz): pipe.InitBuffer(q, 2, tile * x.itemsize)
    for off, m in npu.my_tiles(n, tile):                           # this block's tiles, tail included
        a, b = qx.AllocTensor(x.dtype), qy.AllocTensor(y.dtype)
        ac.DataCopyPad(a, ac.GlobalTensor(x)[off:], m); qx.EnQue(a)
        ac.DataCopyPad(b, ac.GlobalTensor(y)[off:], m); qy.EnQue(b)
        a, b, c = qx.DeQue(), qy.DeQue(), qz.AllocTensor(z.dtype)
        ac.Add(c, a, b, m); qz.EnQue(c); qx.FreeTensor(a); qy.FreeTensor(b)
        c = qz.DeQue(); ac.DataCopyPad(ac.GlobalTensor(z)[off:], c, m); qz.FreeTensor(c)
