"""Programs written by hand, instruction by instruction: for tests of the clock that need no language."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from ascendlite._davinci import Program

GM, UB, L1, L0A, L0B, L0C, BT, FB = range(8)
S, V, M, MTE1, MTE2, MTE3, FIX = range(7)
READ, WRITE = 1, 2
F16, F32 = 6, 8
SET, WAIT, BARRIER, CROSS_SET, CROSS_WAIT, SYNC_ALL = 1, 2, 3, 4, 5, 6
CONST, BLOCK, SUB, LOOP = 0, 1, 2, 3
ADD, SUBTRACT, MUL, FLOORDIV, MOD, MIN = 5, 6, 7, 8, 9, 10
Number = int | tuple[str, int]


class Assembler:
    """Builds the code of one core kind. Numbers are ints or nodes (("node", index)) made by `expr`."""

    def __init__(self) -> None:
        self.exprs: list[int] = []
        self.declared: list[tuple[str, str, str, int, int]] = []
        self.code: list[int] = []
        self.loops = 0
        self.constants: dict[int, int] = {}

    def node(self, value: Number) -> int:
        if isinstance(value, tuple):
            return value[1]
        if value not in self.constants:
            self.exprs += [CONST, value, 0, 0]
            self.constants[value] = len(self.exprs) // 4 - 1
        return self.constants[value]

    def expr(self, op: int, a: Number = 0, b: Number = 0) -> Number:
        leaf = op in (BLOCK, SUB, LOOP)
        words = [op, a if leaf else self.node(a), 0 if leaf else self.node(b), 0]
        self.exprs += [int(w) for w in words]  # type: ignore[arg-type]
        return ("node", len(self.exprs) // 4 - 1)

    def emit(self, name: str, cost: str, pipe: int, sync: int = 0, regions: tuple = (), args: tuple = (), site: int = 0) -> None:
        key = (name, name, cost, pipe, sync)
        if key not in self.declared:
            self.declared.append(key)
        self.code += [0, self.declared.index(key), pipe, site, len(regions)]
        for memory, dtype, access, tensor, base, size, *dims in regions:
            self.code += [memory, dtype, access, tensor + 1, self.node(base), self.node(size), len(dims)]
            for count, stride in dims:
                self.code += [self.node(count), self.node(stride)]
        self.code += [len(args), *(self.node(a) for a in args), 0]

    @contextmanager
    def loop(self, stop: Number, start: Number = 0, step: Number = 1) -> Iterator[Number]:
        index, self.loops = self.loops, self.loops + 1
        self.code += [1, index, self.node(start), self.node(stop), self.node(step)]
        yield self.expr(LOOP, index)
        self.code += [4]

    def set(self, source: int, destination: int, event: Number = 0, site: int = 0) -> None:
        self.emit("SetFlag", "sync", source, SET, args=(destination, event), site=site)

    def wait(self, source: int, destination: int, event: Number = 0, site: int = 0) -> None:
        self.emit("WaitFlag", "sync", destination, WAIT, args=(source, event), site=site)

    def load(
        self, tensor: int, offset: Number, size: Number, at: Number = 0, rows: Number = 1, pitch: Number = 0, memory: int = UB, site: int = 0
    ) -> None:
        source = (GM, F16, READ, tensor, offset, size, *(((rows, pitch),) if rows != 1 else ()))
        target = (memory, F16, WRITE, -1, at, size, *(((rows, size),) if rows != 1 else ()))
        self.emit("DataCopy", "copy" if memory == UB else "nd2nz", MTE2, regions=(target, source), site=site)

    def store(self, tensor: int, offset: Number, size: Number, at: Number = 0, site: int = 0) -> None:
        self.emit("DataCopyOut", "copy", MTE3, regions=((GM, F16, WRITE, tensor, offset, size), (UB, F16, READ, -1, at, size)), site=site)

    def vector(self, cost: str, count: int, operands: tuple, dtype: int = F16, site: int = 0) -> None:
        width = 2 if dtype == F16 else 4
        regions = tuple((UB, dtype, WRITE if k == 0 else READ, -1, at, count * width) for k, at in enumerate(operands))
        self.emit(cost, cost, V, regions=regions, args=(0, count, 0, 1, 1, 1, 1, 8, 8, 8, 0, 0), site=site)

    def program(self, kind: int, tensor_bytes: list[int], name: str = "by_hand") -> Program:
        cube, vector = (self.code, []) if kind == 0 else ([], self.code)
        return Program(name, kind, self.declared, self.exprs, cube, vector, tensor_bytes, self.loops, 0)


def double_bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])
