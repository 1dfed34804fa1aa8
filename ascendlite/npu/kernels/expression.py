"""Element-wise formulas as values: a formula is written once with operators, and becomes vector instructions with planned buffers.

A `Value` is a node of a formula over tiles. `Plan` orders the nodes, gives each a buffer that is free again after its last use, and
issues the instructions with a barrier only where one reads or overwrites what an unfinished one touches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.placement import placed
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.tiles import scratch

Scalar = int | float
# name -> the instruction; by what its operands are
_BINARY: Final = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min"}
_BITS: Final = {"and": "And", "or": "Or", "not": "Not"}
_SCALAR: Final = {"adds": "Adds", "muls": "Muls", "maxs": "Maxs", "mins": "Mins"}
_UNARY: Final = {"exp": "Exp", "ln": "Ln", "sqrt": "Sqrt", "abs": "Abs", "relu": "Relu"}
_ROUND: Final = {"floor": "CAST_FLOOR", "ceil": "CAST_CEIL", "rint": "CAST_RINT", "trunc": "CAST_TRUNC"}
ITEMSIZE: Final = {"f32": 4, "i32": 4, "u32": 4, "f16": 2, "bf16": 2, "i16": 2, "u8": 1, "i8": 1, "i64": 8, "pair": 8, "mask": 0.125}


@dataclass(frozen=True, eq=False)
class Value:
    """A tile in a formula: how it is made of others."""

    op: str
    format: str
    operands: tuple[Value, ...] = ()
    scalar: Scalar = 0
    mode: str = ""

    def __add__(self, other: Value | Scalar) -> Value:
        return _two("add", "adds", self, other)

    def __sub__(self, other: Value | Scalar) -> Value:
        return _make("sub", self, other) if isinstance(other, Value) else self + -other

    def __mul__(self, other: Value | Scalar) -> Value:
        return _two("mul", "muls", self, other)

    def __truediv__(self, other: Value | Scalar) -> Value:
        return _make("div", self, other if isinstance(other, Value) else constant(other, self))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Scalar) -> Value:
        return -self + other

    def __rtruediv__(self, other: Scalar) -> Value:
        return _make("div", constant(other, self), self)

    def __neg__(self) -> Value:
        return self * -1

    def __lt__(self, other: Value | Scalar) -> Value:
        return compare("LT", self, other)

    def __gt__(self, other: Value | Scalar) -> Value:
        return compare("GT", self, other)

    def __le__(self, other: Value | Scalar) -> Value:
        return compare("LE", self, other)

    def __ge__(self, other: Value | Scalar) -> Value:
        return compare("GE", self, other)

    def __and__(self, other: Value | int) -> Value:
        return _make("and", self, constant(other, self) if isinstance(other, int) else other)

    def __or__(self, other: Value | int) -> Value:
        return _make("or", self, constant(other, self) if isinstance(other, int) else other)

    __rand__, __ror__ = __and__, __or__

    def __invert__(self) -> Value:
        return _make("not", self)


def _make(op: str, *operands: Value) -> Value:
    return Value(op, operands[0].format, operands)


def _two(op: str, with_scalar: str, a: Value, b: Value | Scalar) -> Value:
    return _make(op, a, b) if isinstance(b, Value) else Value(with_scalar, a.format, (a,), b)


def constant(number: Scalar, like: Value) -> Value:
    """A tile full of one number, in the format of another."""
    return Value("duplicate", like.format, (), number)


def of_tiles(formula: Callable[[Value, Value], Value]) -> Callable[..., Value]:
    """A formula of two tiles, for a second operand that may be a number."""
    return lambda a, b: formula(a, b if isinstance(b, Value) else constant(b, a))


def compare(mode: str, a: Value, b: Value | Scalar) -> Value:
    """A mask of bits: a < b and so on. Integers compare by EQ only: a >= b where max(a, b) is a."""
    b = b if isinstance(b, Value) else constant(b, a)
    if a.format != "i32" or mode == "EQ":
        return Value("compare", "mask", (a, b), mode=mode)
    return _WHOLE[mode](a, b)


def eq(a: Value, b: Value | Scalar) -> Value:
    """a == b."""
    return compare("EQ", a, b)


def ne(a: Value, b: Value | Scalar) -> Value:
    """a != b, also where either is NaN."""
    return compare("NE", a, b)


_WHOLE: Final[dict[str, Callable[[Value, Value], Value]]] = {
    "NE": lambda a, b: ~eq(a, b), "GE": lambda a, b: eq(maximum(a, b), a), "LE": lambda a, b: eq(minimum(a, b), a),
    "LT": lambda a, b: ~eq(maximum(a, b), a), "GT": lambda a, b: ~eq(minimum(a, b), a),
}


def where(mask: Value, a: Value | Scalar, b: Value | Scalar) -> Value:
    """a where the mask has a bit, else b. At least one of them is a tile, or both are numbers for float32."""
    like = next((v for v in (a, b) if isinstance(v, Value)), Value("input", "f32"))
    tiles = tuple(v if isinstance(v, Value) else constant(v, like) for v in (a, b))
    return Value("select", like.format, (mask, *tiles))


def _unary(op: str) -> Callable[[Value], Value]:
    return lambda x: _make(op, x)


exp, ln, sqrt, absolute, relu = (_unary(op) for op in ("exp", "ln", "sqrt", "abs", "relu"))


def _rounding(mode: str) -> Callable[[Value], Value]:
    return lambda x: Value("cast", x.format, (x,), mode=mode)


floor, ceil, rint, trunc = (_rounding(_ROUND[name]) for name in ("floor", "ceil", "rint", "trunc"))


def maximum(a: Value, b: Value | Scalar) -> Value:
    """The larger one; NaN if either is."""
    return _two("max", "maxs", a, b)


def minimum(a: Value, b: Value | Scalar) -> Value:
    """The smaller one; NaN if either is."""
    return _two("min", "mins", a, b)


def cast(x: Value, format: str, mode: str | None = None) -> Value:
    """The values in another format: widening is exact, narrowing rounds to the nearest."""
    if x.format == format:
        return x
    if mode is None:
        mode = "CAST_NONE" if (x.format, format) in _EXACT else "CAST_RINT"
    return Value("cast", format, (x,), mode=mode)


def shifted(x: Value, bits: int) -> Value:
    """The bits of 32-bit integers moved to the left (or, below 0, to the right, where zeros come in)."""
    return Value("shift", x.format, (x,), bits)


def as_bits(x: Value, format: str) -> Value:
    """The bits of 32-bit numbers, taken as another format of 32 bits. Not in fp64 numerics, where a double holds a float32's number."""
    return Value("bits", format, (x,))


