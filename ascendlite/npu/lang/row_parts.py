"""Rows longer than UB: each passes through it in parts, once or several times; 64 lanes gather what the parts have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ascendlite.npu.lang import order
from ascendlite.npu.lang.dtypes import f32
from ascendlite.npu.lang.elementwise import Adds, Cast, Duplicate, SubRelu
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.movement import DataCopyPad, SetAtomicAdd, SetAtomicNone
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.reorder import Brcb, ReduceRepeat
from ascendlite.npu.lang.rows import LANES, MOST_REPEATS, barrier
from ascendlite.npu.lang.tensors import Argument, GlobalTensor, LocalTensor
from ascendlite.npu.lang.tiles import Flow, Port, Tile, my_part, scratch
from ascendlite.npu.lang.trace import Index

Op = Callable[..., None]


class Stream:
    """Tensors whose rows pass through two slots of UB `passes` times a row; `shared`: one row that all rows need."""

    def __init__(self, sources: Sequence[Argument | GlobalTensor], targets: Sequence[Argument | GlobalTensor], part: int, *, passes: int = 1,
                 shared: bool = False) -> None:
        ports = [[Port(t, part, 1, 1, 2) for t in group] for group in (sources, targets)]
        self.flow, self.passes, self.shared = Flow(ports[0], ports[1], 2), passes, shared


class RowParts:
    """This core's rows, `part` columns at a time.

        rows, x, y = RowParts(n, columns, 4096), Stream((source,), (), 4096, passes=2), Stream((), (target,), 4096)
        for row in rows:
            for (t,) in rows.parts(row, 0, x):
                fold(ac.Max, peak, t.ins[0], t.count)
            for t, o in rows.parts(row, 1, x, y):
                spread(ac.Sub, o.outs[0], t.ins[0], peak, t.count)
        rows.close(x, y)
    """

    def __init__(self, rows: int, columns: int, part: int) -> None:
        self.start, self.size = my_part(rows, 1)
        self.columns, self.part = columns, part
        self.whole, self.rest = divmod(columns, part)

    def __iter__(self) -> Iterator[Index]:
        yield from order.range(self.size)

    def parts(self, row: Index, number: int, *streams: Stream) -> Iterator[tuple[Tile, ...]]:
        """The parts of a row in a pass; a stream's passes are numbered from 0, one of a single pass is always in its first."""
        if self.whole:
            for k in order.range(self.whole):
                yield from self._at(row, number, k, self.part, streams)
        if self.rest:
            yield from self._at(row, number, self.whole, self.rest, streams)

    def _at(self, row: Index, number: int, k: Index, count: int, streams: Sequence[Stream]) -> Iterator[tuple[Tile, ...]]:
        most = self.whole + bool(self.rest)
        tiles = tuple(
            s.flow.fill((row * s.passes + number % s.passes) * most + k, (0 if s.shared else (self.start + row) * self.columns) + k * self.part, count) for s in streams
        )
        yield tiles
        for s, t in zip(streams, tiles, strict=True):
            s.flow.drain(t)

    def number(self, row: Index, stream: Stream) -> Iterator[Tile]:
        """The one number a row of a stream whose part is 1."""
        t = stream.flow.fill(row, self.start + row, 1)
        yield t
        stream.flow.drain(t)

    def close(self, *streams: Stream) -> None:
        """Nothing follows."""
        for s in streams:
            s.flow.close()


def widened(dst: LocalTensor, src: LocalTensor, count: Index, *, settled: bool = True) -> LocalTensor:
    """A part in float32: itself, or a copy in dst. Not settled: a barrier follows anyway before it is read."""
    if src.dtype is f32:
        return src
    Cast(dst, src, "CAST_NONE", count)
    if settled:
        barrier()
    return dst


def narrowed(out: LocalTensor, src: LocalTensor, count: Index) -> None:
    """A part in the format that it leaves in."""
    if out.dtype is f32:
        Adds(out, src, 0.0, count)
    else:
        Cast(out, src, "CAST_RINT", count)


def lanes(value: float | None = None) -> LocalTensor:
    """64 numbers. With a value, a barrier must follow before they are read: that of the first pass does."""
    made = scratch(f32, LANES)
    if value is not None:
        Duplicate(made, value, LANES)
    return made


def fold(op: Op, into: LocalTensor, src: LocalTensor, count: Index) -> None:
    """into[i] = op of into[i] and src[i], src[i + 64], ..."""
    assert isinstance(count, int)
    whole = count // LANES
    for c in range(0, whole, MOST_REPEATS):
        op(into, src[c * LANES :], into, LANES, min(MOST_REPEATS, whole - c), (1, 1, 1, 0, 8, 0))  # repeats add up in src1
        barrier()
    if rest := count % LANES:
        op(into, into, src[whole * LANES :], rest, 1, (1, 1, 1, 8, 8, 8))
        barrier()


def spread(op: Op, dst: LocalTensor, src: LocalTensor, by: LocalTensor, count: Index, *, settled: bool = True) -> None:
    """dst[i] = op(src[i], by[i % 64]). Not settled: a barrier follows anyway before it is read."""
    assert isinstance(count, int)
    whole = count // LANES
    for c in range(0, whole, MOST_REPEATS):
        op(dst[c * LANES :], src[c * LANES :], by, LANES, min(MOST_REPEATS, whole - c), (1, 1, 1, 8, 8, 0))
    if rest := count % LANES:
        op(dst[whole * LANES :], src[whole * LANES :], by, rest, 1, (1, 1, 1, 8, 8, 0))
    if settled:
        barrier()


def relu_less(dst: LocalTensor, src: LocalTensor, row: LocalTensor, count: Index, repeats: Index | None = None, strides: tuple[Index, ...] | None = None) -> None:
    """dst = max(row - src, 0), as an operation for `spread`: the strides are those of (dst, src, row)."""
    if strides:
        d, s, r, next_d, next_s, next_r = strides
        strides = (d, r, s, next_d, next_r, next_s)
    SubRelu(dst, row, src, count, repeats, strides)


class Totals:
    """Lanes that become the sum, or the extreme, of all of them."""

    def __init__(self) -> None:
        self.stat, self.blocks = scratch(f32, 8), scratch(f32, LANES)
        Duplicate(self.stat, 0.0, 8)

    def all(self, kind: str, of: LocalTensor) -> None:
        """Each lane = the "SUM", "MAX" or "MIN" of all lanes."""
        ReduceRepeat(kind, self.stat, of, LANES, 1)
        barrier()
        self.every(of)

    def every(self, to: LocalTensor) -> None:
        """Each lane = the first number of `stat`."""
        Brcb(self.blocks, self.stat, 1, (1, 8))
        barrier()
        Adds(to, self.blocks, 0.0, LANES, 1, (1, 0, 8, 8))
        barrier()


def add_to_gm(totals: Sequence[tuple[Argument, LocalTensor]], columns: int) -> None:
    """Add rows of float32 in UB to rows in GM that other cores add to, too."""
    if not totals:
        return
    event = take_events(HardEvent.V_MTE3, 1)[0]
    SetFlag(HardEvent.V_MTE3, event)
    WaitFlag(HardEvent.V_MTE3, event)
    SetAtomicAdd(f32)
    for out, total in totals:
        DataCopyPad(GlobalTensor(out), total, columns)
    SetAtomicNone()
