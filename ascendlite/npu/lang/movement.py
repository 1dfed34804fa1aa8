"""Copies between memories: GM, UB, L1 and the small ones, in rows, padded rows, and into and out of fractals."""

from __future__ import annotations

from dataclasses import dataclass

from ascendlite.npu.errors import KernelError, Site, refuse
from ascendlite.npu.lang import dtypes, sym
from ascendlite.npu.lang.data_instructions import ATOMIC_DTYPES, ATOMIC_OPS, CONVERTED, COPY_PIPES
from ascendlite.npu.lang.declare import ALIGNMENT, ATOMIC, READ, WRITE, Memory, Pipe
from ascendlite.npu.lang.instructions import INSTRUCTIONS
from ascendlite.npu.lang.memo import remembered
from ascendlite.npu.lang.params import DataCopyExtParams, DataCopyPadExtParams, DataCopyParams, Nd2NzParams, Nz2NdParams
from ascendlite.npu.lang.stateful import Lasting
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.tensors import GlobalTensor, LocalTensor, Tensor
from ascendlite.npu.lang.trace import Index, Tracer, current
from ascendlite.npu.lang.vector import float_words

BLOCK = 32
LARGEST_GAP = 65535  # blocks of 32 bytes, the field of DataCopy's strides


class _Atomic(Lasting):
    """What SetAtomic... last set in this trace, and where."""

    def __init__(self, tracer: Tracer) -> None:
        self.op = 0
        self.dtype = dtypes.f32
        self.site: Site | None = None
        tracer.at_end.append(self.finish)

    def save(self) -> object:
        return self.op, self.dtype, self.site

    def restore(self, state: object) -> None:
        assert isinstance(state, tuple)
        self.op, self.dtype, self.site = state

    def stays(self, state: object, where: str) -> None:
        """Raises where a branch or a round of a loop leaves another mode than it found (`state`)."""
        before = state[:2] if isinstance(state, tuple) else (0, self.dtype)
        if self.op != before[0] or (self.op and self.dtype is not before[1]):
            raise refuse("R07", f"{where} ends with another atomic mode than it began with", self.site, "SetAtomic... and SetAtomicNone() within the same block")

    def finish(self) -> None:
        if self.op:
            raise refuse("R07", f"the kernel ends with atomic {ATOMIC_OPS[self.op]} set: the next kernel's copies to GM would do it, too", self.site,
                         "SetAtomicNone() after the last copy that accumulates")


def atomic_state(tracer: Tracer) -> _Atomic:
    for one in tracer.stateful:
        if isinstance(one, _Atomic):
            return one
    tracer.stateful.append(made := _Atomic(tracer))
    return made


def _set_atomic(op: str, dtype: object) -> None:
    tracer = current()
    state = atomic_state(tracer)
    tracer.forget()
    state.op, state.dtype, state.site = ATOMIC_OPS.index(op), dtypes.as_dtype(dtype), tracer.here()
    if state.dtype.name not in ATOMIC_DTYPES[tracer.generation]:
        raise refuse("R22", f"SetAtomic{op.title()}: {tracer.chip.name} ({tracer.generation}) does not do it in {state.dtype.name}; it takes "
                     f"{', '.join(ATOMIC_DTYPES[tracer.generation])}", tracer.here())


def SetAtomicAdd(dtype: object) -> None:
    """The copies to GM that follow add to what is there."""
    _set_atomic("add", dtype)


def SetAtomicMax(dtype: object) -> None:
    """The copies to GM that follow keep the larger number."""
    _set_atomic("max", dtype)


def SetAtomicMin(dtype: object) -> None:
    """The copies to GM that follow keep the smaller number."""
    _set_atomic("min", dtype)


def SetAtomicNone() -> None:
    """The copies to GM that follow overwrite again."""
    tracer = current()
    tracer.forget()
    state = atomic_state(tracer)
    state.op, state.site = 0, tracer.here()


def destination(tracer: Tracer, dst: Tensor) -> tuple[int, int]:
    """Access of a destination in GM, and the atomic operation."""
    if dst.memory is not Memory.GM:
        return WRITE, 0
    state = atomic_state(tracer)
    if state.op and state.dtype is not dst.dtype:
        raise refuse("R22", f"the atomic operation was set for {state.dtype.name}; the destination is {dst.dtype.name}", tracer.here(),
                     "SetAtomicNone() first, or set it for this format")
    return (READ | WRITE | ATOMIC, state.op) if state.op else (WRITE, 0)


