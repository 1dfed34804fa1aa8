"""The matrix product that the published ladder measures: 128 x 256 x 64 tiles, one fixed part of the result for each core."""

from __future__ import annotations

from dataclasses import dataclass

import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang.cube_tiles import Product
from ascendlite.npu.lang.dtypes import f32, i32
from ascendlite.npu.lang.tensors import Argument, GlobalTensor, LocalTensor, Slots
from ascendlite.npu.lang.trace import Index
from ascendlite.npu.programs import kernel

BM, BN, BK = 128, 256, 64  # 16 + 32 KiB of L0A, L0B twice; 128 KiB of L0C


@dataclass
class _Tile:
    """Buffers of a core: A and B in L1 (one or two of each), in L0 (two), the result in L0C."""

    al: Slots
    bl: Slots
    a0: Slots
    b0: Slots
    acc: LocalTensor
    ka: int
    kb: int


def _buffers(dtype: object, ka: int, kb: int, slots: int) -> _Tile:
    l1, l0a, l0b, l0c = (ac.LocalMemAllocator(h) for h in (ac.Hardware.L1, ac.Hardware.L0A, ac.Hardware.L0B, ac.Hardware.L0C))
    return _Tile(l1.AllocSlots(dtype, BM * ka, slots), l1.AllocSlots(dtype, BN * kb, slots), l0a.AllocSlots(dtype, BM * BK, 2),
                 l0b.AllocSlots(dtype, BN * BK, 2), l0c.Alloc(f32, BM * BN), ka, kb)  # fmt: skip


def _steps(t: _Tile, ag: GlobalTensor, bg: GlobalTensor, k: Index, ld: int, chunk: Index, last: bool, first: Index, unit: bool) -> None:
    """One chunk of `ka` columns of A with its `ka / kb` chunks of B: loads to L1, to L0, products."""
    slots = len(t.al)
    s = chunk % slots
    ac.WaitFlag(ac.HardEvent.MTE1_MTE2, s)
    ac.DataCopy(t.al[s], ag[k:], ac.Nd2NzParams(BM, t.ka, ld=ld))
    for j in range(t.ka // t.kb):
        u = (chunk * (t.ka // t.kb) + j) % slots
        ac.WaitFlag(ac.HardEvent.MTE1_MTE2, 2 + u)
        ac.DataCopy(t.bl[u], bg[k + j * t.kb :], ac.Nd2NzParams(BN, t.kb, ld=ld))
        ac.SetFlag(ac.HardEvent.MTE2_MTE1, u)
        ac.WaitFlag(ac.HardEvent.MTE2_MTE1, u)
        for i in range(t.kb // BK):
            p = i % 2 if t.kb > BK else chunk % 2
            ac.WaitFlag(ac.HardEvent.M_MTE1, p)
            ac.LoadA(t.a0[p], t.al[s], BM, BK, j * t.kb + i * BK)
            ac.LoadB(t.b0[p], t.bl[u], BK, BN, i * BK, trans=True)
            ac.SetFlag(ac.HardEvent.MTE1_M, p)
            ac.WaitFlag(ac.HardEvent.MTE1_M, p)
            end = last and j == t.ka // t.kb - 1 and i == t.kb // BK - 1
            init = first if j == 0 and i == 0 else False
            ac.Mmad(t.acc, t.a0[p], t.b0[p], BM, BN, BK, init=init, unitFlag=(3 if end else 2) if unit else 0)
            ac.SetFlag(ac.HardEvent.M_MTE1, p)
        ac.SetFlag(ac.HardEvent.MTE1_MTE2, 2 + u)
    ac.SetFlag(ac.HardEvent.MTE1_MTE2, s)


def _store(t: _Tile, to: GlobalTensor, ld: int, unit: bool) -> None:
    """The tile's results to GM; without unit flags the next tile waits for them."""
    if unit:
        ac.Fixpipe(to, t.acc, BM, BN, ld=ld, unitFlag=3)
        return
    ac.SetFlag(ac.HardEvent.M_FIX, 0)
    ac.WaitFlag(ac.HardEvent.M_FIX, 0)
    ac.Fixpipe(to, t.acc, BM, BN, ld=ld)
    ac.SetFlag(ac.HardEvent.FIX_M, 0)
    ac.WaitFlag(ac.HardEvent.FIX_M, 0)


@kernel(kind="aic")
def int8_product(a: Argument, b: Argument, c: Argument, tile: tuple[int, int, int, int]) -> None:
    """c = a b of int8 with sums of int32, scaled to half, tiles dealt out to the cores in turn."""
    (m_size, k_size), n_size = a.shape, b.shape[1]
    bm, bn, bk, kl1 = tile
    work = Product(a.dtype, i32, bm, bn, bk, kl1)
    for m0, n0, m, n in work.my_tiles(m_size, n_size):
        work.multiply(GlobalTensor(a)[m0 * k_size :], k_size, GlobalTensor(b)[n0:], n_size, m, n, k_size)
        work.store(GlobalTensor(c)[m0 * n_size + n0 :], n_size, m, n, scale=0.01)
    work.finish()


@kernel(kind="aic")
def matmul_ladder(a: Argument, b: Argument, c: Argument, rows_of_cores: int, ka: int, kb: int, slots: int, unit: bool) -> None:
    """c = a b^T with a (M, K) and b (N, K), on rows_of_cores x (blocks / rows_of_cores) cores; unit: results are handed over by unit flags."""
    (m_size, k_size), n_size = a.shape, b.shape[0]
    block, columns = ac.GetBlockIdx(), ac.GetBlockNum() // rows_of_cores
    tiles_m, tiles_n = m_size // BM // rows_of_cores, n_size // BN
    row, col = block // columns, block % columns
    each, more = tiles_n // columns, tiles_n % columns
    first_n, count_n = col * each + ac.min(col, more), each + ac.min(1, ac.max(0, more - col))
    t = _buffers(a.dtype, ka, kb, slots)
    for s in range(slots):
        ac.SetFlag(ac.HardEvent.MTE1_MTE2, s)
        ac.SetFlag(ac.HardEvent.MTE1_MTE2, 2 + s)
    for p in range(2):
        ac.SetFlag(ac.HardEvent.M_MTE1, p)
    chunks = k_size // ka
    for m in ac.range(tiles_m):
        for n in ac.range(count_n):
            m0, n0 = (row * tiles_m + m) * BM, (first_n + n) * BN
            ag, bg = GlobalTensor(a)[m0 * k_size :], GlobalTensor(b)[n0 * k_size :]
            for k in ac.range(chunks - 1):
                _steps(t, ag, bg, k * ka, k_size, k, last=False, first=k == 0, unit=unit)
            _steps(t, ag, bg, (chunks - 1) * ka, k_size, chunks - 1, last=True, first=chunks == 1, unit=unit)
            _store(t, GlobalTensor(c)[m0 * n_size + n0 :], n_size, unit)
    for s in range(slots):
        ac.WaitFlag(ac.HardEvent.MTE1_MTE2, s)
        ac.WaitFlag(ac.HardEvent.MTE1_MTE2, 2 + s)
    for p in range(2):
        ac.WaitFlag(ac.HardEvent.M_MTE1, p)
