"""The vector unit's instructions as the kernel calls them: count form `Add(z, x, y, n)` and mask form `Add(z, x, y, 64, 8, (1, 1, 1, 8, 8, 8))`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.data_instructions import SCALAR_MATH
from ascendlite.npu.lang.declare import PARTIAL, READ, WRITE, Memory, Pipe
from ascendlite.npu.lang.dtypes import DType
from ascendlite.npu.lang.footprint import REPEAT_BYTES, Lanes, Shape, check_lanes, check_overlap, check_place, pattern, repeated, run
from ascendlite.npu.lang.instructions import INSTRUCTIONS, Instruction
from ascendlite.npu.lang.mistakes import whole
from ascendlite.npu.lang.params import BinaryRepeatParams, UnaryRepeatParams
from ascendlite.npu.lang.real import Real
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.trace import Index, Tracer, current

_V = int(Pipe.V)


@dataclass(frozen=True, slots=True)
class FloatScalar:
    """A real number that GetValue read, or computed from such: it can be the scalar of a vector instruction."""

    slot: int

    def _with(self, op: str, a: Scalar, b: Scalar) -> FloatScalar:
        """The scalar unit computes: in single precision, on pipe S."""
        for one in (a, b):
            if isinstance(one, Sym) or not isinstance(one, (FloatScalar, Real, int, float, np.number)):
                raise KernelError(f"scalar {op}: an operand is {one!r} ({type(one).__name__}); it takes numbers that GetValue read and Python's")
        tracer = current()
        slot = tracer.scalars
        tracer.scalars += 1
        words = [float_words(0.0, x.slot) if isinstance(x, FloatScalar) else float_words(x if type(x) is Real else float(x)) for x in (a, b)]  # type: ignore[arg-type]
        args = (tracer.table.node(slot), tracer.table.node(SCALAR_MATH.index(op)))
        tracer.emit(tracer.opcode(INSTRUCTIONS["ScalarMath"]), int(Pipe.S), 0, (), args, (2, *words[0], *words[1]))
        return FloatScalar(slot)

    def __add__(self, b: Scalar) -> FloatScalar:
        return self._with("add", self, b)

    def __sub__(self, b: Scalar) -> FloatScalar:
        return self._with("sub", self, b)

    def __rsub__(self, a: Scalar) -> FloatScalar:
        return self._with("sub", a, self)

    def __mul__(self, b: Scalar) -> FloatScalar:
        return self._with("mul", self, b)

    def __truediv__(self, b: Scalar) -> FloatScalar:
        return self._with("div", self, b)

    def __rtruediv__(self, a: Scalar) -> FloatScalar:
        return self._with("div", a, self)

    def __neg__(self) -> FloatScalar:
        return self._with("mul", self, -1.0)

    def __bool__(self) -> bool:
        raise refuse("trace", "Python needs the value of a number that only the device knows (GetValue)", current().here(), "use ac.Compare and ac.Select")

    __radd__, __rmul__ = __add__, __mul__


Scalar = int | float | Sym | FloatScalar | Real


Strides = Sequence[int] | BinaryRepeatParams | UnaryRepeatParams | None
Mask = Index | Sequence[int]


def float_words(value: float | Real, slot: int = -1) -> tuple[int, int]:
    """A real argument in the words of a program: the slot that holds it when it runs, if any, and its value now."""
    if type(value) is Real:
        slot, value = current().floats.slot(value), value.traced_with()
    return slot + 1, struct.unpack("<q", struct.pack("<d", value))[0]


def legal_formats(instruction: Instruction) -> dict[str, frozenset[int]]:
    """By generation: codes of dst and sources in one number each."""
    sources = sum(o.name.startswith("src") for o in instruction.operands)
    return {g: frozenset(_pack([dtypes.BY_NAME[n] for n in _signature(word, sources)]) for word in words)
            for g, words in instruction.dtypes.items()}


def _signature(word: str, sources: int) -> list[str]:
    src, arrow, dst = word.partition("->")
    given = src.split(",")
    return [dst if arrow else src, *(given if len(given) == sources else given * sources)]


def _pack(formats: Sequence[DType]) -> int:
    packed = 0
    for one in formats:
        packed = packed << 8 | one.code
    return packed


LEGAL = {name: legal_formats(i) for name, i in INSTRUCTIONS.items() if i.pipe is Pipe.V}


def check_formats(tracer: Tracer, instruction: Instruction, tensors: Sequence[LocalTensor]) -> None:
    """R22: the chip's generation has the instruction for these formats (dst first)."""
    packed = 0
    for t in tensors:
        packed = packed << 8 | t.dtype.code
    if packed not in LEGAL[instruction.name].get(tracer.generation, ()):
        given = ", ".join(t.dtype.name for t in tensors[1:]) + f" -> {tensors[0].dtype.name}" if len(tensors) > 1 else tensors[0].dtype.name
        raise refuse("R22", f"{instruction.name} does not take {given} on {tracer.chip.name} ({tracer.generation}); it takes "
                     f"{', '.join(instruction.dtypes.get(tracer.generation, ()))}", tracer.here(), "Cast to a legal format first")


