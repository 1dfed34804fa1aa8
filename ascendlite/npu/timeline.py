"""When the pipes of a launch worked and what they waited for. Made by the clock; printed here, drawn in `pictures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ascendlite._davinci import L2
from ascendlite.npu import clock
from ascendlite.npu.programs import Traced

PIPES: Final = ("S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX")
PIPES_OF: Final[Mapping[str, tuple[str, ...]]] = {"aic": ("S", "MTE2", "MTE1", "M", "FIX", "MTE3"), "aiv": ("S", "MTE2", "V", "MTE3")}
CAUSES: Final = (*PIPES, "barrier", "issue", "other cores", "SyncAll", "start")
KINDS: Final = ("aic", "aiv")
ROOF: Final = 0.8  # from this share of a roof on, that roof is what bounds (as the vendor's profiler has it)


@dataclass(frozen=True)
class Wait:
    """All the time that one kind of pipe waited at one line for one cause, over all cores."""

    kind: str
    pipe: str
    cause: str
    site: int
    us: float


@dataclass(frozen=True)
class Bound:
    """What keeps a launch from being shorter. `share`: of the roof, or of the time that the busiest pipe works."""

    name: str  # a roof, or "latency"
    share: float
    pipe: str  # the busiest pipe
    wait: Wait | None  # its longest wait


@dataclass(frozen=True)
class Timeline:
    """The times of one launch. `raw`: what the native clock gave; times there are nanoseconds."""

    program: Traced
    raw: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        program: Traced,
        *,
        l2: L2 | None = None,
        bases: Sequence[int] | None = None,
        spans_of: Sequence[int] = (),
        what_if: clock.WhatIf | None = None,
    ) -> Timeline:
        """Times a program. `l2`: what the cache holds, before and after (default: nothing); `spans_of`: cores whose instructions are kept."""
        raw = clock.schedule(
            program.program, program.blocks, program.chip, l2=l2, bases=bases, past_l2=program.past_l2, spans_of=spans_of, what_if=what_if
        )
        return cls(program, raw)

    @property
    def us(self) -> float:
        """From the launch until the last core is done."""
        return float(self.raw["total_ns"]) / 1e3

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cores that took part."""
        return tuple(KINDS[k] for k in sorted({c[0] for c in self.raw["cores"]}))

    def _cores(self, kind: str) -> list[Any]:
        return [c for c in self.raw["cores"] if KINDS[c[0]] == kind]

    def _kind_of(self, pipe: str) -> str:
        return next((k for k in self.kinds if pipe in PIPES_OF[k] and self._sum(k, pipe, 4)), self.kinds[0])

    def _sum(self, kind: str, pipe: str, what: int) -> float:
        return float(sum(c[6][PIPES.index(pipe)][what] for c in self._cores(kind)))

    def busy_us(self, pipe: str, kind: str | None = None) -> float:
        """Time that a pipe works, mean over the cores of its kind (which the vendor's profiler shows)."""
        kind = kind or self._kind_of(pipe)
        return self._sum(kind, pipe, 0) / max(1, len(self._cores(kind))) / 1e3

    def contended_us(self, pipe: str, kind: str) -> float:
        """The part of it that copies wait for their share of the memory, mean over cores."""
        return self._sum(kind, pipe, 1) / max(1, len(self._cores(kind))) / 1e3

    def conflicts_us(self) -> float:
        """Time that bank conflicts cost pipe V, mean over cores."""
        return self._sum("aiv", "V", 2) / max(1, len(self._cores("aiv"))) / 1e3 if "aiv" in self.kinds else 0.0

    def stalls_us(self, pipe: str, kind: str) -> dict[str, float]:
        """Time that a pipe waits, by cause, mean over cores."""
        cores = self._cores(kind)
        sums = [sum(c[6][PIPES.index(pipe)][5][n] for c in cores) for n in range(len(CAUSES))]
        return {cause: ns / len(cores) / 1e3 for cause, ns in zip(CAUSES, sums) if ns > 0}

    def cycles(self, pipe: str) -> int:
        """Busy cycles of a pipe, mean over cores."""
        return round(self.busy_us(pipe) * self.program.chip.clock_hz / 1e6)

    @cached_property
    def waits(self) -> tuple[Wait, ...]:
        """All waits, longest first."""
        return tuple(Wait(KINDS[k], PIPES[p], CAUSES[c], site, ns / 1e3) for k, p, c, site, ns in self.raw["waits"])

    @cached_property
    def core_us(self) -> float:
        """Mean over cores, of the kind that takes longest, of the time that a core is at work."""
        return max((sum(c[5] - c[4] for c in self._cores(k)) / len(self._cores(k)) / 1e3 for k in self.kinds), default=0.0)

    @cached_property
    def roofs(self) -> dict[str, float]:
        """Share of each roof that the launch reaches, by name."""
        chip, raw = self.program.chip, self.raw
        constants = clock.constants(chip)
        ns = max(1e-9, float(raw["total_ns"]))
        roofs = {"HBM": raw["hbm_bytes"] / ns / constants["hbm_rate"], "L2": raw["l2_bytes"] / ns / constants["l2_rate"]}
        cycles = ns / constants["cycle_ns"]
        if "aic" in self.kinds:
            roofs["cube"] = self._sum("aic", "M", 0) / constants["cycle_ns"] / (cycles * chip.aic)
        if "aiv" in self.kinds:
            roofs["vector"] = self._sum("aiv", "V", 0) / constants["cycle_ns"] / (cycles * chip.aiv)
        for kind in self.kinds:
            for pipe in PIPES_OF[kind]:
                if pipe not in ("S", "M", "V"):
                    roofs[f"{kind} {pipe}"] = self.busy_us(pipe, kind) / self.us
        return roofs

    @cached_property
    def bound(self) -> Bound:
        """The roof that the launch touches; if there is none, the busiest pipe's latency."""
        busiest = max(((k, p) for k in self.kinds for p in PIPES_OF[k]), key=lambda kp: self.busy_us(kp[1], kp[0]))
        kind, pipe = busiest
        wait = next((w for w in self.waits if (w.kind, w.pipe) == busiest and w.cause != "start"), None)
        name, share = max(self.roofs.items(), key=lambda item: item[1])
        if share < ROOF:
            return Bound("latency", self.busy_us(pipe, kind) / self.us, pipe, wait)
        return Bound(name, share, pipe, wait)

    def where(self, site: int) -> str:
        """The source line of an instruction."""
        return str(self.program.sites[site])

    def report(self, advice: bool = True) -> str:
        """Pipes, roofs, what bounds and what would help, as text."""
        from ascendlite.npu.report import report

        return report(self, advice)

    def perfetto(self, path: str) -> None:
        """Writes the instructions of one core of each kind as Chrome trace events: open in ui.perfetto.dev."""
        from ascendlite.npu.pictures import perfetto

        perfetto(self, path)

    def png(self, path: str) -> None:
        """Draws the pipes of one core of each kind. Needs matplotlib."""
        from ascendlite.npu.pictures import png

        png(self, path)

    def html(self, path: str) -> None:
        """One page without references: the picture, pipes, roofs and advice."""
        from ascendlite.npu.pictures import html

        html(self, path)


_TIMED: dict[int, Timeline] = {}  # by identity of the program, which its kernel and the timeline keep alive


def timed(program: Traced) -> Timeline:
    """The timeline of a program whose data is not in the cache yet, computed once."""
    known = _TIMED.get(id(program))
    if known is None:
        known = _TIMED[id(program)] = Timeline.of(program)
    return known
