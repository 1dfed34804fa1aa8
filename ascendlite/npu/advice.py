"""What would make a kernel faster, P01-P08: each with the gain that timing the changed program or machine shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ascendlite.npu.clock import WhatIf
from ascendlite.npu.mutation import left_out, mutants, together
from ascendlite.npu.observations import observe
from ascendlite.npu.timeline import PIPES, Timeline, timed

LEAST_GAIN = 0.02  # below this share of the time, advice is noise
_V, _M, _MTE1, _MTE2, _MTE3, _FIX = (PIPES.index(p) for p in ("V", "M", "MTE1", "MTE2", "MTE3", "FIX"))
_BACK = ((_V, _MTE2), (_MTE3, _V), (_MTE1, _MTE2), (_M, _MTE1), (_FIX, _M), (_MTE3, _MTE2))  # (who empties a buffer, who fills it)
_PER_COPY = ("copy_overhead_bytes", "copy_issue_ns", "nd2nz_row_hit_ns", "nd2nz_row_miss_ns", "in_latency_miss_ns", "in_latency_hit_ns", "out_latency_ns", "issue", "flag")
_WITHOUT_END = 1e9  # a rate that never holds anything up


@dataclass(frozen=True)
class Rule:
    """One piece of advice: when to look, and what is timed in place of the program."""

    code: str
    what: str
    repair: str
    what_if: WhatIf | None  # None: the gain is computed, not timed
    computed: Callable[[Timeline], float] | None = None  # us
    needs_place: bool = False  # only where a line does so: what is timed costs other lines less, too


@dataclass(frozen=True)
class Advice:
    """Advice for one launch, with its gain in us."""

    code: str
    what: str
    repair: str
    gain_us: float
    place: str = ""  # the source line it is about, where one is


def _idle_tail(timeline: Timeline) -> float:
    """What an even share of the work would save: the last core's end against the mean of ends."""
    ends = [c[5] for c in timeline.raw["cores"] if c[3]]
    kinds = {c[0] for c in timeline.raw["cores"]}
    if len(ends) < 2 or len(kinds) > 1:
        return 0.0
    return float(max(ends) - sum(ends) / len(ends)) / 1e3


RULES = (
    Rule("P01", "copies are short: their start costs as much as their bytes", "move 16 KiB or more with one copy",
         WhatIf(tuple((name, 0.0) for name in _PER_COPY)), needs_place=True),
    Rule("P02", "rows in GM do not begin and end at 512-byte lines", "pad rows to a multiple of 512 bytes, or move whole rows",
         WhatIf((("block_align_bytes", 1.0), ("sector_bytes", 1.0), ("unaligned_share", 1.0)))),
    Rule("P03", "many cores read the same lines at the same time", "let each core begin at another place",
         WhatIf((("line_readers_rate", _WITHOUT_END),))),
    Rule("P04", "operands of vector instructions lie in the same bank group of UB", "shift one buffer by 256 bytes",
         WhatIf((("read_read_conflict", 0.0), ("write_write_conflict", 0.0), ("read_write_conflict", 0.0)))),
    Rule("P05", "pipes wait until others are done with the buffers that they fill next",
         "give each of these buffers a slot more: a second one taken in turn, or a queue one deeper", WhatIf(free_flags=_BACK)),
    Rule("P06", "cores end at different times", "give each core the same work: smaller tiles, or tiles dealt in turn", None, _idle_tail),
    Rule("P07", "barriers in pipe V stand between instructions", "drop those between independent instructions; interleave rows",
         WhatIf(free_barriers=True)),
)  # fmt: skip


def needless_syncs(timeline: Timeline) -> tuple[Advice, ...]:
    """P07 and P08: barriers and flags without which the checker still proves the program, for these shapes; timed without each."""
    program = timeline.program
    before = timed(program).us
    gains = {m.group: before - Timeline.of(left_out(program, [m.group])).us for m in mutants(program) if m.redundant}
    found = []
    for group in together(program, sorted(gains, key=lambda g: -gains[g])):
        barrier = "PipeBarrier" in group.name
        found.append(Advice("P07" if barrier else "P08", f"{group.name} orders nothing in these shapes", f"delete the {'barrier' if barrier else 'flag'}",
                            gains[group], ", ".join(site.place for site in group.sites)))  # fmt: skip
    return tuple(found)


def places(timeline: Timeline) -> dict[str, str]:
    """By code: the lines of the kernel that it is about, the most frequent or the longest wait first."""
    lines: dict[str, list[str]] = {}
    for seen in observe(timeline.program):
        lines.setdefault(seen.code, []).append(f"{seen.site.place} ({seen.what})")
    cores = max(1, len(timeline.raw["cores"]))
    for wait in timeline.waits:
        if wait.cause in PIPES and (PIPES.index(wait.cause), PIPES.index(wait.pipe)) in _BACK:
            lines.setdefault("P05", []).append(f"{timeline.program.sites[wait.site].place} ({wait.pipe} waits {wait.us / cores:.1f} us a core for {wait.cause})")
    return {code: "; ".join(all_[:3]) for code, all_ in lines.items()}


def advise(timeline: Timeline, static: tuple[Advice, ...] | None = None) -> tuple[Advice, ...]:
    """Advice whose gain is worth a line, best first. `static`: what the checker found (default: syncs that order nothing)."""
    static = needless_syncs(timeline) if static is None else static
    where = places(timeline)
    before = timed(timeline.program).us  # its data not in the cache, as in what it is compared with
    found = [a for a in static if a.gain_us >= LEAST_GAIN * before]
    for rule in RULES:
        if rule.needs_place and rule.code not in where:
            continue
        if rule.what_if is None:
            gain = rule.computed(timeline) if rule.computed else 0.0
        else:
            gain = before - Timeline.of(timeline.program, what_if=rule.what_if).us
        if gain >= LEAST_GAIN * before:
            found.append(Advice(rule.code, rule.what, rule.repair, gain, where.get(rule.code, "")))
    return tuple(sorted(found, key=lambda a: -a.gain_us))