def copy_pipe(tracer: Tracer, name: str, dst: Tensor, src: Tensor) -> Pipe:
    """The pipe that copies between these memories (R22)."""
    for one in (dst, src):
        if not isinstance(one, (LocalTensor, GlobalTensor)):
            raise KernelError(f"{name}: an operand is a {type(one).__name__}; it takes GlobalTensor and LocalTensor")
    pipes = COPY_PIPES[tracer.generation]
    pipe = pipes.get((src.memory, dst.memory))
    if pipe is None:
        known = ", ".join(f"{a.name} -> {b.name}" for a, b in pipes)
        raise refuse("R22", f"{name}: {tracer.chip.name} ({tracer.generation}) has no path {src.memory.name} -> {dst.memory.name}; it has {known}", tracer.here())
    if dst.dtype.itemsize != src.dtype.itemsize and (src.memory, dst.memory, src.dtype.name, dst.dtype.name) not in CONVERTED:
        raise refuse("R22", f"{name}: dst is {dst.dtype.name} and src {src.dtype.name}; a copy converts nothing", tracer.here(), "copy, then Cast")
    return pipe


@dataclass(frozen=True, slots=True)
class Rows:
    """`count` rows of `size` bytes, `pitch` bytes apart."""

    count: Index
    size: Index
    pitch: Index

    def words(self, tracer: Tracer) -> tuple[int, ...]:
        node = tracer.table.node
        if isinstance(self.count, int) and self.count == 1:
            return node(self.size), 0
        if not isinstance(self.size, Sym) and not isinstance(self.pitch, Sym) and self.size == self.pitch:
            return node(self.count * self.size), 0
        return node(self.size), 1, node(self.count), node(self.pitch)

    @property
    def extent(self) -> int:
        return (sym.bounds(self.count)[1] - 1) * sym.bounds(self.pitch)[1] + sym.bounds(self.size)[1]


def check_room(tracer: Tracer, name: str, what: str, tensor: Tensor, extent: int, align: int | None = None) -> None:
    """R02 and R15. GM windows whose size depends on the block are left to the checker, which knows every block."""
    need = ALIGNMENT[tensor.memory] if align is None else align
    if isinstance(tensor.base, int) and tensor.base % need:
        raise refuse("R02", f"{name}: {what} starts at byte {tensor.base} of {tensor.memory.name}; it must be a multiple of {need}", tracer.here())
    room = sym.bounds(tensor.size)[1] * tensor.dtype.itemsize
    if extent > room and (isinstance(tensor, LocalTensor) or not isinstance(tensor.size, Sym)):
        raise refuse("R15", f"{name}: {what} takes {extent} bytes; the tensor has {room} from here on", tracer.here(),
                     "copy fewer elements: min(tile, rest) for the tail")


def _copy(name: str, dst: Tensor, src: Tensor, to: Rows, of: Rows, left: int = 0, right: Index = 0, fill: int = 0, pad: float = 0.0) -> None:
    """Rows `of` the source to rows `to` the destination, which may be longer by the filled bytes."""
    tracer = current()
    pipe = copy_pipe(tracer, name, dst, src)
    opcode = tracer.opcode(INSTRUCTIONS[name])
    access, atomic = destination(tracer, dst)
    check_room(tracer, name, "dst", dst, to.extent)
    check_room(tracer, name, "src", src, of.extent)
    node = tracer.table.node
    operands = dst.words(access) + to.words(tracer) + src.words(READ) + of.words(tracer)
    args = tuple(map(node, (1, of.count, of.size, 0, to.pitch, 0, of.pitch, left, right, fill, atomic)))
    tracer.emit(opcode, int(pipe), 2, operands, args, (1, *float_words(pad)))


def _nothing(name: str, value: Index) -> bool:
    """Whether there is nothing to copy. Raises for a negative number."""
    if isinstance(value, Sym):
        return False
    if value < 0:
        raise refuse("R03", f"{name}: the length is {value}; it must not be negative", current().here(), "bound it with max(0, ...)")
    return value == 0


