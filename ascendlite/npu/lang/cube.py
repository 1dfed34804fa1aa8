"""The cube core's instructions: fractals to L0, the product, and results on their way out of L0C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang import sym
from ascendlite.npu.lang.data_instructions import QUANT_MODES
from ascendlite.npu.lang.declare import READ, WRITE, Memory, Pipe
from ascendlite.npu.lang.instructions import INSTRUCTIONS
from ascendlite.npu.lang.memo import remembered
from ascendlite.npu.lang.movement import BLOCK, Rows, check_room, destination
from ascendlite.npu.lang.params import FixpipeParamsV220, LoadData2DParams, MmadParams, QuantMode_t
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.tensors import LocalTensor, Tensor
from ascendlite.npu.lang.trace import Index, Tracer, current
from ascendlite.npu.lang.vector import float_words

FRACTAL = 512
LARGEST_SIZE = 4095  # of m, n, k: the field of Mmad


def _up(value: Index, to: int) -> Index:
    return (value + to - 1) // to * to


def _in(name: str, tensor: Tensor, *memories: Memory) -> None:
    where = getattr(tensor, "memory", None)
    if where not in memories:
        raise refuse("R22", f"{name}: an operand lies in {where.name if where is not None else type(tensor).__name__}; it must be in {' or '.join(m.name for m in memories)}", current().here())


def _formats(tracer: Tracer, name: str, dst: Tensor, sources: Sequence[Tensor]) -> None:
    """R22 for the cube's instructions."""
    instruction = INSTRUCTIONS[name]
    words = instruction.dtypes[tracer.generation]
    given = ",".join(t.dtype.name for t in sources) + f"->{dst.dtype.name}"
    same = dst.dtype.name if all(t.dtype is dst.dtype for t in sources) else ""
    if given not in words and same not in words:
        raise refuse("R22", f"{name} does not take {given} on {tracer.chip.name} ({tracer.generation}); it takes {', '.join(words)}", tracer.here())


def _sizes(name: str, **sizes: Index) -> None:
    """R23."""
    for what, size in sizes.items():
        low, high = sym.bounds(size)
        if low < 1 or high > LARGEST_SIZE:
            raise refuse("R23", f"{name}: {what} is {low if low == high else f'{low}..{high}'}; it must be 1..{LARGEST_SIZE}", current().here(),
                         "cut the tile, and give the tail its own size")


def _offset(name: str, what: str, value: Index, unit: int) -> None:
    if isinstance(value, int) and (value < 0 or value % unit):
        raise refuse("R23", f"{name}: {what} is {value}; it must be a multiple of {unit}, the fractal", current().here())


def _layout(tracer: Tracer) -> int:
    return int(tracer.generation == "3510")


