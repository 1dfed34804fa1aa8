"""The texts of findings in one fixed format: both instructions with their lines, buffers and bytes, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ascendlite.npu.deadlock import blocks_differ, deadlock
from ascendlite.npu.findings import ATOMIC, NOTE, PARTIAL, READ, REASONS, UNSUPPORTED, WRITE, Described, Finding, Names
from ascendlite.npu.lang.declare import Pipe
from ascendlite.npu.rules import RULES, rule_id


def explain(raw: Mapping[str, Any], names: Names) -> Finding:
    """The text of one finding of `_davinci.check`."""
    number = raw["rule"]
    reason = REASONS[raw["reason"]]
    one = Described(raw, names)
    writer = _WRITERS.get((number, reason)) or _WRITERS[number, "plain"]
    text = writer(one)
    severity = {UNSUPPORTED: "unsupported", NOTE: "note"}.get(number, "error")
    rule = {UNSUPPORTED: "unsupported", NOTE: "note"}.get(number) or rule_id(number)
    return Finding(rule, severity, text, tuple(one.site(p) for p in raw["parties"] if p["site"] >= 0), tuple(raw["blocks"]), raw["count"])


def _conflict(later: Mapping[str, Any], earlier: Mapping[str, Any]) -> tuple[str, str]:
    """What the later instruction does to bytes, and what the earlier one may still do with them."""
    writes = (WRITE, PARTIAL, ATOMIC)
    late = any(later["access"] & w for w in writes)
    early = any(earlier["access"] & w for w in writes)
    return ("overwrites" if late and not (later["access"] & READ and early) else "reads", "write" if early else "read")


def _race(f: Described) -> str:
    later, earlier = f.parties[0], f.parties[1]
    p, q = f.pipe(later), f.pipe(earlier)
    now, still = _conflict(later, earlier)
    title = f"race: {p} {now} {f.memory(later)} bytes that {q} may still {still}"
    note = f"no happens-before path from {q} #{earlier['ordinal']} to {p} #{later['ordinal']}"
    purpose = "before reusing the buffer" if still == "read" else "for the data"
    lines = f.site(earlier).line, f.site(later).line
    repair = f"wait for {q} {purpose}:  SetFlag({q}_{p}, id) after line {lines[0]}, WaitFlag({q}_{p}, id) before line {lines[1]}"
    return f.render(title, (f"in common: {f.memory(later)}[{f.raw['low']}, {f.raw['high']})", note), repair)


def _same_pipe(f: Described) -> str:
    later, earlier = f.parties[0], f.parties[1]
    p = f.pipe(later)
    now, still = _conflict(later, earlier)
    title = f"race within {p}: an instruction {now} {f.memory(later)} bytes that an earlier one may still {still}"
    repair = f"PipeBarrier(PIPE_{p}) after line {f.site(earlier).line}"
    return f.render(title, (f"in common: {f.memory(later)}[{f.raw['low']}, {f.raw['high']})",), repair)


def _accumulate(f: Described) -> str:
    m, n = f.parties[1]["args"][:2]
    title = f"race within M: a Mmad accumulates on what one of {m} x {n} results before it may still write: less than 10 blocks of 16 x 16"
    return f.render(title, (), f"PipeBarrier(PIPE_M) after line {f.site(f.parties[1]).line}, or larger tiles")


def _between_cores(f: Described) -> str:
    later, earlier = f.parties[0], f.parties[1]
    now, still = _conflict(later, earlier)
    common = f"in common: GM[{f.raw['low']}, {f.raw['high']}){f.name(later)}"
    if later["block"] == earlier["block"]:
        p, q = f.core(later["core"]), f.core(earlier["core"])
        title = f"race between cores: {p} {now} GM bytes that {q} may still {still}"
        mode = 1 if {p, q} == {"AIV0", "AIV1"} else 2
        repair = (f"CrossCoreSetFlag({mode}, PIPE_{f.pipe(earlier)}, id) after line {f.site(earlier).line}, "
                  f"CrossCoreWaitFlag(id) before line {f.site(later).line}")  # fmt: skip
        return f.render(title, (common,), repair)
    title = f"race between blocks {earlier['block']} and {later['block']}: both touch the same GM bytes, at least one writing, and nothing orders them"
    return f.render(title, (common,), "give each block bytes of its own, or put SyncAll() between the two")


def _scalar_read(f: Described) -> str:
    later, earlier = f.parties[0], f.parties[1]
    q = f.pipe(earlier)
    title = f"GetValue reads {f.memory(later)} bytes that {q} may still write"
    repair = f"SetFlag({q}_S, id) after line {f.site(earlier).line}, WaitFlag({q}_S, id) before line {f.site(later).line}"
    return f.render(title, (f"in common: {f.memory(later)}[{f.raw['low']}, {f.raw['high']})",), repair)


def _coherence(f: Described) -> str:
    later = f.parties[0]
    title = f"{f.pipe(later)} of {f.core(later['core'])} reads or writes GM bytes that a scalar write still holds in its core's data cache"
    repair = f"DataCacheCleanAndInvalid after line {f.site(f.parties[1]).line}, then the flag or cross-core flag that orders the two"
    return f.render(title, (f"in common: GM[{f.raw['low']}, {f.raw['high']}){f.name(later)}",), repair)


def _stale(f: Described) -> str:
    title = "GetValue reads GM bytes from the data cache; another pipe or core has written them since they were read or written there"
    return f.render(title, (), f"DataCacheCleanAndInvalid before line {f.site(f.parties[0]).line}, after the wait for the writer")


def _dirty(f: Described) -> str:
    low, high = f.numbers
    return f.render(f"the kernel ends while a scalar write to GM[{low}, {high}) is in the data cache only", (), "DataCacheCleanAndInvalid after the last scalar write")


def _capacity(f: Described) -> str:
    p = f.parties[0]
    return f.render(f"{f.memory(p)} overflow: the operand ends at byte {p['high']} (starts at {p['low']}); {f.memory(p)} has {f.numbers[0]}")


def _alignment(f: Described) -> str:
    p = f.parties[0]
    return f.render(f"the operand starts at byte {p['low']} of {f.memory(p)}; it must be a multiple of {f.numbers[0]}")


def _bounds(f: Described) -> str:
    p = f.parties[0]
    tensor = f.name(p).strip(" ()") or "the tensor"
    return f.render(f"{tensor} has {f.numbers[0]} bytes; the instruction touches bytes {p['low']} to {p['high']}")


def _unwritten(f: Described) -> str:
    p = f.parties[0]
    return f.render(f"read of {f.memory(p)} bytes [{f.raw['low']}, {f.raw['high']}){f.name(p)} that no instruction wrote")


def _from_unwritten(f: Described) -> str:
    later, earlier = f.parties[0], f.parties[1]
    what = f"{f.memory(later)} bytes [{f.raw['low']}, {f.raw['high']}){f.name(later)}"
    title = f"{f.pipe(later)} uses {what} that {f.pipe(earlier)} #{earlier['ordinal']} computed from bytes that no instruction wrote"
    return f.render(title, (), "use fewer, or write the sources' bytes first (padding too)")


def _event_id(f: Described) -> str:
    return f.render(f"the event id is {f.numbers[0]}; ids are 0..7")


def _flag_text(f: Described, party: Mapping[str, Any]) -> str:
    return f"{f.pipe(party)}_{Pipe(party['args'][0]).name}, {party['args'][1]}"


def _set_twice(f: Described) -> str:
    return f.render(f"SetFlag({_flag_text(f, f.parties[0])}): the flag is set already, and nobody has waited for it")


def _may_set_twice(f: Described) -> str:
    later = f.parties[0]
    waiter = Pipe(later["args"][0]).name
    title = f"SetFlag({_flag_text(f, later)}): {waiter} may not have passed its last WaitFlag yet, and then the flag is set already"
    note = f"no happens-before path from {waiter}'s WaitFlag to {f.pipe(later)} #{later['ordinal']}"
    return f.render(title, (note,), f"let {f.pipe(later)} wait for {waiter} before it sets again, or use another event id (TPipe.FetchEventID: one that no queue has)")


def _flag_left(f: Described) -> str:
    core, source, target, event = f.numbers
    name = f"{Pipe(source).name}_{Pipe(target).name}"
    return f.render(f"the flag {name}[{event}] is still set when {f.core(core)} ends", (), f"WaitFlag({name}, {event}) at the end of the kernel")


def _counter_left(f: Described) -> str:
    core, flag, source, count = f.numbers
    return f.render(f"cross-core flag {flag} of {f.core(core)} still counts {count} set{'s' * (count > 1)} of {f.core(source)} at the end", (),
                    f"CrossCoreWaitFlag({flag}) once for each set")  # fmt: skip


def _unit_left(f: Described) -> str:
    core, blocks = f.numbers
    title = f"{blocks} block{'s' * (blocks > 1)} of L0C that an Mmad handed over by unitFlag=3 {'were' if blocks > 1 else 'was'} not taken when {f.core(core)} ends"
    return f.render(title, ("the next kernel's Mmad with unitFlag waits for them for ever",), "Fixpipe with unitFlag=3, and of the whole tile, after every Mmad with 3")


def _cross_id(f: Described) -> str:
    return f.render(f"the cross-core flag id is {f.numbers[0]}; ids are 0..15")


def _cross_overflow(f: Described) -> str:
    count, flag, core = f.numbers
    return f.render(f"the counter of cross-core flag {flag} of {f.core(core)} may reach {count}; it holds 15",
                    ("counted: sets so far less the waits that the setter knows to be over",))  # fmt: skip


def _resident(f: Described) -> str:
    return f.render(f"{f.numbers[0]} blocks wait for each other, but {f.numbers[1]} run at a time on this chip")


def _wrong_core(f: Described) -> str:
    p = f.parties[0]
    return f.render(f"{f.core(p['core'])} has no pipe {f.pipe(p)}")


def _overlap(f: Described) -> str:
    dst, src = f.numbers
    return f.render(f"source (from byte {src}) and destination (from byte {dst}) of one vector instruction overlap in part")


def _field(f: Described) -> str:
    what = "the repeat count" if f.number == 12 else "a stride, in 32-byte blocks,"
    return f.render(f"{what} is {f.numbers[0]}; its field holds 0..{f.numbers[1]}")


def _atomic(f: Described) -> str:
    a, b = f.parties[1]["block"], f.parties[0]["block"]
    return f.render(f"blocks {a} and {b} add to the same GM bytes in any order: sums of floats may differ from run to run in their last bits",
                    (f"in common: GM[{f.raw['low']}, {f.raw['high']}){f.name(f.parties[0])}",))  # fmt: skip


def _unproved(title: str) -> Callable[[Described], str]:
    return lambda f: f.render(title, ("the kernel counts as not proved",))


def _widened(f: Described) -> str:
    rule = rule_id(f.numbers[0])
    return f.render(f"whether these instructions touch the same bytes depends on data; if they do, {rule} is broken", ("the kernel counts as not proved",),
                    RULES[rule].repair)  # fmt: skip


_WRITERS: Final[dict[tuple[int, str], Callable[[Described], str]]] = {
    (1, "plain"): _capacity, (2, "plain"): _alignment, (5, "plain"): _event_id, (6, "plain"): _set_twice, (6, "may_set_twice"): _may_set_twice,
    (7, "flag_at_exit"): _flag_left, (7, "counter_at_exit"): _counter_left, (10, "unit_flag_at_exit"): _unit_left, (8, "plain"): _same_pipe,
    (9, "plain"): _accumulate, (10, "plain"): deadlock, (11, "plain"): _overlap, (12, "plain"): _field, (13, "plain"): _field,
    (14, "plain"): _unwritten, (14, "from_unwritten"): _from_unwritten, (15, "plain"): _bounds, (16, "plain"): _race, (17, "plain"): _between_cores, (18, "plain"): deadlock,
    (18, "blocks_differ"): blocks_differ, (19, "id_range"): _cross_id, (19, "counter_overflow"): _cross_overflow, (20, "plain"): _resident,
    (21, "plain"): _coherence, (21, "stale_copy"): _stale, (21, "dirty_at_exit"): _dirty, (22, "plain"): _wrong_core, (24, "plain"): _scalar_read,
    (NOTE, "plain"): _atomic, (UNSUPPORTED, "widened_overlap"): _widened,
    (UNSUPPORTED, "data_dependent_flow"): _unproved("a loop or condition of the kernel depends on data; both ends of the declared range and a typical value were checked"),
    (UNSUPPORTED, "data_dependent_sync"): _unproved("a flag, event or mode depends on data"),
    (UNSUPPORTED, "unknown_mode"): _unproved("a cross-core flag of a mode that is not followed here"),
    (UNSUPPORTED, "too_long"): _unproved("the program is longer than the check follows"),
    (UNSUPPORTED, "too_many_overlaps"): _unproved("blocks interleave in global memory in too many places to compare"),
    (UNSUPPORTED, "too_many_streams"): _unproved("more than 8 different barriers of all cores"),
}  # fmt: skip
