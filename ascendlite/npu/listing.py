"""A program as text: loops and branches as they stand, one instruction a line with its pipe, the bytes it touches and its source line."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ascendlite.npu.lang import dtypes, sym
from ascendlite.npu.lang.declare import ATOMIC, READ, Memory, Pipe
from ascendlite.npu.lang.instructions import INSTRUCTIONS
from ascendlite.npu.lang.real import FIRST_SLOT

if TYPE_CHECKING:
    from ascendlite.npu.programs import Traced

_SIGNS = {sym.ADD: "+", sym.SUB: "-", sym.MUL: "*", sym.FLOOR_DIV: "//", sym.MOD: "%", sym.AND: "&", sym.OR: "|", sym.XOR: "^", sym.SHL: "<<",
          sym.SHR: ">>", sym.EQ: "==", sym.NE: "!=", sym.LT: "<", sym.LE: "<="}  # fmt: skip
_SOURCES = {sym.BLOCK: "block", sym.SUB_BLOCK: "sub"}


class _Names:
    """Expressions as text."""

    def __init__(self, words: Sequence[int]) -> None:
        self.words = words
        self.known: dict[int, str] = {}

    def of(self, node: int) -> str:
        found = self.known.get(node)
        if found is None:
            op, a, b, c = self.words[4 * node : 4 * node + 4]
            found = self.known[node] = self._text(op, a, b, c)
        return found

    def _text(self, op: int, a: int, b: int, c: int) -> str:
        if op == sym.CONST:
            return str(a)
        if op in _SOURCES:
            return _SOURCES[op]
        if op in (sym.LOOP_INDEX, sym.SCALAR):
            return f"{'i' if op == sym.LOOP_INDEX else 's'}{a}"
        if op == sym.SELECT:
            return f"({self.of(b)} if {self.of(a)} else {self.of(c)})"
        if op in (sym.MIN, sym.MAX):
            return f"{'min' if op == sym.MIN else 'max'}({self.of(a)}, {self.of(b)})"
        return f"({self.of(a)} {_SIGNS[op]} {self.of(b)})"

    def bare(self, node: int) -> str:
        """Without the outer parentheses."""
        text = self.of(node)
        return text[1:-1] if text.startswith("(") and text.endswith(")") and " if " not in text else text


def listing(traced: Traced) -> str:
    """The whole program. Bytes are shown as memory[first, past the last) of a run, with `x count @ stride` for repeats."""
    names = _Names(traced.words["expressions"])
    lines = [f"{traced.name}: {traced.kind}, {traced.blocks} blocks, {traced.chip.name}; tensors: {', '.join(traced.arguments) or 'none'}"]
    for core in ("aic", "aiv"):
        if core in traced.words:
            lines.append(f"{core}:")
            lines += _code(traced, traced.words[core], names, core)
    return "\n".join(lines)


def _code(traced: Traced, words: Sequence[int], names: _Names, core: str) -> Iterator[str]:
    at, depth = 0, 1
    while at < len(words):
        kind = words[at]
        if kind == 0:
            at, text = _instruction(traced, words, at, names, core)
            yield "  " * depth + text
            continue
        if kind == 1:
            start, stop, step = (names.bare(n) for n in words[at + 2 : at + 5])
            yield "  " * depth + f"for i{words[at + 1]} in range({start}, {stop}, {step}):"
            at, depth = at + 5, depth + 1
        elif kind == 2:
            yield "  " * depth + f"if {names.bare(words[at + 1])}:"
            at, depth = at + 2, depth + 1
        elif kind == 3:
            yield "  " * (depth - 1) + "else:"
            at += 1
        else:
            at, depth = at + 1, depth - 1


def _instruction(traced: Traced, words: Sequence[int], at: int, names: _Names, core: str) -> tuple[int, str]:
    name = traced.names[words[at + 1]]
    declared = INSTRUCTIONS[name]
    pipe, site, count = Pipe(words[at + 2]).name, traced.sites[words[at + 3]], words[at + 4]
    at += 5
    operands = []
    for _ in range(count):
        at, text = _operand(traced, words, at, names, core)
        operands.append(text)
    nargs = words[at]
    values = [names.bare(n) for n in words[at + 1 : at + 1 + nargs]]
    at += 1 + nargs
    reals = [_slot(words[at + 1 + 2 * i] - 1) if words[at + 1 + 2 * i] else f"{_real(words[at + 2 + 2 * i]):g}" for i in range(words[at])]
    at += 1 + 2 * words[at]
    quiet = _QUIET | _COUNTED if declared.args[:1] == ("mode",) and values[0] == "0" else _QUIET
    shown = [f"{k}={Pipe(int(v)).name if k == 'pipe' else v}" for k, v in zip(declared.args, values) if (v != "0" or k == "event") and k not in quiet]
    shown += [f"{k}={v}" for k, v in zip(declared.floats, reals) if v != "0"]
    return at, f"{pipe:<5}{name:<18}{'  '.join(operands)}{'  ' if operands else ''}{' '.join(shown)}  # {site.place}"


_QUIET = frozenset(("mode", "dst_block", "src0_block", "src1_block", "scalar_kind", "outer", "dst_outer", "src_outer"))
_COUNTED = frozenset(("repeat", "dst_rep", "src0_rep", "src1_rep"))


def _slot(slot: int) -> str:
    """A scalar that GetValue read, or a number of the launch."""
    return f"s{slot}" if slot < FIRST_SLOT else f"launch{slot - FIRST_SLOT}"


def _real(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", bits))[0])


def _operand(traced: Traced, words: Sequence[int], at: int, names: _Names, core: str) -> tuple[int, str]:
    memory, dtype, access, tensor, base, size, ndim = words[at : at + 7]
    dims = [f" x {names.of(words[at + 7 + 2 * d])} @ {names.of(words[at + 8 + 2 * d])}" for d in range(ndim)]
    if memory == Memory.GM:
        where = traced.arguments[tensor - 1]
    else:
        where = f"{Memory(memory).name}:{traced.buffers[core][tensor - 1].name}" if tensor else Memory(memory).name
    first = names.bare(base)
    last = str(int(first) + int(names.of(size))) if first.isdigit() and names.of(size).isdigit() else f"+{names.of(size)}"
    mark = "<" if access == READ else "atomic>" if access & ATOMIC else ">" if not access & READ else "<>"
    return at + 7 + 2 * ndim, f"{mark}{where}[{first}, {last}){''.join(dims)} {dtypes.BY_CODE[dtype].name}"
