"""The text about a program that stops: who waits for what, and what was set when nothing could move any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ascendlite.npu.findings import Described, ranges
from ascendlite.npu.lang.declare import Pipe

_NUMBERS: Final = 6  # of each waiting instruction: Wait of csrc/davinci/checker.h and its particulars


def _pipes(mask: int) -> str:
    return ", ".join(p.name for p in Pipe if mask >> p & 1)


def _on_flag(f: Described, party: Mapping[str, Any], row: Sequence[int]) -> tuple[str, str]:
    _, source, event, queued, *_ = row
    name = f"{Pipe(source).name}_{f.pipe(party)}, {event}"
    why = f"SetFlag({name}) stands in {Pipe(source).name}'s queue behind what waits" if queued else f"no SetFlag({name}) is left in {Pipe(source).name}'s queue"
    return f"WaitFlag({name})", why


def _on_cross(f: Described, party: Mapping[str, Any], row: Sequence[int]) -> tuple[str, str]:
    _, flag, *sets, needed = row
    cores = [c for c in range(3) if needed >> c & 1]
    if not cores:
        return f"CrossCoreWaitFlag({flag})", "no other core can set it"
    have = ", ".join(f"{f.core(c)} has {sets[c]}" for c in cores)
    whom = "both AIVs" if cores == [1, 2] else f.core(cores[0])
    return f"CrossCoreWaitFlag({flag})", f"needs a set by {whom}: {have}"


def _on_all(f: Described, party: Mapping[str, Any], row: Sequence[int]) -> tuple[str, str]:
    return "SyncAll()", "the other cores have not come to it" if row[2] else f"its pipes are not empty: {_pipes(row[1])}"


def _on_drain(f: Described, party: Mapping[str, Any], row: Sequence[int]) -> tuple[str, str]:
    return "PipeBarrier(PIPE_ALL)", f"pipes that are not empty: {_pipes(row[1])}"


def _on_unit(f: Described, party: Mapping[str, Any], row: Sequence[int]) -> tuple[str, str]:
    if row[1]:
        return "unitFlag 1", "no Mmad with unitFlag=3 has filled all of its blocks of L0C"
    return "unitFlag 0", "no Fixpipe with unitFlag=3 has emptied all of its blocks of L0C"


def _on_queue(f: Described, party: Mapping[str, Any], row: Sequence[int]) -> tuple[str, str]:
    return "room", f"{row[1]} instructions wait in {f.pipe(party)}'s queue, which is full"


_WAITS: Final = (_on_flag, _on_cross, _on_all, _on_drain, _on_unit, _on_queue)


def deadlock(f: Described) -> str:
    """R18, and R10 where a unit flag is waited for."""
    rule = {18: "R18", 10: "R10"}[f.number]
    blocks = f.raw["blocks"]
    word = "blocks" if len(blocks) > 1 else "block"
    lines = [f"error[{rule}]: deadlock in `{f.names.kernel}`, {word} {ranges(blocks)}"]
    rows = []
    for i, party in enumerate(f.parties):
        numbers = f.numbers[i * _NUMBERS : (i + 1) * _NUMBERS]
        what, why = _WAITS[numbers[0]](f, party, numbers)
        rows.append((f.core(party["core"]), f.pipe(party), f"#{party['ordinal']}", f"waits {what}", f.site(party).place, why))
    widths = [max((len(r[c]) for r in rows), default=0) for c in range(5)]
    lines += ["   " + " ".join(f"{cell:<{w}}" for cell, w in zip(row[:3], widths, strict=False)) + f" {row[3]:<{widths[3]}}   {row[4]:<{widths[4]}}   {row[5]}"
              for row in rows]  # fmt: skip
    lines.append(f"   flags set: {_flags(f, f.numbers[len(f.parties) * _NUMBERS :]) or 'none'}")
    if rule == "R10":
        lines.append("   = help: unitFlag=2 on all but the last Mmad of a tile, 3 on the last and on Fixpipe")
    return "\n".join(lines)


def _flags(f: Described, numbers: Sequence[int]) -> str:
    found: dict[str, list[int]] = {}
    for i in range(0, len(numbers), 4):
        core, source, target, event = numbers[i : i + 4]
        who = f"{f.core(core)} " if f.names.kind == "mix" else ""
        found.setdefault(f"{who}{Pipe(source).name}_{Pipe(target).name}", []).append(event)
    return ", ".join(f"{name}[{', '.join(map(str, events))}]" for name, events in found.items())


def blocks_differ(f: Described) -> str:
    """R18: a barrier of all cores that some blocks reach more often than others."""
    _, flag, a, times, b, fewer = f.numbers
    what = "SyncAll" if flag < 0 else f"cross-core flag {flag} in mode 0"
    title = f"deadlock: block {a} comes to {what} {times} times, block {b} {fewer}"
    return f.render(title, (), "let every block pass the barrier equally often, also blocks without work")
