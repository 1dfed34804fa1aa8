"""Attention forward in one kernel: the cube core multiplies one tile ahead, its two vector cores keep the softmax, workspaces in GM between them.

What differs from the algorithm as published (FlashAttention, arXiv 2205.14135): the products of weights and values are added up by the vector
cores, since the cube's sums cannot be rescaled; a sink is the first maximum and a first 1 in the sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.flash_parts import (
    LOWEST,
    READY,
    SUMMED,
    TINY,
    WEIGHED,
    Event,
    Products,
    Rows,
    Scores,
    f32,
    possible,
    run_cube,
    slots,
    spread_rows,
)
from ascendlite.npu.kernels.flash_plan import SLOTS, Place, Problem, Tiles, Walk, up
from ascendlite.npu.lang.declare import Memory
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.lang.trace import Index
from ascendlite.npu.programs import kernel

L0C_BYTES: Final = 128 * 1024
SUMS, SCORES = range(2)  # ids of FIX_M and M_FIX; scores may have two


def score_slots(p: Problem, t: Tiles) -> int:
    """Buffers of scores in L0C: two where they fit, so that Fixpipe empties one while the other is filled."""
    return 2 if t.steps > 1 and 4 * t.bm * (2 * t.step + value_pitch(p)) <= L0C_BYTES else 1


def value_pitch(p: Problem) -> int:
    """Elements from row to row of sums of values in UB and in workspaces."""
    return up(p.V, 16)


@kernel(kind="mix")  # type: ignore[untyped-decorator]
def flash(q: Any, k: Any, v: Any, mask: Any, sinks: Any, out: Any, lse: Any, scores: Any, weights: Any, sums: Any, p: Problem, t: Tiles) -> None:
    """out (B, L, H, V) = attention, lse (B, H, L) = logarithm of the softmax's denominator. Workspaces: SLOTS tiles for each group of cores."""
    walk = Walk(p, t, by_keys=False)
    if ac.IsAIC():
        run_cube(walk, _Cube(walk, q, k, v, scores, weights, sums))
    else:
        softmax = _Softmax(walk, mask, sinks, out, lse, scores, weights, sums)
        for at in walk.places():
            softmax.weigh(at)
            any_before, before = walk.before(at)
            if possible(any_before):
                with ac.If(any_before):
                    softmax.add(before)
        with ac.If(walk.count > 0):
            softmax.add(walk.final())
        softmax.finish()