def _load(name: str, dst: LocalTensor, src: LocalTensor, to: int | Sym, of: Rows, offset: Index, args: tuple[Index, ...]) -> None:
    """One load of fractals: `to` bytes from dst's start on, rows `of` the source from `offset` bytes on."""
    tracer = current()
    opcode = tracer.opcode(INSTRUCTIONS[name])
    _formats(tracer, name, dst, (src,))
    view = src if isinstance(offset, int) and offset == 0 else src._view(src.base + offset, src.dtype, src.size - offset // src.dtype.itemsize)
    check_room(tracer, name, "dst", dst, sym.bounds(to)[1])
    check_room(tracer, name, "src", view, of.extent)
    node = tracer.table.node
    operands = dst.words(WRITE) + (node(to), 0) + view.words(READ) + of.words(tracer)
    tracer.emit(opcode, int(Pipe.MTE1), 2, operands, tuple(map(node, args)))


@remembered
def LoadA(dst: LocalTensor, src: LocalTensor, m: Index, k: Index, k0: Index = 0, rows: Index | None = None, trans: bool = False, m0: Index = 0) -> None:
    """m x k of the matrix in L1, from row m0 and column k0 on, to L0A.

    L1 holds the matrix in Nz with `rows` rows a column of blocks (default: m rounded up to 16); trans: it holds the transpose, k x m
    (default rows: k rounded up to 16).
    """
    _in("LoadA", dst, Memory.L0A)
    _in("LoadA", src, Memory.L1)
    _sizes("LoadA", m=m, k=k)
    size = src.dtype.itemsize
    c0 = BLOCK // size
    across, along = (m0, k0) if trans else (k0, m0)  # columns and rows of what is stored
    _offset("LoadA", "the column offset", across, c0)
    _offset("LoadA", "the row offset", along, 16)
    stored_rows, stored_cols = (k, m) if trans else (m, k)
    pitch = _up(stored_rows, 16) if rows is None else rows
    of = Rows((stored_cols + c0 - 1) // c0, _up(stored_rows, 16) * BLOCK, pitch * BLOCK)
    to = _up(m, 16) * _up(k, c0) * size
    layout = _layout(current())
    # Nz to Zz: one load a column of blocks, its fractals spread over the rows; where the layouts agree, or blocks are transposed, one.
    loads = 1 if trans or layout else sym.minimum((m + 15) // 16, (k + c0 - 1) // c0)
    _load("LoadA", dst, src, to, of, across // c0 * pitch * BLOCK + along * BLOCK, (m, k, pitch, int(trans), layout, loads))


@remembered
def LoadB(dst: LocalTensor, src: LocalTensor, k: Index, n: Index, k0: Index = 0, rows: Index | None = None, trans: bool = False, n0: Index = 0) -> None:
    """k x n of the matrix in L1, from row k0 and column n0 on, to L0B.

    L1 holds the matrix in Nz with `rows` rows a column of blocks (default: k rounded up to 16); trans: it holds the transpose, n x k
    (default rows: n rounded up to 16).
    """
    _in("LoadB", dst, Memory.L0B)
    _in("LoadB", src, Memory.L1)
    _sizes("LoadB", n=n, k=k)
    size = src.dtype.itemsize
    c0 = BLOCK // size
    across, along = (k0, n0) if trans else (n0, k0)
    _offset("LoadB", "the column offset", across, c0)
    _offset("LoadB", "the row offset", along, 16)
    stored_rows, stored_cols = (n, k) if trans else (k, n)
    pitch = _up(stored_rows, 16) if rows is None else rows
    of = Rows((stored_cols + c0 - 1) // c0, _up(stored_rows, 16) * BLOCK, pitch * BLOCK)
    to = _up(k, c0) * _up(n, 16) * size
    loads = 1 if trans else (k + 15) // 16  # one a row of fractals: they are transposed on the way
    _load("LoadB", dst, src, to, of, across // c0 * pitch * BLOCK + along * BLOCK, (k, n, pitch, int(trans), 0, loads))


def LoadData(dst: LocalTensor, src: LocalTensor, repeat: Index | LoadData2DParams, src_stride: int = 1, dst_gap: int = 0, trans: bool = False) -> None:
    """`repeat` fractals of 512 bytes, or those of a LoadData2DParams.

    src_stride: fractals from one to the next in src; dst_gap: fractals between two in dst.
    """
    if isinstance(repeat, LoadData2DParams):
        p = repeat
        first = p.startIndex * FRACTAL // src.dtype.itemsize
        return _fractals(dst, src[first:] if first else src, p.repeatTimes, p.srcStride, p.dstGap, bool(p.ifTranspose))
    return _fractals(dst, src, repeat, src_stride, dst_gap, trans)


@remembered
def _fractals(dst: LocalTensor, src: LocalTensor, repeat: Index, src_stride: int, dst_gap: int, trans: bool) -> None:
    _in("LoadData", dst, Memory.L0A, Memory.L0B)
    _in("LoadData", src, Memory.L1)
    tracer = current()
    low, high = sym.bounds(repeat)
    if low < 1 or high > 255:
        raise refuse("R12", f"LoadData: the repeat count is {low if low == high else f'{low}..{high}'}; it must be 1..255", tracer.here())
    if not 0 <= src_stride <= 65535 or not 0 <= dst_gap <= 65535:
        raise refuse("R13", f"LoadData: strides are {src_stride} and {dst_gap}; their fields hold 0..65535", tracer.here())
    if trans and src.dtype.itemsize != 2:
        raise refuse("R22", f"LoadData: fractals of {src.dtype.name} are not transposed here; 2-byte formats are", tracer.here(), "use LoadB")
    opcode = tracer.opcode(INSTRUCTIONS["LoadData"])
    _formats(tracer, "LoadData", dst, (src,))
    to, of = Rows(repeat, FRACTAL, (1 + dst_gap) * FRACTAL), Rows(repeat, FRACTAL, src_stride * FRACTAL)
    check_room(tracer, "LoadData", "dst", dst, to.extent)
    check_room(tracer, "LoadData", "src", src, of.extent)
    args = tuple(map(tracer.table.node, (repeat, src_stride * FRACTAL, (1 + dst_gap) * FRACTAL, int(trans), 1)))
    tracer.emit(opcode, int(Pipe.MTE1), 2, dst.words(WRITE) + to.words(tracer) + src.words(READ) + of.words(tracer), args)


# Greatest numbers of Load3D's fields (manual of LoadData 3D v2): h and w of the image, stride, filter, dilation, padding, extents.
ROOM_3D = {"image": 32767, "stride": 63, "filter": 255, "dilation": 255, "padding": 255, "extension": 65535}
_LEAST_3D = {"padding": 0}


def _fields_3d(**fields: tuple[Index, ...]) -> None:
    """R23."""
    for what, values in fields.items():
        least, most = _LEAST_3D.get(what, 1), ROOM_3D[what]
        for value in values:
            low, high = sym.bounds(value)
            if low < least or high > most:
                raise refuse("R23", f"Load3D: {what} is {low if low == high else f'{low}..{high}'}; its field holds {least}..{most}", current().here(),
                             "cut the image, or pad it in GM")


def Load3D(dst: LocalTensor, src: LocalTensor, image: tuple[Index, Index, int], m: Index, k: Index, m_start: Index = 0, k_start: Index = 0, *,
           filter: tuple[int, ...], stride: tuple[int, ...] = (1, 1), dilation: tuple[int, ...] = (1, 1),
           padding: tuple[Index, Index, Index, Index] = (0, 0, 0, 0), pad: float = 0.0, trans: bool = False) -> None:
    """im2col of an image NC1HWC0 in L1: m x k of its matrix to L0A, or k x m of it to L0B; trans: k x m to L0A, for formats of 2 bytes.

    image: (h, w, channels); filter, stride, dilation: (h, w); padding: (left, right, top, bottom). Row: output pixel; column:
    ((c1 * filter_h + fh) * filter_w + fw) * c0 + c. Raises R23 for numbers that the instruction's fields do not hold (ROOM_3D).
    """
    _in("LoadData3D", dst, Memory.L0A, Memory.L0B)
    _in("LoadData3D", src, Memory.L1)
    tracer = current()
    opcode = tracer.opcode(INSTRUCTIONS["LoadData3D"])
    _formats(tracer, "LoadData3D", dst, (src,))
    size = src.dtype.itemsize
    c0 = BLOCK // size
    h, w, channels = image
    _fields_3d(image=(h, w), stride=stride, filter=filter, dilation=dilation, padding=padding, extension=(m, k))
    _offset("Load3D", "k_start", k_start, c0)
    _offset("Load3D", "m_start", m_start, 16)
    to = _up(m, 16) * _up(k, c0) * size  # of either form: trans is of 2-byte formats, whose c0 is 16
    of = h * w * int(_up(channels, c0)) * size
    check_room(tracer, "Load3D", "dst", dst, sym.bounds(to)[1])
    check_room(tracer, "Load3D", "src", src, sym.bounds(of)[1])
    if trans and (size != 2 or dst.memory is not Memory.L0A):
        raise refuse("R22", f"Load3D: trans is not there for {src.dtype.name} to {dst.memory.name}", tracer.here(), "formats of 2 bytes are transposed to L0A")
    node = tracer.table.node
    args = (h, w, channels, k, m, k_start, m_start, stride[1], stride[0], filter[1], filter[0], dilation[1], dilation[0], *padding, int(trans),
            _layout(tracer) if dst.memory is Memory.L0A else 0, 1)
    operands = dst.words(WRITE) + (node(to), 0) + src.words(READ) + (node(of), 0)
    tracer.emit(opcode, int(Pipe.MTE1), 2, operands, tuple(map(node, args)), (1, *float_words(pad)))


def InitConstValue(dst: LocalTensor, value: float, count: Index) -> None:
    """Fills `count` elements of L1, L0A or L0B with one number; whole blocks of 32 bytes."""
    _in("InitConstValue", dst, Memory.L1, Memory.L0A, Memory.L0B)
    tracer = current()
    size = count * dst.dtype.itemsize
    if isinstance(size, int) and size % BLOCK:
        raise refuse("R03", f"InitConstValue: {size} bytes; the length must be a multiple of 32", tracer.here())
    check_room(tracer, "InitConstValue", "dst", dst, sym.bounds(size)[1])
    node = tracer.table.node
    pipe = Pipe.MTE2 if dst.memory is Memory.L1 else Pipe.MTE1
    tracer.emit(tracer.opcode(INSTRUCTIONS["InitConstValue"]), int(pipe), 1, dst.words(WRITE) + (node(size), 0), (node(size),), (1, *float_words(value)))


class _HF32:
    """Whether f32 products are cut to HF32 in this trace."""

    def __init__(self) -> None:
        self.on = False

    def save(self) -> object:
        return self.on

    def restore(self, state: object) -> None:
        self.on = bool(state)


def _hf32(tracer: Tracer) -> _HF32:
    for one in tracer.stateful:
        if isinstance(one, _HF32):
            return one
    tracer.stateful.append(made := _HF32())
    return made


def SetHF32Mode(on: bool) -> None:
    """The Mmads of f32 that follow cut their inputs to 10 bits of mantissa, at twice the rate."""
    tracer = current()
    _hf32(tracer).on = bool(on)
    tracer.forget()


def Mmad(c: LocalTensor, a: LocalTensor, b: LocalTensor, *how: Any, **named: Any) -> None:
    """c = a b (init), or c + a b: Mmad(c, a, b, m, n, k, init=True, unitFlag=0, bias=None), or Mmad(c, a, b, MmadParams), Mmad(c, a, b, bias, MmadParams).

    With bias (in BT, n numbers): c = bias + a b where init holds. unitFlag: 0, 2 or 3.
    """
    if not how or not isinstance(how[-1], MmadParams):
        return _mmad(c, a, b, *how, **named)
    p: MmadParams = how[-1]
    bias = how[0] if len(how) > 1 else None
    return _mmad(c, a, b, p.m, p.n, p.k, True if bias is not None else p.cmatrixInitVal, p.unitFlag, bias)


@remembered
def _mmad(c: LocalTensor, a: LocalTensor, b: LocalTensor, m: Index, n: Index, k: Index, init: Index = True, unitFlag: int = 0,
          bias: LocalTensor | None = None) -> None:
    tracer = current()
    if isinstance(init, Sym):
        with tracer.branch(init):
            _mmad(c, a, b, m, n, k, True, unitFlag, bias)
        with tracer.otherwise():
            _mmad(c, a, b, m, n, k, False, unitFlag)
        return
    for tensor, memory in ((c, Memory.L0C), (a, Memory.L0A), (b, Memory.L0B), *(((bias, Memory.BT),) if bias else ())):
        _in("Mmad", tensor, memory)
    _sizes("Mmad", m=m, n=n, k=k)
    opcode = tracer.opcode(INSTRUCTIONS["Mmad"])
    _formats(tracer, "Mmad", c, (a, b))
    if unitFlag not in (0, 2, 3):
        raise KernelError(f"Mmad: unitFlag is {unitFlag}; it must be 0, 2 (keep) or 3 (flip)")
    c0 = BLOCK // a.dtype.itemsize
    m16, n16, kc = _up(m, 16), _up(n, 16), _up(k, c0)
    sizes = (m16 * n16 * c.dtype.itemsize, m16 * kc * a.dtype.itemsize, kc * n16 * b.dtype.itemsize)
    node = tracer.table.node
    operands: tuple[int, ...] = ()
    for what, tensor, size, align in (("c", c, sizes[0], 1024), ("a", a, sizes[1], FRACTAL), ("b", b, sizes[2], FRACTAL)):
        check_room(tracer, "Mmad", what, tensor, sym.bounds(size)[1], align)
        access = READ if what != "c" else WRITE if init else READ | WRITE
        operands += (*tensor.words(access), node(size), 0)
    mode = 0 if not init else 2 if bias else 1
    if bias is not None and init:
        check_room(tracer, "Mmad", "bias", bias, sym.bounds(n)[1] * bias.dtype.itemsize)
        operands += (*bias.words(READ), node(n * bias.dtype.itemsize), 0)
    args = tuple(map(node, (m, n, k, mode, unitFlag, int(_hf32(tracer).on and a.dtype.name == "f32"), _layout(tracer))))
    tracer.emit(opcode, int(Pipe.M), 4 if mode == 2 else 3, operands, args)


def _quant(tracer: Tracer, dst: Tensor, src: LocalTensor, quant: str | None, scales: LocalTensor | None) -> int:
    """The number of the conversion: asked for, or what the formats need."""
    if quant is None:
        quant = "scale_columns" if scales is not None else "none" if dst.dtype is src.dtype else "convert"
    if quant not in QUANT_MODES:
        raise KernelError(f"Fixpipe: quant is {quant!r}; it must be one of {', '.join(QUANT_MODES)}")
    narrow = dst.dtype.itemsize == 1 or (src.dtype.name == "i32" and dst.dtype is not src.dtype)
    if narrow and quant in ("none", "convert"):
        raise refuse("R22", f"Fixpipe: {src.dtype.name} -> {dst.dtype.name} needs a scale; quant is {quant!r}", tracer.here(),
                     'give quant="scale" with scale=, or scales= a tensor in FB')
    if (quant == "scale_columns") != (scales is not None):
        raise KernelError(f"Fixpipe: quant is {quant!r} and scales {'are' if scales else 'are not'} given; scale_columns takes them, the others do not")
    return QUANT_MODES.index(quant)


def Fixpipe(dst: Tensor, src: LocalTensor, *how: Any, **named: Any) -> None:
    """m x n results from L0C: to GM row by row, rows `ld` elements apart (default n); to L1 in Nz, `ld` rows a column of blocks.

    quant: "none", "convert", "scale" (times `scale`) or "scale_columns" (times `scales` in FB); by default what the formats need.
    src_rows: rows of L0C's blocks, default m rounded up to 16.

    Fixpipe(dst, src, m, n, ld=None, quant=None, relu=False, unitFlag=0, *, scale=1.0, scales=None, src_rows=None), or
    Fixpipe(dst, src, FixpipeParamsV220), Fixpipe(dst, src, scales, FixpipeParamsV220).
    """
    if not how or not isinstance(how[-1], FixpipeParamsV220):
        return _fixpipe(dst, src, *how, **named)
    p: FixpipeParamsV220 = how[-1]
    if p.ndNum != 1:
        raise refuse("R22", f"Fixpipe: ndNum is {p.ndNum}; one matrix at a time is emulated", current().here(), "one Fixpipe a matrix")
    scales = how[0] if len(how) > 1 else None
    quant = None if p.quantPre == QuantMode_t.NoQuant else str(p.quantPre)
    return _fixpipe(dst, src, p.mSize, p.nSize, p.dstStride, quant, bool(p.reluEn), p.unitFlag, scale=p.deqScalar, scales=scales, src_rows=p.srcStride)


@remembered
def _fixpipe(dst: Tensor, src: LocalTensor, m: Index, n: Index, ld: Index | None = None, quant: str | None = None, relu: bool = False,
             unitFlag: int = 0, *, scale: float = 1.0, scales: LocalTensor | None = None, src_rows: Index | None = None) -> None:
    tracer = current()
    _in("Fixpipe", src, Memory.L0C)
    if dst.memory not in (Memory.GM, Memory.L1) and not (dst.memory is Memory.UB and tracer.generation == "3510"):
        raise refuse("R22", f"Fixpipe: {tracer.chip.name} ({tracer.generation}) has no path L0C -> {dst.memory.name}; it has GM and L1", tracer.here(),
                     "exchange through a workspace in GM")
    _sizes("Fixpipe", m=m, n=n)
    opcode = tracer.opcode(INSTRUCTIONS["Fixpipe"])
    _formats(tracer, "Fixpipe", dst, (src,))
    mode = _quant(tracer, dst, src, quant, scales)
    access, atomic = destination(tracer, dst)
    size, wide = dst.dtype.itemsize, src.dtype.itemsize
    c0 = BLOCK // size
    fractal = dst.memory is Memory.L1
    rows = _up(m, 16) if src_rows is None else src_rows
    if fractal:
        pitch = (_up(m, 16) if ld is None else ld) * BLOCK
        to = Rows((n + c0 - 1) // c0, m * BLOCK, pitch)
    else:
        pitch = (n if ld is None else ld) * size
        to = Rows(m, n * size, pitch)
    # Unit flags go by whole blocks: those of the rows that fill the last one up are handed over, too.
    of = Rows((n + 15) // 16, (_up(m, 16) if unitFlag else m) * 16 * wide, rows * 16 * wide)
    check_room(tracer, "Fixpipe", "dst", dst, to.extent)
    check_room(tracer, "Fixpipe", "src", src, of.extent)
    node = tracer.table.node
    operands = dst.words(access) + to.words(tracer) + src.words(READ) + of.words(tracer)
    if scales is not None:
        _in("Fixpipe", scales, Memory.FB)
        operands += (*scales.words(READ), node(n * 8), 0)
    args = tuple(map(node, (m, n, pitch, rows, mode, int(relu), unitFlag, int(fractal), atomic, 1, 0, 0)))
    tracer.emit(opcode, int(Pipe.FIX), 2 if scales is None else 3, operands, args, (1, *float_words(scale)))


__all__ = ["Fixpipe", "InitConstValue", "Load3D", "LoadA", "LoadB", "LoadData", "Mmad", "SetHF32Mode"]
