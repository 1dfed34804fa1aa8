"""Kernels as someone ports them from a card's own samples: classes with Init and Process, workspaces, tail tiles, structs filled field by field."""

from __future__ import annotations

from typing import Any

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac

half, bf16, f32, i32, u32, u8 = npu.f16, npu.bf16, npu.f32, npu.i32, npu.u32, npu.u8
EVENT = ac.HardEvent


def pass_on(event: ac.HardEvent, number: int = 0) -> None:
    ac.SetFlag(event, number)
    ac.WaitFlag(event, number)


class KernelSwiGlu:
    """y = silu(a) * b of bf16 tensors: two queues in, one out, and buffers of f32 between them, since bf16 is not computed with."""

    TILE = 2048

    def Init(self, a: Any, b: Any, y: Any, length: int) -> None:
        self.length = length // ac.GetBlockNum()
        start = ac.GetBlockIdx() * self.length
        self.gm = [ac.GlobalTensor(bf16) for _ in range(3)]
        for gm, x in zip(self.gm, (a, b, y), strict=True):
            gm.SetGlobalBuffer(x + start, self.length)
        self.pipe = ac.TPipe()
        self.a_que, self.b_que = ac.TQue(ac.TPosition.VECIN, 2), ac.TQue(ac.TPosition.VECIN, 2)
        self.y_que = ac.TQue(ac.TPosition.VECOUT, 2)
        for que in (self.a_que, self.b_que, self.y_que):
            self.pipe.InitBuffer(que, 2, self.TILE * 2)
        self.work = [ac.TBuf() for _ in range(3)]
        for buffer in self.work:
            self.pipe.InitBuffer(buffer, self.TILE * 4)

    def CopyIn(self, at: int) -> None:
        for que, gm in ((self.a_que, self.gm[0]), (self.b_que, self.gm[1])):
            tile = que.AllocTensor(bf16)
            ac.DataCopy(tile, gm[at], self.TILE)
            que.EnQue(tile)

    def Compute(self) -> None:
        n = self.TILE
        a, b, y = self.a_que.DeQue(bf16), self.b_que.DeQue(bf16), self.y_que.AllocTensor(bf16)
        wide, other, gate = (buffer.Get(f32) for buffer in self.work)
        ac.Cast(wide, a, ac.RoundMode.CAST_NONE, n)
        ac.Cast(other, b, ac.RoundMode.CAST_NONE, n)
        self.a_que.FreeTensor(a)
        self.b_que.FreeTensor(b)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Muls(gate, wide, -1.0, n)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Exp(gate, gate, n)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Adds(gate, gate, 1.0, n)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Div(wide, wide, gate, n)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Mul(wide, wide, other, n)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Cast(y, wide, ac.RoundMode.CAST_RINT, n)
        self.y_que.EnQue(y)

    def CopyOut(self, at: int) -> None:
        y = self.y_que.DeQue(bf16)
        ac.DataCopy(self.gm[2][at], y, self.TILE)
        self.y_que.FreeTensor(y)

    def Process(self) -> None:
        for at in range(0, self.length, self.TILE):
            self.CopyIn(at)
            self.Compute()
            self.CopyOut(at)


@npu.kernel(kind="aiv")
def swiglu(a: Any, b: Any, y: Any, length: int) -> None:
    op = KernelSwiGlu()
    op.Init(a, b, y, length)
    op.Process()