class _Cube:
    """Scores of a tile to GM; later, with the weights that came back, sums of values. Keys pass L1 and L0 in steps of a tile's `step`."""

    def __init__(self, walk: Walk, q: Any, k: Any, v: Any, scores: Any, weights: Any, sums: Any) -> None:
        p, t = walk.p, walk.t
        self.walk, self.p, self.t = walk, p, t
        self.q, self.k, self.v, self.weights = (ac.GlobalTensor(x) for x in (q, k, v, weights))
        self.scores, self.sums = ac.GlobalTensor(scores), ac.GlobalTensor(sums)
        width, values = up(p.E, 16), value_pitch(p)
        self.q_l1 = slots(Memory.L1, q.dtype, t.bm * width, 2)
        self.k_l1 = slots(Memory.L1, q.dtype, t.step * width, t.steps)
        self.v_l1 = slots(Memory.L1, q.dtype, t.step * values, t.steps)
        self.w_l1 = slots(Memory.L1, q.dtype, t.bm * t.step, t.steps)
        self.scores_l0c = slots(Memory.L0C, f32, t.bm * t.step, score_slots(p, t))
        self.sums_l0c = slots(Memory.L0C, f32, t.bm * values, 1)[0]
        self.products = Products(q.dtype)
        for e in range(2 * t.steps):
            ac.SetFlag(Event.MTE1_MTE2, e)
        for e in range(1 + len(self.scores_l0c)):
            ac.SetFlag(Event.FIX_M, e)

    def _space(self, work: Any, at: Place, columns: int) -> Any:
        return work[(self.walk.core * SLOTS + at.slot) * (self.t.bm * columns) :]

    def _steps(self, at: Place) -> Iterator[tuple[Index, Index, Index]]:
        """(number, first key, keys) of the tile's steps."""
        t = self.t
        for i in ac.range(1 if t.steps == 1 else ac.CeilDiv(at.n, t.step)):
            yield i, at.j0 + i * t.step, ac.max(1, ac.min(t.step, at.n - i * t.step))  # max: what the trace cannot see

    def scores_of(self, at: Place) -> None:
        """q k^T to the workspace. The buffer of q is free here: the weights of the tile before last were waited for."""
        p, t = self.p, self.t
        with ac.If(at.first):
            ac.DataCopy(self.q_l1[at.item % 2], self.q[p.q.at(at.batch, at.head, at.i0) :], ac.Nd2NzParams(at.m, p.E, ld=p.q.row))
        for i, j0, n in self._steps(at):
            ac.WaitFlag(Event.MTE1_MTE2, i)
            ac.DataCopy(self.k_l1[i], self.k[p.k.at(at.batch, at.group, j0) :], ac.Nd2NzParams(n, p.E, ld=p.k.row))
            ac.SetFlag(Event.MTE2_MTE1, i)
            ac.WaitFlag(Event.MTE2_MTE1, i)
            slot = i % len(self.scores_l0c)
            ac.WaitFlag(Event.FIX_M, SCORES + slot)
            self.products.multiply(self.scores_l0c[slot], self.q_l1[at.item % 2], self.k_l1[i], at.m, n, p.E, (t.bm, t.step, p.E), trans_b=True, start=i)
            ac.SetFlag(Event.MTE1_MTE2, i)
            ac.SetFlag(Event.M_FIX, SCORES + slot)
            ac.WaitFlag(Event.M_FIX, SCORES + slot)
            ac.Fixpipe(self._space(self.scores, at, t.bn)[i * t.step :], self.scores_l0c[slot], at.m, n, t.bn)
            ac.SetFlag(Event.FIX_M, SCORES + slot)
        ac.CrossCoreSetFlag(2, ac.PIPE_FIX, READY)

    def sums_of(self, at: Place) -> None:
        """weights v to the workspace. The values do not wait for the weights."""
        p, t = self.p, self.t
        for i, j0, n in self._steps(at):
            ac.WaitFlag(Event.MTE1_MTE2, t.steps + i)
            ac.DataCopy(self.v_l1[i], self.v[p.v.at(at.batch, at.group, j0) :], ac.Nd2NzParams(n, p.V, ld=p.v.row))
        ac.CrossCoreWaitFlag(WEIGHED)
        for i, _, n in self._steps(at):
            ac.DataCopy(self.w_l1[i], self._space(self.weights, at, t.bn)[i * t.step :], ac.Nd2NzParams(at.m, n, ld=t.bn))
            ac.SetFlag(Event.MTE2_MTE1, t.steps + i)
        ac.WaitFlag(Event.FIX_M, SUMS)
        for i, _, n in self._steps(at):
            ac.WaitFlag(Event.MTE2_MTE1, t.steps + i)
            self.products.multiply(self.sums_l0c, self.w_l1[i], self.v_l1[i], at.m, p.V, n, (t.bm, p.V, t.step), start=i + 1, init=i == 0)
            ac.SetFlag(Event.MTE1_MTE2, t.steps + i)
        ac.SetFlag(Event.M_FIX, SUMS)
        ac.WaitFlag(Event.M_FIX, SUMS)
        ac.Fixpipe(self._space(self.sums, at, value_pitch(p)), self.sums_l0c, at.m, p.V, value_pitch(p))
        ac.SetFlag(Event.FIX_M, SUMS)
        ac.CrossCoreSetFlag(2, ac.PIPE_FIX, SUMMED)

    def finish(self) -> None:
        for e in range(2 * self.t.steps):
            ac.WaitFlag(Event.MTE1_MTE2, e)
        for e in range(1 + len(self.scores_l0c)):
            ac.WaitFlag(Event.FIX_M, e)
        self.products.finish()


