"""Softmax, norms and extremes of rows that do not fit the unified buffer: they pass through it in parts, two or three times.

A running maximum and sum for each of 64 lanes makes one pass of softmax's two (Milakov and Gimelshein, 2018, arXiv 1805.02867).
"""

from __future__ import annotations

import math
from typing import Any, Final

from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.elementwise import UB_BUDGET
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.row_parts import RowParts, Stream, Totals, add_to_gm, fold, lanes, narrowed, spread, widened
from ascendlite.npu.lang.rows import LANES, barrier
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.programs import kernel

f32 = dtypes.f32
LOWEST: Final = -3.4028234663852886e38  # of float32: -inf less itself would be NaN
FAR: Final = float(1 << 25)  # beyond every column
LARGEST_PART: Final = 8192


def part_of(moved: int, work: int, held: int = 0) -> int:
    """Columns at a time: `moved` bytes a column pass through two slots, `work` bytes are float32 tiles, beside `held` bytes in all."""
    return min(LARGEST_PART, (UB_BUDGET - 8192 - held) // (2 * moved + work) // 512 * 512)


class Exponentials:
    """The maximum of a row and the sum of its exponentials, lane by lane, in one pass."""

    def __init__(self, part: int) -> None:
        self.w, self.totals = scratch(f32, part), Totals()
        self.peak, self.sum, self.higher, self.shrink = (lanes() for _ in range(4))

    def of(self, rows: RowParts, row: Any, x: Stream) -> None:
        """`peak` and `sum`, the same in all lanes."""
        ac.Duplicate(self.peak, LOWEST, LANES)
        ac.Duplicate(self.sum, 0.0, LANES)
        barrier()
        for (t,) in rows.parts(row, 0, x):
            self._add(widened(self.w, t.ins[0], t.count, settled=False), t.count)
        ac.Adds(self.higher, self.peak, 0.0, LANES)
        barrier()
        self.totals.all("MAX", self.higher)
        self._rescale()
        self.totals.all("SUM", self.sum)

    def _add(self, v: Any, count: Any) -> None:
        ac.Adds(self.higher, self.peak, 0.0, LANES)
        barrier()
        fold(ac.Max, self.higher, v, count)
        self._rescale()
        spread(ac.Sub, self.w, v, self.peak, count)
        ac.Exp(self.w, self.w, count)
        barrier()
        fold(ac.Add, self.sum, self.w, count)

    def _rescale(self) -> None:
        """Sums of exponentials less `peak` become such less `higher`."""
        ac.Sub(self.shrink, self.peak, self.higher, LANES)
        barrier()
        ac.Exp(self.shrink, self.shrink, LANES)
        ac.Adds(self.peak, self.higher, 0.0, LANES)
        barrier()
        ac.Mul(self.sum, self.sum, self.shrink, LANES)
        barrier()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def softmax_parts(x: Any, y: Any, n: int, columns: int, part: int, log: bool) -> None:
    """y = softmax of the rows of x, or its logarithm."""
    rows, source, target, e = RowParts(n, columns, part), Stream((x,), (), part, passes=2), Stream((), (y,), part), Exponentials(part)
    for row in rows:
        e.of(rows, row, source)
        if log:
            ac.Ln(e.sum, e.sum, LANES)
            barrier()
            ac.Add(e.peak, e.peak, e.sum, LANES)
            barrier()
        for t, o in rows.parts(row, 1, source, target):
            spread(ac.Sub, e.w, widened(e.w, t.ins[0], t.count), e.peak, t.count)
            if not log:
                ac.Exp(e.w, e.w, t.count)
                barrier()
                spread(ac.Div, e.w, e.w, e.sum, t.count)
            narrowed(o.outs[0], e.w, t.count)
    rows.close(source, target)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def softmax_backward_parts(g: Any, y: Any, dx: Any, n: int, columns: int, part: int, log: bool) -> None:
    """dx = (g - sum(g y)) y; of the logarithm: g - e^y sum(g)."""
    rows, source, target = RowParts(n, columns, part), Stream((g, y), (), part, passes=2), Stream((), (dx,), part)
    a, b, total, totals = scratch(f32, part), scratch(f32, part), lanes(), Totals()
    for row in rows:
        ac.Duplicate(total, 0.0, LANES)
        barrier()
        for (t,) in rows.parts(row, 0, source):
            v = widened(a, t.ins[0], t.count)
            if not log:
                ac.Mul(b, v, widened(b, t.ins[1], t.count), t.count)
                barrier()
                v = b
            fold(ac.Add, total, v, t.count)
        totals.all("SUM", total)
        for t, o in rows.parts(row, 1, source, target):
            gv, yv = widened(a, t.ins[0], t.count), widened(b, t.ins[1], t.count)
            if log:
                ac.Exp(b, yv, t.count)
                barrier()
                spread(ac.Mul, b, b, total, t.count)
                ac.Sub(b, gv, b, t.count)
            else:
                spread(ac.Sub, a, gv, total, t.count)
                ac.Mul(b, a, yv, t.count)
            barrier()
            narrowed(o.outs[0], b, t.count)
    rows.close(source, target)


class _Moments:
    """Mean and variance of a row, in two passes: the second sums squares of what is less the mean."""

    def __init__(self, part: int, columns: int, centred: bool) -> None:
        self.w, self.totals, self.columns, self.centred = scratch(f32, part), Totals(), columns, centred
        self.mean, self.square = lanes(None if centred else 0.0), lanes()

    def of(self, rows: RowParts, row: Any, x: Stream) -> None:
        """`mean` (0 where it is not subtracted) and `square`, the sum of squares, the same in all lanes."""
        if self.centred:
            ac.Duplicate(self.mean, 0.0, LANES)
            barrier()
            for (t,) in rows.parts(row, 0, x):
                fold(ac.Add, self.mean, widened(self.w, t.ins[0], t.count), t.count)
            self.totals.all("SUM", self.mean)
            ac.Muls(self.mean, self.mean, 1.0 / self.columns, LANES)
        ac.Duplicate(self.square, 0.0, LANES)
        barrier()
        for (t,) in rows.parts(row, int(self.centred), x):
            v = self.less_mean(widened(self.w, t.ins[0], t.count), t.count)
            ac.Mul(self.w, v, v, t.count)
            barrier()
            fold(ac.Add, self.square, self.w, t.count)
        self.totals.all("SUM", self.square)

    def less_mean(self, v: Any, count: Any) -> Any:
        """A part less the mean, in float32."""
        if not self.centred:
            return v
        spread(ac.Sub, self.w, v, self.mean, count)
        return self.w


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def norm_parts(x: Any, weight: Any, bias: Any, y: Any, mean_out: Any, rstd_out: Any, n: int, columns: int, part: int, centred: bool, eps: float) -> None:
    """y = (x - mean) rstd weight + bias by rows; mean and rstd are kept for the backward pass."""
    rows, source, target = RowParts(n, columns, part), Stream((x,), (), part, passes=2 + centred), Stream((), (y,), part)
    given = [g for g in (weight, bias) if g is not None]
    tables = [Stream(given, (), part, shared=True)] if given else []
    stats, m, other = Stream((), (mean_out, rstd_out), 1), _Moments(part, columns, centred), scratch(f32, part)
    rstd, one = lanes(), lanes(1.0)
    for row in rows:
        m.of(rows, row, source)
        ac.Muls(m.square, m.square, 1.0 / columns, LANES)
        barrier()
        ac.Adds(m.square, m.square, eps, LANES)
        barrier()
        ac.Sqrt(m.square, m.square, LANES)
        barrier()
        ac.Div(rstd, one, m.square, LANES)
        barrier()
        for s in rows.number(row, stats):
            ac.Adds(s.outs[0], m.mean, 0.0, 1)
            ac.Adds(s.outs[1], rstd, 0.0, 1)
        for t, o, *more in rows.parts(row, 1 + centred, source, target, *tables):
            spread(ac.Mul, m.w, m.less_mean(widened(m.w, t.ins[0], t.count), t.count), rstd, t.count)
            for k, op in enumerate([op for op, g in ((ac.Mul, weight), (ac.Add, bias)) if g is not None]):
                op(m.w, m.w, widened(other, more[0].ins[k], t.count), t.count)
                barrier()
            narrowed(o.outs[0], m.w, t.count)
    rows.close(source, target, stats, *tables)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def variance_parts(x: Any, variance: Any, mean: Any, n: int, columns: int, part: int, scale: float, root: bool) -> None:
    """variance = scale * the sum of (x - mean)^2 of each row, or its square root."""
    rows, source, stats = RowParts(n, columns, part), Stream((x,), (), part, passes=2), Stream((), (variance, mean), 1)
    m = _Moments(part, columns, True)
    for row in rows:
        m.of(rows, row, source)
        ac.Muls(m.square, m.square, scale, LANES)
        barrier()
        if root:
            ac.Sqrt(m.square, m.square, LANES)
            barrier()
        for s in rows.number(row, stats):
            narrowed(s.outs[0], m.square, 1)
            narrowed(s.outs[1], m.mean, 1)
    rows.close(source, stats)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def extreme_parts(x: Any, value: Any, place: Any, n: int, columns: int, part: int, kind: str) -> None:
    """The "MAX" or "MIN" of each row and the first column that holds it, or the first NaN."""
    rows, source, out = RowParts(n, columns, part), Stream((x,), (), part, passes=2), [Stream((), (t,), 1) for t in (value, place)]
    w, column, bits, numbers = scratch(f32, part), scratch(f32, part), scratch(dtypes.u8, part // 8), scratch(dtypes.u8, part // 8)
    op, totals = {"MAX": ac.Max, "MIN": ac.Min}[kind], Totals()
    best, found, nearest, begin = (lanes() for _ in range(4))
    ac.CreateVecIndex(column, 0.0, part)
    ac.Duplicate(w, 0.0, part)
    for row in rows:
        ac.Duplicate(best, -math.inf if kind == "MAX" else math.inf, LANES)
        ac.Duplicate(found, FAR, LANES)
        ac.Duplicate(begin, 0.0, LANES)
        barrier()
        for (t,) in rows.parts(row, 0, source):
            fold(op, best, widened(w, t.ins[0], t.count), t.count)
        totals.all(kind, best)
        for (t,) in rows.parts(row, 1, source):
            _first(w, t.ins[0], t.count, best, column, bits, numbers, nearest)
            ac.Add(nearest, nearest, begin, LANES)
            barrier()
            ac.Min(found, found, nearest, LANES)
            ac.Adds(begin, begin, float(part), LANES)
            barrier()
        totals.all("MIN", found)
        for o in rows.number(row, out[0]):
            narrowed(o.outs[0], best, 1)
        for o in rows.number(row, out[1]):
            ac.Cast(o.outs[0], found, "CAST_TRUNC", 1)
    rows.close(source, *out)


def _first(w: Any, src: Any, count: Any, best: Any, column: Any, bits: Any, numbers: Any, nearest: Any) -> None:
    """nearest = by lanes the first column of a part that holds `best` or NaN, or a far one."""
    if src.dtype is f32:
        ac.Adds(w, src, 0.0, count)
    else:
        ac.Cast(w, src, "CAST_NONE", count)
    barrier()
    repeats = -(-count // LANES)
    ac.Compare(bits, w, best, "EQ", LANES, repeats, (1, 1, 1, 8, 8, 0))
    ac.Compare(numbers, w, w, "EQ", LANES, repeats, (1, 1, 1, 8, 8, 8))
    barrier()
    held, real = (b.ReinterpretCast(dtypes.u16) for b in (bits, numbers))
    ac.Not(real, real, repeats * LANES // 16)
    barrier()
    ac.Or(held, held, real, repeats * LANES // 16)
    ac.Duplicate(nearest, FAR, LANES)
    barrier()
    ac.Select(w, bits, column, FAR, "VSEL_TENSOR_SCALAR_MODE", count)
    barrier()
    fold(ac.Min, nearest, w, count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def norm_backward_parts(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, dx: Any, dweight: Any, dbias: Any, n: int, columns: int, part: int,
                        centred: bool) -> None:  # fmt: skip
    """As rowwise.row_norm_backward, in two passes: the sums over a row, then dx. dweight and dbias gather in UB, whole, then in GM."""
    rows, source, target = RowParts(n, columns, part), Stream((g, x), (), part, passes=2), Stream((), (dx,), part)
    tables = [] if weight is None else [Stream((weight,), (), part, passes=2, shared=True)]
    numbers, s, totals = Stream((mean, rstd), (), 1), _Slopes(part, columns, centred), Totals()
    sums = [(out, scratch(f32, columns)) for out in (dweight, dbias) if out is not None]
    for _, total in sums:
        ac.Duplicate(total, 0.0, columns)
    barrier()
    for row in rows:
        for t in rows.number(row, numbers):
            for k, to in enumerate((s.mean, s.rstd)):
                ac.Adds(totals.stat, t.ins[k], 0.0, 1)
                barrier()
                totals.every(to)
        s.begin()
        for t, *more in rows.parts(row, 0, source, *tables):
            s.load(t, more)
            s.gather(t.count)
        s.end(totals)
        for t, o, *more in rows.parts(row, 1, source, target, *tables):
            at = t.start - (rows.start + row) * columns
            s.load(t, more, {id(out): total[at:] for out, total in sums}, dweight, dbias)
            narrowed(o.outs[0], s.result(t.count), t.count)
    rows.close(source, target, numbers, *tables)
    add_to_gm(sums, columns)


class _Slopes:
    """Of a part of a row: u = (x - mean) rstd, and s = g weight; of the row: the means of s u and of s."""

    def __init__(self, part: int, columns: int, centred: bool) -> None:
        self.g, self.u, self.p = (scratch(f32, part) for _ in range(3))
        self.mean, self.rstd, self.dot, self.mid = (lanes() for _ in range(4))
        self.columns, self.centred, self.s = columns, centred, self.g

    def begin(self) -> None:
        for total in (self.dot, self.mid):  # settled when the first part is loaded
            ac.Duplicate(total, 0.0, LANES)

    def load(self, t: Any, table: Any, sums: Any = None, dweight: Any = None, dbias: Any = None) -> None:
        """u and s of a part; with sums, what its columns add to the gradients of weight and bias."""
        gv = widened(self.g, t.ins[0], t.count, settled=False)
        spread(ac.Sub, self.u, widened(self.u, t.ins[1], t.count), self.mean, t.count)
        spread(ac.Mul, self.u, self.u, self.rstd, t.count)
        if sums and dbias is not None:
            ac.Add(sums[id(dbias)], sums[id(dbias)], gv, t.count)
        if sums and dweight is not None:
            ac.Mul(self.p, gv, self.u, t.count)
            barrier()
            ac.Add(sums[id(dweight)], sums[id(dweight)], self.p, t.count)
        self.s = gv
        if table:
            ac.Mul(self.g, gv, widened(self.p, table[0].ins[0], t.count), t.count)
            barrier()
            self.s = self.g

    def gather(self, count: Any) -> None:
        ac.Mul(self.p, self.s, self.u, count)
        barrier()
        fold(ac.Add, self.dot, self.p, count)
        if self.centred:
            fold(ac.Add, self.mid, self.s, count)

    def end(self, totals: Totals) -> None:
        for total in (self.dot, self.mid) if self.centred else (self.dot,):
            totals.all("SUM", total)
            ac.Muls(total, total, 1.0 / self.columns, LANES)

    def result(self, count: Any) -> Any:
        """rstd (s - u mean(s u) - mean(s))."""
        spread(ac.Mul, self.u, self.u, self.dot, count)
        ac.Sub(self.p, self.s, self.u, count)
        barrier()
        if self.centred:
            spread(ac.Sub, self.p, self.p, self.mid, count)
        spread(ac.Mul, self.p, self.p, self.rstd, count)
        return self.p
