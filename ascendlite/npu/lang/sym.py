"""Integers that are known per block or per iteration only: nodes of the program's expression table.

Arithmetic on them builds nodes, each made once. Where Python needs the value (`if`, `range`, a list index), the table's owner decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ascendlite.npu.lang.mistakes import whole

# Numbers of csrc/davinci/program.h.
CONST, BLOCK, SUB_BLOCK, LOOP_INDEX, SCALAR = range(5)
ADD, SUB, MUL, FLOOR_DIV, MOD, MIN, MAX, AND, OR, XOR, SHL, SHR, EQ, NE, LT, LE, SELECT = range(5, 22)

_COMPUTE: Final[dict[int, Callable[[int, int], int]]] = {
    ADD: lambda a, b: a + b, SUB: lambda a, b: a - b, MUL: lambda a, b: a * b, FLOOR_DIV: lambda a, b: a // b, MOD: lambda a, b: a % b,
    MIN: min, MAX: max, AND: lambda a, b: a & b, OR: lambda a, b: a | b, XOR: lambda a, b: a ^ b, SHL: lambda a, b: a << b,
    SHR: lambda a, b: a >> b, EQ: lambda a, b: int(a == b), NE: lambda a, b: int(a != b), LT: lambda a, b: int(a < b),
    LE: lambda a, b: int(a <= b),
}  # fmt: skip
_CORNERS = frozenset((ADD, SUB, MUL, FLOOR_DIV, MIN, MAX, SHL, SHR))  # monotone in each operand: extremes lie at the ends
_LOOKING = frozenset((SUB, FLOOR_DIV, MOD))  # by an expression: they look at more than their operands
_WORST = 1 << 62


class Owner(Protocol):
    """Who decides what Python can't leave open."""

    def decide(self, value: Sym) -> int: ...


