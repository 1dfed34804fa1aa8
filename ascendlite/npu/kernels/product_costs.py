"""What a plan of a matrix product takes, estimated from the clock's constants: it ranks plans, so that only the first need be traced and timed.

The busiest core's loads (MTE2), products with their loads to L0 (the slowest of M, MTE1 and the scalar unit) and results (FIX) are followed step by
step through L1's two slots; memory that all cores share is a bound for each round. A bias counts as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from ascendlite.core import _core
from ascendlite.npu import clock
from ascendlite.npu.chips import Chip
from ascendlite.npu.kernels.product_plans import Plan, padded_row, stored_a, stored_b
from ascendlite.npu.lang.cube import FRACTAL
from ascendlite.npu.lang.cube_tiles import ORDERED_BLOCKS

_STEP_L0, _STEP_L1 = 7, 6  # instructions that the scalar unit issues
_FOLLOWED: Final = 3  # tiles, and steps at both ends of each, that are followed: those between are alike
_COUNTED: Final = 8  # rounds of tiles up to which tails are told apart


@cache
def _constants(chip: Chip) -> dict[str, float]:
    return clock.constants(chip)


class _Step(NamedTuple):
    """One operand's part of a step through L1."""

    new: float  # bytes that it adds to the cache, its neighbours beside it
    fetched: float  # bytes that memory moves for it
    alone: float  # share of its lines that are not in the cache: of the first to read there
    among: float  # the same with its neighbours beside it
    missed_ns: float  # of the pipe, were all of them missing
    hit_ns: float


@dataclass(frozen=True)
class _Reading:
    """How an operand's tile comes to L1: runs of bytes that begin `pitch` bytes apart. by_rows: k counts the runs, else what is in one."""

    c: dict[str, float]
    wide: int  # elements of the tile across k
    pitch: int
    itemsize: int
    by_rows: bool

    def step(self, deep: int) -> _Step:
        """What so much of k takes."""
        c, line = self.c, int(self.c["line_bytes"])
        rows, run = (deep, self.wide * self.itemsize) if self.by_rows else (self.wide, deep * self.itemsize)
        new = fetched = float(rows * run)
        crossing, alone, among = 0.0, 1.0, 1.0
        if run == self.pitch:  # the rows follow each other
            fetched = _grains(rows * run, rows * run, int(c["sector_bytes"]))
        else:
            touched, block = _grains(run, self.pitch, line), int(c["block_align_bytes"])
            odd = rows > 1 and (self.pitch % block or run % block)
            fetched = rows * (touched if odd else _grains(run, self.pitch, int(c["sector_bytes"])))
            crossing = _crossing(run, self.pitch, int(c["transfer_align_bytes"]))
            if odd and 2 * new >= fetched:  # whole lines, those that the neighbours fetch, too
                new = fetched
            else:
                alone, among = min(1.0, self.pitch / touched), run / touched
        moving = fetched * c["cycle_ns"] / (1 - (1 - c["unaligned_share"]) * crossing)
        missed = max(moving / c["in_l1_miss_rate"], rows * c["nd2nz_row_miss_ns"], c["copy_issue_ns"])
        return _Step(new, fetched, alone, among, missed, max(moving / c["in_l1_hit_rate"], rows * c["nd2nz_row_hit_ns"], c["copy_issue_ns"]))


