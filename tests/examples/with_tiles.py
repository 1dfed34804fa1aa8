"""Kernels that stand on the second layer: each says what happens to a tile, and nothing about flags."""

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang.cube_tiles import Product
from ascendlite.npu.lang.rows import RowWise, barrier
from ascendlite.npu.lang.tiles import pipeline, scratch


@npu.kernel(kind="aiv")
def add(x, y, z, n, tile=8192):
    for t in pipeline(n, tile, ins=(x, y), outs=(z,)):
        ac.Add(t.outs[0], t.ins[0], t.ins[1], t.count)


@npu.kernel(kind="aiv")
def silu(x, y, n, tile=4096):
    wide, den = scratch(npu.f32, tile), scratch(npu.f32, tile)
    for t in pipeline(n, tile, ins=(x,), outs=(y,)):
        ac.Cast(wide, t.ins[0], "CAST_NONE", t.count)
        barrier()
        ac.Muls(den, wide, -1.0, t.count)
        barrier()
        ac.Exp(den, den, t.count)
        barrier()
        ac.Adds(den, den, 1.0, t.count)
        barrier()
        ac.Div(wide, wide, den, t.count)
        barrier()
        ac.Cast(t.outs[0], wide, "CAST_RINT", t.count)


@npu.kernel(kind="aiv")
def softmax(x, y, R, C, rows=8):
    pitch = (C + 15) // 16 * 16  # rows start at a block of 32 bytes, in f16 and in f32
    work, w = RowWise(rows, C, pitch), scratch(npu.f32, rows * pitch)
    stat = work.new_stat()
    for t in pipeline(R, rows, ins=(x,), outs=(y,), width=C, pitch=pitch):
        ac.Cast(w, t.ins[0], "CAST_NONE", t.count * pitch)
        barrier()
        work.reduce("MAX", stat, w, t.count)
        work.combine(ac.Sub, w, w, stat, t.count)
        ac.Exp(w, w, t.count * pitch)
        barrier()
        work.reduce("SUM", stat, w, t.count)
        work.combine(ac.Div, w, w, stat, t.count)
        ac.Cast(t.outs[0], w, "CAST_RINT", t.count * pitch)


@npu.kernel(kind="aic")
def matmul(a, b, c, M, N, K, trans_a=False, trans_b=False):
    ag, bg, cg = ac.GlobalTensor(a), ac.GlobalTensor(b), ac.GlobalTensor(c)
    lda, ldb = (M if trans_a else K), (K if trans_b else N)
    product = Product(a.dtype, npu.f32, trans_a=trans_a, trans_b=trans_b)
    for m0, n0, m, n in product.my_tiles(M, N):
        product.multiply(ag[m0 if trans_a else m0 * lda :], lda, bg[n0 * ldb if trans_b else n0 :], ldb, m, n, K)
        product.store(cg[m0 * N + n0 :], N, m, n)
    product.finish()
