"""Element by element: arithmetic, comparison, selection, conversion, constants. Names and argument orders of Ascend C."""

from __future__ import annotations

from collections.abc import Callable

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.declare import READ, WRITE
from ascendlite.npu.lang.footprint import REPEAT_BYTES, Lanes, Shape, check_lanes, run
from ascendlite.npu.lang.instructions import CASTS, INSTRUCTIONS, ROUNDING
from ascendlite.npu.lang.memo import remembered
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.trace import Index, Tracer, current
from ascendlite.npu.lang.vector import (
    Call,
    Mask,
    Scalar,
    Strides,
    check_formats,
    dst_access,
    elementwise,
    empty,
    lanes_of,
    local,
    needed,
    scalar_of,
    spread,
)
from ascendlite.npu.lang.vector_instructions import COMPARE_OPS, SELECT_MODES

Binary = Callable[..., None]


def _binary(name: str, inplace: bool = False) -> Binary:
    def issue(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, mask: Mask, repeat: Index | None = None, params: Strides = None) -> None:
        elementwise(name, dst, (src0, src1), lanes_of(mask, repeat), params, inplace=inplace)

    return _named(remembered(issue), name, "(dst, src0, src1, count) or (dst, src0, src1, mask, repeat, BinaryRepeatParams)")


def _unary(name: str) -> Binary:
    def issue(dst: LocalTensor, src: LocalTensor, mask: Mask, repeat: Index | None = None, params: Strides = None) -> None:
        elementwise(name, dst, (src,), lanes_of(mask, repeat), params)

    return _named(remembered(issue), name, "(dst, src, count) or (dst, src, mask, repeat, UnaryRepeatParams)")


def _scalar(name: str, inplace: bool = False) -> Binary:
    def issue(dst: LocalTensor, src: LocalTensor, scalar: Scalar, mask: Mask, repeat: Index | None = None, params: Strides = None) -> None:
        elementwise(name, dst, (src,), lanes_of(mask, repeat), params, scalar=needed(name, scalar), inplace=inplace)

    return _named(remembered(issue), name, "(dst, src, scalar, count) or (dst, src, scalar, mask, repeat, UnaryRepeatParams)")


def _named(function: Binary, name: str, call: str) -> Binary:
    for one in (function, getattr(function, "__wrapped__", function)):  # the inner one is what Python names when arguments are missing
        one.__name__ = one.__qualname__ = name
    function.__doc__ = f"{INSTRUCTIONS[name].doc}\n\n    {name}{call}"
    return function


Add, Sub, Mul, Div, Max, Min, And, Or = map(_binary, ("Add", "Sub", "Mul", "Div", "Max", "Min", "And", "Or"))
AddRelu, SubRelu = map(_binary, ("AddRelu", "SubRelu"))
MulAddDst, FusedMulAdd, FusedMulAddRelu = (_binary(n, True) for n in ("MulAddDst", "FusedMulAdd", "FusedMulAddRelu"))
Exp, Ln, Abs, Reciprocal, Sqrt, Rsqrt, Relu, Not = map(_unary, ("Exp", "Ln", "Abs", "Reciprocal", "Sqrt", "Rsqrt", "Relu", "Not"))
Adds, Muls, Maxs, Mins, LeakyRelu = map(_scalar, ("Adds", "Muls", "Maxs", "Mins", "LeakyRelu"))
ShiftLeft, ShiftRight = map(_scalar, ("ShiftLeft", "ShiftRight"))
Axpy = _scalar("Axpy", True)


class _DeqScale:
    """What SetDeqScale last set in this trace."""

    def __init__(self) -> None:
        self.value = 1.0

    def save(self) -> object:
        return self.value

    def restore(self, state: object) -> None:
        self.value = float(state)  # type: ignore[arg-type]


def _deq_scale(tracer: Tracer) -> _DeqScale:
    for one in tracer.stateful:
        if isinstance(one, _DeqScale):
            return one
    tracer.stateful.append(made := _DeqScale())
    return made


def SetDeqScale(scale: float) -> None:
    """The factor of the Casts from i32 to f16 that follow."""
    tracer = current()
    _deq_scale(tracer).value = scale
    tracer.forget()