def _grains(run: int, pitch: int, grain: int) -> float:
    """Bytes of the grains that a run touches, which begins at any multiple of the pitch."""
    step = math.gcd(pitch, grain)
    return (-(-run // step) * step - step) + grain if step < grain else -(-run // grain) * grain


def _crossing(run: int, pitch: int, line: int) -> float:
    """The share of runs that touch one line more than they must."""
    step, rest = math.gcd(pitch, line), run % line or line
    return 1 - ((line - rest) // step + 1) / (line // step)


@dataclass(frozen=True)
class _Work:
    """What the busiest core does: tiles of m x n, k deep."""

    c: dict[str, float]
    m: int
    n: int
    k: int
    plan: Plan
    itemsize: int
    rate: float  # multiply-adds a cycle
    single: tuple[bool, bool]  # whether one load brings a's, b's part of a step to L0

    def mmad(self, deep: int) -> float:
        """Nanoseconds of one Mmad."""
        k0 = 32 // self.itemsize
        return (self.c["mmad_overhead"] + -(-self.m // 16) * -(-self.n // 16) * -(-deep // k0) * 256 * k0 / self.rate) * self.c["cycle_ns"]

    def fractals(self, deep: int) -> float:
        """Nanoseconds of the loads to L0 before it."""
        m16, n16, columns = -(-self.m // 16), -(-self.n // 16), -(-deep * self.itemsize // 32)
        loads = (1 if self.single[0] else min(m16, columns)) + (1 if self.single[1] else -(-deep // 16))
        return (loads * self.c["load_overhead"] + columns * FRACTAL * (m16 / self.c["l0a_rate"] + n16 / self.c["l0b_rate"])) * self.c["cycle_ns"]

    def step(self, deep: int) -> tuple[float, float, float, float, float]:
        """Of one step through L1, nanoseconds of: all Mmads, the last one, all loads to L0, the first ones, the scalar unit."""
        bk = self.plan.tiles[2]
        whole, rest = divmod(deep, bk)
        mmad, fractals = self.mmad(bk), self.fractals(bk)
        small = -(-self.m // 16) * -(-self.n // 16) < ORDERED_BLOCKS  # a barrier more
        issued = ((whole + (rest > 0)) * (_STEP_L0 + small) + _STEP_L1) * self.c["issue"] * self.c["cycle_ns"]
        if not rest:
            return whole * mmad, mmad, whole * fractals, fractals, issued
        last, loads = self.mmad(rest), self.fractals(rest)
        return whole * mmad + last, last, whole * fractals + loads, fractals if whole else loads, issued

    def run(self, rounds: int, loads: tuple[Mapping[int, float], ...], latencies: tuple[float, float], fix: float) -> tuple[float, float]:
        """Nanoseconds of the first of so many tiles, and of each of the others.

        loads: of a step's operands by its depth, in the very first step, in the first tile's others and in other tiles. fix: of a tile's results.
        """
        kl1 = self.plan.tiles[3]
        steps = -(-self.k // kl1)
        known = {deep: self.step(deep) for deep in loads[0]}
        loaded = fed = computed = fixed = 0.0  # when MTE2, MTE1, M and FIX are done
        free, ends = [0.0, 0.0], []
        for turn in range(min(rounds, _FOLLOWED)):
            load, latency = loads[1 + (turn > 0)], latencies[turn > 0]
            for i in range(steps) if steps <= 2 * _FOLLOWED else (*range(_FOLLOWED), *range(steps - _FOLLOWED, steps)):
                deep = kl1 if i < steps - 1 else self.k - i * kl1
                mmads, last, fractals, front, issued = known[deep]
                if i == steps - _FOLLOWED and steps > 2 * _FOLLOWED:  # those in the middle are alike
                    more = (steps - 2 * _FOLLOWED) * max(load[kl1], mmads, fractals, issued)
                    loaded, fed, computed, free = loaded + more, fed + more, computed + more, [at + more for at in free]
                loaded = max(loaded, free[0]) + (load if i or turn else loads[0])[deep]
                begin = max(fed, loaded + latency)
                ready = max(begin + front, computed, 0.0 if i else fixed - last)
                computed = max(ready + mmads, begin + fractals + last, computed + issued)
                fed = max(begin + fractals, computed - 2 * last + front)
                free = [free[1], fed]
            fixed = max(computed, max(computed - last, fixed) + fix)
            ends.append(fixed)
        every = (ends[-1] - ends[0] + (rounds - len(ends)) * (ends[-1] - ends[-2])) / (rounds - 1) if rounds > 1 else 0.0
        return ends[0], every

    def pace(self, loads: Mapping[int, float], fix: float) -> float:
        """Nanoseconds of a tile among others: of its busiest pipe."""
        kl1 = self.plan.tiles[3]
        steps = -(-self.k // kl1)
        last = self.k - (steps - 1) * kl1
        whole, rest = self.step(kl1), self.step(last)
        return max((steps - 1) * loads[kl1] + loads[last], *((steps - 1) * whole[i] + rest[i] for i in (0, 2, 4)), fix)


Reads = Mapping[int, tuple[_Step, ...]]  # a's, b's part by the depth of a step


def _loads(c: dict[str, float], reads: Reads, at_once: float, shares: tuple[float, float], opens: bool | None = None) -> dict[int, float]:
    """Nanoseconds of a step's loads by its depth, of which so much is read first: in so many cores at once. opens: the core finds none, or all."""
    found = {}
    for deep, both in reads.items():
        moved, new, own = 0.0, 0.0, 0.0
        for one, share in zip(both, shares, strict=True):
            moved += one.fetched + c["copy_overhead_bytes"]
            new += share * (one.new + c["copy_overhead_bytes"])
            missing = share * one.among if opens is None else opens * one.alone
            own += missing * one.missed_ns + (1 - missing) * one.hit_ns
        found[deep] = max(own, at_once * moved / c["l2_rate"], at_once * new / c["hbm_rate"])
    return found


def product_us(s: Any, plan: Plan, dtype: str, out: str, chip: Chip) -> float:
    """Microseconds of the product's own launch, about."""
    c = _constants(chip)
    itemsize, out_size = (_core.DTYPE_NAMES[name].itemsize for name in (dtype, "float32" if plan.parts > 1 else out))
    (bm, bn, _, kl1), k = plan.tiles, plan.deep if plan.parts > 1 else s.k
    down, across = -(-s.m // bm), -(-s.n // bn)
    tiles = s.batch * down * across * plan.parts
    cores, rounds = min(tiles, chip.aic), -(-tiles // chip.aic)
    lda, ldb = _rows_of(s, plan, itemsize)
    rate, line = chip.cube.get("hf32" if s.hf32 else dtype, chip.cube["float16"]), int(c["transfer_align_bytes"])

    def tile(m: int, n: int) -> tuple[_Work, Reads, float]:
        a, b = _Reading(c, m, lda * itemsize, itemsize, s.trans_a), _Reading(c, n, ldb * itemsize, itemsize, not s.trans_b)
        reads = {deep: (a.step(deep), b.step(deep)) for deep in (kl1, k - (k - 1) // kl1 * kl1)}
        slower = 1 - (1 - c["unaligned_share"]) * _crossing(n * out_size, s.n * out_size, line)
        return _Work(c, m, n, k, plan, itemsize, rate, (s.trans_a, s.trans_b)), reads, m * n / c["fix_gm_elements"] * c["cycle_ns"] / slower + c["fix_nd_ns"]

    steps, reads, fix = tile(min(bm, s.m), min(bn, s.n))
    # The share of tiles that read what no other has read: in all rounds but the first, in that.
    others = 1 / across, 1 / down if across > cores or (s.batch > 1 and s.step_b) else 0.0
    first = -(-cores // across) / cores, max(min(cores, across) / cores, others[1])
    at_once, more = (tiles - cores) / max(1, rounds - 1), float(rounds - 1)
    later = _loads(c, reads, at_once, others)
    if 1 < rounds <= _COUNTED and (s.m % bm or s.n % bn):
        paces = {}
        for m, n in {(m, n) for m in (min(bm, s.m), s.m - (down - 1) * bm) for n in (min(bn, s.n), s.n - (across - 1) * bn)}:
            one, its, out_ns = tile(m, n)
            paces[m, n] = one.pace(_loads(c, its, at_once, others), out_ns)
        more = max(sum(paces[min(bm, s.m - t // across % down * bm), min(bn, s.n - t % across * bn)] for t in range(core + cores, tiles, cores))
                   for core in range(cores)) / paces[min(bm, s.m), min(bn, s.n)]  # fmt: skip
    # The first core finds nothing in the cache and falls behind, so that the others are the first to read from then on; the last one begins later.
    ends, shared = [], _loads(c, reads, cores, first)
    for opens, begin in ((True, 0.0), (False, c["launch_core_ns"] * (cores - 1))):
        loads = _loads(c, reads, cores, first, opens), shared, later
        end, every = steps.run(rounds, loads, (c["in_latency_miss_ns"], c["in_latency_hit_ns"]), fix)
        ends.append(begin + end + more * every)
    return float(c["launch_ns"] + max(ends) + c["out_latency_ns"]) / 1e3


def _rows_of(s: Any, plan: Plan, itemsize: int) -> tuple[int, int]:
    """Elements from row to row of both operands."""
    return (padded_row(stored_a(s)[1], itemsize) if plan.pad_a else s.lda, padded_row(stored_b(s)[1], itemsize) if plan.pad_b else s.ldb)