def fma(a: Value, b: Value | Scalar, c: Value) -> Value:
    """a b + c, rounded once."""
    return Value("fma", c.format, (a, b, c)) if isinstance(b, Value) else Value("fmas", c.format, (a, c), b)


_EXACT: Final = {("f16", "f32"), ("bf16", "f32"), ("u8", "f16"), ("i8", "f16"), ("i16", "f32"), ("i32", "i16"), ("i32", "i64"), ("i64", "i32")}


class Plan:
    """The order of a formula's nodes and the buffer of each."""

    def __init__(self, inputs: Sequence[Value], result: Value) -> None:
        self.inputs, self.result = tuple(inputs), result
        self.order: list[Value] = []
        self._sort(result, set())
        self.joins = any(node.op == "join" for node in self.order)  # whether words of 64-bit integers are put in turn
        self.slot, self.slots = placed(self.order, result, lambda node: ITEMSIZE[node.format], _in_place)  # slots: bytes an element of each buffer

    def _sort(self, node: Value, seen: set[int]) -> None:
        if id(node) in seen or node in self.inputs:
            return
        seen.add(id(node))
        for operand in node.operands:
            self._sort(operand, seen)
        self.order.append(node)

    def issue(self, inputs: Sequence[Any], temporaries: Sequence[Any], output: Any, count: Any, turns: Any = None) -> None:
        """The instructions, for `count` elements: tiles of the inputs, raw buffers of the temporaries, the tile of the result; `turns`: see Turns."""
        place = {id(v): t for v, t in zip(self.inputs, inputs, strict=True)}
        touched: set[int] = set()
        written: set[int] = set()
        for node in self.order:
            where_ = output if node is self.result else temporaries[self.slot[id(node)]].ReinterpretCast(_FORMATS[node.format])
            mine = -1 if node is self.result else self.slot[id(node)]
            reads = {self.slot.get(id(v), -2 - k) for k, v in enumerate(node.operands)}
            if reads & written or mine in touched:
                ac.PipeBarrier(ac.PIPE_V)
                touched, written = set(), set()
            sources = [place[id(v)] for v in node.operands] + ([turns] if node.op in ("pair", "join") else [])
            _ISSUE[node.op](node, where_, sources, count)
            place[id(node)] = where_
            touched |= reads | {mine}
            written.add(mine)


