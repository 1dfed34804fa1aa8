"""A tile of a matrix product on a cube core: L1 and L0 double buffered, all flags placed."""

from __future__ import annotations

from collections.abc import Iterator

from ascendlite.npu.errors import KernelError
from ascendlite.npu.lang import order
from ascendlite.npu.lang.cube import Fixpipe, LoadA, LoadB, Mmad
from ascendlite.npu.lang.declare import Memory, Pipe
from ascendlite.npu.lang.dtypes import DType
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.movement import BLOCK, DataCopy, DataCopyPad, Nd2NzParams
from ascendlite.npu.lang.order import CeilDiv, GetBlockIdx, GetBlockNum, SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.tensors import GlobalTensor, Slots, allocate, capacity
from ascendlite.npu.lang.trace import Index, current

ORDERED_BLOCKS = 10  # Mmads of at least so many 16 x 16 results add up in order without a barrier (manual of Mmad)


def table_slots(bn: int, room: int) -> int:
    """How many rows of bn float32 numbers a bias table of so many bytes holds: at most the two that take turns."""
    return max(1, min(2, room // (4 * bn)))


class Product:
    """c = a b by tiles of bm x bn with sums of `acc` in L0C, handed over by unit flags; k goes through L1 in steps of kl1 and through L0 in steps of bk.

    trans_a: a is stored k x m; trans_b: b is stored n x k. Sizes need not be multiples of the tiles. bias: the format of numbers that the
    sums may begin with, one a column: they pass L1 and the bias table. A table that holds one tile's only needs two steps of bk a tile.

        product = Product(x.dtype, npu.f32, bm=128, bn=256)
        for m0, n0, m, n in product.my_tiles(M, N):
            product.multiply(a[m0 * K :], K, b[n0:], N, m, n, K)
            product.store(c[m0 * N + n0 :], N, m, n)
        product.finish()
    """

    def __init__(self, dtype: DType, acc: DType, bm: int = 128, bn: int = 256, bk: int = 64, kl1: int = 256, *, trans_a: bool = False,
                 trans_b: bool = False, bias: DType | None = None) -> None:
        if kl1 % bk or bm % 16 or bn % 16 or bk % 16:
            raise KernelError(f"Product: tiles {bm} x {bn} x {bk} in steps of {kl1}; they must be multiples of 16, and kl1 one of bk")
        self.bm, self.bn, self.bk, self.kl1, self.trans_a, self.trans_b = bm, bn, bk, kl1, trans_a, trans_b
        self.a_l1, self.b_l1 = (Slots(allocate(Memory.L1, dtype, size, 2)) for size in (bm * kl1, kl1 * bn))
        self.a_l0 = Slots(allocate(Memory.L0A, dtype, bm * bk, 2))
        self.b_l0 = Slots(allocate(Memory.L0B, dtype, bk * bn, 2))
        self.acc_l0c = allocate(Memory.L0C, acc, bm * bn)[0]
        if bias is not None:
            self.bias_l1 = Slots(allocate(Memory.L1, bias, -(-bn // 16) * 16, 2))
            self.table = Slots(allocate(Memory.BT, acc, bn, table_slots(bn, capacity(current(), Memory.BT))))
        self.l1_free, self.l1_full = (take_events(e, 2)[0] for e in (HardEvent.MTE1_MTE2, HardEvent.MTE2_MTE1))
        self.l0_free, self.l0_full = (take_events(e, 2)[0] for e in (HardEvent.M_MTE1, HardEvent.MTE1_M))
        for s in (0, 1):
            SetFlag(HardEvent.MTE1_MTE2, self.l1_free + s)
            SetFlag(HardEvent.M_MTE1, self.l0_free + s)
        self._tile: Index = 0

    def my_tiles(self, m: int, n: int) -> Iterator[tuple[Index, Index, Index, Index]]:
        """(m0, n0, rows, columns) of this core's tiles: every so many-th, row by row."""
        across = CeilDiv(n, self.bn)
        assert isinstance(across, int)
        for tile in order.range(GetBlockIdx(), CeilDiv(m, self.bm) * across, GetBlockNum()):
            self._tile = (tile - GetBlockIdx()) // GetBlockNum()
            m0, n0 = tile // across * self.bm, tile % across * self.bn
            yield m0, n0, order.min(self.bm, m - m0), order.min(self.bn, n - n0)

    def begin(self, index: Index) -> None:
        """Say that a tile begins which is this core's `index`-th: what `my_tiles` does by itself."""
        self._tile = index

    def multiply(self, a: GlobalTensor, lda: int, b: GlobalTensor, ldb: int, m: Index, n: Index, k: Index, *, most: int | None = None,
                 bias: GlobalTensor | None = None) -> None:
        """The accumulator = the tile's product; a and b are windows that begin at the tile's first elements, rows lda and ldb elements apart.

        `most`: the largest k of any tile, where they differ. bias: a window that begins at the tile's first column.
        """
        steps_l1, steps_l0 = CeilDiv(k if most is None else most, self.kl1), CeilDiv(k if most is None else most, self.bk)
        for k1 in order.range(0, k, self.kl1):
            slots = self._tile * steps_l1 + k1 // self.kl1, self._tile * steps_l0 + k1 // self.bk
            first = a[k1 * lda if self.trans_a else k1 :], lda, b[k1 if self.trans_b else k1 * ldb :], ldb
            self.add(*first, m, n, order.min(self.kl1, k - k1), k1, k, slots, bias)

    def add(self, a: GlobalTensor, lda: int, b: GlobalTensor, ldb: int, m: Index, n: Index, deep: Index, k1: Index, k: Index, slots: tuple[Index, Index],
            bias: GlobalTensor | None = None) -> None:
        """One step through L1: adds the product of windows that begin at k1 of k and are `deep` <= kl1 deep. `slots`: steps through L1 and L0 before it."""
        s = slots[0] % 2
        WaitFlag(HardEvent.MTE1_MTE2, self.l1_free + s)
        DataCopy(self.a_l1[s], a, self._stored(m, deep, self.trans_a, lda))
        DataCopy(self.b_l1[s], b, self._stored(deep, n, self.trans_b, ldb))
        if bias is not None:
            with order.If(k1 == 0):
                DataCopyPad(self.bias_l1[s], bias, n)
        SetFlag(HardEvent.MTE2_MTE1, self.l1_full + s)
        WaitFlag(HardEvent.MTE2_MTE1, self.l1_full + s)
        for k0 in order.range(0, deep, self.bk):
            self._step(s, k1, k0, (slots[1] + k0 // self.bk) % 2, m, n, deep, k, bias is not None)
        SetFlag(HardEvent.MTE1_MTE2, self.l1_free + s)

    def _stored(self, rows: Index, columns: Index, transposed: bool, ld: int) -> Nd2NzParams:
        """A matrix of rows x columns, or its transpose, on its way to L1."""
        rows, columns = (columns, rows) if transposed else (rows, columns)
        return Nd2NzParams(rows, columns, ld=ld)

    def _step(self, s: Index, k1: Index, k0: Index, p: Index, m: Index, n: Index, deep: Index, k: Index, biased: bool) -> None:
        """One step of bk through L0; the last one hands the sums over to Fixpipe, part by part."""
        part = order.min(self.bk, deep - k0)
        pitch_a, pitch_b = ((x + 15) // 16 * 16 for x in (deep if self.trans_a else m, n if self.trans_b else deep))
        WaitFlag(HardEvent.M_MTE1, self.l0_free + p)
        LoadA(self.a_l0[p], self.a_l1[s], m, part, k0, rows=pitch_a, trans=self.trans_a)
        LoadB(self.b_l0[p], self.b_l1[s], part, n, k0, rows=pitch_b, trans=self.trans_b)
        table = None
        if biased:
            table, staged = self.table[self._tile % len(self.table)], self.bias_l1[s]
            unit = BLOCK // staged.dtype.itemsize
            with order.If(k1 + k0 == 0):
                DataCopy(table, staged, (n + unit - 1) // unit * unit)
        SetFlag(HardEvent.MTE1_M, self.l0_full + p)
        WaitFlag(HardEvent.MTE1_M, self.l0_full + p)
        # Of a small product the next one may add to the sums before this one has written them (R09).
        with order.If(CeilDiv(m, 16) * CeilDiv(n, 16) < ORDERED_BLOCKS):
            order.PipeBarrier(Pipe.M)
        last = k1 + k0 + self.bk >= k
        with order.If(last):
            Mmad(self.acc_l0c, self.a_l0[p], self.b_l0[p], m, n, part, init=(k1 + k0) == 0, unitFlag=3, bias=table)
        with order.Else():
            Mmad(self.acc_l0c, self.a_l0[p], self.b_l0[p], m, n, part, init=(k1 + k0) == 0, unitFlag=2, bias=table)
        SetFlag(HardEvent.M_MTE1, self.l0_free + p)

    def store(self, c: GlobalTensor, ldc: int, m: Index, n: Index, *, relu: bool = False, scale: float | None = None) -> None:
        """The accumulator, times `scale`, to c: a window that begins at the tile's first element."""
        Fixpipe(c, self.acc_l0c, m, n, ldc, None if scale is None else "scale", relu, 3, scale=1.0 if scale is None else scale)

    def finish(self) -> None:
        """Leaves no flag set."""
        for s in (0, 1):
            WaitFlag(HardEvent.MTE1_MTE2, self.l1_free + s)
            WaitFlag(HardEvent.M_MTE1, self.l0_free + s)