@remembered
def DataCopy(dst: Tensor, src: Tensor, how: Index | DataCopyParams | Nd2NzParams | Nz2NdParams) -> None:
    """Copies `how` elements in a row, rows by DataCopyParams, or a matrix into (Nd2NzParams) or out of (Nz2NdParams) fractals.

    Lengths are whole blocks of 32 bytes (R03). The pipe follows from the memories: GM -> UB and L1 MTE2, UB -> GM MTE3, UB -> UB V.
    A row of f16 or bf16 from L1 to the bias table becomes f32 on its way.
    """
    if isinstance(how, Nd2NzParams):
        return _nd2nz(dst, src, how)
    if isinstance(how, Nz2NdParams):
        return _nz2nd(dst, src, how)
    if not isinstance(how, DataCopyParams):
        if _nothing("DataCopy", how):
            return None
        size = how * src.dtype.itemsize
        if isinstance(size, int) and size % BLOCK:
            raise refuse("R03", f"DataCopy: {how} elements of {src.dtype.name} are {size} bytes; the length must be a multiple of 32", current().here(),
                         "use DataCopyPad")
        wide = how * dst.dtype.itemsize
        return _copy("DataCopy", dst, src, Rows(1, wide, wide), Rows(1, size, size))
    if _nothing("DataCopy", how.blockCount) or _nothing("DataCopy", how.blockLen):
        return None
    _gaps("DataCopy", how.srcStride, how.dstStride)
    size = how.blockLen * BLOCK
    return _copy("DataCopy", dst, src, Rows(how.blockCount, size, size + how.dstStride * BLOCK), Rows(how.blockCount, size, size + how.srcStride * BLOCK))


def _gaps(name: str, *gaps: Index) -> None:
    for gap in gaps:
        low, high = sym.bounds(gap)
        if low < 0 or high > LARGEST_GAP:
            raise refuse("R03", f"{name}: a gap is {low if low == high else f'{low}..{high}'} blocks; its field holds 0..{LARGEST_GAP}", current().here())


@remembered
def DataCopyPad(dst: Tensor, src: Tensor, how: Index | DataCopyExtParams, pad: DataCopyPadExtParams | None = None) -> None:
    """Copies elements or rows of any length between GM and UB (or GM to L1).

    In local memory every row starts at a block of 32 bytes and is filled up to the next one: by pad.paddingValue, or by the row's first element.
    """
    size = src.dtype.itemsize
    if not isinstance(how, DataCopyExtParams):
        how = DataCopyExtParams(1, how * size)
    if _nothing("DataCopyPad", how.blockCount) or _nothing("DataCopyPad", how.blockLen):
        return
    pad = pad or DataCopyPadExtParams()
    if isinstance(how.blockLen, int) and how.blockLen % size:
        raise refuse("R03", f"DataCopyPad: a row has {how.blockLen} bytes; it must be whole elements of {size} bytes", current().here())
    inward = src.memory is Memory.GM
    if not inward and dst.memory is not Memory.GM:
        raise refuse("R22", f"DataCopyPad: {src.memory.name} -> {dst.memory.name}; one side must be GM", current().here(), "use DataCopy")
    if not inward and (pad.isPad or pad.leftPadding or pad.rightPadding):
        raise refuse("R22", "DataCopyPad: rows are filled only on their way to local memory", current().here())
    left, right = (pad.leftPadding * size, pad.rightPadding * size) if pad.isPad else (0, 0)
    if left > BLOCK or right > BLOCK:
        raise refuse("R03", f"DataCopyPad: {left} and {right} bytes are put before and after a row; at most 32 each", current().here())
    length = how.blockLen + left + right
    full = (length + BLOCK - 1) // BLOCK * BLOCK
    if inward:
        to = Rows(how.blockCount, full, how.pitch or full + how.dstStride * BLOCK)
        of = Rows(how.blockCount, how.blockLen, how.blockLen + how.srcStride)
        exact = isinstance(full, int) and isinstance(how.blockLen, int) and full == how.blockLen
        fill = 0 if exact else 1 if pad.isPad else 2
        _copy("DataCopyPad", dst, src, to, of, left, full - how.blockLen - left, fill, pad.paddingValue)
        return
    to = Rows(how.blockCount, how.blockLen, how.blockLen + how.dstStride)
    _copy("DataCopyPad", dst, src, to, Rows(how.blockCount, how.blockLen, how.pitch or full + how.srcStride * BLOCK))


