"""Which bytes a vector operand touches, and whether the fields of an instruction can say so (rules R02, R11-R13, R15)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang import sym
from ascendlite.npu.lang.dtypes import DType, f16, f32, i32
from ascendlite.npu.lang.instructions import Instruction
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.trace import Index, Tracer

BLOCK = 32
REPEAT_BYTES = 256
LEAD = 4  # added to an operand's number of dimensions where a lead comes before them (csrc/davinci/program.cpp)
# May read in a repeat what an earlier one wrote, if that is the second source and one of the two has repeat stride 0 (manual, overlap rules).
ACCUMULATING = frozenset(("Add", "Sub", "Mul", "Max", "Min", "AddRelu", "SubRelu"))
ACCUMULATED = frozenset((f16, i32, f32))


class Shape(NamedTuple):
    """Words of a region after its base, and how many bytes it spans at most."""

    words: tuple[int, ...]
    extent: int


class Lanes(NamedTuple):
    """What one instruction covers. mode 0: `active` elements; else `repeat` repeats of the lanes of `active` (mode 2: a bitmap, with `mask_hi`)."""

    mode: int
    active: Index
    mask_hi: int
    repeat: Index

    @property
    def bits(self) -> int:
        """The bitmap, of mode 2."""
        return int(self.active) % (1 << 64) | self.mask_hi % (1 << 64) << 64

    def span(self) -> tuple[int, int, bool]:
        """First and last active lane + 1, and whether all between are active."""
        if self.mode == 1:
            return 0, sym.bounds(self.active)[1], True
        bits = self.bits
        low, high = (bits & -bits).bit_length() - 1, bits.bit_length()
        return low, high, bits == (1 << high) - (1 << low)


def run(tracer: Tracer, itemsize: int, count: Index) -> Shape:
    """`count` elements in a row."""
    key = (itemsize, count if not isinstance(count, Sym) else -1 - count.node)
    words = tracer.memo.get(key)
    if words is None:
        words = tracer.memo[key] = (tracer.table.node(count * itemsize), 0)
    return Shape(words, sym.bounds(count)[1] * itemsize)


class Pattern(NamedTuple):
    """Bytes of a repeat's active lanes: runs of `size`, the first `lead` after lane 0, repeated by (count, stride in bytes) of `dims`."""

    lead: int
    size: int
    dims: tuple[tuple[int, int], ...]
    exact: bool  # else all from the first active lane to the last

    @property
    def end(self) -> int:
        return self.lead + self.size + sum((count - 1) * stride for count, stride in self.dims)


