"""The one template of all pointwise kernels: tiles come in by one queue, a planned formula runs on them, results leave by another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

from ascendlite.core import OPS, DType, Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import POINTWISE, kernel_for
from ascendlite.npu.kernels.activations import ACTIVATIONS
from ascendlite.npu.kernels.divisions import OF_SHORT, SHORT, SHORT_INTEGERS, divisions
from ascendlite.npu.kernels.expression import ITEMSIZE, Plan, Turns, Value, cast, constant, maximum, where
from ascendlite.npu.kernels.formulas import BITS, CHOICES, FLOAT, LOGIC, MASKS, NATIVE, OF_BOOLS, TESTS
from ascendlite.npu.kernels.functions import FUNCTIONS, SIGNS
from ascendlite.npu.kernels.halves import HALVES
from ascendlite.npu.kernels.pairs import PAIRS, of_pairs, split
from ascendlite.npu.kernels.powers import INTEGERS, any_power
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.tiles import core_count, my_tiles
from ascendlite.npu.programs import Traced, kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch, start

# The format that a tensor's elements have in a formula, and the casts that lead there from memory.
LOADS: Final = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int32": "i32", "int16": "i16", "bool": "u8", "uint8": "u8", "int8": "i8", "int64": "i64"}
UB_BUDGET: Final = 176 * 1024  # of 192 KiB less what TPipe keeps; the rest pads tiles to 32 bytes
LEAST_PART: Final = 8192  # bytes that are worth a core: half of what a transfer needs for full rate
BANK_SHIFT: Final = 256  # bytes between temporaries: neighbours lie in different bank groups (P04)
LARGEST_TILE: Final = 8192  # elements: 32 KiB of float32, above the 16 KiB that a transfer needs for full rate


@dataclass(frozen=True)
class Job:
    """A formula for given formats: what a kernel is traced from. Equal jobs share programs."""

    formula: str
    loads: tuple[str, ...]  # formats of the tensors in memory
    store: str
    compute: str

    @property
    def short(self) -> bool:
        """Whether the formula is that of float16 tensors."""
        return self.formula in HALVES and self.loads == ("f16",) and self.store == "f16"

    def plan(self, operands: Sequence[Any]) -> Plan:
        """The formula as instructions; operands: numbers, and something else for each tensor."""
        if self.compute == "i64" and self.formula in PAIRS:
            words = [Value("input", f) for f in self.loads]
            return Plan(words, stored(of_pairs(self.formula, [x if x.format == "i64" else widened(x, "f16") for x in words], operands), self.store))
        if self.formula == "fill":
            return Plan((), stored(constant(operands[0], Value("input", self.compute)), self.store))
        formula, inputs = (HALVES if self.short else FORMULAS)[self.formula], [Value("input", f) for f in self.loads]
        tiles = iter(inputs)
        values: list[Value | float] = []
        for k, operand in enumerate(operands):
            compute = "f16" if self.formula in CHOICES and k == 0 else self.compute
            values.append(operand if isinstance(operand, (int, float)) else widened(next(tiles), compute))
        if not isinstance(values[0], Value):
            values[0] = constant(values[0], next(v for v in values if isinstance(v, Value)))
        return Plan(inputs, stored(formula(*values), self.store))


def tile_of(plan: Plan, moved: Sequence[str], made: float = 0) -> int:
    """Elements of a tile for a plan that moves tensors of these formats, and `made` bytes an element of other buffers."""
    each = 2 * sum(ITEMSIZE[f] for f in moved) + sum(plan.slots) + made + (16 if plan.joins else 0)
    return max(256, min(LARGEST_TILE, int((UB_BUDGET - BANK_SHIFT * len(plan.slots)) / each) // 256 * 256))


def exact(x: float) -> str:
    """A number as text that tells -0.0 from 0.0, which are equal, and NaN from nothing else: part of a program's key."""
    return x.hex() if isinstance(x, float) else str(x)


def number(text: str) -> float:
    """The number that `exact` wrote."""
    return int(text) if text.lstrip("-").isdigit() else float.fromhex(text)


def widened(x: Value, compute: str) -> Value:
    """A tile as it comes from memory, in the format that the formula computes in."""
    if x.format in ("u8", "i8"):
        x = cast(x, "f16")
    if (x.format, compute) == ("i16", "i32"):
        x = cast(x, "f32")
    if (x.format, compute) == ("i64", "i32"):  # a cast would saturate
        return split(x).low
    return cast(x, compute, "CAST_TRUNC") if compute == "i32" and x.format in ("f32", "f16", "bf16") else cast(x, compute)