def lanes_of(mask: Mask, repeat: Index | None) -> Lanes:
    """The form of a call: count form without `repeat`."""
    if isinstance(mask, np.integer):
        mask = int(mask)
    if repeat is None:
        if not isinstance(mask, (int, Sym)):
            raise refuse("R12", f"the count is {mask!r}; without a repeat count it must be a number of elements", current().here())
        return Lanes(0, mask, 0, 1)
    repeat = repeat if isinstance(repeat, Sym) else whole(repeat)
    if isinstance(mask, (int, Sym)):
        return Lanes(1, mask, 0, repeat)
    if not isinstance(mask, (list, tuple)) or not all(isinstance(m, (int, np.integer)) and 0 <= m < 1 << 64 for m in mask):
        raise refuse("R12", f"the mask is {mask!r}; it must be a number of lanes, or one or two integers of 64 bits", current().here())
    low, high = (*map(int, mask), 0, 0)[:2]
    return Lanes(2, _signed(low), _signed(high), repeat)


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


def local(name: str, *tensors: object) -> None:
    """All operands must lie in UB."""
    for t in tensors:
        if not isinstance(t, LocalTensor) or t.memory is not Memory.UB:
            where = t.memory.name if hasattr(t, "memory") else type(t).__name__
            raise refuse("R22", f"{name}: an operand lies in {where}; vector instructions work on UB", current().here(), "DataCopy it to UB first")


