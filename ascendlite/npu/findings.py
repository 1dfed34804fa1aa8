"""What the check found, with the names that a program's numbers have in its source. The texts are in finding_texts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.npu.errors import Site, render
from ascendlite.npu.lang.declare import Memory, Pipe
from ascendlite.npu.rules import RULES, rule_id

READ, WRITE, PARTIAL, ATOMIC = 1, 2, 4, 8
UNSUPPORTED, NOTE = 100, 101  # Rule of csrc/davinci/checker.h
REASONS: Final = (
    "plain", "may_set_twice", "stale_copy", "dirty_at_exit", "flag_at_exit", "counter_at_exit", "unit_flag_at_exit", "id_range", "counter_overflow",
    "blocks_differ", "data_dependent_flow", "data_dependent_sync", "widened_overlap", "unknown_mode", "too_long", "too_many_overlaps", "too_many_streams",
    "from_unwritten",
)  # fmt: skip
_CORES: Final = ("AIC", "AIV0", "AIV1")


@dataclass(frozen=True, slots=True)
class Names:
    """What a program's numbers are called in its source."""

    kernel: str
    kind: str
    blocks: int
    sites: Sequence[Site]
    arguments: Sequence[str]
    buffers: Mapping[str, Sequence[Any]]  # by kind of core: anything with `memory` and `name`
    instructions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the check found: `severity` is "error", "unsupported" (not proved) or "note"."""

    rule: str
    severity: str
    text: str
    sites: tuple[Site, ...]
    blocks: tuple[int, ...]
    count: int


def ranges(numbers: Sequence[int]) -> str:
    """Numbers with runs drawn together.

    >>> ranges([0, 1, 2, 5, 8, 9])
    '0-2, 5, 8-9'
    """
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


class Described:
    """A finding with its names."""

    def __init__(self, raw: Mapping[str, Any], names: Names) -> None:
        self.names, self.parties, self.numbers, self.raw = names, raw["parties"], raw["numbers"], raw
        self.number: int = raw["rule"]

    def site(self, party: Mapping[str, Any]) -> Site:
        site: Site = self.names.sites[party["site"]]
        return site

    def core(self, index: int) -> str:
        if self.names.kind == "mix":
            return _CORES[index]
        return "AIC" if index == 0 else "AIV"

    def pipe(self, party: Mapping[str, Any]) -> str:
        return Pipe(party["pipe"]).name

    def memory(self, party: Mapping[str, Any]) -> str:
        return Memory(party["memory"]).name

    def name(self, party: Mapping[str, Any]) -> str:
        """What the kernel calls the operand: " (xl)", or nothing."""
        index = party["tensor"]
        if index < 0:
            return ""
        if party["memory"] == Memory.GM:
            return f" ({self.names.arguments[index]})" if index < len(self.names.arguments) else ""
        of_core = self.names.buffers.get("aic" if party["core"] == 0 else "aiv", ())
        return f" ({of_core[index].name})" if index < len(of_core) else ""

    def bytes(self, party: Mapping[str, Any]) -> str:
        return f"{self.memory(party)}[{party['low']}, {party['high']}){self.name(party)}"

    def does(self, party: Mapping[str, Any]) -> str:
        """"MTE2 #31, block 0, writes UB[0, 8192) (xl)"."""
        if not party["ordinal"] and not party["access"]:
            return f"in the code of {self.core(party['core'])}"
        who = f"{self.pipe(party)} #{party['ordinal']}" if party["ordinal"] else self.pipe(party)
        where = f"block {party['block']}" + (f" {self.core(party['core'])}" if self.names.kind == "mix" else "")
        what = _verb(party["access"])
        return f"{who}, {where}, {what} {self.bytes(party)}" if what else f"{who}, {where}"

    def rows(self) -> tuple[tuple[Site, str], ...]:
        return tuple((self.site(p), self.does(p)) for p in self.parties if p["site"] >= 0)

    def also(self) -> tuple[str, ...]:
        """Other blocks of which the same is true."""
        blocks = self.raw["blocks"]
        more = (f"the same in blocks {ranges(blocks)}",) if len(blocks) > 1 else ()
        times = self.raw["count"]
        return (*more, f"{times} instructions of these lines do so") if times > 1 else more

    def render(self, title: str, notes: tuple[str, ...] = (), repair: str = "") -> str:
        rule = {UNSUPPORTED: "unsupported", NOTE: "note"}.get(self.number) or rule_id(self.number)
        text = render(rule, title, self.rows(), (*notes, *self.also()), repair or (RULES[rule].repair if rule in RULES else ""))
        for word in ("unsupported", "note"):
            text = text.replace(f"error[{word}]", word, 1)
        return text


def _verb(access: int) -> str:
    if access & ATOMIC:
        return "updates"
    if access & WRITE:
        return "reads and writes" if access & READ else "writes"
    return "may write" if access & PARTIAL else "reads" if access & READ else ""
