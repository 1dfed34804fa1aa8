"""Running sums, products, logarithms of sums and extremes: sequences pass through UB once, 64 or more of them side by side in lanes.

A tile holds positions by lanes. Within it, segments of 16 positions are scanned at the same time, and then joined to what came before
them; a row of numbers carries the end of a tile to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.strided import turn_tile
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import LANES, barrier
from ascendlite.npu.lang.tensors import Slots, allocate
from ascendlite.npu.lang.tiles import Flow, Port, my_part, scratch
from ascendlite.npu.programs import kernel

f32, i32 = dtypes.f32, dtypes.i32
SEGMENT: Final = 16  # positions that are scanned one after the other
LOWEST: Final = -3.4028234663852886e38  # of float32
START: Final = {"add": -0.0, "mul": 1.0, "logaddexp": LOWEST, "maximum": -math.inf, "minimum": math.inf}


@dataclass(frozen=True)
class Sequences:
    """`outer` matrices of n positions by `lanes` numbers, or (`turned`) rows of n positions; tiles of `height` positions by `width` lanes."""

    outer: int
    n: int
    lanes: int
    height: int
    width: int
    turned: bool
    reverse: bool


class _Piece(Port):
    """Pieces of a tensor that pass through slots of UB: rows of `pitch` elements there, `step` elements apart in GM."""

    def __init__(self, tensor: Any, size: int, pitch: int, step: int) -> None:
        self.window = ac.GlobalTensor(tensor)
        self.slots = Slots(allocate(ac.Hardware.UB.value, self.window.dtype, size, 2, name=f"tiles of {tensor.name}"))
        self.pitch, self.step = pitch, step
        self.rows: Any = 0
        self.columns: Any = 0
        for slot in self.slots.tensors:  # short tiles leave lanes as they were
            words = slot.ReinterpretCast(i32)
            ac.Duplicate(words, 0, words.size)

    def load(self, slot: Any, start: Any, _items: Any) -> None:
        """A piece from element `start` on."""
        size = self.window.dtype.itemsize
        ac.DataCopyPad(self.slots[slot], self.window[start:], ac.DataCopyExtParams(self.rows, self.columns * size, (self.step - self.columns) * size, 0, pitch=self.pitch * size))

    def store(self, slot: Any, start: Any, _items: Any) -> None:
        """A piece to element `start` on."""
        size = self.window.dtype.itemsize
        ac.DataCopyPad(self.window[start:], self.slots[slot], ac.DataCopyExtParams(self.rows, self.columns * size, 0, (self.step - self.columns) * size, pitch=self.pitch * size))


class _Join:
    """dst = what a and then b join to, on `repeats` rows of 64 lanes (strides: blocks from row to row), or on `lanes` in a row."""

    def __init__(self, kind: str, room: int) -> None:
        self.kind = kind
        self.op = {"add": ac.Add, "mul": ac.Mul, "maximum": ac.Max, "minimum": ac.Min}.get(kind)
        self.room = [scratch(f32, room) for _ in (0, 1)] if self.op is None else []

    def rows(self, dst: Any, a: Any, b: Any, repeats: int, steps: tuple[int, int, int]) -> None:
        if self.op is not None:
            self.op(dst, a, b, LANES, repeats, (1, 1, 1, *steps))
        else:
            self._log(lambda op, out, of, to: op(out, *of, LANES, repeats, (1,) * (1 + len(of)) + to), dst, a, b, steps, repeats * LANES)
        barrier()

    def row(self, dst: Any, a: Any, b: Any, lanes: int) -> None:
        if self.op is not None:
            self.op(dst, a, b, lanes)
        else:
            self._log(lambda op, out, of, to: op(out, *of, lanes), dst, a, b, (8, 8, 8), lanes)
        barrier()

    def _log(self, call: Callable[..., None], dst: Any, a: Any, b: Any, steps: tuple[int, int, int], size: int) -> None:
        """max + log(1 + exp(min - max)); no number is infinite here."""
        high, low = self.room
        to, of_a, of_b = steps
        call(ac.Max, high, (a, b), (8, of_a, of_b))
        call(ac.Min, low, (a, b), (8, of_a, of_b))
        barrier()
        ac.Sub(low, low, high, size)
        barrier()
        ac.Exp(low, low, size)
        barrier()
        ac.Adds(low, low, 1.0, size)
        barrier()
        ac.Ln(low, low, size)
        barrier()
        call(ac.Add, dst, (high, low), (to, 8, 8))


class Scan:
    """Scans tiles of one sequence after the other; `carry` holds the end of the last tile."""

    def __init__(self, s: Sequences, kind: str, start: float, dtype: Any = f32) -> None:
        self.s, self.start, self.nothing = s, start, -0.0 if dtype is f32 else 0
        self.join = _Join(kind, max(s.height // SEGMENT, SEGMENT) * LANES if s.width == LANES else s.width)
        self.carry = scratch(dtype, s.width)

    def begin(self) -> None:
        """A new sequence."""
        ac.Duplicate(self.carry, self.start, self.s.width)

    def tile(self, v: Any) -> None:
        """v[p] = the join of everything up to position p."""
        self.join_up(v)
        self.keep(v)

    def keep(self, v: Any) -> None:
        """The next tile begins with the end of this one."""
        last = v[(0 if self.s.reverse else self.s.height - 1) * self.s.width :]
        ac.Adds(self.carry, last, self.nothing, self.s.width)  # read after the barrier of what follows

    def join_up(self, v: Any) -> None:
        """The tile, without keeping its end."""
        s, n, w = self.s, self.s.height, self.s.width
        back = s.reverse

        def row(p: int) -> Any:
            return v[(n - 1 - p if back else p) * w :]

        self.join.row(row(0), self.carry, row(0), w)
        if w == LANES and n > SEGMENT:
            self._segments(v, n // SEGMENT, back)
        else:
            for p in range(1, n):
                self.join.row(row(p), row(p - 1), row(p), w)

    def _segments(self, v: Any, segments: int, back: bool) -> None:
        block, step = LANES // 8, -1 if back else 1
        long = SEGMENT * block
        first, last = (SEGMENT - 1, 0) if back else (0, SEGMENT - 1)
        for k in range(1, SEGMENT):
            p = first + step * k
            self.join.rows(v[p * LANES :], v[(p - step) * LANES :], v[p * LANES :], segments, (long, long, long))
        order = range(segments - 2, -1, -1) if back else range(1, segments)
        for g in order:
            end = v[((g - step) * SEGMENT + last) * LANES :]
            self.join.rows(v[g * SEGMENT * LANES :], end, v[g * SEGMENT * LANES :], SEGMENT, (block, 0, block))


class SequenceTiles:
    """This core's tiles: of each task (64 or more sequences) one after the other, in the direction of the scan."""

    def __init__(self, s: Sequences, ins: tuple[Any, ...], outs: tuple[Any, ...]) -> None:
        self.s = s
        size, pitch, step = s.height * s.width, (s.height if s.turned else s.width), (s.n if s.turned else s.lanes)
        self.ins, self.outs = ([_Piece(t, size, pitch, step) for t in group] for group in (ins, outs))
        self.across = 1 if s.turned else -(-s.lanes // s.width)
        self.tasks = -(-s.outer // s.width) if s.turned else s.outer * self.across
        self.flow = Flow(self.ins, self.outs, 2)
        self.whole, self.rest = divmod(s.n, s.height)

    def __iter__(self) -> Any:
        first, count = my_part(self.tasks, 1)
        yield from ac.range(first, first + count)
        self.flow.close()

    def of(self, task: Any) -> Any:
        """(tile, its first position, positions) of one task."""
        s = self.s
        numbers = [(None, s.height)] * bool(self.whole) + [(self.whole, self.rest)] * bool(self.rest)
        for number, positions in reversed(numbers) if s.reverse else numbers:
            if number is None:
                for k in ac.range(self.whole):
                    yield from self._at(task, self.whole - 1 - k if s.reverse else k, positions)
            else:
                yield from self._at(task, number, positions)

    def _at(self, task: Any, k: Any, positions: int) -> Any:
        s, most = self.s, self.whole + bool(self.rest)
        rows: Any = positions
        columns: Any = positions
        if s.turned:
            start: Any = task * s.width * s.n + k * s.height
            rows = ac.min(s.width, s.outer - task * s.width)
        else:
            lane = task % self.across * s.width
            start = task // self.across * s.n * s.lanes + k * s.height * s.lanes + lane
            columns = ac.min(s.width, s.lanes - lane)
        for port in (*self.ins, *self.outs):
            port.rows, port.columns = rows, columns
        turn = most - 1 - k if s.reverse else k
        t = self.flow.fill(task * most + turn, start, 1)
        yield t, k * s.height, positions
        self.flow.drain(t)


class _Shape:
    """Tiles as they lie in GM, and as positions by lanes in float32."""

    def __init__(self, s: Sequences, narrow: bool) -> None:
        self.s, self.size = s, s.height * s.width
        self.stage = scratch(f32, self.size) if narrow and s.turned else None

    def spread(self, v: Any, tile: Any) -> None:
        """v = the tile."""
        if not self.s.turned:
            if tile.dtype is f32:
                ac.Adds(v, tile, -0.0, self.size)
            else:
                ac.Cast(v, tile, "CAST_NONE", self.size)
        else:
            if self.stage is not None:
                ac.Cast(self.stage, tile, "CAST_NONE", self.size)
                barrier()
                tile = self.stage
            turn_tile(v, tile, self.s.height, self.s.width, 8)
        barrier()

    def rows(self, v: Any, room: Any) -> Any:
        """The numbers of v in the order of GM: v itself, or in `room`."""
        if not self.s.turned:
            return v
        turn_tile(room, v, self.s.width, self.s.height, 8)
        barrier()
        return room

    def gather(self, tile: Any, v: Any) -> None:
        """The tile = v."""
        if self.s.turned and tile.dtype is f32:
            turn_tile(tile, v, self.s.width, self.s.height, 8)
        elif tile.dtype is f32:
            ac.Adds(tile, v, -0.0, self.size)
        else:
            ac.Cast(tile, self.rows(v, self.stage), "CAST_RINT", self.size)


def fill(v: Any, s: Sequences, positions: int, start: float) -> None:
    """What a backward scan meets first in a short tile: nothing."""
    if s.reverse and positions < s.height:
        ac.Duplicate(v[positions * s.width :], start, (s.height - positions) * s.width)
        barrier()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def scan(x: Any, y: Any, s: Sequences, kind: str) -> None:
    """y[p] = x[0] and so on up to x[p], joined; from the end on if reversed."""
    start, size = START[kind], s.height * s.width
    v, shape, work = scratch(f32, size), _Shape(s, x.dtype is not f32 or y.dtype is not f32), Scan(s, kind, start)
    bits = scratch(dtypes.u8, size // 8) if kind == "logaddexp" else None
    tiles = SequenceTiles(s, (x,), (y,))
    for task in tiles:
        barrier()
        work.begin()
        for t, _, positions in tiles.of(task):
            shape.spread(v, t.ins[0])
            fill(v, s, positions, start)
            if bits is not None:
                _bound(v, size)
            work.tile(v)
            if bits is not None:
                _free(v, bits, size)
            shape.gather(t.outs[0], v)


def _bound(v: Any, size: int) -> None:
    """Infinities become the largest numbers, whose differences are numbers."""
    ac.Maxs(v, v, LOWEST, size)
    barrier()
    ac.Mins(v, v, -LOWEST, size)
    barrier()


def _free(v: Any, bits: Any, size: int) -> None:
    """... and infinities again."""
    for bound in (LOWEST, -LOWEST):  # a sum of such rounds to the same
        ac.CompareScalar(bits, v, bound, "NE", size)
        barrier()
        ac.Select(v, bits, v, math.copysign(math.inf, bound), "VSEL_TENSOR_SCALAR_MODE", size)
        barrier()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def extremes(x: Any, y: Any, places: Any, s: Sequences, kind: str) -> None:
    """y[p] = the largest (smallest) of x[0] to x[p], or NaN, and its last place: the largest place so far where x equals it."""
    size = s.height * s.width
    v, hits, here, u = (scratch(f32, size) for _ in range(4))
    shape, bits = _Shape(s, x.dtype is not f32), [scratch(dtypes.u8, size // 8) for _ in (0, 1)]
    values, numbers = Scan(s, kind, START[kind]), Scan(s, "maximum", 0.0)
    for p in range(s.height):
        ac.Duplicate(here[p * s.width :], float(p), s.width)
    tiles = SequenceTiles(s, (x,), (y, places))
    for task in tiles:
        barrier()
        values.begin()
        numbers.begin()
        for t, first, positions in tiles.of(task):
            shape.spread(u, t.ins[0])
            ac.Adds(v, u, -0.0, size)
            barrier()
            values.tile(v)
            ac.Adds(hits, here, first, size)
            ac.Compare(bits[0], u, v, "EQ", size)
            ac.Compare(bits[1], u, u, "NE", size)
            barrier()
            ac.Select(u, bits[0], hits, 0.0, "VSEL_TENSOR_SCALAR_MODE", size)
            barrier()
            ac.Select(hits, bits[1], hits, u, "VSEL_TENSOR_TENSOR_MODE", size)
            barrier()
            fill(hits, s, positions, 0.0)
            numbers.tile(hits)
            shape.gather(t.outs[0], v)
            if places.dtype is f32:
                shape.gather(t.outs[1], hits)
                continue
            found = shape.rows(hits, u)
            ac.Cast(v.ReinterpretCast(i32), found, "CAST_RINT", size)
            barrier()
            ac.Cast(t.outs[1], v.ReinterpretCast(i32), "CAST_NONE", size)