def _in_place(node: Value, operand: Value) -> bool:
    """Whether an operand's buffer can become the result's: a fused product is added to its last operand, which can't be a factor, too."""
    if node.op in ("fma", "fmas"):
        return operand is node.operands[-1] and operand not in node.operands[:-1]
    return node.op not in ("compare", "select", "cast", "pair", "join", "low", "high") and operand.format == node.format


_FORMATS: Final = {name: getattr(dtypes, {"mask": "u8", "pair": "i64"}.get(name, name)) for name in ITEMSIZE}


def _issue_bits(node: Value, dst: Any, src: list[Any], count: Any) -> None:
    """And, Or and Not know words of 16 bits: parts of a wider integer, or 16 bits of a mask."""
    words = ac.CeilDiv(count, 16) if node.format == "mask" else ac.CeilDiv(count * int(ITEMSIZE[node.format]), 2)
    dst, *src = (t.ReinterpretCast(dtypes.u16) for t in (dst, *src))
    getattr(ac, _BITS[node.op])(dst, *src, words)


def _issue_compare(node: Value, dst: Any, src: list[Any], count: Any) -> None:
    """Compare takes whole repeats: the lanes after the tile's end are set first, so that nothing unwritten is read."""
    lanes = 256 // int(ITEMSIZE[node.operands[0].format])
    rest = count % lanes
    if rest:
        bits = (1 << lanes) - (1 << int(rest))
        for operand in dict.fromkeys(src):
            ac.Duplicate(operand[count - rest :], 0, [bits & (1 << 64) - 1, bits >> 64], 1)
        ac.PipeBarrier(ac.PIPE_V)
    ac.Compare(dst, src[0], src[1], node.mode, count if not rest else count - rest + lanes)


def _issue_fma(node: Value, dst: Any, src: list[Any], count: Any) -> None:
    """The instructions add to what the destination holds."""
    if dst.key() != src[-1].key():
        ac.Muls(dst, src[-1], 1.0, count)
        ac.PipeBarrier(ac.PIPE_V)
    if node.op == "fmas":
        ac.Axpy(dst, src[0], node.scalar, count)
    else:
        ac.MulAddDst(dst, src[0], src[1], count)


_MOVED: Final = {dtypes.i32: dtypes.f32, dtypes.i16: dtypes.f16, dtypes.bf16: dtypes.f16}


def _issue_select(node: Value, dst: Any, src: list[Any], count: Any) -> None:
    """Select moves bits: what is no format of its own passes as one of the same width."""
    to = _MOVED.get(dst.dtype, dst.dtype)
    mask, a, b = (s.ReinterpretCast(to) if k else s for k, s in enumerate(src))
    ac.Select(dst.ReinterpretCast(to), mask, a, b, "VSEL_TENSOR_TENSOR_MODE", count)