class Table:
    """The expressions of one program, four words a node, and the number of each node."""

    __slots__ = ("combined", "constants", "numbers", "owner", "single", "stops", "words")

    def __init__(self, owner: Owner) -> None:
        self.words: list[int] = []
        self.numbers: dict[tuple[int, int, int, int], int] = {}
        self.constants: dict[int, int] = {}
        self.owner = owner
        self.stops: dict[int, int] = {}  # of a loop's index: the node that it stays below
        self.combined: dict[tuple[object, ...], int | Sym] = {}  # what operands gave; its owner clears it before another block is traced
        self.single = False  # the code is for one block: what depends on the block only is a number

    def number(self, op: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """The number of the node, made now if it is new."""
        key = (op, a, b, c)
        found = self.numbers.get(key)
        if found is None:
            found = self.numbers[key] = len(self.numbers)
            self.words += key
        return found

    def node(self, value: int | Sym) -> int:
        """The number of the node of an integer."""
        if isinstance(value, Sym):
            return value.node
        if type(value) is not int:  # 64.0 would find the constant 64
            value = whole(value)
        found = self.constants.get(value)
        if found is None:
            found = self.constants[value] = self.number(CONST, value)
        return found

    def source(self, op: int, index: int, low: int, high: int, value: int | None) -> Sym:
        """A block index, loop index or scalar slot, between low and high; `value`: what it is in the traced block, if that is known."""
        return Sym(self, self.number(op, index), low, high, value)


def _range(op: int, a: int | Sym, b: int | Sym) -> tuple[int, int]:
    (al, ah), (bl, bh) = bounds(a), bounds(b)
    if op in _CORNERS:
        if op == FLOOR_DIV and bl <= 0 <= bh:
            return -_WORST, _WORST
        if op in (SHL, SHR) and not 0 <= bl <= bh < 63:
            return -_WORST, _WORST
        compute = _COMPUTE[op]
        ends = [compute(x, y) for x in (al, ah) for y in (bl, bh)]
        return min(ends), max(ends)
    if op == MOD:
        return (0, max(bh - 1, 0)) if bl > 0 else (min(bl + 1, 0), max(bh - 1, 0))
    if op == AND and al >= 0 and bl >= 0:
        return 0, min(ah, bh)
    if op in (OR, XOR) and al >= 0 and bl >= 0:
        return 0, (1 << max(ah.bit_length(), bh.bit_length())) - 1
    return -_WORST, _WORST


def _known(op: int, a: int | Sym, b: int | Sym) -> int | None:
    """What a comparison gives whatever the values are."""
    (al, ah), (bl, bh) = bounds(a), bounds(b)
    if op in (EQ, NE):
        return int(op == NE) if ah < bl or bh < al else None
    strict = op == LT
    if ah < bl or (not strict and ah <= bl):
        return 1
    return 0 if al > bh or (strict and al >= bh) else None


def combine(op: int, a: int | Sym, b: int | Sym) -> int | Sym:
    """`a op b`, as a number where it is the same for all blocks and iterations."""
    if not isinstance(a, Sym) and not isinstance(b, Sym):
        return _COMPUTE[op](a, b)
    if isinstance(a, Sym):
        table = a.table
        if type(b) is int:
            key: tuple[object, ...] = (op, table.single, a.node, a.low, a.high, b)
        elif isinstance(b, Sym) and op not in _LOOKING:
            key = (op, table.single, a.node, a.low, a.high, b.node, b.low, b.high)
        else:
            return _combine(table, op, a, b)
    else:
        table = b.table  # type: ignore[union-attr]
        if type(a) is not int or op in _LOOKING:
            return _combine(table, op, a, b)
        key = (op, a, table.single, b.node, b.low, b.high, None)  # type: ignore[union-attr]
    found = table.combined.get(key)
    if found is None:
        found = table.combined[key] = _combine(table, op, a, b)
    return found


def _combine(table: Table, op: int, a: int | Sym, b: int | Sym) -> int | Sym:
    """The same, where at least one is an expression of the table."""
    if op >= EQ:
        known = _known(op, a, b)
        if known is not None:
            return known
        low, high = 0, 1
    else:
        if not isinstance(b, Sym) and ((b == 0 and op in (ADD, SUB, OR, XOR, SHL, SHR)) or (b == 1 and op in (MUL, FLOOR_DIV))):
            return a
        if not isinstance(a, Sym) and ((a == 0 and op == ADD) or (a == 1 and op == MUL)):
            return b
        low, high = _range(op, a, b)
        if op == SUB and isinstance(a, Sym) and isinstance(b, Sym) and table.stops.get(b.node) == a.node:
            low = max(low, 1)  # a loop's index is less than its end
        if low == high:
            return low
        if op in (MIN, MAX):
            (al, ah), (bl, bh) = bounds(a), bounds(b)
            if ah <= bl or bh <= al:
                return a if (ah <= bl) == (op == MIN) else b
        elif op == MOD and not isinstance(b, Sym):
            al, ah = bounds(a)
            if 0 <= al and ah < b:
                return a
    if op in (FLOOR_DIV, MOD) and isinstance(b, Sym):
        return combine(op, a, table.owner.decide(b))
    va, vb = (x.value if isinstance(x, Sym) else x for x in (a, b))
    value = None if va is None or vb is None else _COMPUTE[op](va, vb)
    if table.single and value is not None:
        return value
    return Sym(table, table.number(op, table.node(a), table.node(b)), low, high, value)


def bounds(value: int | Sym) -> tuple[int, int]:
    """The least and the greatest that the integer can be."""
    if not isinstance(value, Sym):
        return value, value
    if value.value is not None and value.table.single:  # made before the code was narrowed to one block
        return value.value, value.value
    return value.low, value.high


def minimum(a: int | Sym, b: int | Sym) -> int | Sym:
    return combine(MIN, a, b)


def maximum(a: int | Sym, b: int | Sym) -> int | Sym:
    return combine(MAX, a, b)


def select(condition: int | Sym, a: int | Sym, b: int | Sym) -> int | Sym:
    """a where the condition holds, else b."""
    if not isinstance(condition, Sym):
        return a if condition else b
    table = condition.table
    low, high = min(bounds(a)[0], bounds(b)[0]), max(bounds(a)[1], bounds(b)[1])
    chosen = None if condition.value is None else a if condition.value else b
    value = chosen.value if isinstance(chosen, Sym) else chosen
    return Sym(table, table.number(SELECT, condition.node, table.node(a), table.node(b)), low, high, value)


class Sym:
    """An integer expression of the program. `value`: what it is in the traced block, None where an iteration or memory decides."""

    __slots__ = ("high", "low", "node", "table", "value")

    def __init__(self, table: Table, node: int, low: int, high: int, value: int | None) -> None:
        self.table, self.node, self.low, self.high, self.value = table, node, low, high, value

    def key(self) -> tuple[int, int, int]:
        """What two equal expressions share; the range too, as the number of a loop is used again."""
        return self.node, self.low, self.high

    def __repr__(self) -> str:
        return f"Sym({self.low}..{self.high})"

    def __bool__(self) -> bool:
        return bool(self.table.owner.decide(self)) if self.low <= 0 <= self.high else True

    def __index__(self) -> int:
        return self.table.owner.decide(self)

    def __hash__(self) -> int:
        return hash(self.table.owner.decide(self))

    __int__ = __index__

    def __neg__(self) -> int | Sym:
        return combine(SUB, 0, self)

    def __pos__(self) -> Sym:
        return self

    def __divmod__(self, other: int | Sym) -> tuple[int | Sym, int | Sym]:
        return combine(FLOOR_DIV, self, other), combine(MOD, self, other)

    def __ge__(self, other: int | Sym) -> int | Sym:
        return combine(LE, other, self)

    def __gt__(self, other: int | Sym) -> int | Sym:
        return combine(LT, other, self)

    def __le__(self, other: int | Sym) -> int | Sym:
        return combine(LE, self, other)

    def __lt__(self, other: int | Sym) -> int | Sym:
        return combine(LT, self, other)

    def __eq__(self, other: object) -> int | Sym:  # type: ignore[override]
        return combine(EQ, self, other) if isinstance(other, (int, Sym)) else 0

    def __ne__(self, other: object) -> int | Sym:  # type: ignore[override]
        return combine(NE, self, other) if isinstance(other, (int, Sym)) else 1

    def __add__(self, other: int | Sym) -> int | Sym:
        return combine(ADD, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: int | Sym) -> int | Sym:
        return combine(SUB, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    def __rsub__(self, other: int) -> int | Sym:
        return combine(SUB, other, self) if isinstance(other, int) else NotImplemented

    def __mul__(self, other: int | Sym) -> int | Sym:
        return combine(MUL, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: int | Sym) -> int | Sym:
        return combine(FLOOR_DIV, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    def __rfloordiv__(self, other: int) -> int | Sym:
        return combine(FLOOR_DIV, other, self) if isinstance(other, int) else NotImplemented

    def __mod__(self, other: int | Sym) -> int | Sym:
        return combine(MOD, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    def __rmod__(self, other: int) -> int | Sym:
        return combine(MOD, other, self) if isinstance(other, int) else NotImplemented

    def __and__(self, other: int | Sym) -> int | Sym:
        return combine(AND, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    __rand__ = __and__

    def __or__(self, other: int | Sym) -> int | Sym:
        return combine(OR, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    __ror__ = __or__

    def __xor__(self, other: int | Sym) -> int | Sym:
        return combine(XOR, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    __rxor__ = __xor__

    def __lshift__(self, other: int | Sym) -> int | Sym:
        return combine(SHL, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    def __rlshift__(self, other: int) -> int | Sym:
        return combine(SHL, other, self) if isinstance(other, int) else NotImplemented

    def __rshift__(self, other: int | Sym) -> int | Sym:
        return combine(SHR, self, other) if isinstance(other, (int, Sym)) else NotImplemented

    def __rrshift__(self, other: int) -> int | Sym:
        return combine(SHR, other, self) if isinstance(other, int) else NotImplemented