@npu.kernel(kind="aiv")
def layer_norm(x: Any, weight: Any, bias: Any, y: Any, rows: int, columns: int, epsilon: float) -> None:
    """A row at a time, whose mean and variance the scalar unit reads back; rows of any length, padded with zeros on their way in."""
    pad = (columns + 7) // 8 * 8
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    w, b, t, d, sq, work = (ub.Alloc(f32, pad) for _ in range(6))
    number = ub.Alloc(f32, 16)
    x_gm, y_gm = ac.GlobalTensor(x), ac.GlobalTensor(y)
    row = ac.DataCopyExtParams(1, columns * 4, 0, 0, 0)
    ac.DataCopyPad(w, ac.GlobalTensor(weight), row, ac.DataCopyPadExtParams(True, 0, pad - columns, 0))
    ac.DataCopyPad(b, ac.GlobalTensor(bias), row, ac.DataCopyPadExtParams(True, 0, pad - columns, 0))
    ac.SetFlag(EVENT.V_MTE2, 0)
    ac.SetFlag(EVENT.MTE3_V, 0)
    for r in range(ac.GetBlockIdx(), rows, ac.GetBlockNum()):
        ac.WaitFlag(EVENT.V_MTE2, 0)
        ac.DataCopyPad(t, x_gm[r * columns], row, ac.DataCopyPadExtParams(True, 0, pad - columns, 0))
        pass_on(EVENT.MTE2_V)
        ac.ReduceSum(number, t, work, columns)
        pass_on(EVENT.V_S)
        mean = number.GetValue(0) * (1.0 / columns)
        pass_on(EVENT.S_V)
        ac.WaitFlag(EVENT.MTE3_V, 0)
        ac.Adds(d, t, -mean, columns)
        ac.SetFlag(EVENT.V_MTE2, 0)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Mul(sq, d, d, columns)
        ac.PipeBarrier(ac.PIPE_V)
        ac.ReduceSum(number[8], sq, work, columns)
        pass_on(EVENT.V_S, 1)
        scale = 1.0 / ac.sqrt(number.GetValue(8) * (1.0 / columns) + epsilon)
        pass_on(EVENT.S_V, 1)
        ac.Muls(d, d, scale, columns)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Mul(d, d, w, columns)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Add(d, d, b, columns)
        pass_on(EVENT.V_MTE3)
        ac.DataCopyPad(y_gm[r * columns], d, row)
        ac.SetFlag(EVENT.MTE3_V, 0)
    ac.WaitFlag(EVENT.V_MTE2, 0)
    ac.WaitFlag(EVENT.MTE3_V, 0)


@npu.kernel(kind="aiv")
def sum_all(x: Any, work: Any, y: Any, n: int) -> None:
    """Every core sums its part to a line of a workspace; after all have met, the first one sums those."""
    part, cores = n // ac.GetBlockNum(), ac.GetBlockNum()
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    t, temporary, out = ub.Alloc(f32, part), ub.Alloc(f32, 512), ub.Alloc(f32, 8)
    lines = ub.Alloc(f32, cores * 8)
    ac.DataCopy(t, ac.GlobalTensor(x)[ac.GetBlockIdx() * part], part)
    ac.Duplicate(out, 0.0, 8)
    ac.PipeBarrier(ac.PIPE_V)
    pass_on(EVENT.MTE2_V)
    ac.ReduceSum(out, t, temporary, part)
    pass_on(EVENT.V_MTE3)
    ac.DataCopy(ac.GlobalTensor(work)[ac.GetBlockIdx() * 8], out, 8)
    ac.PipeBarrier(ac.PIPE_ALL)
    ac.SyncAll()
    if ac.GetBlockIdx() == 0:
        ac.DataCopy(lines, ac.GlobalTensor(work), cores * 8)
        pass_on(EVENT.MTE2_V)
        ac.ReduceSum(out, lines, temporary, cores * 8)
        pass_on(EVENT.V_MTE3)
        ac.DataCopyPad(ac.GlobalTensor(y), out, ac.DataCopyExtParams(1, 4, 0, 0, 0))


@npu.kernel(kind="aiv")
def gather_rows(table: Any, index: Any, y: Any, count: int, rows: int, width: int) -> None:
    """Rows that the indices name, two under way at a time; the scalar unit reads each index."""
    part = count // ac.GetBlockNum()
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    ids = ub.Alloc(i32, part)
    tiles = [ub.Alloc(half, width) for _ in (0, 1)]
    first = ac.GetBlockIdx() * part
    ac.DataCopy(ids, ac.GlobalTensor(index)[first], part)
    pass_on(EVENT.MTE2_S)
    for b in (0, 1):
        ac.SetFlag(EVENT.MTE3_MTE2, b)
    for i in range(part):
        b = i % 2
        row = ids.GetValue(i, 0, rows - 1)
        ac.WaitFlag(EVENT.MTE3_MTE2, b)
        ac.DataCopy(tiles[b], ac.GlobalTensor(table)[row * width], width)
        pass_on(EVENT.MTE2_MTE3, b)
        ac.DataCopy(ac.GlobalTensor(y)[(first + i) * width], tiles[b], width)
        ac.SetFlag(EVENT.MTE3_MTE2, b)
    for b in (0, 1):
        ac.WaitFlag(EVENT.MTE3_MTE2, b)


