"""From the events of a recording to a program: dead work dropped, chains fused, memory planned, operands placed. Knows no Python values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ascendlite.compile.events import ITEMSIZE, Ref, extent, is_dense, numel, reads_of, writes_of
from ascendlite.compile.fuse import Fused, fuse
from ascendlite.compile.plan import Buffer, plan
from ascendlite.core import Tensor, _core

ALIGN = 64
LARGE = 1 << 15  # elements of all steps from which the interpreter is let go


class CantReplay(Exception):
    """What the events do can't be done again."""


@dataclass(frozen=True)
class Candidate:
    """A tensor through which memory from outside can be found at each call."""

    tensor: Tensor  # as it was
    owner: Tensor | None  # fixed: the tensor itself, or whose gradient it is
    argument: int = -1
    of_grad: bool = False


@dataclass(frozen=True)
class Report:
    """What became of one program."""

    captured: int  # events heard
    steps: int
    fused_kernels: int
    fused_ops: int
    arena_bytes: int  # planned
    temporary_bytes: int  # without reuse
    output_bytes: int


def drop_dead(events: Sequence[Any], live: set[int], is_external: Callable[[int], bool], sizes: dict[int, int]) -> list[Any]:
    """The events that lead to a live storage or write memory from outside, in order."""
    kept: list[Any] = []
    live = set(live)
    for event in reversed(events):
        if event[0] == "host":
            live.update(ref[0] for _, ref in event[2] if ref is not None)
            kept.append(event)
            continue
        writes, reads = writes_of(event), reads_of(event)
        if all(not numel(w[3]) for w in writes) or not any(w[0] in live or is_external(w[0]) for w in writes):
            continue
        read = {r[0] for r in reads}
        for w in writes:
            if w[0] not in read and is_dense(w[3], w[4]) and numel(w[3]) * ITEMSIZE[w[2]] == sizes[w[0]]:
                live.discard(w[0])
        live |= read
        kept.append(event)
    return kept[::-1]


