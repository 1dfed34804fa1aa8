"""Attention backward in two kernels of one shape: blocks of queries collect dq over the keys, blocks of keys collect dk and dv over the queries.

What differs from the algorithm as published (FlashAttention-2, arXiv 2307.08691): no sum is shared by cores, at the price of computing the
scores twice, so that results do not depend on any order; sums stay in the cube's accumulators until a block is done.
"""

from __future__ import annotations

from typing import Any

from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.flash_parts import (
    LOWEST,
    READY,
    SUMMED,
    WEIGHED,
    Event,
    Products,
    Rows,
    Scores,
    f32,
    run_cube,
    slots,
    spread_rows,
    within,
)
from ascendlite.npu.kernels.flash_plan import Lie, Place, Problem, Tiles, Walk, up
from ascendlite.npu.kernels.rowwise import Rows as RowsOf
from ascendlite.npu.kernels.rowwise import Work
from ascendlite.npu.lang.declare import Memory
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel

SCORES, SLOPES, SUMS = range(3)  # ids of FIX_M and M_FIX


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_products(g: Any, y: Any, delta: Any, r: RowsOf) -> None:
    """delta = the sum of g y of each row."""
    work = Work(r)
    a, b, stat = work.tile(), work.tile(), work.new_stat()
    for t in pipeline(r.rows, r.tile, ins=(g, y), outs=(Items(delta, 1, 1),), width=r.columns, pitch=r.pitch, align=8):
        gv, yv = work.widen(a, t.ins[0], t.count), work.widen(b, t.ins[1], t.count)
        work.each(ac.Mul, a, gv, yv, rows=t.count)
        work.reduce("SUM", stat, a, t.count)
        ac.Adds(t.outs[0], stat, 0.0, t.count)


@kernel(kind="mix")  # type: ignore[untyped-decorator]
def flash_dq(g: Any, q: Any, k: Any, v: Any, mask: Any, lse: Any, delta: Any, dq: Any, scores: Any, slopes: Any, ds: Any, p: Problem, t: Tiles, gl: Lie) -> None:
    """dq (B, L, H, E) = the slopes of the scores times k. delta (B, L, H): rows' sums of g y. Workspaces: SLOTS tiles for each group of cores."""
    walk = Walk(p, t, by_keys=False)
    if ac.IsAIC():
        run_cube(walk, _QueryCube(walk, (g, gl), q, k, v, (scores, slopes, ds), (dq,)))
    else:
        _run_vector(walk, _Slopes(walk, mask, lse, delta, scores, slopes, (ds,)))


@kernel(kind="mix")  # type: ignore[untyped-decorator]
def flash_dkv(g: Any, q: Any, k: Any, v: Any, mask: Any, lse: Any, delta: Any, dk: Any, dv: Any, scores: Any, slopes: Any, ds: Any, weights: Any,
              p: Problem, t: Tiles, gl: Lie) -> None:
    """dk (B, S, G, E) = the slopes of the scores, turned, times q; dv (B, S, G, V) = the weights, turned, times g. dv None: dk is the sum of both."""
    walk = Walk(p, t, by_keys=True)
    if ac.IsAIC():
        run_cube(walk, _KeyCube(walk, (g, gl), q, k, v, (scores, slopes, ds, weights), (dk,) if dv is None else (dk, dv)))
    else:
        _run_vector(walk, _Slopes(walk, mask, lse, delta, scores, slopes, (ds, weights)))


def _run_vector(walk: Walk, slopes: _Slopes) -> None:
    for at in walk.places():
        for i in ac.range(walk.t.ahead):
            with within(i < at.count):
                slopes.weigh(walk.tile(at, i))
    slopes.finish()


