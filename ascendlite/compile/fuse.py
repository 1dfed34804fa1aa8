"""Chains of pointwise steps become one kernel that Numba compiles: each element is read once, computed in registers, written once.

Every element is computed alone, so where the range is cut for threads can't be seen in a result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ascendlite.compile.events import Ref, is_dense, numbers, numel, reads_of, writes_of
from ascendlite.compile.formulas import FORMULAS
from ascendlite.core import _core

TYPES = {_core.DTYPE_NAMES["float32"].code: ("float32", "f"), _core.DTYPE_NAMES["float64"].code: ("float64", "d")}
BOOL = _core.DTYPE_NAMES["bool"].code
FEWEST = 2  # ops in a kernel
MOST = 64  # ops in a kernel: more take long to compile, and registers run out


@dataclass(frozen=True)
class Fused:
    """A compiled chain: what it writes and reads, how many elements, how many ops it stands for."""

    outputs: tuple[Ref, ...]
    inputs: tuple[Ref, ...]
    address: int
    count: int
    ops: int


def _fusable(event: Any) -> bool:
    """A pointwise loop on dense operands of one shape, numbers and single elements, in float32 or float64."""
    if event[0] != "loop" or event[1].name not in FORMULAS or event[2] not in TYPES:
        return False
    out = event[3]
    if not is_dense(out[3], out[4]) or out[2] not in (event[2], BOOL):
        return False
    refs = [x for x in event[4] if not isinstance(x, bytes)]
    return all((r[3] == out[3] and is_dense(r[3], r[4])) or numel(r[3]) == 1 for r in refs) and all(r[2] in (event[2], BOOL) for r in refs)


@dataclass
class Group:
    """A chain that still grows: its loops, what each reference holds now, and the storages that it reads and writes."""

    shape: tuple[int, ...]
    compute: int
    members: list[tuple[int, Any]] = field(default_factory=list)
    values: dict[Ref, str] = field(default_factory=dict)
    inputs: dict[Ref, str] = field(default_factory=dict)
    written: dict[Ref, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def takes(self, event: Any) -> bool:
        """Whether the loop may join: same elements, and no other window on what the chain writes or reads."""
        if event[3][3] != self.shape or event[2] != self.compute or len(self.members) >= MOST:
            return False
        writes = {r[0] for r in self.written}
        for r in event[4]:
            if not isinstance(r, bytes) and r not in self.values and r[0] in writes:
                return False
        touched = [r for r in (*self.inputs, *self.written, *(x for x in event[4] if not isinstance(x, bytes))) if r[0] == event[3][0]]
        return all(r == event[3] for r in touched)

    def add(self, position: int, event: Any) -> None:
        names = [self._operand(x) for x in event[4]]
        value = f"v{len(self.lines)}"
        self.lines.append(f"{value} = {FORMULAS[event[1].name].format(*names)}")
        self.values[event[3]] = self.written[event[3]] = value
        self.members.append((position, event))

    def _operand(self, x: Ref | bytes) -> str:
        if isinstance(x, bytes):
            return _literal(struct.unpack(TYPES[self.compute][1], x)[0])
        if x not in self.values:
            self.values[x] = self.inputs[x] = f"x{len(self.inputs)}"
        return self.values[x]

    def meets(self, reads: set[int], writes: set[int]) -> bool:
        """Whether another step must stay on its side of the chain."""
        mine = {r[0] for r in self.written}
        return bool(reads & mine or writes & mine or writes & {r[0] for r in self.inputs})


def _literal(value: float) -> str:
    if value != value:
        return "T(math.nan)"
    return f"T({value!r})" if abs(value) != float("inf") else f"T({'-' if value < 0 else ''}math.inf)"


class _Fusing:
    def __init__(self, events: Sequence[Any], live: set[int], is_external: Callable[[int], bool]) -> None:
        self.out: list[Any] = []
        self.open: list[Group] = []
        self.live, self.is_external = live, is_external
        self.readers: dict[int, list[int]] = {}
        for k, event in enumerate(events):
            for n in numbers(reads_of(event)):
                self.readers.setdefault(n, []).append(k)

    def step(self, position: int, event: Any) -> None:
        reads, writes = numbers(reads_of(event)), numbers(writes_of(event))
        fusable = _fusable(event)
        home = next((g for g in self.open if fusable and g.takes(event)), None)
        for g in list(self.open):
            if g is not home and (event[0] == "host" or g.meets(reads, writes)):
                self.close(g)
        if not fusable:
            self.out.append(event)
            return
        if home is None:
            home = Group(event[3][3], event[2])
            self.open.append(home)
        home.add(position, event)

    def close(self, g: Group) -> None:
        self.open.remove(g)
        if len(g.members) < FEWEST:
            self.out.extend(event for _, event in g.members)
            return
        inside = {k for k, _ in g.members}
        first = min(inside)
        outputs = {r: v for r, v in g.written.items() if r[0] in self.live or self.is_external(r[0])
                   or any(k > first and k not in inside for k in self.readers.get(r[0], ()))}
        self.out.append(("fused", compiled(g, outputs)))


def fuse(events: Sequence[Any], live: set[int], is_external: Callable[[int], bool]) -> list[Any]:
    """The events with chains replaced by ("fused", Fused). A chain runs where its last member stood, as far as nothing is in the way."""
    state = _Fusing(events, live, is_external)
    for position, event in enumerate(events):
        state.step(position, event)
    for g in list(state.open):
        state.close(g)
    return state.out


# -- Numba
_COMPILED: dict[str, Any] = {}  # source -> cfunc, which must outlive its address


def source_of(g: Group, outputs: dict[Ref, str]) -> tuple[str, tuple[Ref, ...], tuple[Ref, ...]]:
    """The kernel's source, and its outputs and inputs in the order of its pointers."""
    read = [r for r in g.inputs if r not in outputs]  # what is read and written is one array
    refs = [*outputs, *read]
    names = [f"y{k}" for k in range(len(outputs))] + [f"p{k}" for k in range(len(read))]
    head, loads = [], []
    for k, (ref, name) in enumerate(zip(refs, names, strict=True)):
        kind = "boolean" if ref[2] == BOOL else TYPES[g.compute][0]
        if k < len(outputs) or numel(ref[3]) != 1 or ref[3] == g.shape:
            head.append(f"    {name} = carray(data[{k}], (end,), {kind})[begin:end]")
            if ref in g.inputs:
                loads.append(f"        {g.inputs[ref]} = {name}[i]")
        else:
            head.append(f"    {g.inputs[ref]} = carray(data[{k}], (1,), {kind})[0]")
    stores = [f"        {name}[i] = {value}" for name, value in zip(names, outputs.values(), strict=False)]
    body = [*loads, *(f"        {line}" for line in g.lines), *stores]
    text = "\n".join(["def kernel(data, begin, end):", *head, "    for i in range(end - begin):", *body])
    return f"T = {TYPES[g.compute][0]}\n{text}\n", tuple(outputs), tuple(read)


def compiled(g: Group, outputs: dict[Ref, str]) -> Fused:
    """The chain as native code; equal chains share it."""
    from ascendlite.compile.numba_kernels import build

    source, written, read = source_of(g, outputs)
    if source not in _COMPILED:
        _COMPILED[source] = build(source)
    return Fused(written, read, _COMPILED[source].address, numel(g.shape), len(g.members))