def _nd2nz(dst: Tensor, src: Tensor, p: Nd2NzParams) -> None:
    tracer = current()
    name = "DataCopyNd2Nz"
    if p.step != 1:
        raise refuse("R22", f"DataCopy with Nd2NzParams: dstNzNStride is {p.step}; rows of fractals that interleave are not emulated", tracer.here(), "use 1")
    if dst.memory is not Memory.L1 or src.memory is not Memory.GM:
        raise refuse("R22", f"DataCopy with Nd2NzParams: {src.memory.name} -> {dst.memory.name}; it goes from GM to L1", tracer.here())
    copy_pipe(tracer, name, dst, src)
    opcode = tracer.opcode(INSTRUCTIONS[name])
    size, node = src.dtype.itemsize, tracer.table.node
    c0 = BLOCK // size
    ld = p.cols if p.ld is None else p.ld
    dst_rows = (p.rows + 15) // 16 * 16 if p.dst_rows is None else p.dst_rows
    columns, pitch = (p.cols + c0 - 1) // c0, dst_rows * BLOCK
    filled = sym.minimum(dst_rows, (p.rows + 15) // 16 * 16)
    to = Rows(columns, filled * BLOCK, pitch)
    of = Rows(p.rows, p.cols * size, ld * size)
    many = not (isinstance(p.matrices, int) and p.matrices == 1)
    stretch_to, stretch_of = ((sym.bounds(p.matrices)[1] - 1) * sym.bounds(x)[1] * size for x in (p.dst_matrix, p.src_matrix))
    check_room(tracer, "DataCopy", "dst", dst, to.extent + stretch_to)
    check_room(tracer, "DataCopy", "src", src, of.extent + stretch_of)
    shapes = [_stack(tracer, r, p.matrices, m * size) if many else r.words(tracer) for r, m in ((to, p.dst_matrix), (of, p.src_matrix))]
    args = tuple(map(node, (p.rows, p.cols, ld * size, dst_rows, p.matrices, p.src_matrix * size, p.dst_matrix * size, BLOCK)))
    tracer.emit(opcode, int(Pipe.MTE2), 2, dst.words(WRITE) + shapes[0] + src.words(READ) + shapes[1], args)


def _stack(tracer: Tracer, rows: Rows, matrices: Index, pitch: Index) -> tuple[int, ...]:
    node = tracer.table.node
    return node(rows.size), 2, node(matrices), node(pitch), node(rows.count), node(rows.pitch)


def _nz2nd(dst: Tensor, src: Tensor, p: Nz2NdParams) -> None:
    tracer = current()
    name = "DataCopyNz2Nd"
    pipe = copy_pipe(tracer, name, dst, src)
    if dst.memory is not Memory.GM:
        raise refuse("R22", f"DataCopy with Nz2NdParams: {src.memory.name} -> {dst.memory.name}; it goes to GM", tracer.here())
    opcode = tracer.opcode(INSTRUCTIONS[name])
    access, atomic = destination(tracer, dst)
    size, node = src.dtype.itemsize, tracer.table.node
    c0 = BLOCK // size
    ld = p.cols if p.ld is None else p.ld
    src_rows = (p.rows + 15) // 16 * 16 if p.src_rows is None else p.src_rows
    to = Rows(p.rows, p.cols * size, ld * size)
    of = Rows((p.cols + c0 - 1) // c0, p.rows * BLOCK, src_rows * BLOCK)
    check_room(tracer, "DataCopy", "dst", dst, to.extent)
    check_room(tracer, "DataCopy", "src", src, of.extent)
    args = tuple(map(node, (p.rows, p.cols, ld * size, src_rows, atomic)))
    tracer.emit(opcode, int(pipe), 2, dst.words(access) + to.words(tracer) + src.words(READ) + of.words(tracer), args)


__all__ = ["DataCopy", "DataCopyExtParams", "DataCopyPad", "DataCopyPadExtParams", "DataCopyParams", "Nd2NzParams", "Nz2NdParams", "SetAtomicAdd",
           "SetAtomicMax", "SetAtomicMin", "SetAtomicNone"]
