"""Which flags and barriers of a kernel are needed: each is left out in turn, and the check says whether the kernel is still clean.

A needed one is found by the check when it is missing; one that is not needed can be deleted from the kernel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ascendlite import _davinci
from ascendlite.npu.checker import SEPARATE, CheckResult, Sharing, check
from ascendlite.npu.errors import Site
from ascendlite.npu.lang.declare import Pipe, Sync

if TYPE_CHECKING:
    from ascendlite.npu.programs import Traced

_CORES = ("aic", "aiv")


@dataclass(frozen=True, slots=True)
class SyncGroup:
    """What is left out together: sets and waits that belong together, one barrier's line, or one cross-core flag."""

    name: str
    statements: tuple[tuple[int, int], ...]  # (core, index in its code)
    sites: tuple[Site, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A kernel without one group, and what the check says of it."""

    group: SyncGroup
    result: CheckResult

    @property
    def rules(self) -> tuple[str, ...]:
        """Rules that the mutant breaks; none: the group is not needed."""
        return tuple(sorted({f.rule for f in self.result.errors}))

    @property
    def redundant(self) -> bool:
        return self.result.clean


class _Row(NamedTuple):
    """One flag, barrier or cross-core flag, as `sync_statements` gives it. Of arguments that are no constants: their expressions."""

    core: int
    statement: int
    sync: int
    pipe: int
    site: int
    args: list[int]
    constant: list[bool]

    @property
    def event(self) -> str:
        """Of a flag: from which pipe to which."""
        source, target = (self.pipe, self.args[0]) if self.sync == Sync.SET_FLAG else (self.args[0], self.pipe)
        return f"{_CORES[self.core]} {Pipe(source).name}_{Pipe(target).name}"


def sync_groups(traced: Traced) -> list[SyncGroup]:
    """The flags and barriers of a kernel, grouped as they belong together.

    A set belongs to the waits that took it as blocks run, these to whatever else they took, and so on; and what one line does with one flag
    belongs together. Where data decide the flow, blocks run on the ways that the check follows. Flags that none of these blocks reaches belong
    to all flags of their event and id; where the id is an expression, any may be meant.
    """
    rows = [_Row(*row) for row in _davinci.sync_statements(traced.program)]
    chains = _chains(traced, rows)
    groups: dict[object, list[_Row]] = {}
    for row in rows:
        groups.setdefault(chains.get((row.core, row.statement), _name(traced, [row])), []).append(row)
    names = [_name(traced, members) for members in groups.values()]
    found = []
    for name, members in zip(names, groups.values(), strict=True):
        sites = tuple(dict.fromkeys(traced.sites[row.site] for row in members))
        found.append(SyncGroup(name if names.count(name) == 1 else f"{name} at {sites[0].place}", tuple((r.core, r.statement) for r in members), sites))
    return found


def _name(traced: Traced, members: Sequence[_Row]) -> str:
    """What statements that belong together are called."""
    row, place = members[0], traced.sites[members[0].site].place
    if row.sync in _FLAGS:
        ids = {m.args[1] for m in members if m.constant[1]}
        return f"{row.event}[{ids.pop()}]" if len(ids) == 1 and all(m.constant[1] for m in members) else row.event
    if row.sync == Sync.BARRIER:
        return f"{_CORES[row.core]} PipeBarrier({'PIPE_ALL' if row.args and row.args[0] else 'PIPE_' + Pipe(row.pipe).name}) at {place}"
    if row.sync in (Sync.CROSS_SET, Sync.CROSS_WAIT):
        return f"cross-core flag {row.args[-1]}" if row.constant[-1] else "cross-core flags by expression"
    return f"{_CORES[row.core]} {Sync(row.sync).name} at {place}"


def _chains(traced: Traced, rows: Sequence[_Row]) -> dict[tuple[int, int], tuple[int, int]]:
    """By flag statement (core, index): the first statement of those that it belongs with."""
    first: dict[tuple[int, int], tuple[int, int]] = {}

    def find(one: tuple[int, int]) -> tuple[int, int]:
        while first[one] != one:
            one = first[one]
        return one

    def join(one: tuple[int, int], other: tuple[int, int]) -> None:
        low, high = sorted((find(one), find(other)))
        first[high] = low

    flags = [row for row in rows if row.sync in _FLAGS]
    first |= {(row.core, row.statement): (row.core, row.statement) for row in flags}
    pairs = _davinci.flag_pairs(traced.program, traced.blocks)
    for core, set_, wait in pairs:
        join((core, set_), (core, wait))
    reached = {(core, one) for core, *both in pairs for one in both}
    alike: dict[object, tuple[int, int]] = {}
    for row in flags:
        one = row.core, row.statement
        join(one, alike.setdefault((row.event, row.site, row.args[1] if row.constant[1] else None), one))
        if one not in reached:
            for other in flags:
                if other.event == row.event and (other.args[1] == row.args[1] or not (row.constant[1] and other.constant[1])):
                    join(one, (other.core, other.statement))
    return {one: find(one) for one in first}


_FLAGS = (Sync.SET_FLAG, Sync.WAIT_FLAG)


def left_out(traced: Traced, groups: Sequence[SyncGroup]) -> Traced:
    """The kernel without these groups."""
    program = _davinci.without(traced.program, [s for g in groups for s in g.statements])
    return dataclasses.replace(traced, program=program, executor=_davinci.Executor(program), proofs={}, name=f"{traced.name} without {', '.join(g.name for g in groups)}")


def mutants(traced: Traced, sharing: Sharing = SEPARATE) -> Iterator[Mutant]:
    """The kernel without each group in turn."""
    for group in sync_groups(traced):
        yield Mutant(group, check(left_out(traced, [group]), sharing))


def redundant(traced: Traced, sharing: Sharing = SEPARATE) -> list[SyncGroup]:
    """Groups that can all be deleted together, tried in the order of the code."""
    return together(traced, [m.group for m in mutants(traced, sharing) if m.redundant], sharing)


def together(traced: Traced, groups: Sequence[SyncGroup], sharing: Sharing = SEPARATE) -> list[SyncGroup]:
    """Those of some groups that can all be deleted: one may be needed where another is missing. The first ones come first."""
    gone: list[SyncGroup] = []
    for group in groups:
        if check(left_out(traced, [*gone, group]), sharing).clean:
            gone.append(group)
    return gone


def table(traced: Traced, sharing: Sharing = SEPARATE) -> str:
    """One line a mutant: what is left out, and the rules that then break."""
    rows = [(m.group.name, ", ".join(m.rules) or "redundant") for m in mutants(traced, sharing)]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {rules}" for name, rules in rows)