@npu.kernel(kind="aiv")
def transpose_tiles(x: Any, y: Any, rows: int, columns: int) -> None:
    """16 x 16 blocks of a matrix turned over: strided rows in, strided rows out."""
    pipe = ac.TPipe()
    into, out = ac.TQue(ac.TPosition.VECIN, 2), ac.TQue(ac.TPosition.VECOUT, 2)
    for que in (into, out):
        pipe.InitBuffer(que, 2, 512)
    read, write = ac.DataCopyParams(), ac.DataCopyParams()
    read.blockCount, read.blockLen, read.srcStride, read.dstStride = 16, 1, columns // 16 - 1, 0
    write.blockCount, write.blockLen, write.srcStride, write.dstStride = 16, 1, 0, rows // 16 - 1
    for block in range(ac.GetBlockIdx(), rows // 16 * (columns // 16), ac.GetBlockNum()):
        r, c = block // (columns // 16) * 16, block % (columns // 16) * 16
        tile = into.AllocTensor(half)
        ac.DataCopy(tile, ac.GlobalTensor(x)[r * columns + c], read)
        into.EnQue(tile)
        tile, turned = into.DeQue(half), out.AllocTensor(half)
        ac.Transpose(turned, tile)
        out.EnQue(turned)
        into.FreeTensor(tile)
        turned = out.DeQue(half)
        ac.DataCopy(ac.GlobalTensor(y)[c * rows + r], turned, write)
        out.FreeTensor(turned)


@npu.kernel(kind="aiv")
def top_k(x: Any, values: Any, places: Any, rows: int, k: int) -> None:
    """The k largest of rows of 128: sorted by 32, merged, and taken apart."""
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    t, index = ub.Alloc(f32, 128), ub.Alloc(i32, 128)
    pairs, merged, best, at = ub.Alloc(f32, 256), ub.Alloc(f32, 256), ub.Alloc(f32, 128), ub.Alloc(u32, 128)
    ac.CreateVecIndex(index, 0, 128)
    ac.PipeBarrier(ac.PIPE_V)
    ac.SetFlag(EVENT.V_MTE2, 0)
    ac.SetFlag(EVENT.MTE3_V, 0)
    for r in range(ac.GetBlockIdx(), rows, ac.GetBlockNum()):
        ac.WaitFlag(EVENT.V_MTE2, 0)
        ac.DataCopy(t, ac.GlobalTensor(x)[r * 128], 128)
        pass_on(EVENT.MTE2_V)
        ac.Sort32(pairs, t, index.ReinterpretCast(u32), 4)
        ac.SetFlag(EVENT.V_MTE2, 0)
        ac.PipeBarrier(ac.PIPE_V)
        lists = ac.MrgSortSrcList(pairs, pairs[64], pairs[128], pairs[192])
        ac.MrgSort(merged, lists, ac.MrgSort4Info([32, 32, 32, 32], False, 0b1111, 1))
        ac.PipeBarrier(ac.PIPE_V)
        ac.WaitFlag(EVENT.MTE3_V, 0)
        ac.Extract(best, at, merged, 4)
        pass_on(EVENT.V_MTE3)
        ac.DataCopyPad(ac.GlobalTensor(values)[r * k], best, ac.DataCopyExtParams(1, k * 4, 0, 0, 0))
        ac.DataCopyPad(ac.GlobalTensor(places)[r * k], at.ReinterpretCast(i32), ac.DataCopyExtParams(1, k * 4, 0, 0, 0))
        ac.SetFlag(EVENT.MTE3_V, 0)
    ac.WaitFlag(EVENT.V_MTE2, 0)
    ac.WaitFlag(EVENT.MTE3_V, 0)


@npu.kernel(kind="aiv")
def running_sum(x: Any, y: Any, n: int, tile: int) -> None:
    """A sum that goes on from tile to tile on one core: each tile doubles its steps, and the scalar unit carries the last number over."""
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    a, b = ub.Alloc(f32, tile), ub.Alloc(f32, tile)
    index, shifted = ub.Alloc(i32, tile), ub.Alloc(i32, tile)
    moved, mask = ub.Alloc(f32, tile), ub.Alloc(u8, tile // 8)
    carry = 0.0
    ac.CreateVecIndex(index, 0, tile)
    for at in range(0, n, tile):
        ac.DataCopy(a, ac.GlobalTensor(x)[at], tile)
        pass_on(EVENT.MTE2_V)
        step = 1
        while step < tile:
            ac.PipeBarrier(ac.PIPE_V)
            ac.Adds(shifted, index, -step, tile)
            ac.PipeBarrier(ac.PIPE_V)
            ac.Maxs(shifted, shifted, 0, tile)
            ac.PipeBarrier(ac.PIPE_V)
            ac.Muls(shifted, shifted, 4, tile)
            ac.Cast(b, index, ac.RoundMode.CAST_RINT, tile)
            ac.PipeBarrier(ac.PIPE_V)
            ac.Gather(moved, a, shifted.ReinterpretCast(u32), 0, tile)
            ac.CompareScalar(mask, b, float(step), ac.CMPMODE.GE, tile)
            ac.PipeBarrier(ac.PIPE_V)
            ac.Select(moved, mask, moved, 0.0, ac.SELMODE.VSEL_TENSOR_SCALAR_MODE, tile)
            ac.PipeBarrier(ac.PIPE_V)
            ac.Add(a, a, moved, tile)
            step *= 2
        ac.PipeBarrier(ac.PIPE_V)
        ac.Adds(b, a, carry, tile)
        pass_on(EVENT.V_S)
        carry = b.GetValue(tile - 1)
        pass_on(EVENT.S_V)
        pass_on(EVENT.V_MTE3)
        ac.DataCopy(ac.GlobalTensor(y)[at], b, tile)
        pass_on(EVENT.MTE3_V)
        pass_on(EVENT.V_MTE2)


@npu.kernel(kind="aiv")
def bias_rows(x: Any, bias: Any, y: Any, rows: int, columns: int) -> None:
    """A bias on every row of a tile by one instruction a chunk of 64, which stands still in its second source (repeat stride 0)."""
    per = rows // ac.GetBlockNum()
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    t, b = ub.Alloc(f32, per * columns), ub.Alloc(f32, columns)
    start = ac.GetBlockIdx() * per * columns
    ac.DataCopy(b, ac.GlobalTensor(bias), columns)
    ac.DataCopy(t, ac.GlobalTensor(x)[start], per * columns)
    pass_on(EVENT.MTE2_V)
    how = ac.BinaryRepeatParams(1, 1, 1, columns // 8, columns // 8, 0)
    for c in range(0, columns, 64):
        ac.Add(t[c], t[c], b[c], 64, per, how)
    ac.PipeBarrier(ac.PIPE_V)
    ac.Relu(t, t, per * columns)
    pass_on(EVENT.V_MTE3)
    ac.DataCopy(ac.GlobalTensor(y)[start], t, per * columns)


@npu.kernel(kind="aiv")
def grad_add(grad: Any, total: Any, n: int, tile: int) -> None:
    """Halves onto a sum in f32 that other cores add to, as well; the last tile is cut, and its tail is no whole block."""
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    narrow, wide = [ub.Alloc(half, tile) for _ in (0, 1)], [ub.Alloc(f32, tile) for _ in (0, 1)]
    own = ac.GlobalTensor(grad)[ac.GetBlockIdx() * n :]
    for b in (0, 1):
        ac.SetFlag(EVENT.V_MTE2, b)
        ac.SetFlag(EVENT.MTE3_V, b)
    ac.SetAtomicAdd(f32)
    for i, at in enumerate(range(0, n, tile)):
        b, m = i % 2, min(tile, n - at)
        ac.WaitFlag(EVENT.V_MTE2, b)
        ac.DataCopyPad(narrow[b], own[at:], m)
        pass_on(EVENT.MTE2_V, b)
        ac.WaitFlag(EVENT.MTE3_V, b)
        ac.Cast(wide[b], narrow[b], ac.RoundMode.CAST_NONE, m)
        ac.SetFlag(EVENT.V_MTE2, b)
        pass_on(EVENT.V_MTE3, b)
        ac.DataCopyPad(ac.GlobalTensor(total)[at:], wide[b], m)
        ac.SetFlag(EVENT.MTE3_V, b)
    ac.SetAtomicNone()
    for b in (0, 1):
        ac.WaitFlag(EVENT.V_MTE2, b)
        ac.WaitFlag(EVENT.MTE3_V, b)