class _Cube:
    """Scores q k^T and their counterparts g v^T of a tile to GM. What an item keeps has two slots, what changes from tile to tile as many as are under way."""

    def __init__(self, walk: Walk, g: tuple[Any, Lie], q: Any, k: Any, v: Any, work: tuple[Any, ...], out: tuple[Any, ...]) -> None:
        p, t = walk.p, walk.t
        self.walk, self.p, self.t, self.g_lie = walk, p, t, g[1]
        self.g, self.q, self.k, self.v = (ac.GlobalTensor(x) for x in (g[0], q, k, v))
        self.work, self.out = [ac.GlobalTensor(w) for w in work], [ac.GlobalTensor(o) for o in out]
        width, values = up(p.E, 16), up(p.V, 16)
        of_queries, of_keys = (t.slots, 2) if walk.by_keys else (2, t.slots)
        self.q_l1, self.g_l1 = (slots(Memory.L1, q.dtype, t.bm * n, of_queries) for n in (width, values))
        self.k_l1, self.v_l1 = (slots(Memory.L1, q.dtype, t.bn * n, of_keys) for n in (width, values))
        self.back_l1 = [slots(Memory.L1, q.dtype, t.bm * t.bn, t.backs) for _ in work[2:]]
        self.scores_l0c, self.slopes_l0c = (slots(Memory.L0C, f32, t.bm * t.bn, 1)[0] for _ in range(2))
        rows = t.bn if walk.by_keys else t.bm
        self.sums_l0c = [slots(Memory.L0C, f32, rows * n, 1)[0] for n in (width, values)[: len(out)]]
        self.products = Products(q.dtype)
        self.free = t.slots + (t.backs if t.ahead > 1 else 0)  # else the flag of a tile's slot frees what came back of it, too
        for e in range(self.free):
            ac.SetFlag(Event.MTE1_MTE2, e)
        for e in (SCORES, SLOPES, SUMS):
            ac.SetFlag(Event.FIX_M, e)

    def _space(self, number: int, at: Place) -> Any:
        return self.work[number][(self.walk.core * self.t.slots + at.slot) * (self.t.bm * self.t.bn) :]

    def _load_queries(self, at: Place, slot: Any) -> None:
        p = self.p
        ac.DataCopy(self.q_l1[slot], self.q[p.q.at(at.batch, at.head, at.i0) :], ac.Nd2NzParams(at.m, p.E, ld=p.q.row))
        ac.DataCopy(self.g_l1[slot], self.g[self.g_lie.at(at.batch, at.head, at.i0) :], ac.Nd2NzParams(at.m, p.V, ld=self.g_lie.row))

    def _load_keys(self, at: Place, slot: Any) -> None:
        p = self.p
        ac.DataCopy(self.k_l1[slot], self.k[p.k.at(at.batch, at.group, at.j0) :], ac.Nd2NzParams(at.n, p.E, ld=p.k.row))
        ac.DataCopy(self.v_l1[slot], self.v[p.v.at(at.batch, at.group, at.j0) :], ac.Nd2NzParams(at.n, p.V, ld=p.v.row))

    def scores_of(self, at: Place) -> None:
        """Both products to the workspaces. The buffers of what an item keeps are free: weights of an earlier tile were waited for."""
        p, t = self.p, self.t
        keep, change = at.item % 2, at.slot
        with ac.If(at.first):
            (self._load_keys if self.walk.by_keys else self._load_queries)(at, keep)
        ac.WaitFlag(Event.MTE1_MTE2, at.slot)
        (self._load_queries if self.walk.by_keys else self._load_keys)(at, change)
        ac.SetFlag(Event.MTE2_MTE1, at.slot)
        ac.WaitFlag(Event.MTE2_MTE1, at.slot)
        of_q, of_k = (change, keep) if self.walk.by_keys else (keep, change)
        for e, c, a, b, n in ((SCORES, self.scores_l0c, self.q_l1, self.k_l1, p.E), (SLOPES, self.slopes_l0c, self.g_l1, self.v_l1, p.V)):
            ac.WaitFlag(Event.FIX_M, e)
            self.products.multiply(c, a[of_q], b[of_k], at.m, at.n, n, (t.bm, t.bn, n), trans_b=True, start=e)
            ac.SetFlag(Event.M_FIX, e)
            ac.WaitFlag(Event.M_FIX, e)
            ac.Fixpipe(self._space(e, at), c, at.m, at.n, t.bn)
            ac.SetFlag(Event.FIX_M, e)
            ac.CrossCoreSetFlag(2, ac.PIPE_FIX, READY if e == SCORES else SUMMED)

    def _load_back(self, at: Place) -> None:
        """What the vector cores made of the tile."""
        slot = self._back(at)
        ac.CrossCoreWaitFlag(WEIGHED)
        if self.t.ahead > 1:
            ac.WaitFlag(Event.MTE1_MTE2, self.t.slots + slot)
        for number, l1 in enumerate(self.back_l1):
            ac.DataCopy(l1[slot], self._space(2 + number, at), ac.Nd2NzParams(at.m, at.n, ld=self.t.bn))
        ac.SetFlag(Event.MTE2_MTE1, self.t.slots + slot)
        ac.WaitFlag(Event.MTE2_MTE1, self.t.slots + slot)
        with ac.If(at.first):
            ac.WaitFlag(Event.FIX_M, SUMS)

    def _back(self, at: Place) -> Any:
        """The slot of what came back."""
        return at.buffer if self.t.ahead > 1 else at.slot

    def _let_go(self, at: Place) -> None:
        """The tile's buffers are free."""
        ac.SetFlag(Event.MTE1_MTE2, at.slot)
        if self.t.ahead > 1:
            ac.SetFlag(Event.MTE1_MTE2, self.t.slots + self._back(at))

    def sums_of(self, at: Place) -> None:
        raise NotImplementedError

    def _store(self, at: Place, rows: Any, results: tuple[tuple[Any, Any, int, int], ...]) -> None:
        """(window, sums, columns, pitch) at the end of an item."""
        with ac.If(at.last):
            ac.SetFlag(Event.M_FIX, SUMS)
            ac.WaitFlag(Event.M_FIX, SUMS)
            for window, sums, columns, pitch in results:
                ac.Fixpipe(window, sums, rows, columns, pitch)
            ac.SetFlag(Event.FIX_M, SUMS)

    def finish(self) -> None:
        for e in range(self.free):
            ac.WaitFlag(Event.MTE1_MTE2, e)
        for e in (SCORES, SLOPES, SUMS):
            ac.WaitFlag(Event.FIX_M, e)
        self.products.finish()


