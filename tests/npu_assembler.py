"""Programs written by hand, instruction by instruction, for tests of what consumes them. No language, no chip: the words of csrc/davinci/program.cpp."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from ascendlite import _davinci

GM, UB, L1, L0A, L0B, L0C, BT, FB = range(8)
S, V, M, MTE1, MTE2, MTE3, FIX = range(7)
READ, WRITE, PARTIAL, ATOMIC = 1, 2, 4, 8
KIB = 1024
CAPACITY = (0, 192 * KIB, 512 * KIB, 64 * KIB, 64 * KIB, 128 * KIB, KIB, 7 * KIB)
ALIGNMENT = (1, 32, 32, 512, 512, 64, 64, 64)
_SYNCS = {"none": 0, "SetFlag": 1, "WaitFlag": 2, "PipeBarrier": 3, "CrossCoreSetFlag": 4, "CrossCoreWaitFlag": 5, "SyncAll": 6, "GetValue": 7,
          "DataCacheCleanAndInvalid": 8}  # fmt: skip
_KINDS = {"aic": 0, "aiv": 1, "mix": 2}
_BINARY = {"+": 5, "-": 6, "*": 7, "//": 8, "%": 9, "min": 10, "max": 11}

Number = int | tuple[Any, ...]  # a constant, ("block",), ("sub",), ("loop", i), ("scalar", i), or (operator, a, b)
Operand = tuple[Any, ...]  # memory, access, base, bytes, [(count, stride), ...], argument


class Assembler:
    """Collects instructions of a program: `p.op("aiv", V, "add", [...])`. A line of the program is a site."""

    def __init__(self, kind: str, tensors: Sequence[int] = ()) -> None:
        self.kind, self.tensors = kind, list(tensors)
        self.code: dict[str, list[int]] = {"aic": [], "aiv": []}
        self.exprs: dict[tuple[int, int, int, int], int] = {}
        self.declared: dict[tuple[str, str, int, int], int] = {}
        self.lines = 0
        self.loops = self.scalars = 0
        self.core = "aic" if kind == "aic" else "aiv"

    def node(self, x: Number) -> int:
        if isinstance(x, int):
            key = (0, x, 0, 0)
        elif x[0] in ("block", "sub"):
            key = (1 + ("block", "sub").index(x[0]), 0, 0, 0)
        elif x[0] in ("loop", "scalar"):
            key = (3 + ("loop", "scalar").index(x[0]), x[1], 0, 0)
        else:
            key = (_BINARY[x[0]], self.node(x[1]), self.node(x[2]), 0)
        return self.exprs.setdefault(key, len(self.exprs))

    def op(self, pipe: int, meaning: str, operands: Sequence[Operand] = (), args: Sequence[Number] = (), sync: str = "none") -> int:
        """One instruction of the current core; the number of its site."""
        key = (meaning, meaning, pipe, _SYNCS[sync])
        words = [0, self.declared.setdefault(key, len(self.declared)), pipe, self.lines, len(operands)]
        for memory, access, base, nbytes, *rest in operands:
            repeats = rest[0] if rest else []
            words += [memory, 0, access, (rest[1] if len(rest) > 1 else -1) + 1, self.node(base), self.node(nbytes), len(repeats)]
            for count, stride in repeats:
                words += [self.node(count), self.node(stride)]
        words += [len(args), *(self.node(a) for a in args), 0]
        self.code[self.core] += words
        self.lines += 1
        return self.lines - 1

    def set(self, source: int, destination: int, event: Number = 0) -> int:
        return self.op(source, "SetFlag", args=(destination, event), sync="SetFlag")

    def wait(self, source: int, destination: int, event: Number = 0) -> int:
        return self.op(destination, "WaitFlag", args=(source, event), sync="WaitFlag")

    def order(self, source: int, destination: int, event: Number = 0) -> None:
        self.set(source, destination, event)
        self.wait(source, destination, event)

    def barrier(self, pipe: int | None = None) -> int:
        return self.op(S if pipe is None else pipe, "PipeBarrier", args=(int(pipe is None),), sync="PipeBarrier")

    def cross_set(self, pipe: int, mode: int, flag: int) -> int:
        return self.op(pipe, "CrossCoreSetFlag", args=(mode, flag), sync="CrossCoreSetFlag")

    def cross_wait(self, flag: int) -> int:
        return self.op(S, "CrossCoreWaitFlag", args=(flag,), sync="CrossCoreWaitFlag")

    def sync_all(self, own_kind: int = 0) -> int:
        return self.op(S, "SyncAll", args=(own_kind,), sync="SyncAll")

    def get_value(self, memory: int, base: Number, slot: int, low: int, high: int, argument: int = -1) -> int:
        self.scalars = max(self.scalars, slot + 1)
        return self.op(S, "GetValue", [(memory, READ, base, 4, [], argument)], (slot, low, high), sync="GetValue")

    def loop(self, start: Number, stop: Number, step: Number = 1) -> tuple[str, int]:
        number = self.loops
        self.loops += 1
        self.code[self.core] += [1, number, self.node(start), self.node(stop), self.node(step)]
        return ("loop", number)

    def when(self, condition: Number) -> None:
        self.code[self.core] += [2, self.node(condition)]

    def end(self) -> None:
        self.code[self.core].append(4)

    def load(self, ub: Number, nbytes: Number, gm: Number = 0, argument: int = 0, memory: int = UB) -> int:
        return self.op(MTE2, "copy", [(memory, WRITE, ub, nbytes), (GM, READ, gm, nbytes, [], argument)])

    def store(self, ub: Number, nbytes: Number, gm: Number = 0, argument: int = 1, access: int = WRITE) -> int:
        return self.op(MTE3, "copy", [(GM, access, gm, nbytes, [], argument), (UB, READ, ub, nbytes)])

    def vector(self, dst: Number, src: Number, nbytes: Number, meaning: str = "abs") -> int:
        head = (0, 64, 0, 1, 1, 1, 1, 8, 8, 8, 0, 0)
        return self.op(V, meaning, [(UB, WRITE, dst, nbytes), (UB, READ, src, nbytes)], head)

    def fill(self, dst: Number, nbytes: Number) -> int:
        return self.op(V, "duplicate", [(UB, WRITE, dst, nbytes)], (0, 64, 0, 1, 1, 1, 1, 8, 8, 8, 0, 0))

    def program(self) -> Any:
        self.node(0)
        declarations = [(name, meaning, "none", pipe, sync) for name, meaning, pipe, sync in self.declared]
        exprs = [word for key in self.exprs for word in key]
        return _davinci.Program(
            "hand", _KINDS[self.kind], declarations, exprs, self.code["aic"], self.code["aiv"], self.tensors, self.loops, self.scalars
        )

    def check(self, blocks: int = 1, **options: Any) -> list[dict[str, Any]]:
        """What the checker finds."""
        return self.report(blocks, **options)["findings"]

    def report(self, blocks: int = 1, cores: tuple[int, int] = (24, 48), **options: Any) -> dict[str, Any]:
        return _davinci.check(self.program(), blocks, CAPACITY, ALIGNMENT, cores, **options)

    def rules(self, blocks: int = 1, **options: Any) -> list[int]:
        return sorted({f["rule"] for f in self.check(blocks, **options)})


def bits(x: float) -> int:
    """A real number as the word that programs hold it in."""
    return struct.unpack("q", struct.pack("d", x))[0]
