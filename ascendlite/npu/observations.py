"""Where in a kernel's source the things lie that make it slow: short or unaligned copies, shared lines, bank conflicts, needless syncs.

Seen in the program without running or timing it. What each is worth, `advice` finds by timing a changed program.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, NamedTuple

from ascendlite.npu.chips import Chip
from ascendlite.npu.errors import Site
from ascendlite.npu.lang.declare import READ, WRITE, Memory, Pipe
from ascendlite.npu.programs import Traced

SHORT_BYTES: Final = 16 * 1024  # copies below this pay more for their start than they need (P01)
MOST_INSTRUCTIONS: Final = 50_000  # of one core that are looked at
_COPIES: Final = (Pipe.MTE2, Pipe.MTE3, Pipe.FIX)


class Region(NamedTuple):
    """An operand as `Program.expand` gives it."""

    memory: int
    access: int
    dtype: int
    tensor: int
    base: int
    nbytes: int
    repeats: Sequence[tuple[int, int]]  # (count, stride), outermost first

    @property
    def total(self) -> int:
        count = 1
        for n, _ in self.repeats:
            count *= n
        return count * self.nbytes

    def rows(self, most: int = 64) -> Iterator[int]:
        """Where its runs start; the first ones."""
        steps = [range(min(n, most)) for n, _ in self.repeats]
        for index in product(*steps):
            yield self.base + sum(i * stride for i, (_, stride) in zip(index, self.repeats, strict=True))


@dataclass(frozen=True, slots=True)
class Observation:
    """One line of a kernel that breaks advice `code`: `count` of its `total` instructions, and what they do."""

    code: str
    site: Site
    count: int
    total: int
    what: str


def observe(traced: Traced) -> tuple[Observation, ...]:
    """What is seen in the first two blocks of a program, most frequent first.

    >>> import numpy as np, ascendlite.npu as npu, ascendlite.npu.ascendc as ac
    >>> @npu.kernel(kind="aiv")
    ... def short(x):
    ...     ac.DataCopy(ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, 64), ac.GlobalTensor(x)[8:], 64)
    >>> [(o.code, o.what) for o in observe(short[1].trace(np.zeros(128, np.float32)))]
    [('P01', 'copies of 256 bytes'), ('P02', 'rows in GM that start 32 bytes behind a line of 512')]
    """
    found: list[Observation] = []
    for core, (kind, name) in enumerate((("aic", "aic"), ("aiv", "aiv"))):
        if traced.kind not in (kind, "mix"):
            continue
        blocks = [_instructions(traced, core, block) for block in range(min(traced.blocks, 2))]
        found += _by_site(traced, blocks[0], _short, "P01")
        found += _by_site(traced, blocks[0], _unaligned(traced.chip), "P02")
        if len(blocks) > 1:
            found += _shared_lines(traced, blocks[0], blocks[1])
        if name == "aiv":
            found += _by_site(traced, blocks[0], _conflicts(traced.chip), "P04")
    return tuple(sorted(found, key=lambda o: (o.code, -o.count)))


def _instructions(traced: Traced, core: int, block: int) -> list[tuple[int, int, list[Region]]]:
    """(pipe, site, operands) of one core of a block."""
    rows = traced.program.expand(core, block, 0, MOST_INSTRUCTIONS)
    return [(pipe, site, [Region(*r) for r in regions]) for _, pipe, site, regions, _, _ in rows]


def _by_site(traced: Traced, instructions: list[tuple[int, int, list[Region]]], judge: Any, code: str) -> list[Observation]:
    """Observations of one kind: `judge(pipe, operands)` says what is wrong (""), or None where the question does not arise."""
    seen: dict[int, list[str]] = {}
    for pipe, site, regions in instructions:
        verdict = judge(pipe, regions)
        if verdict is not None:
            seen.setdefault(site, []).append(verdict)
    wrong = {site: [v for v in verdicts if v] for site, verdicts in seen.items()}
    return [Observation(code, traced.sites[site], len(bad), len(seen[site]), max(set(bad), key=bad.count)) for site, bad in wrong.items() if bad]


def _global(pipe: int, regions: list[Region]) -> Region | None:
    return next((r for r in regions if r.memory == Memory.GM), None) if pipe in _COPIES else None


def _short(pipe: int, regions: list[Region]) -> str | None:
    region = _global(pipe, regions)
    return None if region is None else f"copies of {region.total} bytes" if region.total < SHORT_BYTES else ""


def _unaligned(chip: Chip) -> Any:
    line = chip.transfer_align_bytes

    def judge(pipe: int, regions: list[Region]) -> str | None:
        region = _global(pipe, regions)
        if region is None:
            return None
        off = next((start % line for start in region.rows() if start % line), 0)
        return f"rows in GM that start {off} bytes behind a line of {line}" if off else ""

    return judge


def _conflicts(chip: Chip) -> Any:
    """P04 by the first row of each operand: two sources in one group of banks, or source and destination in one bank."""
    groups, row = chip.ub_bank_groups, 32

    def group(r: Region) -> int:
        return r.base // row % groups

    def bank(r: Region) -> tuple[int, int]:
        return group(r), r.base // (groups * chip.ub_bank_bytes)

    def judge(pipe: int, regions: list[Region]) -> str | None:
        ub = [r for r in regions if r.memory == Memory.UB]
        if pipe != Pipe.V or len(ub) < 2:
            return None
        sources, target = [r for r in ub if not r.access & WRITE], ub[0]
        if len(sources) > 1 and sources[0].base != sources[1].base and group(sources[0]) == group(sources[1]):
            return "both sources in one group of banks"
        if any(bank(s) == bank(target) and s.base != target.base for s in sources):
            return "a source and the destination in one bank"
        return ""

    return judge


def _shared_lines(traced: Traced, first: list[tuple[int, int, list[Region]]], second: list[tuple[int, int, list[Region]]]) -> list[Observation]:
    """P03: lines that the first two blocks both touch, one writing, or that both read at the same point of the program."""
    line = traced.chip.l2_line_bytes
    found: dict[int, Observation] = {}
    written = {(r.tensor, at // line): site for pipe, site, regions in first for r in regions if _global(pipe, [r]) and r.access & WRITE
               for at in (r.base, r.base + r.total - 1)}  # fmt: skip
    for pipe, site, regions in second:
        for r in regions:
            if _global(pipe, [r]) and not r.repeats and ((r.tensor, r.base // line) in written or (r.tensor, (r.base + r.total - 1) // line) in written):
                found.setdefault(site, Observation("P03", traced.sites[site], 1, 1, f"a line of {line} bytes that the block before writes too"))
    same: dict[int, int] = {}
    for (pipe, site, mine), (_, _, theirs) in zip(first, second, strict=False):
        for a, b in zip(mine, theirs, strict=False):
            if _global(pipe, [a]) and a.access == READ and (a.tensor, a.base) == (b.tensor, b.base) and b.memory == Memory.GM:
                same[site] = same.get(site, 0) + 1
    for site, count in same.items():
        found.setdefault(site, Observation("P03", traced.sites[site], count, count, "the same bytes as the other blocks at the same time"))
    return list(found.values())