class Call:
    """One vector instruction about to be written down."""

    def __init__(self, name: str, lanes: Lanes, width: int) -> None:
        self.tracer, self.instruction, self.lanes, self.width = current(), INSTRUCTIONS[name], lanes, width
        self.operands: tuple[int, ...] = ()
        self.count = 0

    def add(self, what: str, tensor: LocalTensor, access: int, shape: Shape, align: int = 32) -> None:
        """One operand with the bytes it touches."""
        check_place(self.tracer, self.instruction.name, what, tensor, shape.extent, align)
        self.operands += tensor.words(access) + shape.words
        self.count += 1

    def finish(self, strides: tuple[int, ...], scalar: tuple[int, Index] = (0, 0), extra: tuple[Index, ...] = (), floats: tuple[int, ...] = (0,)) -> None:
        """strides: dst, src0, src1 blocks, then repeats."""
        tracer, lanes = self.tracer, self.lanes
        node = tracer.table.node
        if isinstance(lanes.active, Sym) or isinstance(lanes.repeat, Sym):
            head = tuple(map(node, (*lanes, *strides)))
        else:
            key = (lanes, strides)
            head = tracer.memo.get(key) or tracer.memo.setdefault(key, tuple(map(node, (*lanes, *strides))))
        args = (*head, node(scalar[0]), node(scalar[1]), *map(node, extra))
        tracer.emit(tracer.opcode(self.instruction), _V, self.count, self.operands, args, floats)

    def shape(self, tensor: LocalTensor, block: int, rep: int) -> Shape:
        lanes = self.lanes
        if lanes.mode == 0:
            pairs = tensor.dtype.numbers == 2
            return run(self.tracer, tensor.dtype.itemsize, (lanes.active + 1) // 2 if pairs else lanes.active)
        return repeated(self.tracer, tensor.dtype.itemsize, lanes, block, rep)


def empty(lanes: Lanes) -> bool:
    """Nothing to do. Raises for a negative count."""
    if isinstance(lanes.active, int) and lanes.mode < 2 and lanes.active < 0:
        raise refuse("R12", f"the count is {lanes.active}; it must not be negative", current().here(), "bound it with max(0, ...)")
    return (lanes.mode < 2 and isinstance(lanes.active, int) and lanes.active == 0) or (isinstance(lanes.repeat, int) and lanes.repeat == 0)


_COUNT = (1, 1, 1, 8, 8, 8)


def elementwise(name: str, dst: LocalTensor, sources: tuple[LocalTensor, ...], lanes: Lanes, given: Strides, *, scalar: Scalar | None = None,
                more: tuple[float, ...] = (), extra: tuple[Index, ...] = (), inplace: bool = False) -> None:
    """dst and each source cover the same lanes. given: strides in the order of BinaryRepeatParams or UnaryRepeatParams.

    Real arguments are the scalar, if there is one, and then `more`.
    """
    if empty(lanes):
        return
    local(name, dst, *sources)
    itemsize = max(t.dtype.itemsize for t in (dst, *sources))
    call = Call(name, lanes, REPEAT_BYTES // itemsize)
    check_formats(call.tracer, call.instruction, (dst, *sources))
    if lanes.mode and itemsize in (1, 8) and name != "Cast" and call.tracer.generation == "3510":
        raise refuse("R22", f"{name}: {dst.dtype.name} has the count form only on {call.tracer.chip.name} (3510)", call.tracer.here(), "use the count form")
    kind, words = ((0, 0), ()) if scalar is None else scalar_of(name, scalar, dst.dtype)
    strides = spread(name, dst, sources, call.width, given) if lanes.mode else _COUNT
    if lanes.mode:
        check_lanes(call.tracer, call.instruction, lanes, call.width, strides)
    call.add("dst", dst, dst_access(lanes, dst, strides[0], inplace), call.shape(dst, strides[0], strides[3]))
    for i, src in enumerate(sources):
        block, rep = strides[1 + i], strides[4 + i]
        call.add(f"src{i}", src, READ, call.shape(src, block, rep))
        check_overlap(call.tracer, call.instruction, dst, src, lanes, call.width, (strides[0], strides[3]), (block, rep), i == 1)
    floats = (len(words) // 2 + len(more), *words, *(w for value in more for w in float_words(value)))
    call.finish(strides, kind, extra, floats)


def dst_access(lanes: Lanes, dst: LocalTensor, block: int, inplace: bool = False) -> int:
    """Whether all bytes of the destination's region are written."""
    access = READ | WRITE if inplace else WRITE
    if lanes.mode == 0:
        return access
    if lanes.mode == 2:
        found = pattern(lanes.bits, dst.dtype.itemsize, block)
        return access if found.exact and not found.lead else access | PARTIAL  # what comes before the lead stays, too
    first, last, dense = lanes.span()
    whole = dense and first == 0 and (block == 1 or last * dst.dtype.itemsize % 32 == 0)
    return access if whole else access | PARTIAL


def spread(name: str, dst: LocalTensor, sources: tuple[LocalTensor, ...], width: int, given: Strides) -> tuple[int, ...]:
    """Strides as dst, src0, src1 blocks and dst, src0, src1 repeats; defaults: dense repeats. Absent operands have 0."""
    n = 1 + len(sources)
    if given is None:
        blocks: Sequence[int] = (1,) * n
        reps: Sequence[int] = [width * t.dtype.itemsize // 32 for t in (dst, *sources)]
    else:
        given = tuple(map(whole, given))
        if len(given) != 2 * n:
            raise KernelError(f"{name}: {len(given)} strides were given; it takes {2 * n}: block strides of dst and {n - 1} sources, then repeat strides")
        blocks, reps = given[:n], given[n:]
    pad = (0,) * (3 - n)
    return (*blocks, *pad, *reps, *pad)


def needed(name: str, scalar: Scalar | None) -> Scalar:
    """The scalar of a call that needs one."""
    if scalar is None:
        raise KernelError(f"{name}: the scalar is None; it must be a number")
    return scalar


def scalar_of(name: str, value: Scalar, dtype: DType) -> tuple[tuple[int, Index], tuple[int, ...]]:
    """(kind, integer) of the head and the words of floats[0]."""
    if isinstance(value, FloatScalar):
        return (0, 0), float_words(0.0, value.slot)
    if isinstance(value, Sym):
        return (1, value), float_words(0.0)
    if type(value) is not Real and not isinstance(value, (int, float, np.number, np.bool_)):
        raise KernelError(f"{name}: the scalar is {value!r} ({type(value).__name__}); it must be a number")
    if dtype.is_floating_point:
        return (0, 0), float_words(value if type(value) is Real else float(value))
    bits, number = 8 * dtype.itemsize, float(value)
    if not number.is_integer():
        raise KernelError(f"{name}: the scalar is {value}; for {dtype.name} it must be an integer")
    if not -(1 << bits - 1) <= int(value) < 1 << bits:
        raise KernelError(f"{name}: the scalar {value} does not fit {dtype.name}'s {bits} bits")
    return (1, int(value)), float_words(0.0)