class _QueryCube(_Cube):
    """dq of a block of queries: slopes times keys, over all keys."""

    def sums_of(self, at: Place) -> None:
        p, t = self.p, self.t
        self._load_back(at)
        most = (t.bm, p.E, t.bn)
        self.products.multiply(self.sums_l0c[0], self.back_l1[0][self._back(at)], self.k_l1[at.slot], at.m, p.E, at.n, most, init=at.first)
        self._let_go(at)
        to = ((at.batch * p.L + at.i0) * p.H + at.head) * p.E
        self._store(at, at.m, ((self.out[0][to:], self.sums_l0c[0], p.E, p.H * p.E),))


class _KeyCube(_Cube):
    """dk and dv of a block of keys: slopes times queries and weights times gradients, over all queries of the group."""

    def sums_of(self, at: Place) -> None:
        p, t = self.p, self.t
        self._load_back(at)
        for number, (other, columns) in enumerate(((self.q_l1, p.E), (self.g_l1, p.V))):
            most = (t.bn, columns, t.bm)
            joined = number >= len(self.out)
            self.products.multiply(self.sums_l0c[0 if joined else number], self.back_l1[number][self._back(at)], other[at.slot], at.n, columns, at.m, most,
                                   trans_a=True, start=number, init=False if joined else at.first)
        self._let_go(at)
        row = (at.batch * p.S + at.j0) * p.G + at.group
        self._store(at, at.n, tuple((o[row * n :], c, n, p.G * n) for o, c, n in zip(self.out, self.sums_l0c, (p.E, p.V), strict=False)))


