"""Where temporaries live in one arena: buffers whose lifetimes do not meet share bytes, and a native pointwise loop may write over what it reads last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

ALIGN = 64


@dataclass
class Buffer:
    """A storage and the first and last step that use it."""

    number: int
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Offsets of storages in an arena of `total` bytes; `without_reuse` is what they would take one after the other."""

    at: dict[int, int]
    total: int
    without_reuse: int


def _shared(buffers: Sequence[Buffer], events: Sequence[Any], reads_of: Callable[[Any], Any], writes_of: Callable[[Any], Any]) -> dict[int, int]:
    """number -> the number whose bytes it takes over: the output of a pointwise step, and an input of the same form that ends there."""
    by_number = {b.number: b for b in buffers}
    into: dict[int, int] = {}
    for k, event in enumerate(events):
        if event[0] != "loop":  # fused kernels look whether their arrays overlap, and would go slowly
            continue
        reads = reads_of(event)
        taken: set[int] = set()
        for out in writes_of(event):
            b = by_number.get(out[0])
            if b is None or b.first != k or out[0] in {r[0] for r in reads}:
                continue
            for r in reads:
                a = by_number.get(r[0])
                alone = [x for x in reads if x[0] == r[0]] == [r] or all(x == r for x in reads if x[0] == r[0])
                if a is not None and a.last == k and a.nbytes == b.nbytes and r[1:] == out[1:] and alone and r[0] not in taken:
                    into[out[0]] = r[0]
                    taken.add(r[0])
                    break
    return into


def plan(buffers: Sequence[Buffer], events: Sequence[Any], reads_of: Callable[[Any], Any], writes_of: Callable[[Any], Any]) -> Plan:
    """Largest first, each at the lowest offset that no buffer of its time holds."""
    into = _shared(buffers, events, reads_of, writes_of)

    def root(n: int) -> int:
        while n in into:
            n = into[n]
        return n

    merged: dict[int, Buffer] = {}
    for b in buffers:
        m = merged.setdefault(root(b.number), Buffer(root(b.number), b.nbytes, b.first, b.last))
        m.first, m.last = min(m.first, b.first), max(m.last, b.last)
    placed: list[tuple[int, Buffer]] = []
    at: dict[int, int] = {}
    for m in sorted(merged.values(), key=lambda m: (-m.nbytes, m.first)):
        size = -(-m.nbytes // ALIGN) * ALIGN
        offset = 0
        for start, other in sorted(((s, o) for s, o in placed if o.first <= m.last and m.first <= o.last), key=lambda item: item[0]):
            if offset + size <= start:
                break
            offset = max(offset, start + -(-other.nbytes // ALIGN) * ALIGN)
        placed.append((offset, m))
        at[m.number] = offset
    total = max((start + -(-m.nbytes // ALIGN) * ALIGN for start, m in placed), default=0)
    return Plan({b.number: at[root(b.number)] for b in buffers}, total, sum(b.nbytes for b in buffers))