class _Softmax:
    """The running maximum and sum of each row, and the sum of weighted values, rescaled whenever the maximum grows."""

    def __init__(self, walk: Walk, mask: Any, sinks: Any, out: Any, lse: Any, scores: Any, weights: Any, sums: Any) -> None:
        p, t = walk.p, walk.t
        self.walk, self.p, self.t = walk, p, t
        self.out, self.lse, self.scores, self.weights, self.sums = (ac.GlobalTensor(x) for x in (out, lse, scores, weights, sums))
        self.sinks = None if sinks is None else ac.GlobalTensor(sinks)
        self.columns = value_pitch(p)
        self.s, self.rows = Scores(p, t, walk, mask), Rows(t)
        self.w = scratch(out.dtype, t.rows * t.bn)
        self.part, self.total = (scratch(f32, t.rows * self.columns) for _ in range(2))
        self.result = scratch(out.dtype, t.rows * self.columns)
        self.peak, self.sum, self.decay = self.rows.stats(2), self.rows.stats(2), self.rows.stats(SLOTS)
        self.highest, self.more, self.log = (self.rows.stats()[0] for _ in range(3))
        self.sink = self.rows.stats()[0]
        for e in (0, 1):
            ac.SetFlag(Event.V_MTE2, e)
            ac.SetFlag(Event.MTE3_V, e)

    def _space(self, work: Any, at: Place, columns: int) -> Any:
        return work[((self.walk.core * SLOTS + at.slot) * self.t.bm) * columns :]

    def weigh(self, at: Place) -> None:
        """e^(scores - maximum) to the workspace, and the sums of its rows."""
        t, (_, rows) = self.t, self.walk.my_rows(at)
        half = ac.GetSubBlockIdx() * t.rows
        ac.CrossCoreWaitFlag(READY)
        with ac.If(rows > 0):
            ac.WaitFlag(Event.V_MTE2, 0)
            self.s.load(at, self._space(self.scores, at, t.bn))
            if self.sinks is not None:
                self._load_sinks(self.sinks, at, rows)
            ac.SetFlag(Event.MTE2_V, 0)
            ac.WaitFlag(Event.MTE2_V, 0)
            self.s.finish(at)
            if self.p.S % t.bn:
                barrier()
            with ac.If(at.first):
                self._begin(at)
            self._raise_peak(at, rows)
            ac.WaitFlag(Event.MTE3_V, 0)
            self._store_weights(rows)
            ac.SetFlag(Event.V_MTE3, 0)
            ac.WaitFlag(Event.V_MTE3, 0)
            ac.DataCopy(self._space(self.weights, at, t.bn)[half * t.bn :], self.w, rows * t.bn)
            ac.SetFlag(Event.MTE3_V, 0)
        ac.CrossCoreSetFlag(2, ac.PIPE_MTE3, WEIGHED)
        with ac.If(rows > 0):
            self._count(at, rows)
            ac.SetFlag(Event.V_MTE2, 0)

    def _load_sinks(self, sinks: Any, at: Place, rows: Any) -> None:
        """One of the head, which fills a block of 32 bytes, or one a row."""
        a, _ = self.walk.my_rows(at)
        if self.p.picked:
            ac.DataCopyPad(self.sink, sinks[a:], rows)
        else:
            ac.DataCopyPad(self.sink, sinks[at.head :], 1)

    def _begin(self, at: Place) -> None:
        """The maximum and the sum before the first tile."""
        peak, total, n = self.peak[at.item % 2], self.sum[at.item % 2], self.t.rows
        if self.sinks is None:
            ac.Duplicate(peak, LOWEST, n)
            ac.Duplicate(total, 0.0, n)
            return
        sink = self.sink
        if not self.p.picked:
            sink = self.rows.partial
            for c in range(0, n, 64):
                ac.Brcb(sink[c:], self.sink, 1, (1, 8))
            barrier()
        ac.Maxs(peak, sink, LOWEST, n)
        barrier()
        ac.Sub(total, sink, peak, n)
        barrier()
        ac.Exp(total, total, n)

    def _raise_peak(self, at: Place, rows: Any) -> None:
        """The new maximum, how much less the older sums count, and e^(scores - maximum)."""
        peak, decay, n = self.peak[at.item % 2], self.decay[at.slot], self.t.rows
        self.rows.reduce("MAX", self.highest, self.s.tile, rows)
        ac.Max(self.highest, self.highest, peak, n)
        barrier()
        ac.Sub(decay, peak, self.highest, n)
        barrier()
        ac.Exp(decay, decay, n)
        ac.Adds(peak, self.highest, 0.0, n)
        spread_rows(ac.Sub, self.s.tile, self.s.tile, self.rows.spread(self.highest), self.t.bn, self.t.bn, rows)
        barrier()
        ac.Exp(self.s.tile, self.s.tile, rows * self.t.bn)
        barrier()

    def _store_weights(self, rows: Any) -> None:
        if self.w.dtype is f32:
            ac.Adds(self.w, self.s.tile, 0.0, rows * self.t.bn)
        else:
            ac.Cast(self.w, self.s.tile, "CAST_RINT", rows * self.t.bn)

    def _count(self, at: Place, rows: Any) -> None:
        total, n = self.sum[at.item % 2], self.t.rows
        self.rows.reduce("SUM", self.more, self.s.tile, rows)
        ac.Mul(total, total, self.decay[at.slot], n)
        barrier()
        ac.Add(total, total, self.more, n)
        barrier()

    def add(self, at: Place) -> None:
        """The total = what it was, decayed, + the tile's weighted values; at the end of an item it is divided and stored."""
        p, t, (_, rows) = self.p, self.t, self.walk.my_rows(at)
        ac.CrossCoreWaitFlag(SUMMED)
        with ac.If(rows > 0):
            ac.WaitFlag(Event.V_MTE2, 1)
            gap = (self.columns - p.V) * 4
            space = self._space(self.sums, at, self.columns)[ac.GetSubBlockIdx() * t.rows * self.columns :]
            ac.DataCopyPad(self.part, space, ac.DataCopyExtParams(rows, p.V * 4, gap, 0, pitch=self.columns * 4))
            ac.SetFlag(Event.MTE2_V, 1)
            ac.WaitFlag(Event.MTE2_V, 1)
            with ac.If(at.first):
                ac.Adds(self.total, self.part, 0.0, rows * self.columns)
            with ac.Else():
                spread_rows(ac.Mul, self.total, self.total, self.rows.spread(self.decay[at.slot]), self.columns, self.columns, rows)
                barrier()
                ac.Add(self.total, self.total, self.part, rows * self.columns)
            ac.SetFlag(Event.V_MTE2, 1)
            with ac.If(at.last):
                self._deliver(at)

    def _deliver(self, at: Place) -> None:
        p, (a, rows), n = self.p, self.walk.my_rows(at), self.t.rows
        peak, total = self.peak[at.item % 2], self.sum[at.item % 2]
        ac.WaitFlag(Event.MTE3_V, 1)
        ac.Ln(self.log, total, n)
        ac.Maxs(total, total, TINY, n)
        barrier()
        ac.Add(self.log, self.log, peak, n)
        spread_rows(ac.Div, self.total, self.total, self.rows.spread(total), self.columns, self.columns, rows)
        barrier()
        if self.result.dtype is f32:
            ac.Adds(self.result, self.total, 0.0, rows * self.columns)
        else:
            ac.Cast(self.result, self.total, "CAST_RINT", rows * self.columns)
        ac.SetFlag(Event.V_MTE3, 1)
        ac.WaitFlag(Event.V_MTE3, 1)
        size = self.result.dtype.itemsize
        to = ((at.batch * p.L + a) * p.H + at.head) * p.V
        ac.DataCopyPad(self.out[to:], self.result, ac.DataCopyExtParams(rows, p.V * size, 0, (p.H - 1) * p.V * size, pitch=self.columns * size))
        ac.DataCopyPad(self.lse[(at.batch * p.H + at.head) * p.L + a :], self.log, rows)
        ac.SetFlag(Event.MTE3_V, 1)

    def finish(self) -> None:
        for e in (0, 1):
            ac.WaitFlag(Event.V_MTE2, e)
            ac.WaitFlag(Event.MTE3_V, e)