@remembered
def Cast(dst: LocalTensor, src: LocalTensor, mode: str, mask: Mask, repeat: Index | None = None, params: Strides = None) -> None:
    """dst = src in dst's format, rounded by `mode` ("CAST_NONE", "CAST_RINT", ...). Raises R22 for a pair or mode that the chip lacks."""
    local("Cast", dst, src)
    tracer = current()
    modes = CASTS[tracer.generation].get((src.dtype.name, dst.dtype.name))
    if modes is None:
        pairs = ", ".join(f"{s} -> {d}" for s, d in CASTS[tracer.generation] if src.dtype.name in (s,) or dst.dtype.name in (d,))
        raise refuse("R22", f"Cast: {tracer.chip.name} ({tracer.generation}) has no {src.dtype.name} -> {dst.dtype.name}; it has {pairs}",
                     tracer.here(), "go through a format that both sides reach, mostly f16 or f32")
    if mode not in modes:
        raise refuse("R22", f"Cast: {src.dtype.name} -> {dst.dtype.name} does not round by {mode}; it takes {', '.join(modes)}", tracer.here())
    scaled = (src.dtype, dst.dtype) == (dtypes.i32, dtypes.f16)
    scale = _deq_scale(tracer).value if scaled else 1.0
    elementwise("Cast", dst, (src,), lanes_of(mask, repeat), params, extra=(ROUNDING.index(mode),), more=(scale,))


@remembered
def Duplicate(dst: LocalTensor, scalar: Scalar, mask: Mask, repeat: Index | None = None, dstBlkStride: int = 1, dstRepStride: int = 8) -> None:
    """dst = scalar."""
    elementwise("Duplicate", dst, (), lanes_of(mask, repeat), (dstBlkStride, dstRepStride), scalar=needed("Duplicate", scalar))


def CreateVecIndex(dst: LocalTensor, first: Scalar, count: Index) -> None:
    """dst[i] = first + i."""
    ArithProgression(dst, first, 1, count)


@remembered
def ArithProgression(dst: LocalTensor, first: Scalar, step: int | float, count: Index) -> None:
    """dst[i] = first + i * step."""
    whole = not dst.dtype.is_floating_point
    if whole and step != int(step):
        raise KernelError(f"ArithProgression: the step is {step}; for {dst.dtype.name} it must be an integer")
    elementwise("CreateVecIndex", dst, (), Lanes(0, count, 0, 1), None, scalar=first, extra=(int(whole), int(step) if whole else 0), more=(float(step),))


@remembered
def Copy(dst: LocalTensor, src: LocalTensor, mask: Mask, repeat: Index, params: Strides = None) -> None:
    """dst = src within UB, by mask and repeats."""
    elementwise("Copy", dst, (src,), lanes_of(mask, repeat), params)


@remembered
def Philox(dst: LocalTensor, seed: Index, offset: Index, count: Index, stream: int = 0) -> None:
    """dst[i] = random word of element offset + i, the same bits as on the CPU device; stream 1 has words of 64-bit draws: 16 low ones, 16 high ones."""
    elementwise("Philox", dst, (), Lanes(0, count, 0, 1), None, extra=(seed, offset, stream))


# -- masks