class Lowering:
    """One program from a range of events. `kept`: storages made inside that outlive it, each an output of its own."""

    def __init__(self, recorder: _core.Recorder, events: Sequence[Any], candidates: Sequence[Candidate], kept: Iterable[int],
                 given: dict[int, int], fusing: bool, first_given: int = 0) -> None:
        self.recorder, self.sizes = recorder, recorder.sizes
        self.captured = len(events)
        self.given, self.first_given = given, first_given  # storages of an earlier program: number -> argument after `first_given`
        self.kept = list(dict.fromkeys(n for n in kept if not self.is_external(n) and n not in given and n))
        self.candidates = list(candidates)
        self.by_storage: dict[int, list[int]] = {}
        for k, c in enumerate(self.candidates):
            self.by_storage.setdefault(recorder.number(c.tensor.untyped_storage()), []).append(k)
        self.written: set[int] = set()
        events = drop_dead(events, set(self.kept), self.is_external, self.sizes)
        self.blob = bytearray()
        self.events = fuse(events, set(self.kept), self.is_external) if fusing else events
        touched = {w[0] for e in self.events for w in writes_of(e)}
        self.constant_at = {n: self._constant(data) for n, data in self._constants(touched)}
        self.initial = [n for n in self.constant_at if n in touched or n in self.kept]
        self.buffers = plan(self._temporaries(), self.events, reads_of, writes_of)

    def is_external(self, number: int) -> bool:
        return number in self.recorder.externals

    def _constants(self, touched: set[int]) -> list[tuple[int, bytes]]:
        used = {r[0] for e in self.events for r in (*reads_of(e), *writes_of(e))} | set(self.kept)
        return [(n, data) for n, data in self.recorder.constants.items() if n in used and n not in self.given]

    def _constant(self, data: bytes) -> int:
        self.blob.extend(bytes(-len(self.blob) % ALIGN))
        at = len(self.blob)
        self.blob.extend(data)
        return at

    def _temporaries(self) -> list[Buffer]:
        found: dict[int, Buffer] = {}
        for k, event in enumerate(self.events):
            for ref in (*reads_of(event), *writes_of(event)):
                n = ref[0]
                fixed = not n or self.is_external(n) or n in self.given or n in self.kept or (n in self.constant_at and n not in self.initial)
                if fixed:
                    continue
                first = 0 if n in self.initial else k
                found.setdefault(n, Buffer(n, self.sizes[n], first, k)).last = k
        return list(found.values())

    # -- places
    def place(self, ref: Ref, writes: bool) -> tuple[int, int]:
        """(slot, offset) of a reference."""
        n, offset = ref[0], ref[1]
        if not n:
            return 1, 0
        if n in self.given:
            return 2 + len(self.candidates) + self.given[n], offset
        if self.is_external(n):
            return self._outside(ref, writes)
        if n in self.kept:
            return 2 + len(self.candidates) + len(self.given) + self.kept.index(n), offset
        if n in self.constant_at and n not in self.initial:
            return 1, self.constant_at[n] + offset
        return 0, self.buffers.at[n] + offset

    def _outside(self, ref: Ref, writes: bool) -> tuple[int, int]:
        low, high = extent(ref)
        for k in self.by_storage.get(ref[0], ()):
            like = self.candidates[k].tensor
            start = like.storage_offset() * like.itemsize
            a, b = extent((0, start, like.dtype.code, like.shape, like.stride()))
            if a <= low and high <= b:
                if writes:
                    self.written.add(k)
                return 2 + k, ref[1] - start
        raise CantReplay(f"it uses a tensor of shape {ref[3]} from outside that can't be found again; pass it as an argument")

    def operand(self, ref: Ref, writes: bool = False) -> Any:
        return self.place(ref, writes), ref[2], ref[3], ref[4]

    # -- steps
    def build(self, draws: Sequence[Any]) -> tuple[_core.Launches, list[tuple[int, Any, Any]]]:
        """The program, and its parts: (steps up to, function of the host, its gradients)."""
        steps: list[Callable[[_core.Launches], object]] = []
        parts: list[tuple[int, Any, Any]] = []
        for n in self.initial:
            whole = (n, 0, 1, (self.sizes[n],), (1,))
            steps.append(self._memcpy(self.operand(whole, True), (1, self.constant_at[n]), self.sizes[n]))
        for event in self.events:
            if event[0] == "host":
                parts.append((len(steps), event[1], event[2]))
            else:
                steps.append(_STEPS[event[0]](self, event))
        parts.append((len(steps), None, ()))
        sources = [_core.Source(c.tensor, c.owner, c.argument, c.of_grad, k in self.written) for k, c in enumerate(self.candidates)]
        for n, argument in sorted(self.given.items(), key=lambda item: item[1]):
            like = _core.empty(self.sizes[n], dtype=_core.DTYPE_NAMES["uint8"])
            sources.append(_core.Source(like, None, self.first_given + argument, False, False))
        work = sum(numel(w[3]) for e in self.events for w in (*writes_of(e), *reads_of(e)))
        blob = bytes(self.blob) or b"\0"
        program = _core.Launches(sources, [self.sizes[n] for n in self.kept], list(draws), blob, self.buffers.total, work > LARGE)
        for add in steps:
            add(program)
        return program, parts

    def _memcpy(self, target: Any, source: tuple[int, int], count: int) -> Callable[[_core.Launches], object]:
        return lambda p: p.add("memcpy", None, [target, (source, 1, (count,), (1,))], count=count)

    def _loop(self, event: Any) -> Callable[[_core.Launches], object]:
        _, op, compute, out, operands = event
        views = [self.operand(out, True)]
        for x in operands:
            views.append(((1, self._constant(x)), compute, (), ()) if isinstance(x, bytes) else self.operand(x))
        return lambda p: p.add("loop", op, views, compute=compute)

    def _kernel(self, event: Any) -> Callable[[_core.Launches], object]:
        _, op, refs, nouts, ints, floats, draws, _ = event
        views = [None if r is None else self.operand(r, k < nouts) for k, r in enumerate(refs)]
        return lambda p: p.add("kernel", op, views, nouts=nouts, ints=ints, floats=floats, draws=draws)

    def _copy(self, event: Any) -> Callable[[_core.Launches], object]:
        _, target, source = event
        views = [self.operand(target, True), self.operand(source)]
        same = target[2] == source[2] and is_dense(target[3], target[4]) and is_dense(source[3], source[4])
        count = numel(target[3]) * ITEMSIZE[target[2]]
        if same and count < 1 << 16:
            return lambda p: p.add("memcpy", None, views, count=count)
        return lambda p: p.add("copy", None, views)

    def _fill(self, event: Any) -> Callable[[_core.Launches], object]:
        _, target, value = event
        views = [self.operand(target, True), ((1, self._constant(value)), target[2], (), ())]
        return lambda p: p.add("fill", None, views)

    def _fused(self, event: Any) -> Callable[[_core.Launches], object]:
        made: Fused = event[1]
        views = [self.operand(r, True) for r in made.outputs] + [self.operand(r) for r in made.inputs]
        return lambda p: p.add("fused", None, views, nouts=len(made.outputs), fused=made.address, count=made.count)

    def report(self, program: _core.Launches) -> Report:
        """The figures of a program that was built."""
        fused = [e[1] for e in self.events if e[0] == "fused"]
        return Report(self.captured, program.length, len(fused), sum(f.ops for f in fused), self.buffers.total,
                      self.buffers.without_reuse, sum(self.sizes[n] for n in self.kept))


_STEPS: dict[str, Callable[[Lowering, Any], Callable[[_core.Launches], object]]] = {
    "loop": Lowering._loop, "kernel": Lowering._kernel, "copy": Lowering._copy, "fill": Lowering._fill, "fused": Lowering._fused,
}
