"""Programs for the emulated core written by hand: what tests of the executor stand on, so that they do not need the kernel language."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ascendlite import _davinci

GM, UB, L1, L0A, L0B, L0C, BT, FB = range(8)
READ, WRITE, PARTIAL, ATOMIC = 1, 2, 4, 8
AIC, AIV, MIX = range(3)
NO_SYNC, SET_FLAG, WAIT_FLAG, BARRIER, CROSS_SET, CROSS_WAIT, SYNC_ALL, GET_VALUE, CACHE_CLEAN = range(9)
S, V, M, MTE1, MTE2, MTE3, FIX = range(7)

CODES = {
    "bool": 0, "uint8": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "float16": 6, "bfloat16": 7, "float32": 8, "float64": 9,
    "float8_e4m3fn": 10, "float8_e5m2": 11, "float4_e2m1": 13, "hifloat8": 14, "uint16": 32, "uint32": 33, "uint64": 34, "int4": 35, "float4_e1m2": 36,
}  # fmt: skip
NUMPY = {"bfloat16": ml_dtypes.bfloat16, "float8_e4m3fn": ml_dtypes.float8_e4m3fn, "float8_e5m2": ml_dtypes.float8_e5m2, "hifloat8": np.uint8,
         "int4": np.uint8, "float4_e2m1": np.uint8, "float4_e1m2": np.uint8}  # fmt: skip
Array = NDArray[Any]


def as_numpy(dtype: str) -> np.dtype[Any]:
    return np.dtype(NUMPY.get(dtype, dtype))


def itemsize(dtype: str) -> int:
    return as_numpy(dtype).itemsize


class Block:
    """`BLOCK * times + plus`, an address that depends on the block."""

    def __init__(self, times: int, plus: int = 0) -> None:
        self.times, self.plus = times, plus


class Asm:
    """Collects instructions and makes them a program: `asm.op("Add", "add", [...], args)`; `asm.core` says whose code grows."""

    def __init__(self, kind: int = AIV) -> None:
        self.kind = kind
        self.core = AIC if kind == AIC else AIV
        self.exprs: list[int] = []
        self.consts: dict[int, int] = {}
        self.declared: list[tuple[str, str, str, int, int]] = []
        self.code: dict[int, list[int]] = {AIC: [], AIV: []}
        self.tensors: list[int] = []
        self.scalars = 0

    def node(self, value: int | Block) -> int:
        if isinstance(value, Block):
            block = self._expr(1)
            return self._expr(5, self._expr(7, block, self.node(value.times)), self.node(value.plus))
        if value not in self.consts:
            self.consts[value] = self._expr(0, value)
        return self.consts[value]

    def _expr(self, op: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        self.exprs += [op, a, b, c]
        return len(self.exprs) // 4 - 1

    def region(self, memory: int, dtype: str, base: int | Block, nbytes: int, access: int = READ, tensor: int = -1) -> list[int]:
        return [memory, CODES[dtype], access, tensor + 1, self.node(base), self.node(nbytes), 0]

    def op(self, name: str, meaning: str, regions: Sequence[list[int]], args: Sequence[int] = (), floats: Sequence[float] = (),
           pipe: int = V, sync: int = NO_SYNC) -> None:  # fmt: skip
        declared = (name, meaning, meaning, pipe, sync)
        if declared not in self.declared:
            self.declared.append(declared)
        words = [0, self.declared.index(declared), pipe, 0, len(regions)]
        for r in regions:
            words += r
        words += [len(args), *(self.node(a) for a in args), len(floats)]
        for f in floats:
            words += [0, struct.unpack("<q", struct.pack("<d", f))[0]]
        self.code[self.core] += words

    def copy(self, dst: list[int], src: list[int], nbytes: int, *, outer: int = 1, inner: int = 1, dst_outer: int = 0, dst_inner: int = 0,
             src_outer: int = 0, src_inner: int = 0, left: int = 0, right: int = 0, fill: int = 0, pad: float = 0.0, atomic: int = 0) -> None:  # fmt: skip
        args = [outer, inner, nbytes, dst_outer, dst_inner, src_outer, src_inner, left, right, fill, atomic]
        self.op("DataCopy", "copy", [dst, src], args, [pad], pipe=MTE2)

    def flag(self, source: int, destination: int, event: int = 0) -> None:
        """Later work of the destination pipe waits for earlier work of the source pipe."""
        self.op("SetFlag", "none", [], [destination, event], pipe=source, sync=SET_FLAG)
        self.op("WaitFlag", "none", [], [source, event], pipe=destination, sync=WAIT_FLAG)

    def tensor(self, nbytes: int) -> int:
        self.tensors.append(nbytes)
        return len(self.tensors) - 1

    def executor(self) -> _davinci.Executor:
        program = _davinci.Program("test", self.kind, self.declared, self.exprs, self.code[AIC], self.code[AIV], self.tensors, 0, self.scalars)
        return _davinci.Executor(program)

    def run(self, arrays: Sequence[Array], blocks: int = 1, mode: int = 0, options: int = 0) -> bool:
        return bool(self.executor().run(blocks, [a.ctypes.data for a in arrays], mode, options))


SCALE = (1, 4, 8)
HELD = (None, np.float32, np.float64)


def is_float(dtype: str) -> bool:
    return "float" in dtype


def widen(array: Array, dtype: str, mode: int) -> Array:
    """The bytes of an array in the wide memories of a mode."""
    if mode == 0:
        return np.ascontiguousarray(array)
    item = itemsize(dtype) * SCALE[mode]
    held = np.asarray(array.reshape(-1), HELD[mode] if is_float(dtype) else array.dtype)
    out = np.zeros((held.size, item), np.uint8)
    out[:, : held.itemsize] = held.view(np.uint8).reshape(held.size, held.itemsize)
    return out


def narrow(wide: Array, dtype: str, mode: int, shape: tuple[int, ...]) -> Array:
    if mode == 0:
        return wide.view(as_numpy(dtype)).reshape(shape)
    held = np.dtype(HELD[mode]) if is_float(dtype) else as_numpy(dtype)
    return np.ascontiguousarray(wide[:, : held.itemsize]).view(held).reshape(shape)


def head(mode: int = 0, count: int = 0, mask_hi: int = 0, repeat: int = 1, blocks: Sequence[int] = (1, 1, 1), reps: Sequence[int] = (8, 8, 8),
         scalar: int | None = None) -> list[int]:  # fmt: skip
    """The first twelve arguments of a vector instruction."""
    return [mode, count, mask_hi, repeat, *blocks, *reps, int(scalar is not None), scalar or 0]


def through_ub(name: str, meaning: str, inputs: Sequence[tuple[Array, str]], out: tuple[Array, str], args: Sequence[int], floats: Sequence[float] = (),
               *, mode: int = 0, options: int = 0) -> tuple[Array, bool]:  # fmt: skip
    """Copies the destination and the inputs to UB, runs one instruction, and copies the destination back: (destination, overflow)."""
    asm = Asm()
    dst, dst_dtype = out
    arrays, regions, base = [], [], 0
    for array, dtype in (out, *inputs):
        nbytes = array.size * itemsize(dtype)
        t = asm.tensor(nbytes)
        asm.copy(asm.region(UB, dtype, base, nbytes, WRITE), asm.region(GM, dtype, 0, nbytes, tensor=t), nbytes)
        regions.append(asm.region(UB, dtype, base, nbytes, READ))
        arrays.append(widen(array, dtype, mode))
        base += -(-nbytes // 256) * 256
    asm.op(name, meaning, regions, args, floats)
    nbytes = dst.size * itemsize(dst_dtype)
    asm.copy(asm.region(GM, dst_dtype, 0, nbytes, WRITE, tensor=0), asm.region(UB, dst_dtype, 0, nbytes), nbytes)
    overflow = asm.run(arrays, mode=mode, options=options)
    return narrow(arrays[0], dst_dtype, mode, dst.shape), overflow