def _mask_shape(call: Call, src: LocalTensor) -> Shape:
    """One bit an element: whole bytes."""
    tracer, lanes = call.tracer, call.lanes
    if lanes.mode == 0:
        return run(tracer, 1, (lanes.active + 7) // 8)
    return run(tracer, 1, lanes.repeat * (call.width // 8))


def _compared(name: str, dst: LocalTensor, sources: tuple[LocalTensor, ...], op: str, lanes: Lanes, params: Strides, scalar: tuple[int, Index],
              floats: tuple[int, ...]) -> None:
    if op not in COMPARE_OPS:
        raise KernelError(f"{name}: {op!r} is not a comparison; it takes {', '.join(COMPARE_OPS)}")
    if empty(lanes):
        return
    local(name, dst, *sources)
    call = Call(name, lanes, REPEAT_BYTES // sources[0].dtype.itemsize)
    check_formats(call.tracer, call.instruction, (dst, *sources))
    if sources[0].dtype is dtypes.i32 and op != "EQ" and call.tracer.generation == "2201":
        raise refuse("R22", f"{name}: i32 compares by EQ only on {call.tracer.chip.name} (2201); {op} was asked", call.tracer.here(), "Cast to f32 first")
    if lanes.mode and call.tracer.generation != "3510":
        lanes = call.lanes = Lanes(1, call.width, 0, lanes.repeat)  # these cards ignore the mask of comparisons
    if lanes.mode == 0 and isinstance(lanes.active, int) and lanes.active % call.width and call.tracer.generation != "3510":
        raise refuse("R03", f"{name}: the count is {lanes.active}; it must be a multiple of {call.width} (256 bytes) in the count form",
                     call.tracer.here(), "round the count up: the buffers must have room")
    strides = spread(name, dst, sources, call.width, None) if params is None else _compare_strides(name, params, len(sources))
    if lanes.mode:
        check_lanes(call.tracer, call.instruction, lanes, call.width, strides)
    call.add("dst", dst, WRITE, _mask_shape(call, sources[0]))
    for i, src in enumerate(sources):
        call.add(f"src{i}", src, READ, call.shape(src, strides[1 + i], strides[4 + i]))
    call.finish(strides if lanes.mode else (1, 1, 1, 8, 8, 8), scalar, (COMPARE_OPS.index(op),), floats)


def _compare_strides(name: str, params: Strides, sources: int) -> tuple[int, ...]:
    assert params is not None
    if len(params) != 2 + 2 * sources:
        raise KernelError(f"{name}: {len(params)} strides were given; it takes {2 + 2 * sources}")
    n, pad = 1 + sources, (0,) * (2 - sources)
    return (*params[:n], *pad, *params[n:], *pad)


@remembered
def Compare(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, op: str, mask: Mask, repeat: Index | None = None, params: Strides = None) -> None:
    """Bit i of dst = src0[i] op src1[i]; op: "LT", "GT", "EQ", "LE", "GE", "NE". The bits of all repeats follow each other."""
    _compared("Compare", dst, (src0, src1), op, lanes_of(mask, repeat), params, (0, 0), (0,))


@remembered
def CompareScalar(dst: LocalTensor, src: LocalTensor, scalar: Scalar, op: str, mask: Mask, repeat: Index | None = None, params: Strides = None) -> None:
    """Bit i of dst = src[i] op scalar."""
    kind, words = scalar_of("CompareScalar", scalar, src.dtype)
    _compared("CompareScalar", dst, (src,), op, lanes_of(mask, repeat), params, kind, (1, *words))


Compares = CompareScalar


@remembered
def Select(dst: LocalTensor, mask_bits: LocalTensor, src0: LocalTensor, src1: LocalTensor | Scalar, mode: str, mask: Mask,
           repeat: Index | None = None, params: Strides = None) -> None:
    """dst[i] = bit i of mask_bits ? src0[i] : src1[i]; mode as on the card: "VSEL_CMPMASK_SPR", "VSEL_TENSOR_SCALAR_MODE", "VSEL_TENSOR_TENSOR_MODE"."""
    lanes = lanes_of(mask, repeat)
    if empty(lanes):
        return
    by_scalar = not isinstance(src1, LocalTensor)
    if mode not in SELECT_MODES or by_scalar != (mode == "VSEL_TENSOR_SCALAR_MODE"):
        raise KernelError(f"Select: the mode is {mode!r} and src1 is a {'scalar' if by_scalar else 'tensor'}; modes are {', '.join(SELECT_MODES)}, "
                          "and only VSEL_TENSOR_SCALAR_MODE takes a scalar")
    if mode != "VSEL_CMPMASK_SPR" and current().generation == "1001":
        raise refuse("R22", f"Select: {current().chip.name} (1001) has VSEL_CMPMASK_SPR only; {mode} was asked", current().here())
    sources = (src0,) if not isinstance(src1, LocalTensor) else (src0, src1)
    kind, words = scalar_of("Select", 0.0 if isinstance(src1, LocalTensor) else src1, dst.dtype)
    local("Select", dst, mask_bits, *sources)
    call = Call("Select", lanes, REPEAT_BYTES // dst.dtype.itemsize)
    check_formats(call.tracer, call.instruction, (dst, src0, src0))
    strides = spread("Select", dst, sources, call.width, params)
    if lanes.mode:
        check_lanes(call.tracer, call.instruction, lanes, call.width, strides)
    call.add("dst", dst, dst_access(lanes, dst, strides[0]), call.shape(dst, strides[0], strides[3]))
    shape = run(call.tracer, 1, call.width // 8) if mode == "VSEL_CMPMASK_SPR" and lanes.mode else _mask_shape(call, src0)
    call.add("mask", mask_bits, READ, shape)
    for i, src in enumerate(sources):
        call.add(f"src{i}", src, READ, call.shape(src, strides[1 + i], strides[4 + i]))
    call.finish(strides if lanes.mode else (1, 1, 1, 8, 8, 8), kind, (SELECT_MODES.index(mode),), (1, *words))




__all__ = ["Abs", "Add", "AddRelu", "Adds", "And", "ArithProgression", "Axpy", "Cast", "Compare", "CompareScalar", "Compares", "Copy",
           "CreateVecIndex", "Div", "Duplicate", "Exp", "FusedMulAdd", "FusedMulAddRelu", "LeakyRelu", "Ln", "Max", "Maxs", "Min", "Mins", "Mul",
           "MulAddDst", "Muls", "Not", "Or", "Philox", "Reciprocal", "Relu", "Rsqrt", "Select", "SetDeqScale", "ShiftLeft", "ShiftRight", "Sqrt",
           "Sub", "SubRelu"]

