"""Runs a kernel's Python once per class of blocks and writes down its instructions as the words of a program.

The block index stays an expression. Where Python needs a value, that of one block (the witness) is taken, and the trace holds for the blocks
that have the same value there; the others are traced again. Knows nothing about what instructions mean.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ascendlite.npu.chips import Chip
from ascendlite.npu.errors import KernelError, Site, refuse
from ascendlite.npu.lang import sym
from ascendlite.npu.lang.instructions import INSTRUCTIONS, Instruction
from ascendlite.npu.lang.mistakes import BETWEEN
from ascendlite.npu.lang.real import Floats
from ascendlite.npu.lang.stateful import Lasting, Stateful, Turning
from ascendlite.npu.lang.sym import Sym, Table

_INSTR, _LOOP, _IF, _ELSE, _END = range(5)
MOST_INSTRUCTIONS: Final = 1_000_000  # of a program, loops of ac.range counted once
Words = list[int]
Index = int | Sym

_ARRAYS: Final[dict[int, Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]]] = {
    sym.ADD: np.add, sym.SUB: np.subtract, sym.MUL: np.multiply, sym.FLOOR_DIV: np.floor_divide, sym.MOD: np.mod, sym.MIN: np.minimum,
    sym.MAX: np.maximum, sym.AND: np.bitwise_and, sym.OR: np.bitwise_or, sym.XOR: np.bitwise_xor, sym.SHL: np.left_shift,
    sym.SHR: np.right_shift, sym.EQ: np.equal, sym.NE: np.not_equal, sym.LT: np.less, sym.LE: np.less_equal,
}  # fmt: skip


Snapshot = tuple[int, int, list[tuple[Stateful, object]], dict[object, Any]]  # loops, scalars, what has a state, instructions that are known in it


class Tracer:
    """One program in the making: the code of one kind of core at a time."""

    def __init__(self, chip: Chip, blocks: int, kind: str, floats: Floats | None = None) -> None:
        self.floats = floats or Floats()
        self.chip, self.generation, self.blocks, self.kind = chip, chip.generation, blocks, kind
        self.table = Table(self)
        self.opcodes: dict[str, int] = {}
        self.sites: list[Site] = []
        self.past_l2: set[int] = set()  # arguments whose writes go around the cache
        self.written: set[int] = set()  # arguments that some instruction writes to
        self._site_numbers: dict[tuple[object, int], int] = {}
        self._inside: dict[object, bool] = {}
        self.core = "aiv"
        self.loops = self.scalars = self.deepest_loops = self.deepest_scalars = 0
        self.words: Words = []
        self.open: list[str] = []
        self.again = False  # what is traced is a second look at a loop's body
        self.stateful: list[Stateful] = []
        self.at_end: list[Callable[[], None]] = []
        self.buffers: dict[Any, int] = {}  # pieces of local memory that this kind of core uses, and their numbers
        self.memo: dict[object, tuple[int, ...]] = {}
        self.known: dict[object, Any] = {}  # what memo.remembered keeps
        self.emitted = 0
        self._ready: dict[str, int] = {}
        self._pairs, self._mask = np.zeros((0, 2), np.int64), np.zeros(0, bool)
        self._arrays: dict[int, NDArray[np.int64]] = {}
        self.witness = (0, 0)
        self.unrolled = False  # a range of Python's had expressions as its indices

    # -- classes of blocks

    def classes(self, core: str, body: Callable[[], None]) -> Words:
        """The code of one kind of core, for all blocks: `body` runs once a class."""
        self.core, self._ready, self._arrays, self.known, self.buffers = core, {}, {}, {}, {}
        subs = 2 if self.kind == "mix" and core == "aiv" else 1
        self._pairs = np.array([(b, s) for b in range(self.blocks) for s in range(subs)], np.int64)
        left = np.ones(len(self._pairs), bool)
        parts: list[tuple[NDArray[np.bool_], Words]] = []
        while left.any():
            first = int(np.argmax(left))
            self._mask = left.copy()
            self.witness = (int(self._pairs[first, 0]), int(self._pairs[first, 1]))
            self.table.single = bool(left.sum() == 1)
            self._begin()
            body()
            for finish in self.at_end:
                finish()
            if self.open:
                raise KernelError(f"kernel: {self.open[-1]} is still open at the end; its body must not be left by break or return")
            self._deepen()
            parts.append((self._mask, self.words))
            left &= ~self._mask
        return self._join(parts, subs)

    def _begin(self) -> None:
        self.again = False
        self.table.combined.clear()
        self.words, self.open, self.loops, self.scalars, self.stateful, self.at_end = [], [], 0, 0, [], []

    def _join(self, parts: list[tuple[NDArray[np.bool_], Words]], subs: int) -> Words:
        """An if chain over the classes, each a set of places."""
        self.table.single = False
        place = self.block_index() if subs == 1 else self.block_index() * 2 + self.sub_block_index()
        code: Words = []
        for mask, words in parts[:-1]:
            code += (_IF, self.table.node(_among(place, mask)), *words, _ELSE)
        return [*code, *parts[-1][1], *(_END,) * (len(parts) - 1)]

    def block_index(self) -> Index:
        """The block, of the group in a mixed kernel."""
        return self._source(sym.BLOCK, self.blocks, self.witness[0])

    def sub_block_index(self) -> Index:
        return self._source(sym.SUB_BLOCK, 2 if self.kind == "mix" and self.core == "aiv" else 1, self.witness[1])

    def _source(self, op: int, count: int, value: int) -> Index:
        return value if self.table.single or count == 1 else self.table.source(op, 0, 0, count - 1, value)

    def decide(self, value: Sym) -> int:
        """What the witness has; only blocks that have the same stay in this class."""
        known = value.value
        if known is None:
            raise refuse("trace", "Python needs the value of an integer that only the device knows (a loop index of ac.range, or a GetValue)", self.here(),
                         "use ac.If, ac.range, ac.min/ac.max and Select, or Python's range, which unrolls")
        if not self.table.single:
            self._mask &= self.array(value.node) == known
            self.table.single = bool(self._mask.sum() == 1)
        return known

    def narrowed(self, value: Index) -> Index:
        """An expression of the block's index with the bounds that it has in the blocks of this class."""
        if not isinstance(value, Sym):
            return value
        held = self.array(value.node)[self._mask]
        low, high = int(held.min()), int(held.max())
        return low if low == high else Sym(self.table, value.node, low, high, value.value)

    def places(self, first: Index, second: Index) -> list[tuple[int, int]]:
        """What two addresses are in the blocks of this class, one pair for each distance between them; none where a loop or memory decides."""
        both = [one for one in (first, second) if isinstance(one, Sym)]
        if not both:
            return [(first, second)]  # type: ignore[list-item]
        if any(one.value is None for one in both):
            return []
        a, b = (self.array(one.node)[self._mask] if isinstance(one, Sym) else np.full(self._mask.sum(), one) for one in (first, second))
        chosen = np.unique(b - a, return_index=True)[1]
        return list(zip(a[chosen].tolist(), b[chosen].tolist(), strict=True))

    def array(self, node: int) -> NDArray[np.int64]:
        """The value of an expression for every block (and sub-block) of this kind of core."""
        found = self._arrays.get(node)
        if found is None:
            op, a, b, c = self.table.words[4 * node : 4 * node + 4]
            if op <= sym.SUB_BLOCK:
                found = np.full(len(self._pairs), a) if op == sym.CONST else self._pairs[:, op - sym.BLOCK]
            elif op == sym.SELECT:
                found = np.where(self.array(a), self.array(b), self.array(c))
            else:
                found = _ARRAYS[op](self.array(a), self.array(b)).astype(np.int64)
            self._arrays[node] = found
        return found

    # -- places in the source

    def site(self) -> int:
        """The number of the kernel's line that is being traced."""
        frame = sys._getframe(2)
        inside = self._inside
        while True:
            code = frame.f_code
            ours = inside.get(code)
            if ours is None:
                # A lambda that stands for an instruction is not the line a reader looks for; its caller is.
                ours = inside[code] = code.co_filename.startswith(BETWEEN) or code.co_name == "<lambda>"
            if not ours or frame.f_back is None:
                break
            frame = frame.f_back
        key = (code, frame.f_lineno)
        found = self._site_numbers.get(key)
        if found is None:
            found = self._site_numbers[key] = len(self.sites)
            self.sites.append(Site(code.co_filename, frame.f_lineno))
        return found

    def here(self) -> Site:
        return self.sites[self.site()]

    # -- instructions

    def opcode(self, instruction: Instruction) -> int:
        """The number of the instruction in this program, after a look whether this core and chip have it (R22)."""
        found = self._ready.get(instruction.name)
        if found is None:
            if self.core not in instruction.cores and self.generation != "1001":
                cores = {"aiv": "a vector core", "aic": "a cube core"}
                raise refuse("R22", f"{instruction.name} runs on {cores[instruction.cores[0]]}; this is the code of {cores[self.core]}", self.here(),
                             'in a mixed kernel branch on ac.IsAIC(); else choose kind="aic" or "aiv"')
            if self.generation not in instruction.generations:
                raise refuse("R22", f"{self.chip.name} ({self.generation}) has no {instruction.name}; chips of {', '.join(instruction.generations)} have",
                             self.here())
            found = self._ready[instruction.name] = self.opcodes.setdefault(instruction.name, len(self.opcodes))
        return found

    def emit(self, opcode: int, pipe: int, count: int, operands: tuple[int, ...], args: tuple[int, ...], floats: tuple[int, ...] = (0,)) -> None:
        """One instruction: operands and floats in the words of csrc/davinci/program.cpp (floats: how many, then two words each)."""
        self.words += (_INSTR, opcode, pipe, self.site(), count, *operands, len(args), *args, *floats)
        self.count_one()

    def count_one(self) -> None:
        """One instruction more. Raises where a loop of Python seems to have no end."""
        self.emitted += 1
        if self.emitted > MOST_INSTRUCTIONS:
            raise refuse("trace", f"the kernel's Python wrote down {MOST_INSTRUCTIONS} instructions, and goes on", self.here(),
                         "does this loop end? A long one stays short as `for i in ac.range(n)`, which is not unrolled")

    def declarations(self) -> list[tuple[str, str, str, int, int]]:
        used = (INSTRUCTIONS[name] for name in self.opcodes)
        return [(i.name, i.meaning, i.cost, int(i.pipe), int(i.sync)) for i in used]

    # -- loops and branches

    def loop(self, start: Index, stop: Index, step: Index) -> Iterator[Index]:
        """A loop that stays one: its body is traced, and again to see that it does not depend on what an iteration leaves behind in Python.

        Loops within are looked at twice in the first of these traces only. Where a round leaves queues at another slot than it found them at, what
        was traced is dropped, and queues turn with the loop's index.
        """
        if not isinstance(step, Sym) and step <= 0:
            raise refuse("trace", f"range: the step is {step}; it must be positive", self.here())
        ends = sym.bounds(sym.combine(sym.LT, start, stop))
        if ends[1] == 0:
            return
        if sym.bounds(sym.combine(sym.LE, stop, start + step))[0] == 1 and ends[0] == 1:
            yield start
            return
        number, site = self.loops, self.here()
        table = self.table
        self.loops += 1
        self.words += (_LOOP, number, table.node(start), table.node(stop), table.node(step))
        low, last = sym.bounds(start)[0], sym.bounds(stop)[1] - 1
        if isinstance(start, int) and isinstance(step, int):
            last = start + (last - start) // step * step
        index = table.source(sym.LOOP_INDEX, number, low, max(last, low), None)
        if isinstance(stop, Sym):
            table.stops[index.node] = stop.node
        else:
            table.stops.pop(index.node, None)
        mark = f"ac.range at {site.place}"
        self.open.append(mark)
        before = self._snapshot()
        begin = len(self.words)
        yield index
        self._close(mark)
        self._stays(before, mark)
        first = before
        turning = [(one, by, state) for one, state in before[2] if isinstance(one, Turning) and (by := one.turns(state, mark))]
        if turning:
            del self.words[begin:]
            self._restore(before)
            for one, by, _ in turning:
                one.move_on((index - start) // step * by)
            first = self._snapshot()
            self.open.append(mark)
            yield index
            self._close(mark)
        if not self.again:
            middle = len(self.words)
            self._restore(first)
            self.open.append(mark)
            self.again = True
            yield index
            self.again = False
            self._close(mark)
            if self.words[begin:middle] != self.words[middle:]:
                raise refuse("trace", "the body of ac.range does something else the second time: a Python variable (or a queue) changes from iteration to iteration",
                             site, "compute it from the loop's index (for example slot = i % 2 with AllocSlots), or use Python's range, which unrolls")
            del self.words[middle:]
        rounds = sym.maximum((stop - start + step - 1) // step, 0) if turning else 0
        for one, by, state in turning:
            one.turn_back(state, by, rounds)
        self.words.append(_END)

    def _stays(self, before: Snapshot, where: str) -> None:
        saved = {id(one): state for one, state in before[2]}
        for one in self.stateful:
            if isinstance(one, Lasting):
                one.stays(saved.get(id(one)), where)

    def _branched(self, before: Snapshot, where: str) -> None:
        self._stays(before, where)
        for one, state in before[2]:
            if isinstance(one, Turning):
                one.branched(state, where)

    def _snapshot(self) -> Snapshot:
        return self.loops, self.scalars, [(s, s.save()) for s in self.stateful], self.known

    def _restore(self, state: Snapshot) -> None:
        self._deepen()
        self.loops, self.scalars, kept, known = state
        if self.known is not known:  # something was set since
            self.forget()
        for one, saved in kept:
            one.restore(saved)
        self.stateful = [one for one, _ in kept]

    def forget(self) -> None:
        """What was remembered of instructions holds no longer: something that they depend on was set."""
        self.known = {}

    def _deepen(self) -> None:
        self.deepest_loops, self.deepest_scalars = max(self.loops, self.deepest_loops), max(self.scalars, self.deepest_scalars)

    def _close(self, mark: str) -> None:
        if not self.open or self.open.pop() != mark:
            raise KernelError(f"kernel: {mark} ends within another loop or If; close the inner one first")

    @contextmanager
    def branch(self, condition: Index) -> Iterator[None]:
        """Code that runs where the condition holds."""
        mark = f"ac.If at {self.here().place}"
        before = self._snapshot()
        self.words += (_IF, self.table.node(condition))
        self.open.append(mark)
        yield
        self._close(mark)
        self._branched(before, mark)
        self.words.append(_END)

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """The other side of the If that was just closed."""
        if not self.words or self.words[-1] != _END:
            raise refuse("trace", "ac.Else does not follow an ac.If", self.here(), "write `with ac.Else():` right after the block of `with ac.If(...):`")
        self.words[-1] = _ELSE
        mark = f"ac.Else at {self.here().place}"
        before = self._snapshot()
        self.open.append(mark)
        yield
        self._close(mark)
        self._branched(before, mark)
        self.words.append(_END)


def _among(place: Index, mask: NDArray[np.bool_]) -> Index:
    """1 where the place is one of the set."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    condition: Index = 0
    for low, high in zip(edges[::2].tolist(), edges[1::2].tolist()):
        condition = condition | ((place >= low) & (place < high))
    return condition


_ACTIVE: list[Tracer] = []


def current() -> Tracer:
    """The trace that is running."""
    if not _ACTIVE:
        raise KernelError("kernel language: no kernel is being traced; call this in a function under @npu.kernel")
    return _ACTIVE[-1]


@contextmanager
def tracing(tracer: Tracer) -> Iterator[Tracer]:
    """Makes the trace the current one."""
    _ACTIVE.append(tracer)
    try:
        yield tracer
    finally:
        _ACTIVE.remove(tracer)
