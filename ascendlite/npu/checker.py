"""Proves a kernel's program free of hazards before it runs, or says where it is not. The proof itself is in csrc/davinci/checker*.cpp.

Sound for programs whose flow and ranges are those declared; what depends on data is taken over its whole declared range, and what can't be
followed is reported as "unsupported", never as clean.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ascendlite import _davinci
from ascendlite.npu.chips import Chip
from ascendlite.npu.errors import HazardError, Site
from ascendlite.npu.finding_texts import explain
from ascendlite.npu.findings import Finding, Names
from ascendlite.npu.lang.declare import ALIGNMENT, Memory

Sharing = tuple[tuple[int, ...], tuple[int, ...]]  # by argument: which storage, and at which byte of it
SEPARATE: Sharing = ((), ())


class Checkable(Protocol):
    """A traced kernel: its program, its launch, and the names for messages."""

    @property
    def program(self) -> _davinci.Program: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def blocks(self) -> int: ...
    @property
    def chip(self) -> Chip: ...
    @property
    def sites(self) -> Sequence[Site]: ...
    @property
    def buffers(self) -> Mapping[str, Sequence[Any]]: ...
    @property
    def arguments(self) -> Sequence[str]: ...
    @property
    def names(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found. `classes`: how many different streams the blocks run; `used`: the highest byte touched, by memory."""

    kernel: str
    blocks: int
    classes: int
    instructions: int
    used: Mapping[str, int]
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Rules that the kernel breaks."""
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def clean(self) -> bool:
        """No rule is broken, as far as the check can see."""
        return not self.errors

    @property
    def proved(self) -> bool:
        """No rule is broken, and nothing was out of the check's reach."""
        return all(f.severity == "note" for f in self.findings)

    def raise_errors(self) -> None:
        """Raises HazardError with the texts of all broken rules."""
        if self.errors:
            first = self.errors[0]
            raise HazardError("\n\n".join(f.text for f in self.errors), first.rule, first.sites[0] if first.sites else None)

    def __str__(self) -> str:
        verdict = "proved" if self.proved else "not proved" if self.clean else f"{len(self.errors)} error{'s' * (len(self.errors) > 1)}"
        head = (f"{self.kernel}: {verdict}; {self.blocks} block{'s' * (self.blocks > 1)} of {self.classes} kind{'s' * (self.classes > 1)}, "
                f"{self.instructions} instructions in {self.seconds * 1e3:.1f} ms")  # fmt: skip
        return "\n\n".join([head, *(f.text for f in self.findings)])


def check(traced: Checkable, sharing: Sharing = SEPARATE) -> CheckResult:
    """Checks a traced kernel. `sharing`: which of its tensor arguments share memory."""
    chip = traced.chip
    capacity = [0, *(int(chip.memory[m.name]) for m in list(Memory)[1:])]
    align = [ALIGNMENT[m] for m in Memory]
    start = time.perf_counter()
    report = _davinci.check(traced.program, traced.blocks, capacity, align, [chip.aic, chip.aiv], chip.generation != "1001", list(sharing[0]), list(sharing[1]))
    seconds = time.perf_counter() - start
    names = Names(traced.name, traced.kind, traced.blocks, traced.sites, traced.arguments, traced.buffers, traced.names)
    used = {m.name: report["used"][m] for m in Memory if report["used"][m]}
    return CheckResult(traced.name, traced.blocks, report["classes"], report["instructions"], used, seconds,
                       tuple(explain(f, names) for f in report["findings"]))  # fmt: skip