@cache
def pattern(bits: int, itemsize: int, block: int) -> Pattern:
    """The lanes of a bitmap, blocks of 32 bytes `block` blocks apart.

    >>> pattern(0b10101010, 4, 1)
    Pattern(lead=4, size=4, dims=((4, 8),), exact=True)
    """
    per_block = BLOCK // itemsize
    if block == 0 and bits >> per_block:  # one block again and again: all of it is read, and what the lanes that are off would take is dropped
        return Pattern(0, BLOCK, (), False)
    places = {lane // per_block * block * BLOCK + lane % per_block * itemsize for lane in range(bits.bit_length()) if bits >> lane & 1}
    runs: list[tuple[int, int]] = []
    for at in sorted(places):
        if runs and sum(runs[-1]) == at:
            runs[-1] = (runs[-1][0], runs[-1][1] + itemsize)
        else:
            runs.append((at, itemsize))
    starts, size = [at for at, _ in runs], runs[0][1]
    dims = _nested(starts) if all(one == size for _, one in runs) else None
    if dims is None:
        return Pattern(starts[0], sum(runs[-1]) - starts[0], (), False)
    return Pattern(starts[0], size, dims, True)


def _nested(starts: list[int]) -> tuple[tuple[int, int], ...] | None:
    """The starts as at most two nested steps, if they are such."""
    for inner in range(1, len(starts) + 1):
        if len(starts) % inner:
            continue
        sizes = (len(starts) // inner, inner)
        steps = (starts[inner] - starts[0] if sizes[0] > 1 else 0, starts[1] - starts[0] if inner > 1 else 0)
        if all(at - starts[0] == i // inner * steps[0] + i % inner * steps[1] for i, at in enumerate(starts)):
            return tuple((n, step) for n, step in zip(sizes, steps, strict=True) if n > 1)
    return None


def _masked(tracer: Tracer, itemsize: int, lanes: Lanes, block: int, rep: int) -> Shape:
    found = pattern(lanes.bits, itemsize, block)
    node = tracer.table.node
    dims = [(lanes.repeat, rep * BLOCK)] if rep and (isinstance(lanes.repeat, Sym) or lanes.repeat != 1) else []
    dims += found.dims
    extent = found.end + (sym.bounds(lanes.repeat)[1] - 1) * rep * BLOCK
    lead = (node(found.lead),) if found.lead else ()
    return Shape((node(found.size), len(dims) + (LEAD if lead else 0), *lead, *(node(n) for pair in dims for n in pair)), extent)


def repeated(tracer: Tracer, itemsize: int, lanes: Lanes, block: int, rep: int) -> Shape:
    """The active lanes of every repeat, blocks `block` and repeats `rep` blocks of 32 bytes apart; lane 0 is at the base."""
    if lanes.mode == 2 and lanes.bits:
        return _masked(tracer, itemsize, lanes, block, rep)
    repeat = lanes.repeat
    last = lanes.span()[1]
    node = tracer.table.node
    per_block = BLOCK // itemsize
    dims: list[int] = []
    if block == 1 or last <= per_block:
        size = last * itemsize
    else:
        size = BLOCK
        dims += (node(-(-last // per_block)), node(block * BLOCK))
    inner = (dims and (-(-last // per_block) - 1) * block * BLOCK) or 0
    extent = inner + size + (sym.bounds(repeat)[1] - 1) * rep * BLOCK
    if (isinstance(repeat, Sym) or repeat != 1) and rep:
        if not dims and rep * BLOCK == size:
            return Shape((node(repeat * size), 0), extent)
        dims = [node(repeat), node(rep * BLOCK), *dims]
    return Shape((node(size), len(dims) // 2, *dims), extent)


def check_lanes(tracer: Tracer, instruction: Instruction, lanes: Lanes, width: int, strides: tuple[int, ...]) -> None:
    """R12 and R13 for the mask and repeat form; strides: block strides, then repeat strides."""
    name, site = instruction.name, tracer.here
    low, high = sym.bounds(lanes.repeat)
    if low < 0 or high > instruction.max_repeat:
        what = f"{low}..{high}" if isinstance(lanes.repeat, Sym) else str(low)
        raise refuse("R12", f"{name}: the repeat count is {what}; it fits 0..{instruction.max_repeat}", site(),
                     "use the count form, or several instructions" if high > 255 else "bound it with ac.max(0, ...)")
    half = len(strides) // 2
    for index, stride in enumerate(strides):
        limit = instruction.max_block_stride if index < half else instruction.max_repeat_stride
        kind = "block" if index < half else "repeat"
        if not 0 <= stride <= limit:
            raise refuse("R13", f"{name}: a {kind} stride is {stride} blocks of 32 bytes; its field holds 0..{limit}", site(),
                         "work on narrower rows, or issue one instruction a row")
    if lanes.mode == 1:
        least, most = sym.bounds(lanes.active)
        if least < 1 or most > width:
            raise refuse("R12", f"{name}: the mask is {least if least == most else f'{least}..{most}'}; a repeat has 1..{width} lanes of this format", site())
    elif not lanes.active and not lanes.mask_hi:
        raise refuse("R12", f"{name}: the bitmap mask has no bit set", site())
    elif lanes.span()[1] > width:
        raise refuse("R12", f"{name}: the bitmap mask sets lane {lanes.span()[1] - 1}; a repeat has {width} lanes of this format", site())


def check_place(tracer: Tracer, name: str, what: str, tensor: LocalTensor, extent: int, align: int) -> None:
    """R02 and R15 for one operand."""
    base = tensor.base
    if isinstance(base, int) and base % align:
        raise refuse("R02", f"{name}: {what} starts at byte {base} of {tensor.memory.name}; it must be a multiple of {align}", tracer.here(),
                     f"offsets into {tensor.dtype.name} tensors must be multiples of {align // tensor.dtype.itemsize} elements")
    room = sym.bounds(tensor.size)[1] * tensor.dtype.itemsize
    if extent > room:
        raise refuse("R15", f"{name}: {what} takes {extent} bytes; the tensor has {room} from here on", tracer.here(),
                     "lower the count or the repeats, allocate more, or bound an expression with ac.min")


def _repeats(dtype: DType, lanes: Lanes, strides: tuple[int, int], width: int) -> list[tuple[int, int]]:
    """(first byte, past the last) of each repeat of an operand, from its base on."""
    if lanes.mode == 0:
        size, step = dtype.bytes_of(sym.bounds(lanes.active)[1]), dtype.bytes_of(width)
        return [(at, min(at + step, size)) for at in range(0, size, step)]
    block, rep = strides
    last, per_block = lanes.span()[1], BLOCK // dtype.itemsize
    span = last * dtype.itemsize if block == 1 or last <= per_block else (-(-last // per_block) - 1) * block * BLOCK + BLOCK
    return [(r * rep * BLOCK, r * rep * BLOCK + span) for r in range(sym.bounds(lanes.repeat)[1])]


def check_overlap(tracer: Tracer, instruction: Instruction, dst: LocalTensor, src: LocalTensor, lanes: Lanes, width: int,
                  dst_strides: tuple[int, int], src_strides: tuple[int, int], second: bool) -> None:
    """R11: within a repeat dst and a source are the same bytes or disjoint; no repeat reads what an earlier one wrote."""
    for base, other in tracer.places(dst.base, src.base):
        _check_overlap(tracer, instruction, dst, src, lanes, width, dst_strides, src_strides, second, base, other)


def _check_overlap(tracer: Tracer, instruction: Instruction, dst: LocalTensor, src: LocalTensor, lanes: Lanes, width: int,
                   dst_strides: tuple[int, int], src_strides: tuple[int, int], second: bool, base: int, other: int) -> None:
    same_size = dst.dtype.itemsize == src.dtype.itemsize
    moving = lanes.mode == 0 or dst_strides[1] or (isinstance(lanes.repeat, int) and lanes.repeat == 1)
    if base == other and same_size and dst_strides == src_strides and moving:
        return
    written = [(base + a, base + z) for a, z in _repeats(dst.dtype, lanes, dst_strides, width)]
    read = [(other + a, other + z) for a, z in _repeats(src.dtype, lanes, src_strides, width)]
    if written[-1][1] <= read[0][0] or read[-1][1] <= written[0][0]:
        return
    error = _collision(written, read, same_size and dst_strides[0] == src_strides[0])
    still = 0 in (dst_strides[1], src_strides[1]) and lanes.mode
    if error == "later" and second and still and instruction.name in ACCUMULATING and dst.dtype in ACCUMULATED:
        return
    if error:
        raise _overlap_error(tracer, instruction, dst, src, error)


def _collision(written: list[tuple[int, int]], read: list[tuple[int, int]], alike: bool) -> str:
    """"within" if a repeat's operands overlap in part, "later" if a repeat reads what an earlier one wrote, else ""."""
    for r, (low, high) in enumerate(read):
        first, last = written[r]
        if first < high and low < last and not (alike and first == low):
            return "within"
        if written[0][0] < high and low < max(written[r - 1][1], written[0][1]) and any(a < high and low < z for a, z in written[:r]):
            return "later"
    return ""


def _overlap_error(tracer: Tracer, instruction: Instruction, dst: LocalTensor, src: LocalTensor, kind: str) -> KernelError:
    text = {"within": "dst and a source overlap in part within a repeat; they must be the same bytes or disjoint",
            "later": "a repeat reads what an earlier repeat of the same instruction wrote"}[kind]
    repair = "write to another buffer"
    if kind == "later" and instruction.name in ACCUMULATING:
        repair += "; to accumulate over repeats, make dst the second source, with repeat stride 0 (f16, i32, f32)"
    return refuse("R11", f"{instruction.name}: {text}: dst {dst}, source {src}", tracer.here(), repair)
