"""What the attention kernels share: products of matrices in L1, and scores with their scale, masks and row-wise numbers in UB."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.flash_plan import Place, Problem, Tiles, Walk, up
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.cube_tiles import ORDERED_BLOCKS
from ascendlite.npu.lang.declare import Memory
from ascendlite.npu.lang.order import take_events
from ascendlite.npu.lang.rows import LANES, barrier
from ascendlite.npu.lang.tensors import Slots, allocate
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.lang.trace import Index

f32, f16, u8, u16 = dtypes.f32, dtypes.f16, dtypes.u8, dtypes.u16
Event = ac.HardEvent
L0_SLOT: Final = 32 * 1024  # two slots in 64 KiB of L0A and of L0B
LOWEST: Final = -3.4028234663852886e38  # the least float32: what is masked out is -inf and lies below
TINY: Final = 1e-37
READY, WEIGHED, SUMMED = 8, 9, 10  # cross-core flags: scores are there; weights are there; products with the values (or, backward, with their gradients) are there


def possible(condition: Index) -> bool:
    """Whether a condition can hold: code under one that cannot is not written."""
    return not isinstance(condition, int) or bool(condition)


class Cube(Protocol):
    """The cube's part of an attention kernel: scores for the vector cores, then products with what they make of them."""

    def scores_of(self, at: Place) -> None:
        """Scores of a tile."""

    def sums_of(self, at: Place) -> None:
        """Products with the weights of a tile that came back."""

    def finish(self) -> None:
        """Take back the flags."""


def run_cube(walk: Walk, cube: Cube) -> None:
    """Scores run one group of tiles ahead, so that the vector cores never wait for the cube."""
    start = walk.start()
    for i in ac.range(walk.t.ahead):
        with ac.If((walk.count > 0) & (i < start.count)):
            cube.scores_of(walk.tile(start, i))
    for at in walk.places():
        more, ahead = walk.after(at)
        for i in ac.range(walk.t.ahead):
            some = more & (i < ahead.count)
            if possible(some):
                with ac.If(some):
                    cube.scores_of(walk.tile(ahead, i))
            with within(i < at.count):
                cube.sums_of(walk.tile(at, i))
    cube.finish()


def within(condition: Index) -> AbstractContextManager[None]:
    """ac.If; what always holds is no branch."""
    return nullcontext() if isinstance(condition, int) and condition else ac.If(condition)


def slots(memory: Memory, dtype: Any, size: int, count: int) -> Slots:
    """`count` equal buffers."""
    return Slots(allocate(memory, dtype, size, count))