def stored(x: Value, store: str) -> Value:
    """A result in the format of memory: masks become bytes of 0 and 1."""
    if x.format == "mask":
        like = Value("input", "f16")
        x = where(x, constant(1.0, like), constant(0.0, like))
    if x.format == store and x.op == "input":  # a copy through the unified buffer that keeps every bit, NaN included
        return maximum(x, x) if store in ("f32", "f16", "i32", "i16") else x & x
    if store in _LOW_BITS and x.format in ("i16", "i32") and x.format != store:
        x = _wrapped(x, *_LOW_BITS[store])
    if store in ("u8", "i8"):
        x = cast(cast(x, "f32") if x.format == "i32" else x, "f16")
    return cast(x, store, "CAST_TRUNC") if x.format == "f32" and store in ("i64", "i32", "i16") else cast(x, store)


_LOW_BITS: Final = {"u8": (0xFF, 0), "i8": (0xFF, 0x80), "i16": (0xFFFF, 0x8000)}  # of integers: the bits that they keep, and the sign's


def _wrapped(x: Value, bits: int, sign: int) -> Value:
    """Integers of 16 or 32 bits as the shorter ones that share their low bits."""
    low = constant(bits, x)
    return ((x + sign) & low) - sign if sign else x & low


DIVISIONS: Final = divisions({**FLOAT, **FUNCTIONS})
FORMULAS: Final[dict[str, Callable[..., Value]]] = {**FLOAT, **FUNCTIONS, **DIVISIONS, **SHORT, "pow": any_power, **ACTIVATIONS, **NATIVE, **TESTS, **SIGNS, **MASKS, **CHOICES, **LOGIC, **BITS, "copy": lambda x: x}


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def pointwise(job: Job, n: int, out: Any, *operands: Any) -> None:
    """out = formula(operands) over n contiguous elements; an operand is a tensor or a number."""
    tensors = [window(t) for t in operands if not isinstance(t, (int, float))]
    plan = job.plan(operands)
    stream_plan(plan, tile_of(plan, (*job.loads, job.store)), n, window(out), tensors)


