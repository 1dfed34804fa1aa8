"""Which temporary buffer holds which node of a formula: as few as there must be, and apart in the banks of the unified buffer.

Buffers follow each other 256 bytes off a multiple of 512, so those with even numbers lie in other bank groups than those with odd ones. An
instruction loses cycles where it reads two tiles of one half, or writes to the half and the bank that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

BUSY: Final = 12  # nodes from which on the vector pipe, not memory, is what a formula waits for
BEAM: Final = 4  # placements that are followed
LONG: Final = 64  # nodes from which on only one is: others would take longer to find than they save
SPARE: Final = (1, 2)  # buffers more than there must be: the fewer, the larger the tiles
READS: Final = 1.0  # cycles a repeat: two reads of one half
NEAR: Final = 0.77  # a read and a write of one half
FAR: Final = 0.25  # the same where the buffers are so far apart that they mostly lie in different banks
APART: Final = 3


@dataclass(frozen=True)
class Placement:
    """Buffers of the nodes so far, the last one's and, by `before`, the others'. live: of what is still needed; free: that hold nothing of that."""

    slots: tuple[float, ...] = ()
    free: tuple[int, ...] = ()
    live: tuple[tuple[int, int], ...] = ()
    cost: float = 0.0
    node: int = 0
    number: int = 0
    before: Placement | None = None

    def of_nodes(self) -> dict[int, int]:
        """The number of each node's buffer."""
        found: dict[int, int] = {}
        p: Placement | None = self
        while p is not None and p.before is not None:
            found[p.node], p = p.number, p.before
        return found


class Step:
    """A node to place, with what is known of it whatever the placement: operands that lie in buffers, and those that nobody needs afterwards."""

    def __init__(self, node: Any, size: float, reads: list[int], gone: set[int], reusable: list[int]) -> None:
        self.node, self.size, self.reads, self.gone, self.reusable = id(node), size, reads, gone, reusable

    def numbers(self, p: Placement, slot: dict[int, int], most: int) -> list[int]:
        """Buffers that it can have, an operand's first, a new one last."""
        fitting = [s for s in p.free if p.slots[s] == self.size]
        return [slot[v] for v in self.reusable] + fitting + ([len(p.slots)] if len(p.slots) < most else [])

    def put(self, p: Placement, slot: dict[int, int], number: int) -> Placement:
        slots = p.slots if number < len(p.slots) else (*p.slots, self.size)
        free = sorted({*p.free, *(slot[v] for v in self.gone)} - {number})
        live = (*(kept for kept in p.live if kept[0] not in self.gone), (self.node, number))
        return Placement(slots, tuple(free), live, p.cost + lost([slot[v] for v in self.reads], number, self.size), self.node, number, p)


def _steps(order: Sequence[Any], result: Any, size: Callable[[Any], float], in_place: Callable[[Any, Any], bool]) -> list[Step]:
    inside = {id(node) for node in order}
    last = {id(v): i for i, node in enumerate(order) for v in node.operands}
    steps = []
    for i, node in enumerate(order):
        reads = [v for v in dict.fromkeys(map(id, node.operands)) if v in inside]
        gone = {v for v in reads if last[v] == i}
        reusable = list(dict.fromkeys(id(v) for v in node.operands if id(v) in gone and in_place(node, v)))
        if node is not result:
            steps.append(Step(node, size(node), reads, gone, reusable))
    return steps


def placed(order: Sequence[Any], result: Any, size: Callable[[Any], float], in_place: Callable[[Any, Any], bool]) -> tuple[dict[int, int], list[float]]:
    """The number of the buffer of each node (by identity) but the result, and bytes an element of each buffer."""
    steps = _steps(order, result, size, in_place)
    best = fewest = _followed(steps, 1, len(steps), first=True)[0]
    if len(order) >= BUSY:
        beam = BEAM if len(order) < LONG else 1
        best = next((found[0] for more in SPARE if (found := _followed(steps, beam, len(fewest.slots) + more))), fewest)
    return best.of_nodes(), list(best.slots)


def _followed(steps: Sequence[Step], width: int, most: int, first: bool = False) -> list[Placement]:
    """The best placements with so many buffers; `first`: always the first buffer that a node can have."""
    beam = [Placement()]
    for step in steps:
        found: dict[tuple[Any, ...], Placement] = {}
        for p in beam:
            slot = dict(p.live)
            numbers = step.numbers(p, slot, most)
            for number in numbers[:1] if first else numbers:
                after = step.put(p, slot, number)
                key = (after.slots, after.live)
                if key not in found or after.cost < found[key].cost:
                    found[key] = after
        beam = sorted(found.values(), key=lambda p: p.cost)[:width]
    return beam


def lost(reads: Sequence[int], write: int, size: float) -> float:
    """Cycles a repeat that an instruction loses, which reads and writes these buffers."""
    halves = [r % 2 for r in reads]
    if len(set(halves)) < len(halves):
        return READS
    if size < 1:  # bits: few writes
        return 0.0
    return max((NEAR if abs(r - write) < APART else FAR for r in reads if r % 2 == write % 2), default=0.0)