class Products:
    """c = a b with operands in L1, through two slots of L0A and L0B. `start`: the slot of the first step; let products in a row begin at others."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.room = dtype, L0_SLOT // dtype.itemsize
        self.a, self.b = (slots(m, dtype, self.room, 2) for m in (Memory.L0A, Memory.L0B))
        self.free, self.full = (take_events(e, 2)[0] for e in (Event.M_MTE1, Event.MTE1_M))
        for s in (0, 1):
            ac.SetFlag(Event.M_MTE1, self.free + s)

    def multiply(self, c: Any, a: Any, b: Any, m: Index, n: Index, k: Index, most: tuple[int, int, int], *, trans_a: bool = False,
                 trans_b: bool = False, start: Index = 0, init: Index = True) -> None:
        """most: the largest m, n and k. trans_a: a is stored k x m; trans_b: b is stored n x k."""
        step = min(up(most[2], 16), self.room // up(max(most[:2]), 16) // 16 * 16)
        pitch_a, pitch_b = (ac.CeilAlign(x, 16) for x in (k if trans_a else m, n if trans_b else k))
        for k0 in ac.range(0, most[2] if step >= most[2] else k, step):
            part, p = ac.min(step, k - k0), (k0 // step + start) % 2
            ac.WaitFlag(Event.M_MTE1, self.free + p)
            ac.LoadA(self.a[p], a, m, part, k0, rows=pitch_a, trans=trans_a)
            ac.LoadB(self.b[p], b, part, n, k0, rows=pitch_b, trans=trans_b)
            ac.SetFlag(Event.MTE1_M, self.full + p)
            ac.WaitFlag(Event.MTE1_M, self.full + p)
            fresh = (k0 == 0) & init
            self._order(fresh, m, n)
            ac.Mmad(c, self.a[p], self.b[p], m, n, part, init=fresh)
            ac.SetFlag(Event.M_MTE1, self.free + p)

    def _order(self, fresh: Index, m: Index, n: Index) -> None:
        """Of a small product the next one may add to the sums before this one has written them (R09)."""
        small = (ac.CeilDiv(m, 16) * ac.CeilDiv(n, 16) < ORDERED_BLOCKS) & (fresh == 0)
        if possible(small):
            with ac.If(small):
                ac.PipeBarrier(ac.PIPE_M)

    def finish(self) -> None:
        """Leaves no flag set."""
        for s in (0, 1):
            ac.WaitFlag(Event.M_MTE1, self.free + s)


def spread_rows(op: Callable[..., None], dst: Any, src: Any, spread: Any, columns: int, pitch: int, rows: Index) -> None:
    """dst[r, :] = op(src[r, :], number r), the numbers as blocks of 32 bytes."""
    b = pitch // 8
    for c in range(0, columns, LANES):
        op(dst[c:], src[c:], spread, min(LANES, columns - c), rows, (1, 1, 0, b, b, 1))


class Rows:
    """Numbers of rows: reduced from tiles of scores, and spread over them."""

    def __init__(self, t: Tiles) -> None:
        self.t = t
        self.partial = scratch(f32, t.rows * LANES)
        self.eighth = scratch(f32, up(t.rows * 8, LANES))
        self.blocks = scratch(f32, t.rows * 8)
        ac.Duplicate(self.eighth, 0.0, up(t.rows * 8, LANES))

    def stats(self, count: int = 1) -> Slots:
        """One number a row, `count` times. What a short tile lacks is 0."""
        made = slots(Memory.UB, f32, up(self.t.rows, 8), count)
        for one in made.tensors:
            ac.Duplicate(one, 0.0, up(self.t.rows, 8))
        return made

    def reduce(self, kind: str, out: Any, tile: Any, rows: Index) -> None:
        """out[r] = the "MAX" or "SUM" of row r: folded to 64 columns, then eight to one, twice; of fewer columns at once."""
        op, b = (ac.Max if kind == "MAX" else ac.Add), self.t.bn // 8
        source, pitch = tile, b
        if self.t.bn < LANES:
            ac.ReduceRepeat(kind, out, tile, self.t.bn, rows, 1, 1, b)
            barrier()
            return
        if self.t.bn > LANES:
            op(self.partial, tile, tile[LANES:], LANES, rows, (1, 1, 1, 8, b, b))
            barrier()
            for c in range(2 * LANES, self.t.bn, LANES):
                op(self.partial, self.partial, tile[c:], LANES, rows, (1, 1, 1, 8, 8, b))
                barrier()
            source, pitch = self.partial, 8
        ac.BlockReduce(kind, self.eighth, source, rows, LANES, 1, 1, pitch)
        barrier()
        ac.BlockReduce(kind, out, self.eighth, ac.CeilDiv(rows, 8), LANES, 1, 1, 8)
        barrier()

    def spread(self, numbers: Any) -> Any:
        """The numbers as blocks of 32 bytes."""
        ac.Brcb(self.blocks, numbers, self.t.rows // 8, (1, 8))
        barrier()
        return self.blocks


class Scores:
    """Tiles of scores in UB: they arrive, are scaled, and what a query does not see becomes -inf."""

    def __init__(self, p: Problem, t: Tiles, walk: Walk, mask: Any) -> None:
        self.p, self.t, self.walk = p, t, walk
        self.size = t.rows * t.bn
        self.tiles = slots(Memory.UB, f32, self.size, t.ahead)
        for tile in self.tiles.tensors:
            ac.Duplicate(tile, 0.0, self.size)
        self.tile = self.tiles[0]
        self.mask = None if mask is None else ac.GlobalTensor(mask, dtype=u8 if mask.dtype is dtypes.bool8 else None)
        shared = p.mask is not None and p.mask.row == 0
        self.mask_rows = 1 if shared else t.rows
        if self.mask is not None:
            self._mask_buffers(self.mask.dtype)
        if p.causal or p.window:
            self._distances()
        if p.causal or p.window or mask is not None:
            self.bits = scratch(u8, up(self.size // 8, 32))

    def _mask_buffers(self, dtype: Any) -> None:
        size = self.whole = up(self.mask_rows * self.t.bn, 2 * LANES)  # comparisons of f16 take whole repeats
        self.raws = slots(Memory.UB, dtype, size, self.t.ahead)
        for raw in self.raws.tensors:
            ac.Duplicate(raw.ReinterpretCast(u16), 0, size * dtype.itemsize // 2)
        self.raw = self.raws[0]
        self.wide = self.raw if dtype is f32 else scratch(f16 if dtype is u8 else f32, size)
        self.row = scratch(f32, size) if dtype is u8 and self.mask_rows == 1 else None

    def _distances(self) -> None:
        """column - row of each element; f16 holds integers to 2048."""
        t = self.t
        self.distance = scratch(f16, self.size)
        ac.CreateVecIndex(self.distance, 0.0, t.bn)
        barrier()
        done = 1
        while done < t.rows:
            some = min(done, t.rows - done)
            ac.Adds(self.distance[done * t.bn :], self.distance, -float(done), some * t.bn)
            barrier()
            done += some

    def load(self, at: Place, work: Any) -> None:
        """Pipe MTE2: this core's rows of the tile and of the mask."""
        t, (a, rows) = self.t, self.walk.my_rows(at)
        self.tile = self.tiles[at.buffer]
        wide = ac.DataCopyExtParams(rows, at.n * 4, (t.bn - at.n) * 4, 0, pitch=t.bn * 4)
        ac.DataCopyPad(self.tile, work[ac.GetSubBlockIdx() * t.rows * t.bn :], wide)
        if self.mask is None:
            return
        self.raw = self.raws[at.buffer]
        if self.raw.dtype is f32:
            self.wide = self.raw
        lie, size = self.p.mask, self.mask.dtype.itemsize
        assert lie is not None
        count = rows if self.mask_rows > 1 else 1
        how = ac.DataCopyExtParams(count, at.n * size, (ac.max(lie.row, at.n) - at.n) * size, 0, pitch=t.bn * size)
        ac.DataCopyPad(self.raw, self.mask[lie.at(at.batch, at.head, a) + at.j0 :], how)

    def finish(self, at: Place) -> None:
        """Pipe V: scale and masks."""
        a, rows = self.walk.my_rows(at)
        ac.Muls(self.tile, self.tile, self.p.scale, rows * self.t.bn)
        barrier()
        if self.mask is not None:
            self._apply_mask(rows)
        if self.p.causal:
            with ac.If(at.j0 + at.n - 1 > a):
                self._keep("LE", a - at.j0, rows)
        if self.p.window:
            with ac.If(at.j0 <= a + rows - 1 - self.p.window):
                self._keep("GT", a - at.j0 - self.p.window, rows)
        tail = self.p.S % self.t.bn
        if tail:
            with ac.If(at.n < self.t.bn):
                self._cut(tail, rows)

    def _keep(self, op: str, limit: Index, rows: Index) -> None:
        """Scores whose column - row is op limit; the others are masked."""
        ac.CompareScalar(self.bits, self.distance, ac.max(-2000, ac.min(limit, 2000)), op, self.size)
        barrier()
        ac.Select(self.tile, self.bits, self.tile, -float("inf"), "VSEL_TENSOR_SCALAR_MODE", rows * self.t.bn)
        barrier()

    def _cut(self, tail: int, rows: Index) -> None:
        """Columns from the tail on do not exist. The last of all masks: who reads the tile waits."""
        for c in range(tail // LANES * LANES, self.t.bn, LANES):
            lanes = ((1 << min(LANES, self.t.bn - c)) - 1) & ~((1 << max(0, tail - c)) - 1)
            ac.Duplicate(self.tile[c:], -float("inf"), (lanes, 0), rows, 1, self.t.bn // 8)

    def _apply_mask(self, rows: Index) -> None:
        bn = self.t.bn
        if self.raw.dtype is not f32:
            ac.Cast(self.wide, self.raw, "CAST_NONE", self.whole)
            barrier()
        if self.raw.dtype is u8:
            ac.CompareScalar(self.bits, self.wide, 0.0, "NE", self.whole)
            barrier()
        if self.mask_rows > 1 and self.raw.dtype is u8:
            ac.Select(self.tile, self.bits, self.tile, -float("inf"), "VSEL_TENSOR_SCALAR_MODE", rows * bn)
        elif self.mask_rows > 1:
            ac.Add(self.tile, self.tile, self.wide, rows * bn)
        else:
            row = self._shared_row()
            for c in range(0, bn, LANES):
                ac.Add(self.tile[c:], self.tile[c:], row[c:], min(LANES, bn - c), rows, (1, 1, 1, bn // 8, bn // 8, 0))
        barrier()

    def _shared_row(self) -> Any:
        """What all queries add: 0 where they see the key."""
        if self.row is None:
            return self.wide
        ac.Duplicate(self.row, 0.0, self.whole)
        barrier()
        ac.Select(self.row, self.bits, self.row, -float("inf"), "VSEL_TENSOR_SCALAR_MODE", self.whole)
        barrier()
        return self.row
