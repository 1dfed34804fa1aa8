"""A dim is resized where it lies: rows of the other elements are added up, or their largest kept, by the taps of each output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.windows import Band, Resize, Run, bands, runs
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.rows import LANES, barrier
from ascendlite.npu.lang.tiles import my_part, scratch
from ascendlite.npu.programs import kernel

f32 = dtypes.f32
ROOM: Final = 168 * 1024  # bytes of UB for rows, of 192 KiB
WIDTHS: Final = (256, 128, 64)  # elements of a row that are worked on at a time, widest first


@dataclass(frozen=True)
class Pass:
    """(outer, before, inner) becomes (outer, after, inner); `width` elements of a row at a time, `most_in` and `most_out` rows in UB."""

    resize: Resize
    outer: int
    inner: int
    width: int
    most_in: int
    most_out: int

    @property
    def bands(self) -> list[Band]:
        """The outputs in pieces that fit."""
        found = bands(self.resize.taps(), self.most_in, self.most_out)
        assert found is not None
        return found


def pass_of(resize: Resize, outer: int, inner: int, by_input: int, by_output: int) -> Pass | None:
    """The widest rows that fit UB; by_input, by_output: bytes of UB for an element of each. None where one output needs too much."""
    before, after = resize.ends
    for width in WIDTHS:
        if width > max(LANES, inner + LANES - 1):
            continue
        if width * (before * by_input + after * by_output) <= ROOM:
            return Pass(resize, outer, inner, width, before, after)
    width = WIDTHS[-1]
    most_in = min(before, max(ROOM // 2, ROOM - width * after * by_output) // (width * by_input))
    most_out = min(after, (ROOM - width * most_in * by_input) // (width * by_output), 4095)
    if most_in < 1 or most_out < 1 or bands(resize.taps(), min(most_in, 4095), most_out) is None:
        return None
    return Pass(resize, outer, inner, width, min(most_in, 4095), most_out)


class Exchange:
    """Buffers in UB that the copy engines fill and empty, with vector work between; and the flags of either side."""

    def __init__(self, ins: Sequence[tuple[Any, int]], outs: Sequence[tuple[Any, int]]) -> None:
        self.ins, self.outs = ([scratch(dtype, size) for dtype, size in group] for group in (ins, outs))
        for buffer in self.ins:  # vector work takes whole rows, and short ones do not fill them
            ac.Duplicate(buffer, 0.0, buffer.size)
        self.events = {e: take_events(e, 1)[0] for e in (HardEvent.V_MTE2, HardEvent.MTE2_V, HardEvent.MTE3_V, HardEvent.V_MTE3)}
        for e in (HardEvent.V_MTE2, HardEvent.MTE3_V):
            SetFlag(e, self.events[e])

    def _pass(self, event: HardEvent) -> None:
        SetFlag(event, self.events[event])
        WaitFlag(event, self.events[event])

    def load(self, sources: Sequence[Any], rows: int, pitch: int, columns: Any, width: int) -> None:
        """`rows` rows, `pitch` elements apart, of `columns` elements to rows of `width`."""
        WaitFlag(HardEvent.V_MTE2, self.events[HardEvent.V_MTE2])
        for buffer, source in zip(self.ins, sources, strict=True):
            size = buffer.dtype.itemsize
            ac.DataCopyPad(buffer, source, ac.DataCopyExtParams(rows, columns * size, (pitch - columns) * size, 0, width * size))
        self._pass(HardEvent.MTE2_V)
        WaitFlag(HardEvent.MTE3_V, self.events[HardEvent.MTE3_V])

    def store(self, targets: Sequence[Any], rows: int, pitch: int, columns: Any, width: int) -> None:
        """The reverse."""
        SetFlag(HardEvent.V_MTE2, self.events[HardEvent.V_MTE2])
        self._pass(HardEvent.V_MTE3)
        for buffer, target in zip(self.outs, targets, strict=True):
            size = buffer.dtype.itemsize
            ac.DataCopyPad(target, buffer, ac.DataCopyExtParams(rows, columns * size, 0, (pitch - columns) * size, width * size))
        SetFlag(HardEvent.MTE3_V, self.events[HardEvent.MTE3_V])

    def finish(self) -> None:
        """Leaves no flag set."""
        for e in (HardEvent.V_MTE2, HardEvent.MTE3_V):
            WaitFlag(e, self.events[e])


def widened(room: Any, src: Any, count: int, *, settled: bool = True) -> Any:
    """A tile in float32: itself, or a copy in `room`. Not settled: a barrier follows before it is read."""
    if src.dtype is f32:
        return src
    ac.Cast(room, src, "CAST_NONE", count)
    if settled:
        barrier()
    return room


def each_run(found: Sequence[Run], low: int, width: int, issue: Any) -> None:
    """issue(first output, first input, lanes or count, repeats, their strides in blocks): rows of `width`, inputs from `low` on."""
    blocks = width // 8
    for run in found:
        if run.count > 1 and max(run.step, run.stride) * blocks <= 255:
            for c in range(0, width, LANES):
                issue(run.first * width + c, (run.source - low) * width + c, min(LANES, width), run.count, run.step * blocks, run.stride * blocks, run.weight)
        else:
            for k in range(run.count):
                issue((run.first + k * run.step) * width, (run.source + k * run.stride - low) * width, width, None, 0, 0, run.weight)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def add_rows(x: Any, y: Any, p: Pass) -> None:
    """y[o, e, :] = the sum of x[o, i, :] times the weight over the taps (i, weight) of e."""
    xg, yg, taps, width = ac.GlobalTensor(x), ac.GlobalTensor(y), p.resize.taps(), p.width
    before, after = p.resize.ends
    room = Exchange([(xg.dtype, p.most_in * width)], [(yg.dtype, p.most_out * width)])
    wide = None if xg.dtype is f32 else scratch(f32, p.most_in * width)
    acc = room.outs[0] if yg.dtype is f32 else scratch(f32, p.most_out * width)
    across = -(-p.inner // width)
    first, count = my_part(p.outer * across, 1)
    for item in ac.range(first, first + count):
        o, column = item // across, item % across * width
        columns = ac.min(width, p.inner - column)
        for band in p.bands:
            rows, outs = band.high - band.low, band.end - band.begin
            room.load([xg[(o * before + band.low) * p.inner + column :]], rows, p.inner, columns, width)
            v = widened(wide, room.ins[0], rows * width)
            _add(acc, v, taps, band, width)
            if acc is not room.outs[0]:
                ac.Cast(room.outs[0], acc, "CAST_RINT", outs * width)
            room.store([yg[(o * after + band.begin) * p.inner + column :]], outs, p.inner, columns, width)
    room.finish()


def _add(acc: Any, v: Any, taps: Any, band: Band, width: int) -> None:
    def start(to: int, of: int, lanes: int, repeat: int | None, step: int, stride: int, weight: float) -> None:
        ac.Muls(acc[to:], v[of:], weight, lanes, repeat, None if repeat is None else (1, 1, step, stride))

    def more(to: int, of: int, lanes: int, repeat: int | None, step: int, stride: int, weight: float) -> None:
        ac.Axpy(acc[to:], v[of:], weight, lanes, repeat, None if repeat is None else (1, 1, step, stride))

    outputs = (band.begin, band.end)
    for e in range(*outputs):
        if not taps[e]:
            ac.Duplicate(acc[(e - band.begin) * width :], 0.0, width)
    for k in range(max(len(taps[e]) for e in range(*outputs)) or 1):
        each_run(runs(taps, k, outputs), band.low, width, more if k else start)
        barrier()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def largest_rows(x: Any, places: Any, y: Any, y_places: Any, p: Pass, step: int) -> None:
    """y[o, e, :] = the largest x[o, i, :] over the taps i of e, and where: i * step + places[o, i, :]. Ties go to the first, NaN beats all.

    Places are float32, exact below 2^24.
    """
    xg, yg, at_g, taps, width = ac.GlobalTensor(x), ac.GlobalTensor(y), ac.GlobalTensor(y_places), p.resize.taps(), p.width
    of_g = [] if places is None else [ac.GlobalTensor(places)]
    before, after = p.resize.ends
    n, m = p.most_in * width, p.most_out * width
    room = Exchange([(xg.dtype, n), *((f32, n) for _ in of_g)], [(yg.dtype, m), (f32, m)])
    wide = None if xg.dtype is f32 else scratch(f32, n)
    at, numbers = scratch(f32, n), scratch(f32, n)
    best = room.outs[0] if yg.dtype is f32 else scratch(f32, m)
    tiles = (best, room.outs[1], scratch(f32, m), scratch(f32, m), scratch(dtypes.u8, m // 8), scratch(dtypes.u8, m // 8))
    for row in range(p.most_in):
        ac.Duplicate(numbers[row * width :], float(row * step), width)
    barrier()
    across = -(-p.inner // width)
    first, count = my_part(p.outer * across, 1)
    for item in ac.range(first, first + count):
        o, column = item // across, item % across * width
        columns = ac.min(width, p.inner - column)
        for band in p.bands:
            rows, outs = band.high - band.low, band.end - band.begin
            begin = (o * before + band.low) * p.inner + column
            room.load([g[begin:] for g in (xg, *of_g)], rows, p.inner, columns, width)
            v = widened(wide, room.ins[0], rows * width, settled=False)
            ac.Adds(at, numbers, float(band.low * step), rows * width)
            barrier()
            if of_g:
                ac.Add(at, at, room.ins[1], rows * width)
                barrier()
            _largest(tiles, v, at, taps, band, width)
            if best is not room.outs[0]:
                ac.Cast(room.outs[0], best, "CAST_RINT", outs * width)
            begin = (o * after + band.begin) * p.inner + column
            room.store([g[begin:] for g in (yg, at_g)], outs, p.inner, columns, width)
    room.finish()


def _largest(tiles: tuple[Any, ...], v: Any, at: Any, taps: Any, band: Band, width: int) -> None:
    best, best_at, other, other_at, larger, nan = tiles
    outputs, size = (band.begin, band.end), (band.end - band.begin) * width
    for k in range(max(len(taps[e]) for e in range(*outputs))):
        values, where = (other, other_at) if k else (best, best_at)
        if any(len(taps[e]) <= k for e in range(*outputs)):
            ac.Duplicate(values, -float("inf"), size)
            ac.Duplicate(where, 0.0, size)
            barrier()
        for to_tile, of_tile in ((values, v), (where, at)):

            def move(to: int, of: int, lanes: int, repeat: int | None, step: int, stride: int, weight: float, dst: Any = to_tile, src: Any = of_tile) -> None:
                ac.Adds(dst[to:], src[of:], 0.0, lanes, repeat, None if repeat is None else (1, 1, step, stride))

            each_run(runs(taps, k, outputs), band.low, width, move)
        barrier()
        if k:
            ac.Compare(larger, other, best, "GT", size)
            ac.Compare(nan, other, other, "NE", size)
            barrier()
            ac.Or(larger.ReinterpretCast(dtypes.u16), larger.ReinterpretCast(dtypes.u16), nan.ReinterpretCast(dtypes.u16), size // 16)
            barrier()
            ac.Select(best, larger, other, best, "VSEL_TENSOR_TENSOR_MODE", size)
            ac.Select(best_at, larger, other_at, best_at, "VSEL_TENSOR_TENSOR_MODE", size)
            barrier()