def _issue_shift(node: Value, dst: Any, src: list[Any], count: Any) -> None:
    move, bits = (ac.ShiftLeft, node.scalar) if node.scalar > 0 else (ac.ShiftRight, -node.scalar)
    move(dst.ReinterpretCast(dtypes.u32), src[0].ReinterpretCast(dtypes.u32), bits, count)


class Turns:
    """Where the words of 64-bit integers lie: the low ones of a tile behind each other, then the high ones; and the way to words in turn.

    Memory holds them in turn. `pairs`: the buffers of the plan that hold them apart; their bytes are written once, since a gather reads all.
    """

    def __init__(self, tile: int, pairs: Sequence[Any]) -> None:
        self.high = tile
        number, self.offsets = (scratch(dtypes.i32, 2 * tile) for _ in (0, 1))
        for room in pairs:
            ac.Duplicate(room.ReinterpretCast(dtypes.i32), 0, 2 * tile)
        ac.CreateVecIndex(number, 0, 2 * tile)
        ac.PipeBarrier(ac.PIPE_V)
        ac.ShiftRight(self.offsets, number, 1, 2 * tile)  # the element
        ac.PipeBarrier(ac.PIPE_V)
        ac.Muls(self.offsets, self.offsets, 4 - 8 * tile, 2 * tile)
        ac.Muls(number, number, 4 * tile, 2 * tile)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Add(self.offsets, self.offsets, number, 2 * tile)  # 4 element + 4 tile (number mod 2)


def _issue_word(node: Value, dst: Any, src: list[Any], count: Any) -> None:
    """Every other word."""
    ac.GatherMask(dst, src[0].ReinterpretCast(dtypes.i32), 1 if node.op == "low" else 2, 2 * count)


def _issue_pair(node: Value, dst: Any, src: list[Any], count: Any) -> None:
    low, high, turns = src
    words = dst.ReinterpretCast(dtypes.i32)
    ac.Adds(words, low, 0, count)
    ac.Adds(words[turns.high :], high, 0, count)


def _issue_join(node: Value, dst: Any, src: list[Any], count: Any) -> None:
    words, turns = src
    dst, words, offsets = (t.ReinterpretCast(dtypes.u32) for t in (dst, words, turns.offsets))
    ac.Gather(dst, words[: 2 * turns.high], offsets, 0, 2 * count)


_ISSUE: Final[dict[str, Callable[[Value, Any, list[Any], Any], None]]] = {
    **dict.fromkeys(_BINARY, lambda node, dst, src, count: getattr(ac, _BINARY[node.op])(dst, *src, count)),
    **dict.fromkeys(_UNARY, lambda node, dst, src, count: getattr(ac, _UNARY[node.op])(dst, src[0], count)),
    **dict.fromkeys(_BITS, _issue_bits),
    **dict.fromkeys(_SCALAR, lambda node, dst, src, count: getattr(ac, _SCALAR[node.op])(dst, src[0], node.scalar, count)),
    "duplicate": lambda node, dst, src, count: ac.Duplicate(dst, node.scalar, count),
    "compare": lambda node, dst, src, count: _issue_compare(node, dst, src, count),
    "select": _issue_select,
    "bits": lambda node, dst, src, count: ac.Adds(dst.ReinterpretCast(dtypes.i32), src[0].ReinterpretCast(dtypes.i32), 0, count),
    "shift": _issue_shift, "low": _issue_word, "high": _issue_word, "pair": _issue_pair, "join": _issue_join,
    **dict.fromkeys(("fma", "fmas"), _issue_fma),
    "cast": lambda node, dst, src, count: ac.Cast(dst, src[0], node.mode, count),
}
