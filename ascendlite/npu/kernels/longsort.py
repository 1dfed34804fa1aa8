"""Sorts of rows that do not fit the unified buffer: sorted runs, then merges of two runs into one through the card's memory, stable.

A merge is cut into slices that cores make side by side; where a slice begins in both runs is found by a search along a diagonal of the merge
(Odeh, Green, Mwassi, Shmueli and Birk, 2012, "Merge Path"). Numbers are falling, NaN first; a rising sort takes the row from its end, and the
result from its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.rowwise import f32
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.order import take_events
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

LIST: Final = 32  # numbers that one Sort32 orders
LISTS: Final = 4  # that one MrgSort merges
RUN: Final = 4096  # numbers that are sorted within UB: two buffers of pairs, values, places and slots, 160 KiB
TILE: Final = 2048  # pairs that a merge writes at a time, of as many of each run
SAMPLES: Final = 64  # places of a diagonal that are looked at at once
EXACT: Final = 1 << 24  # places that float32 holds
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]


@dataclass(frozen=True)
class Sorting:
    """Rows of n numbers, cut into runs, of each of which the first `keep` are wanted."""

    rows: int
    n: int
    run: int
    keep: int
    rising: bool


def _merged(src: Any, dst: Any, last: Any, count: int) -> None:
    """`count` sorted lists, in one of two buffers, into one list in `last`."""
    lengths, stride = [LIST] * count, LIST
    while len(lengths) > 1:
        merged, to = [], last if len(lengths) <= LISTS else dst
        for g in range(0, len(lengths), LISTS):
            part, at = lengths[g : g + LISTS], g * stride * 2
            if len(part) > 1:
                ac.MrgSort(to[at:], [src[at + j * stride * 2 :] for j in range(len(part))], part)
            else:
                ac.DataCopy(to[at:], src[at:], part[0] * 2)
            merged.append(sum(part))
        barrier()
        lengths, stride, src, dst = merged, stride * LISTS, dst, src


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def sort_runs(x: Any, pairs: Any, s: Sorting) -> None:
    """pairs = each run of a row sorted by itself: (number, its place in the row)."""
    source, target = ac.GlobalTensor(x), ac.GlobalTensor(pairs)
    padded, runs = -(-s.run // LIST) * LIST, -(-s.n // s.run)
    pipe, moved_in, moved_out = ac.TPipe(), ac.TQue(ac.TPosition.VECIN, 2), ac.TQue(ac.TPosition.VECOUT, 1)
    pipe.InitBuffer(moved_in, 2, padded * source.dtype.itemsize)
    pipe.InitBuffer(moved_out, 1, padded * 8)
    w, number = scratch(f32, padded), scratch(dtypes.i32, padded)
    a, b = (scratch(f32, padded * 2) for _ in (0, 1))
    for t in ac.range(ac.GetBlockIdx(), s.rows * runs, ac.GetBlockNum()):
        row, start = t // runs, t % runs * s.run
        count = ac.min(s.run, s.n - start)
        given = moved_in.AllocTensor(source.dtype)
        ac.DataCopyPad(given, source[row * s.n + (s.n - start - count if s.rising else start) :], count)
        moved_in.EnQue(given)
        given = moved_in.DeQue()
        ac.Duplicate(w, -math.inf, padded)
        if s.rising:
            ac.ArithProgression(number, count * 4 - 4, -4, padded)
        barrier()
        load_row(w, given, a, number if s.rising else None, count)
        moved_in.FreeTensor(given)
        ac.ArithProgression(number, s.n - 1 - start if s.rising else start, -1 if s.rising else 1, padded)
        barrier()
        made = moved_out.AllocTensor(f32)
        ac.Sort32(a, w, number.ReinterpretCast(dtypes.u32), padded // LIST)
        barrier()
        _merged(a, b, made, padded // LIST)
        moved_out.EnQue(made)
        made = moved_out.DeQue()
        ac.DataCopyPad(target[(row * s.n + start) * 2 :], made, ac.min(count, s.keep) * 2)
        moved_out.FreeTensor(made)


def load_row(to: Any, given: Any, line: Any, back: Any, count: Any) -> None:
    """Numbers of a row in float32, turned around if `back` gives the places."""
    if back is None:
        if given.dtype is f32:
            ac.Muls(to, given, 1.0, count)
        else:
            ac.Cast(to, given, "CAST_NONE", count)
        return
    if given.dtype is not f32:
        ac.Cast(line, given, "CAST_NONE", count)
        barrier()
        given = line
    ac.Gather(to, given[:count], back.ReinterpretCast(dtypes.u32), 0, count)


def tail(total: int) -> int:
    """Pairs behind the last one: what later rounds of a search may read too far, 64 steps of a 4096th of a run at most."""
    return -(-total // SAMPLES) + 2 * SAMPLES


@dataclass(frozen=True)
class _Runs:
    """Two runs that lie one behind the other: la and lb pairs from `first` and `second` on, counted over the whole tensor."""

    first: Any
    second: Any
    la: Any
    lb: Any


class Turns:
    """The vector unit writes a number, the scalar unit reads it, and the vector unit may write the next."""

    def __init__(self) -> None:
        self.there, self.taken = (take_events(e, 1)[0] for e in (ac.HardEvent.V_S, ac.HardEvent.S_V))

    def read(self, *wanted: tuple[Any, int, Any]) -> list[Any]:
        """The first elements of tensors of i32, each 0 .. most; the clock takes it for a typical one."""
        ac.SetFlag(ac.HardEvent.V_S, self.there)
        ac.WaitFlag(ac.HardEvent.V_S, self.there)
        values = [ac.GetValue(room, 0, 0, most, typical) for room, most, typical in wanted]
        ac.SetFlag(ac.HardEvent.S_V, self.taken)
        ac.WaitFlag(ac.HardEvent.S_V, self.taken)
        return values


class _Search:
    """How many of the first d pairs of a merge come from the first run: of the numbers i such that the first run's i-th is no less than the
    second's (d-1-i)-th. These come first, so each round looks at 64 places and keeps the part between two of them.
    """

    def __init__(self, pairs: Any, total: int) -> None:
        self.pairs, self.size = pairs, total
        block = 32 // 4
        self.looked = [scratch(f32, SAMPLES * block) for _ in (0, 1)]
        self.values = [scratch(f32, SAMPLES) for _ in (0, 1)]
        self.forth, self.back = (scratch(dtypes.i32, SAMPLES) for _ in (0, 1))
        self.bits, self.is_number, self.work = (scratch(t, 64) for t in (dtypes.u8, dtypes.u8, f32))
        self.ones, self.chosen, self.total, self.count = scratch(f32, 64), scratch(f32, 64), scratch(f32, 8), scratch(dtypes.i32, 8)
        self.turns = Turns()
        self.full, laid = (take_events(e, 1)[0] for e in (ac.HardEvent.MTE2_V, ac.HardEvent.V_MTE2))
        for room in (*self.looked, *self.values):
            ac.Duplicate(room, 0.0, room.size)
        ac.Duplicate(self.ones, 1.0, 64)
        ac.ArithProgression(self.forth, 0, 32, SAMPLES)
        ac.SetFlag(ac.HardEvent.V_MTE2, laid)
        ac.WaitFlag(ac.HardEvent.V_MTE2, laid)
        barrier()

    def of(self, runs: _Runs, d: Any, longest: int) -> Any:
        """The number; longest: pairs of a run."""
        low = ac.max(0, d - runs.lb)
        high, step = ac.max(low, ac.min(d, runs.la)), longest
        while step > 1:
            step = max(1, -(-step // SAMPLES))
            some = ac.min(SAMPLES, (high - low) // step)
            looked = ac.max(1, some)
            starts = runs.first + low + step - 1, runs.second + d - low - looked * step
            before = ac.min(some, self._round(starts, step, looked, looked if step * SAMPLES >= longest else SAMPLES))
            low = low + before * step
            high = ac.min(high, low + step)
        return low

    def _round(self, starts: tuple[Any, Any], step: int, count: Any, read: Any) -> Any:
        """Of `count` pairs `step` apart from the first start on, and those from the second in turn from their end: how many are no less.

        Where data say how many these are, as many as there can be are read, the tensor being longer (see `tail`).
        """
        last = self.size - 1 if read is count else self.size + tail(self.size) - (SAMPLES - 1) * step - 1
        for room, at in zip(self.looked, starts, strict=True):
            start = ac.max(0, ac.min(at, last))
            ac.DataCopyPad(room, self.pairs[start * 2 :], ac.DataCopyExtParams(read, 4, step * 8 - 4, 0))
        ac.SetFlag(ac.HardEvent.MTE2_V, self.full)
        ac.Muls(self.back, self.forth, -1, SAMPLES)
        barrier()
        ac.Adds(self.back, self.back, count * 32 - 32, SAMPLES)
        barrier()
        ac.WaitFlag(ac.HardEvent.MTE2_V, self.full)
        a, b = self.values
        ac.Gather(a, self.looked[0], self.forth.ReinterpretCast(dtypes.u32), 0, count)
        ac.Gather(b, self.looked[1], self.back.ReinterpretCast(dtypes.u32), 0, count)
        barrier()
        ac.Compare(self.bits, a, b, "GE", SAMPLES)
        ac.Compare(self.is_number, a, a, "EQ", SAMPLES)
        barrier()
        ac.Select(self.chosen, self.bits, self.ones, 0.0, "VSEL_TENSOR_SCALAR_MODE", SAMPLES)
        barrier()
        ac.Select(self.chosen, self.is_number, self.chosen, 1.0, "VSEL_TENSOR_SCALAR_MODE", SAMPLES)
        barrier()
        ac.ReduceSum(self.total, self.chosen, self.work, count)
        barrier()
        ac.Cast(self.count, self.total, "CAST_RINT", 1)
        return self.turns.read((self.count, SAMPLES, count // 2))[0]


@dataclass(frozen=True)
class Merging:
    """Runs of `run` places in rows of n, of which `keep` pairs count; a core makes `slice` pairs of a merge, of which `most` are wanted."""

    rows: int
    n: int
    run: int
    keep: int
    most: int
    slice: int
    rising: bool


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def merge_runs(pairs: Any, merged: Any, s: Merging) -> None:
    """merged = every two runs of pairs as one. A tile takes as many pairs of both runs as it writes; the places say how many it used of each."""
    source, target = ac.GlobalTensor(pairs), ac.GlobalTensor(merged)
    groups, slices = -(-s.n // (2 * s.run)), -(-s.most // s.slice)
    search = _Search(source, s.rows * s.n) if slices > 1 else None
    joint = _Joint(source, target, s)
    for t in ac.range(ac.GetBlockIdx(), s.rows * groups * slices, ac.GetBlockNum()):
        row, base, d = t // (groups * slices), t // slices % groups * (2 * s.run), t % slices * s.slice
        first = row * s.n + base
        rest = s.n - base
        runs = _Runs(first, first + s.run, ac.min(rest, s.keep), ac.max(0, ac.min(rest - s.run, s.keep)))
        total = ac.max(0, ac.min(s.slice, ac.min(runs.la + runs.lb, s.most) - d))
        begin = search.of(runs, d, s.keep) if search else 0
        joint.make(runs, d, begin, total, base + s.run)


class _Joint:
    """The tiles of a slice, one after the other: each begins where the last one ended."""

    def __init__(self, source: Any, target: Any, s: Merging) -> None:
        self.source, self.target, self.s = source, target, s
        self.given, self.full = scratch(f32, 4 * TILE), take_events(ac.HardEvent.MTE2_V, 1)[0]
        self.moved_out = ac.TQue(ac.TPosition.VECOUT, 2)
        ac.TPipe().InitBuffer(self.moved_out, 2, 2 * TILE * 8)
        self.used, self.more = scratch(dtypes.i32, 8), scratch(dtypes.i32, 8)
        self.place, self.place_f = scratch(dtypes.u32, TILE), scratch(f32, TILE)
        self.bits, self.turns = scratch(dtypes.u8, TILE // 8), Turns()
        ac.Duplicate(self.more, 0, 8)
        ac.Duplicate(self.place_f, 0.0, TILE)
        ac.Duplicate(self.given, 0.0, 4 * TILE)
        for _ in (0, 1):  # how much of a slot is written depends on data
            self.moved_out.EnQue(self.moved_out.AllocTensor(f32))
            room = self.moved_out.DeQue()
            ac.Duplicate(room, 0.0, room.size)
            self.moved_out.FreeTensor(room)

    def make(self, runs: _Runs, d: Any, begin: Any, total: Any, border: Any) -> None:
        """`total` pairs of a merge from its d-th on; border: the place of the second run's first number, counted in sorting order."""
        barrier()
        ac.Duplicate(self.used, begin, 8)
        for done in ac.range(0, total, TILE):
            (a,) = self.turns.read((self.used, self.s.keep, ac.min(runs.la, (d + done) // 2)))
            a = ac.max(d + done - runs.lb, ac.min(ac.min(runs.la, d + done), a))  # it is; the check, which knows no data, sees it so
            b = d + done - a
            na, nb, count = ac.min(TILE, runs.la - a), ac.min(TILE, runs.lb - b), ac.min(TILE, total - done)
            # The numbers above were read after the last tile's pairs were merged: no flag need say that `given` is free.
            ac.DataCopyPad(self.given, self.source[(runs.first + a) * 2 :], na * 2)
            ac.DataCopyPad(self.given[TILE * 2 :], self.source[(runs.second + b) * 2 :], nb * 2)
            ac.SetFlag(ac.HardEvent.MTE2_V, self.full)
            ac.WaitFlag(ac.HardEvent.MTE2_V, self.full)
            made = self.moved_out.AllocTensor(f32)
            ac.MrgSort(made, [self.given, self.given[TILE * 2 :]], [na, nb])
            barrier()
            self._count(made, count, border)
            self.moved_out.EnQue(made)
            made = self.moved_out.DeQue()
            ac.DataCopyPad(self.target[(runs.first + d + done) * 2 :], made, count * 2)
            self.moved_out.FreeTensor(made)

    def _count(self, made: Any, count: Any, border: Any) -> None:
        """Adds how many of the pairs are of the first run."""
        ac.GatherMask(self.place, made.ReinterpretCast(dtypes.u32), 2, count * 2)
        barrier()
        ac.Cast(self.place_f, self.place.ReinterpretCast(dtypes.i32), "CAST_NONE", count)
        barrier()
        op, limit = ("GE", self.s.n - border) if self.s.rising else ("LT", border)
        ac.CompareScalar(self.bits, self.place_f, limit, op, TILE)
        barrier()
        ac.GatherMask(self.place, self.place_f.ReinterpretCast(dtypes.u32), self.bits.ReinterpretCast(dtypes.u32), count, self.more)
        barrier()
        ac.Add(self.used, self.used, self.more, 8)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def part_pairs(pairs: Any, values: Any, places: Any, s: Sorting) -> None:
    """The first `keep` values and places of each row of sorted pairs; of a rising sort from the row's end."""
    source, outs = ac.GlobalTensor(pairs), (ac.GlobalTensor(values), ac.GlobalTensor(places))
    tiles = -(-s.keep // TILE)
    pipe, moved_in = ac.TPipe(), ac.TQue(ac.TPosition.VECIN, 2)
    queues = [ac.TQue(ac.TPosition.VECOUT, 2) for _ in outs]
    pipe.InitBuffer(moved_in, 2, TILE * 8)
    for queue, out in zip(queues, outs, strict=True):
        pipe.InitBuffer(queue, 2, TILE * out.dtype.itemsize)
    best, place, back = scratch(f32, TILE), scratch(dtypes.u32, TILE), scratch(dtypes.i32, TILE)
    turned = scratch(f32, TILE), scratch(dtypes.u32, TILE)
    for t in ac.range(ac.GetBlockIdx(), s.rows * tiles, ac.GetBlockNum()):
        row, start = t // tiles, t % tiles * TILE
        count = ac.min(TILE, s.keep - start)
        given = moved_in.AllocTensor(f32)
        ac.DataCopyPad(given, source[(row * s.n + (s.n - start - count if s.rising else start)) * 2 :], count * 2)
        moved_in.EnQue(given)
        given = moved_in.DeQue()
        ac.GatherMask(best, given, 1, count * 2)
        ac.GatherMask(place, given.ReinterpretCast(dtypes.u32), 2, count * 2)
        if s.rising:
            ac.ArithProgression(back, count * 4 - 4, -4, TILE)
        barrier()
        moved_in.FreeTensor(given)
        found = (best, place)
        if s.rising:
            for to, line in zip(turned, found, strict=True):
                ac.Gather(to, line[:count], back.ReinterpretCast(dtypes.u32), 0, count)
            barrier()
            found = turned
        made = [queue.AllocTensor(out.dtype) for queue, out in zip(queues, outs, strict=True)]
        if made[0].dtype is f32:
            ac.Muls(made[0], found[0], 1.0, count)
        else:
            ac.Cast(made[0], found[0], "CAST_RINT", count)
        ac.Cast(made[1], found[1].ReinterpretCast(dtypes.i32), "CAST_NONE", count)
        for queue, room, out in zip(queues, made, outs, strict=True):
            queue.EnQue(room)
            room = queue.DeQue()
            ac.DataCopyPad(out[row * s.keep + start :], room, count)
            queue.FreeTensor(room)


def _slice(s: Sorting, length: int, most: int) -> int:
    """Pairs of a merge that a core makes: whole merges if there are enough, else what gives every core the same."""
    merges = s.rows * -(-s.n // length)
    each = most if merges >= 2 * state.chip.aiv else -(-merges * most // state.chip.aiv)
    return min(-(-most // TILE), -(-each // TILE)) * TILE


def rank(x: Tensor, values: Tensor, places: Tensor, rising: bool, name: str) -> None:
    """The first of each row (contiguous, of floats), as many as `values` and `places` take, which are contiguous, too."""
    n, k, aiv = x.shape[-1], values.shape[-1], state.chip.aiv
    rows, keep = x.numel() // n, n if rising else k
    cuts = 1 << max(0, math.ceil(math.log2(n / RUN)))
    s = Sorting(rows, n, -(-n // (cuts * LIST)) * LIST, keep, rising)  # runs of one length, as each costs what a full one does
    pairs = _core.empty((2 * (rows * n + tail(rows * n)),), dtype=_FLOAT32, device=x.device)
    launch(sort_runs, x, pairs, s, blocks=min(aiv, rows * -(-n // s.run)), name=name)
    other = _core.empty(tuple(pairs.shape), dtype=_FLOAT32, device=x.device) if s.run < n else pairs
    length = s.run
    while length < n:
        most = min(2 * length, keep, n)
        m = Merging(rows, n, length, min(length, keep), most, _slice(s, 2 * length, most), rising)
        tasks = rows * -(-n // (2 * length)) * -(-most // m.slice)
        launch(merge_runs, pairs, other, m, blocks=min(aiv, tasks), name=name)
        pairs, other, length = other, pairs, 2 * length
    launch(part_pairs, pairs, values, places, Sorting(rows, n, n, k, rising), blocks=min(aiv, rows * -(-k // TILE)), name=name)