def stream_plan(plan: Plan, tile: int, n: int, target: Any, sources: Sequence[Any], made: Callable[[Any, Any], Any] | None = None) -> None:
    """target = plan(sources) over n elements, tile by tile. `made(offset, count)` gives one input more, made in UB for each tile."""
    if plan.joins:  # what is laid out for a tile once is worth its size
        tile = min(tile, -(-n // core_count() // 512) * 512)
    pipe, moved_in, moved_out = ac.TPipe(), ac.TQue(ac.TPosition.VECIN, 2), ac.TQue(ac.TPosition.VECOUT, 2)
    widths = [tile * t.dtype.itemsize for t in sources]
    if sources:
        pipe.InitBuffer(moved_in, 2, sum(widths))
    pipe.InitBuffer(moved_out, 2, tile * target.dtype.itemsize)
    temporaries = [ac.TBuf() for _ in plan.slots]
    for buffer, size in zip(temporaries, plan.slots, strict=True):
        pipe.InitBuffer(buffer, math.ceil(tile * size / 512) * 512 + BANK_SHIFT)
    rooms = [buffer.Get(dtypes.u8) for buffer in temporaries]
    turns = Turns(tile, [room for room, size in zip(rooms, plan.slots, strict=True) if size == ITEMSIZE["pair"]]) if plan.joins else None
    for offset, count in my_tiles(n, tile, 512):
        tiles = [] if made is None else [made(offset, count)]
        if sources:
            slot = moved_in.AllocTensor(dtypes.u8)
            for k, source in enumerate(sources):
                ac.DataCopyPad(_part(slot, widths, k, source.dtype), source[offset:], count)
            moved_in.EnQue(slot)
            slot = moved_in.DeQue()
            tiles += [_part(slot, widths, k, source.dtype) for k, source in enumerate(sources)]
        result = moved_out.AllocTensor(target.dtype)
        plan.issue(tiles, rooms, result, count, turns)
        moved_out.EnQue(result)
        if sources:
            moved_in.FreeTensor(slot)
        result = moved_out.DeQue()
        ac.DataCopyPad(target[offset:], result, count)
        moved_out.FreeTensor(result)


def overlapping(t: Tensor) -> bool:
    """Whether elements may share memory, as those of windows do: cores that write them race, so the AI CPU writes them one after the other."""
    extent = 1
    for stride, size in sorted((stride, size) for size, stride in zip(t.shape, t.stride(), strict=True) if size > 1):
        if stride < extent:
            return True
        extent += (size - 1) * stride
    return False


def backend_copy(target: Tensor, source: Tensor) -> None:
    """Write values into a tensor of another layout."""
    target.detach().copy_(source)


def window(t: Any) -> Any:
    """A tensor of the device; bools are bytes."""
    g = ac.GlobalTensor(t)
    return g.ReinterpretCast(dtypes.u8) if g.dtype is dtypes.bool8 else g


def _part(slot: Any, widths: Sequence[int], k: int, dtype: Any) -> Any:
    return slot[sum(widths[:k]) :].ReinterpretCast(dtype)


def run(name: str, output: Tensor, args: Sequence[Any], compute: DType) -> Any:
    """Launch a pointwise op, or say that it is not taken in these formats."""
    look = _look(name, output, args, compute)
    known = None if look is None else _KNOWN.get(look)
    if known is not None:
        start(known, [output, *(x for x in args if isinstance(x, Tensor))], name)
        return None
    format = formats_of(name).get(compute.name)
    tensors = [x for x in args if isinstance(x, Tensor)]
    if format is None or output.dtype.name not in LOADS or len(tensors) > 4 or any(t.dtype.name not in LOADS for t in tensors):
        return NotImplemented
    if format == "i64" and (state.numerics != "device" or output.dtype.name not in ("int64", "bool")):
        return NotImplemented  # in wide modes a word is no part of a longer one
    if name == "pow" and format == "i64" and not (isinstance(args[0], Tensor) and isinstance(args[1], int) and args[1] >= 0):
        return NotImplemented  # as many products of pairs as an exponent may have bits
    if not output.is_contiguous():
        if overlapping(output):
            return NotImplemented
        fresh = _core.empty(tuple(output.shape), dtype=output.dtype, device=output.device)
        if run(name, fresh, args, compute) is NotImplemented:
            return NotImplemented
        backend_copy(output, fresh)
        return None
    flat = [_flat(x, output) if isinstance(x, Tensor) else _scalar(x, format, compute) for x in args]
    formula = OF_BOOLS.get(name, name) if compute.name == "bool" else OF_SHORT.get(name, name) if compute.name in SHORT_INTEGERS else name
    job = Job(formula, tuple(LOADS[t.dtype.name] for t in tensors), LOADS[output.dtype.name], format)
    traced = launch(pointwise, job, output.numel(), output, *flat, blocks=blocks_for(output.nbytes), name=name)
    if look is not None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[look] = traced
    return None


_MOST_KNOWN: Final = 8192
_KNOWN: Final[dict[tuple[Any, ...], Traced]] = {}  # programs of calls that need no copy, by what tells these apart


def _look(name: str, output: Tensor, args: Sequence[Any], compute: DType) -> tuple[Any, ...] | None:
    """What tells apart the calls of ops on tensors only, of one shape and contiguous; None for other calls."""
    shape = output.shape
    if not output.is_contiguous():
        return None
    look: list[Any] = [name, compute, output.dtype, shape, state.chip, state.numerics]
    for x in args:
        if isinstance(x, Tensor):
            if x.shape != shape or not x.is_contiguous():
                return None
            look.append(x.dtype)
        else:
            return None
    return tuple(look)


def _flat(t: Tensor, output: Tensor) -> Tensor:
    """A tensor's elements as they meet those of the output, one after the other."""
    whole = t if tuple(t.shape) == tuple(output.shape) else t.detach().expand(output.shape)
    return whole.detach().contiguous()


def _scalar(x: float, format: str, compute: DType) -> float:
    """A number in the compute dtype: integers wrap around, as they do where they are stored."""
    if compute.is_floating_point:
        return float(x)
    bits, sign = 8 * compute.itemsize, int(compute.is_signed) << (8 * compute.itemsize - 1)
    wrapped = ((int(x) + sign) & (1 << bits) - 1) - sign
    return float(wrapped) if format[0] == "f" else wrapped


# (from, to) in memory -> what the value passes through: the legal casts of every generation, torch's rounding (towards zero to integers).
_CASTS: Final = {
    ("f16", "f32"): "f32", ("bf16", "f32"): "f32", ("f32", "f16"): "f32", ("f32", "bf16"): "f32", ("f16", "bf16"): "f32", ("bf16", "f16"): "f32",
    ("u8", "f16"): "f16", ("i8", "f16"): "f16", ("i32", "i64"): "i32",
    **{(f, t): "f32" for f in ("i64", "i32", "i16") for t in ("f32", "f16", "bf16")}, **{(f, t): "f32" for f in ("u8", "i8") for t in ("f32", "bf16")},
    **{(f, t): "f32" for f in ("f32", "f16", "bf16", "i16", "i8", "u8") for t in ("i64", "i32")}, **{(f, "i16"): "f32" for f in ("i16", "i8", "u8")},
    **{(f, t): "i32" for f in ("f32", "f16", "bf16", "i64", "i32") for t in ("i16", "i8", "u8")}, ("i64", "i32"): "i32", **{(f, t): "i16" for f in ("i16", "u8", "i8") for t in ("i8", "u8") if f != t},
    **{(f, f): f for f in ("f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8")},
}


def convert(target: Tensor, source: Tensor) -> Any:
    """Copy contiguous values of one shape into another dtype, or say that it is not taken."""
    pair = (LOADS.get(source.dtype.name, ""), LOADS.get(target.dtype.name, ""))
    if target.dtype.name == "bool" and source.dtype.name != "bool":
        return run("ne", target, (source, 0), source.dtype)
    if pair not in _CASTS or (pair[0] == "i64" and _CASTS[pair] == "i32" and state.numerics != "device"):
        return NotImplemented  # in wide modes a word is no part of a longer one
    job = Job("copy", (pair[0],), pair[1], _CASTS[pair])
    launch(pointwise, job, target.numel(), target, source, blocks=blocks_for(target.nbytes), name="copy" if pair[0] == pair[1] else "cast")
    return None


def as_int32(index: Tensor) -> Tensor:
    """Indices as int32, by one cast: those beyond its range become its ends, which are as far outside of what they index. Legal in every numerics mode."""
    if index.dtype.name != "int64" or not index.numel():
        return index.to(_INT32)
    index = index.detach().contiguous()
    narrow: Tensor = _core.empty(tuple(index.shape), dtype=_INT32, device=index.device)
    launch(pointwise, Job("copy", ("i64",), "i32", "i64"), narrow.numel(), narrow, index, blocks=blocks_for(narrow.nbytes), name="cast")
    return narrow


_INT32: Final = _core.DTYPE_NAMES["int32"]
_FILLED: Final = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int32": "i32", "int16": "i16", "int8": "f16", "uint8": "f16", "bool": "f16"}


def fill(target: Tensor, value: float) -> Any:
    """Set all elements of a contiguous tensor, or say that it is not taken."""
    format = _FILLED.get(target.dtype.name)
    if target.dtype.name == "int64":
        format = "i32" if -(1 << 31) <= value < 1 << 31 else "i64" if state.numerics == "device" else None
    if format is None:
        return NotImplemented
    number = _scalar(bool(value) if target.dtype.name == "bool" else value, format, target.dtype)
    job = Job("fill", (), LOADS[target.dtype.name], format)
    launch(pointwise, job, target.numel(), target, number, blocks=blocks_for(target.nbytes), name="fill")
    return None


def blocks_for(nbytes: int) -> int:
    """Cores for a tensor: as many as get half a good transfer each."""
    return max(1, min(state.chip.aiv, -(-nbytes // LEAST_PART)))


_FLOATS: Final = {"float32": "f32", "float16": "f32", "bfloat16": "f32"}
_COMPARED: Final = {"float32": "f32", "float16": "f16", "bfloat16": "f32", "int32": "i32", "int16": "f32", "int8": "f16", "uint8": "f16", "bool": "f16"}
# Ops by what they compute in, for each compute dtype: the tensors' own format where the vector unit has it, 64-bit integers as pairs of words.
_FORMATS: Final[tuple[tuple[Iterable[str], dict[str, str]], ...]] = (
    (OF_BOOLS, {"bool": "f16"}), (BITS, {"int32": "i32", "int16": "i16", "int8": "i16", "uint8": "i16"}),
    (NATIVE, {"float32": "f32", "float16": "f16", "bfloat16": "f32", "int32": "i32", "int16": "i16", "int8": "i16", "uint8": "i16"}),
    (CHOICES, {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int32": "i32", "int16": "i16", "int8": "f16", "uint8": "f16", "bool": "f16"}),
    (PAIRS, {"int64": "i64"}), (DIVISIONS, {"int32": "i32", **dict.fromkeys(SHORT_INTEGERS, "f32")}), (("pow",), INTEGERS), ({**TESTS, **SIGNS}, {"float32": "f32", "float16": "f16", "bfloat16": "f32"}), ({**MASKS, **LOGIC}, _COMPARED), ({**FLOAT, **FUNCTIONS, **ACTIVATIONS}, _FLOATS),
)


@cache
def formats_of(name: str) -> dict[str, str]:
    """The compute dtypes that a pointwise op's kernel takes, and what it computes in for each."""
    return {dtype: format for names, formats in _FORMATS if name in names for dtype, format in formats.items()}


@kernel_for("swiglu")
def _swiglu(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return run("swiglu", outputs[0], inputs, inputs[0].dtype)


@kernel_for("swiglu_backward")
def _swiglu_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    g, gate, up = inputs
    if run("swiglu_gate", outputs[0], (g, gate, up), gate.dtype) is NotImplemented:
        return NotImplemented
    return run("swiglu_up", outputs[1], (g, gate), gate.dtype)


def register() -> None:
    """Put every formula into the op table."""
    POINTWISE.update({name: partial(run, name) for name in FORMULAS if name in OPS})