class _Slopes:
    """Of a tile: weights e^(scores - lse), and the slopes of the scores weights (g v^T - delta) scale."""

    def __init__(self, walk: Walk, mask: Any, lse: Any, delta: Any, scores: Any, slopes: Any, out: tuple[Any, ...]) -> None:
        p, t = walk.p, walk.t
        self.walk, self.p, self.t = walk, p, t
        self.lse, self.delta, self.scores, self.slopes = (ac.GlobalTensor(x) for x in (lse, delta, scores, slopes))
        self.out = [ac.GlobalTensor(o) for o in out]
        self.s, self.rows = Scores(p, t, walk, mask), Rows(t)
        self.slope = slots(Memory.UB, f32, t.rows * t.bn, t.ahead)
        for slope in self.slope.tensors:
            ac.Duplicate(slope, 0.0, t.rows * t.bn)
        self.narrow = [scratch(out[0].dtype, t.rows * t.bn) for _ in out]
        self.norm, self.bound = self.rows.stats(t.ahead), self.rows.stats()[0]
        self.share = slots(Memory.UB, f32, t.rows * 8, t.ahead)
        for e in range(t.ahead):
            ac.SetFlag(Event.V_MTE2, e)
        ac.SetFlag(Event.MTE3_V, 0)

    def _space(self, work: Any, at: Place) -> Any:
        return work[((self.walk.core * self.t.slots + at.slot) * self.t.bm + ac.GetSubBlockIdx() * self.t.rows) * self.t.bn :]

    def _load(self, at: Place) -> None:
        t, p, (a, rows) = self.t, self.p, self.walk.my_rows(at)
        self.s.load(at, self.scores[(self.walk.core * t.slots + at.slot) * (t.bm * t.bn) :])
        ac.DataCopyPad(self.norm[at.buffer], self.lse[(at.batch * p.H + at.head) * p.L + a :], rows)
        # Each number fills its block of 32 bytes, as the copy pads with a row's first element.
        ac.DataCopyPad(self.share[at.buffer], self.delta[(at.batch * p.L + a) * p.H + at.head :], ac.DataCopyExtParams(rows, 4, (p.H - 1) * 4))

    def _load_slopes(self, at: Place) -> None:
        t, (_, rows) = self.t, self.walk.my_rows(at)
        how = ac.DataCopyExtParams(rows, at.n * 4, (t.bn - at.n) * 4, 0, pitch=t.bn * 4)
        ac.DataCopyPad(self.slope[at.buffer], self._space(self.slopes, at), how)

    def weigh(self, at: Place) -> None:
        """Slopes, and weights where they are asked for, to the workspaces."""
        t, (_, rows) = self.t, self.walk.my_rows(at)
        ac.CrossCoreWaitFlag(READY)
        with ac.If(rows > 0):
            ac.WaitFlag(Event.V_MTE2, at.buffer)
            self._load(at)
            ac.SetFlag(Event.MTE2_V, at.buffer)
            ac.CrossCoreWaitFlag(SUMMED)
            self._load_slopes(at)
            ac.SetFlag(Event.MTE2_V, t.ahead + at.buffer)
            ac.WaitFlag(Event.MTE2_V, at.buffer)
            ac.Maxs(self.bound, self.norm[at.buffer], LOWEST, t.rows)  # a query that sees nothing has -inf
            self.s.finish(at)
            ac.WaitFlag(Event.MTE3_V, 0)
            self._compute(at, rows)
            ac.SetFlag(Event.V_MTE2, at.buffer)
            ac.SetFlag(Event.V_MTE3, 0)
            ac.WaitFlag(Event.V_MTE3, 0)
            for out, tile in zip(self.out, self.narrow, strict=True):
                ac.DataCopy(self._space(out, at), tile, rows * t.bn)
            ac.SetFlag(Event.MTE3_V, 0)
        with ac.Else():
            ac.CrossCoreWaitFlag(SUMMED)
        ac.CrossCoreSetFlag(2, ac.PIPE_MTE3, WEIGHED)

    def _compute(self, at: Place, rows: Any) -> None:
        t, tile, slope = self.t, self.s.tile, self.slope[at.buffer]
        spread_rows(ac.Sub, tile, tile, self.rows.spread(self.bound), t.bn, t.bn, rows)
        barrier()
        ac.Exp(tile, tile, rows * t.bn)
        ac.WaitFlag(Event.MTE2_V, t.ahead + at.buffer)
        spread_rows(ac.Sub, slope, slope, self.share[at.buffer], t.bn, t.bn, rows)
        barrier()
        ac.Muls(slope, slope, self.p.scale, rows * t.bn)
        barrier()
        if len(self.narrow) > 1:
            self._store_narrow(self.narrow[1], tile, rows)
        ac.Mul(slope, slope, tile, rows * t.bn)
        barrier()
        self._store_narrow(self.narrow[0], slope, rows)

    def _store_narrow(self, to: Any, tile: Any, rows: Any) -> None:
        if to.dtype is f32:
            ac.Adds(to, tile, 0.0, rows * self.t.bn)
        else:
            ac.Cast(to, tile, "CAST_RINT", rows * self.t.bn)

    def finish(self) -> None:
        for e in range(self.t.ahead):
            ac.WaitFlag(Event.V_MTE2, e)
        ac.WaitFlag(Event.MTE3_V, 0)
