"""One call of every vector instruction: how tests call it, on which formats, and what it should give. Shared by tests of legality and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.dtypes import DType

Array = NDArray[Any]
NUMPY = {"bf16": ml_dtypes.bfloat16, "f16": np.float16, "f32": np.float32, "f8e4m3": ml_dtypes.float8_e4m3fn, "f8e5m2": ml_dtypes.float8_e5m2,
         **{f"{k}{b}": np.dtype(f"{n}{b}") for k, n in (("i", "int"), ("u", "uint")) for b in (8, 16, 32, 64)}}  # fmt: skip
N = 256  # elements of every operand


@dataclass(frozen=True)
class CallCase:
    """`call(dst, srcs)` issues the instruction; `expected(*srcs)` is its result in NumPy. formats: of dst and of each source."""

    name: str
    call: Callable[[Any, Sequence[Any]], None]
    sources: int
    expected: Callable[..., Array] | None = None
    values: Callable[[np.random.Generator], Array] = field(default=lambda rng: rng.uniform(1, 9, N))
    fixed: tuple[str, ...] = ()  # formats of sources after those of the signature


def numpy_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(NUMPY[name])


def _count(name: str) -> Callable[[Any, Sequence[Any]], None]:
    return lambda dst, srcs: getattr(ac, name)(dst, *srcs, N)


def _number(name: str, value: float) -> Callable[[Any, Sequence[Any]], None]:
    return lambda dst, srcs: getattr(ac, name)(dst, srcs[0], value, N)


def _wide(function: Callable[..., Array]) -> Callable[..., Array]:
    """Computed in f64 for floats, exactly for integers."""

    def of(*srcs: Array) -> Array:
        floats = srcs[0].dtype.kind not in "iu"
        return function(*(s.astype(np.float64) if floats else s for s in srcs))

    return of


def _per_block(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda a: function(a.astype(np.float64).reshape(-1, 32 // a.itemsize), axis=1)


def _signed(rng: np.random.Generator) -> Array:
    return rng.uniform(-9, 9, N)


CASES = (
    *(CallCase(n, _count(n), 2, _wide(f)) for n, f in (
        ("Add", np.add), ("Sub", lambda a, b: a - b), ("Mul", np.multiply), ("Max", np.maximum), ("Min", np.minimum), ("And", np.bitwise_and),
        ("Or", np.bitwise_or), ("AddRelu", lambda a, b: np.maximum(a + b, 0)), ("SubRelu", lambda a, b: np.maximum(a - b, 0)))),
    CallCase("Div", _count("Div"), 2, lambda a, b: a.astype(np.float64) / b.astype(np.float64) if a.dtype.kind not in "iu" else a // b),
    *(CallCase(n, _number(n, v), 1, _wide(f)) for n, v, f in (
        ("Adds", 3, lambda a: a + 3), ("Muls", 2, lambda a: a * 2), ("Maxs", 4, lambda a: np.maximum(a, 4)), ("Mins", 4, lambda a: np.minimum(a, 4)),
        ("ShiftLeft", 2, lambda a: a << 2), ("ShiftRight", 1, lambda a: a >> 1))),
    CallCase("LeakyRelu", _number("LeakyRelu", 0.5), 1, _wide(lambda a: np.where(a >= 0, a, a * 0.5)), values=_signed),
    *(CallCase(n, _count(n), 1, _wide(f)) for n, f in (
        ("Exp", np.exp), ("Ln", np.log), ("Reciprocal", lambda a: 1 / a), ("Sqrt", np.sqrt), ("Rsqrt", lambda a: 1 / np.sqrt(a)), ("Not", np.invert))),
    CallCase("Abs", _count("Abs"), 1, _wide(np.abs), values=_signed),
    CallCase("Relu", _count("Relu"), 1, _wide(lambda a: np.maximum(a, 0)), values=_signed),
    CallCase("Duplicate", lambda dst, _: ac.Duplicate(dst, 7, N), 0, lambda: np.full(N, 7)),
    CallCase("CreateVecIndex", lambda dst, _: ac.CreateVecIndex(dst, 5, N), 0, lambda: np.arange(N) + 5),
    CallCase("ReduceRepeatSum", lambda d, s: ac.ReduceRepeat("SUM", d, s[0], 64, 4, 1, 1, 2 * s[0].dtype.itemsize), 1,
             _wide(lambda a: a.reshape(4, 64).sum(1))),
    CallCase("ReduceRepeatMax", lambda d, s: ac.ReduceRepeat("MAX", d, s[0], 64, 4, 1, 1, 2 * s[0].dtype.itemsize), 1,
             _wide(lambda a: a.reshape(4, 64).max(1))),
    CallCase("ReduceRepeatMin", lambda d, s: ac.ReduceRepeat("MIN", d, s[0], 64, 4, 1, 1, 2 * s[0].dtype.itemsize), 1,
             _wide(lambda a: a.reshape(4, 64).min(1))),
    *(CallCase(f"BlockReduce{w}", lambda d, s, w=w: ac.BlockReduce(w.upper(), d, s[0], N * s[0].dtype.itemsize // 256, 256 // s[0].dtype.itemsize), 1,
               _per_block(f)) for w, f in (("Sum", np.sum), ("Max", np.max), ("Min", np.min))),
    CallCase("PairReduceSum", lambda d, s: ac.PairReduceSum(d, s[0], N * s[0].dtype.itemsize // 256, 256 // s[0].dtype.itemsize), 1,
             _wide(lambda a: a[::2] + a[1::2])),
    CallCase("Brcb", lambda d, s: ac.Brcb(d, s[0], 1), 1, lambda a: np.repeat(a[:8], 32 // a.itemsize)),
    CallCase("Gather", lambda d, s: ac.Gather(d, s[0], s[1], 0, N), 1, None, fixed=("u32",)),
    CallCase("Copy", lambda d, s: ac.Copy(d, s[0], 256 // s[0].dtype.itemsize, N * s[0].dtype.itemsize // 256), 1, lambda a: a),
    CallCase("GatherMask", lambda d, s: ac.GatherMask(d, s[0], 2, N), 1, lambda a: a[1::2]),
    CallCase("MulAddDst", lambda d, s: (ac.Duplicate(d, 3, N), ac.PipeBarrier(ac.PIPE_V), ac.MulAddDst(d, s[0], s[1], N)), 2,  # type: ignore[func-returns-value]
             _wide(lambda a, b: a * b + 3)),
    CallCase("FusedMulAdd", lambda d, s: (ac.Duplicate(d, 3, N), ac.PipeBarrier(ac.PIPE_V), ac.FusedMulAdd(d, s[0], s[1], N)), 2,  # type: ignore[func-returns-value]
             _wide(lambda a, b: a * 3 + b)),
    CallCase("FusedMulAddRelu", lambda d, s: (ac.Duplicate(d, -3, N), ac.PipeBarrier(ac.PIPE_V), ac.FusedMulAddRelu(d, s[0], s[1], N)), 2,  # type: ignore[func-returns-value]
             _wide(lambda a, b: np.maximum(a * -3 + b, 0))),
    CallCase("Axpy", lambda d, s: (ac.Duplicate(d, 3, N), ac.PipeBarrier(ac.PIPE_V), ac.Axpy(d, s[0], 2.0, N)), 1,  # type: ignore[func-returns-value]
             _wide(lambda a: a * 2 + 3)),
)


def signatures(words: Sequence[str], sources: int) -> list[tuple[DType, list[DType]]]:
    """(format of dst, formats of sources) of each legal combination."""
    found = []
    for word in words:
        src, arrow, dst = word.partition("->")
        given = src.split(",")
        names = given if len(given) == sources else given * sources
        found.append((dtypes.BY_NAME[dst if arrow else src], [dtypes.BY_NAME[n] for n in names]))
    return found


def kernel_of(case: CallCase, dst: DType, sources: Sequence[DType]) -> Any:
    """A kernel that brings sources to UB, makes the call, and brings the result back: arguments are the result and the sources."""

    def body(out: Any, *ins: Any) -> None:
        ub = ac.LocalMemAllocator(ac.Hardware.UB)
        locals_ = [ub.Alloc(d, N) for d in sources]
        y = ub.Alloc(dst, N)
        for local, given in zip(locals_, ins):
            ac.DataCopy(local, ac.GlobalTensor(given), N)
        ac.SetFlag(ac.HardEvent.MTE2_V, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
        case.call(y, locals_)
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopyPad(ac.GlobalTensor(out), y, out.numel())

    return npu.kernel(body, kind="aiv")
