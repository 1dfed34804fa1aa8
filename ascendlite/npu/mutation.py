"""Which flags and barriers of a kernel are needed: each is left out in turn, and the check says whether the kernel is still clean.

A needed one is found by the check when it is missing; one that is not needed can be deleted from the kernel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ascendlite import _davinci
from ascendlite.npu.checker import SEPARATE, CheckResult, Sharing, check
from ascendlite.npu.errors import Site
from ascendlite.npu.lang.declare import Pipe, Sync

if TYPE_CHECKING:
    from ascendlite.npu.programs import Traced

_CORES = ("aic", "aiv")


@dataclass(frozen=True, slots=True)
class SyncGroup:
    """What is left out together: all sets and waits of one event and id, one barrier's line, or one cross-core flag."""

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


def sync_groups(traced: Traced) -> list[SyncGroup]:
    """The flags and barriers of a kernel, grouped as they belong together.

    Flags whose id is an expression belong to all flags of their event, as any of them may be meant.
    """
    rows = _davinci.sync_statements(traced.program)
    open_events = {_event(core, sync, pipe, args) for core, _, sync, pipe, _, args, constant in rows if sync in _FLAGS and not constant[1]}
    groups: dict[str, list[tuple[int, int, int]]] = {}
    for core, statement, sync, pipe, site, args, constant in rows:
        if sync in _FLAGS:
            event = _event(core, sync, pipe, args)
            name = event if event in open_events else f"{event}[{args[1]}]"
        elif sync == Sync.BARRIER:
            name = f"{_CORES[core]} PipeBarrier({'PIPE_ALL' if args and args[0] else 'PIPE_' + Pipe(pipe).name}) at {traced.sites[site].place}"
        elif sync in (Sync.CROSS_SET, Sync.CROSS_WAIT):
            known = constant[-1]
            name = f"cross-core flag {args[-1]}" if known else "cross-core flags by expression"
        else:
            name = f"{_CORES[core]} {Sync(sync).name} at {traced.sites[site].place}"
        groups.setdefault(name, []).append((core, statement, site))
    return [
        SyncGroup(name, tuple((c, s) for c, s, _ in members), tuple(dict.fromkeys(traced.sites[site] for _, _, site in members)))
        for name, members in groups.items()
    ]


_FLAGS = (Sync.SET_FLAG, Sync.WAIT_FLAG)


def _event(core: int, sync: int, pipe: int, args: Sequence[int]) -> str:
    source, target = (pipe, args[0]) if sync == Sync.SET_FLAG else (args[0], pipe)
    return f"{_CORES[core]} {Pipe(source).name}_{Pipe(target).name}"


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
    gone: list[SyncGroup] = []
    for mutant in mutants(traced, sharing):
        if mutant.redundant and check(left_out(traced, [*gone, mutant.group]), sharing).clean:
            gone.append(mutant.group)
    return gone


def table(traced: Traced, sharing: Sharing = SEPARATE) -> str:
    """One line a mutant: what is left out, and the rules that then break."""
    rows = [(m.group.name, ", ".join(m.rules) or "redundant") for m in mutants(traced, sharing)]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {rules}" for name, rules in rows)
