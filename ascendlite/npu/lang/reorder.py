"""Vector instructions whose result has another shape than their source: reductions, broadcasts, gathers, transposes, sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang import dtypes, sym
from ascendlite.npu.lang.declare import PARTIAL, READ, WRITE
from ascendlite.npu.lang.footprint import REPEAT_BYTES, Lanes, Shape, check_lanes, repeated, run
from ascendlite.npu.lang.memo import remembered
from ascendlite.npu.lang.params import TransDataTo5HDParams
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.trace import Index, current
from ascendlite.npu.lang.vector import Call, Mask, check_formats, empty, lanes_of, local
from ascendlite.npu.lang.vector_instructions import REDUCE_OPS, REDUCE_ORDERS


def _results(call: Call, each: int, count: Index, step: int) -> Shape:
    """`count` results of `each` bytes, `step` bytes apart."""
    if step == each:
        return run(call.tracer, 1, count * each)
    node = call.tracer.table.node
    return Shape((node(each), 1, node(count), node(step)), (sym.bounds(count)[1] - 1) * step + each)


def _of_repeats(name: str, dst: LocalTensor, src: LocalTensor, lanes: Lanes, strides: tuple[int, int, int], result: tuple[int, int],
                extra: tuple[int, ...]) -> None:
    """strides: dst repeat, src block, src repeat. result: bytes that a repeat writes and the unit of the dst stride in bytes."""
    if empty(lanes):
        return
    local(name, dst, src)
    call = Call(name, lanes, REPEAT_BYTES // src.dtype.itemsize)
    check_formats(call.tracer, call.instruction, (dst, src))
    dst_rep, src_block, src_rep = strides
    check_lanes(call.tracer, call.instruction, lanes, call.width, (src_block, src_rep))
    each, unit = result
    # a pair or a lone index starts at a multiple of its size, and so does a value
    align = unit if unit <= 2 * dst.dtype.itemsize and name.startswith("ReduceRepeat") else dst.dtype.itemsize
    call.add("dst", dst, WRITE, _results(call, each, lanes.repeat, dst_rep * unit), align)
    call.add("src", src, READ, call.shape(src, src_block, src_rep))
    call.finish((1, src_block, 0, dst_rep, src_rep, 0), extra=extra)


_ORDERS = {"1001": REDUCE_ORDERS[:1]}  # what a generation can write, where it is not everything (manual)


@remembered
def ReduceRepeat(kind: str, dst: LocalTensor, src: LocalTensor, mask: Mask, repeat: Index, dstRepStride: int = 1, srcBlkStride: int = 1,
                 srcRepStride: int = 8, order: str = "ORDER_ONLY_VALUE") -> None:
    """One value a repeat: the "SUM", "MAX" or "MIN" of its active lanes, dstRepStride elements (or pairs) apart.

    order, for MAX and MIN: "ORDER_VALUE_INDEX" and "ORDER_INDEX_VALUE" write pairs, "ORDER_ONLY_VALUE" one element, "ORDER_ONLY_INDEX" a u32.
    The card's default is ORDER_VALUE_INDEX, as that of WholeReduceMax.
    """
    if kind not in REDUCE_OPS or order not in REDUCE_ORDERS or (kind == "SUM" and order != "ORDER_ONLY_VALUE"):
        raise KernelError(f"ReduceRepeat: {kind!r} with {order!r}; kinds are {', '.join(REDUCE_OPS)}, orders {', '.join(REDUCE_ORDERS)} (SUM: ORDER_ONLY_VALUE)")
    which = REDUCE_ORDERS.index(order)
    allowed = _ORDERS.get(current().generation, REDUCE_ORDERS)
    if kind != "SUM" and order not in allowed:
        raise refuse("R22", f"ReduceRepeat: {current().chip.name} ({current().generation}) does not write {order}; it writes {', '.join(allowed)}", current().here())
    each = 4 if order == "ORDER_ONLY_INDEX" else dst.dtype.itemsize * (2 if which < 2 else 1)
    _of_repeats(f"ReduceRepeat{kind.title()}", dst, src, lanes_of(mask, repeat), (dstRepStride, srcBlkStride, srcRepStride), (each, each),
                (REDUCE_OPS.index(kind), which))


def WholeReduceSum(dst: LocalTensor, src: LocalTensor, mask: Mask, repeat: Index, dstRepStride: int = 1, srcBlkStride: int = 1, srcRepStride: int = 8) -> None:
    """The former name of ReduceRepeat("SUM", ...)."""
    ReduceRepeat("SUM", dst, src, mask, repeat, dstRepStride, srcBlkStride, srcRepStride)


def WholeReduceMax(dst: LocalTensor, src: LocalTensor, mask: Mask, repeat: Index, dstRepStride: int = 1, srcBlkStride: int = 1,
                   srcRepStride: int = 8, order: str = "ORDER_VALUE_INDEX") -> None:
    """The former name of ReduceRepeat("MAX", ...); pairs by default."""
    ReduceRepeat("MAX", dst, src, mask, repeat, dstRepStride, srcBlkStride, srcRepStride, order)


def WholeReduceMin(dst: LocalTensor, src: LocalTensor, mask: Mask, repeat: Index, dstRepStride: int = 1, srcBlkStride: int = 1,
                   srcRepStride: int = 8, order: str = "ORDER_VALUE_INDEX") -> None:
    """The former name of ReduceRepeat("MIN", ...); pairs by default."""
    ReduceRepeat("MIN", dst, src, mask, repeat, dstRepStride, srcBlkStride, srcRepStride, order)


@remembered
def BlockReduce(kind: str, dst: LocalTensor, src: LocalTensor, repeat: Index, mask: Mask, dstRepStride: int = 1, srcBlkStride: int = 1,
                srcRepStride: int = 8) -> None:
    """One value a block of 32 bytes, 8 a repeat, dstRepStride times 8 elements apart."""
    if kind not in REDUCE_OPS:
        raise KernelError(f"BlockReduce: {kind!r} is not one of {', '.join(REDUCE_OPS)}")
    lanes = lanes_of(mask, repeat)
    results = -(-lanes.span()[1] * src.dtype.itemsize // 32)
    _of_repeats(f"BlockReduce{kind.title()}", dst, src, lanes, (dstRepStride, srcBlkStride, srcRepStride),
                (results * dst.dtype.itemsize, 8 * dst.dtype.itemsize), (REDUCE_OPS.index(kind),))


def _block_reduce(kind: str) -> Callable[..., None]:
    def issue(dst: LocalTensor, src: LocalTensor, repeat: Index, mask: Mask, dstRepStride: int = 1, srcBlkStride: int = 1, srcRepStride: int = 8) -> None:
        BlockReduce(kind, dst, src, repeat, mask, dstRepStride, srcBlkStride, srcRepStride)

    issue.__name__ = issue.__qualname__ = f"BlockReduce{kind.title()}"
    issue.__doc__ = f'BlockReduce("{kind}", ...).'
    return issue


BlockReduceSum, BlockReduceMax, BlockReduceMin = map(_block_reduce, REDUCE_OPS)


@remembered
def PairReduceSum(dst: LocalTensor, src: LocalTensor, repeat: Index, mask: Mask, dstRepStride: int = 1, srcBlkStride: int = 1, srcRepStride: int = 8) -> None:
    """dst[i] = src[2 i] + src[2 i + 1]; dstRepStride in steps of 128 bytes."""
    lanes = lanes_of(mask, repeat)
    _of_repeats("PairReduceSum", dst, src, lanes, (dstRepStride, srcBlkStride, srcRepStride), ((lanes.span()[1] + 1) // 2 * dst.dtype.itemsize, 128), (0,))


@remembered
def _reduce(kind: str, dst: LocalTensor, src: LocalTensor, work: LocalTensor, count: Index, with_index: bool) -> None:
    name = f"Reduce{kind.title()}"
    lanes = Lanes(0, count, 0, 1)
    if empty(lanes):
        raise KernelError(f"{name}: there is nothing to reduce; the count must be positive")
    local(name, dst, src, work)
    call = Call(name, lanes, REPEAT_BYTES // src.dtype.itemsize)
    check_formats(call.tracer, call.instruction, (dst, src))
    size = src.dtype.itemsize
    call.add("dst", dst, WRITE, run(call.tracer, size, 2 if with_index else 1), size)
    # the card folds repeats into `work` first: a value (or pair) for each of them
    partial = -(-sym.bounds(count)[1] // call.width) * (2 if with_index else 1)
    call.add("work", work, WRITE | PARTIAL, run(call.tracer, size, partial))
    call.add("src", src, READ, run(call.tracer, size, count))
    call.finish((1, 1, 0, 8, 8, 0), extra=(REDUCE_OPS.index(kind), int(with_index)))


def ReduceSum(dst: LocalTensor, src: LocalTensor, work: LocalTensor, count: Index) -> None:
    """dst[0] = the sum of count elements; `work` has room for one value a repeat."""
    _reduce("SUM", dst, src, work, count, False)


def ReduceMax(dst: LocalTensor, src: LocalTensor, work: LocalTensor, count: Index, calIndex: bool = False) -> None:
    """dst[0] = the largest of count elements; calIndex: dst[1] = its first index, as an integer in dst's bits."""
    _reduce("MAX", dst, src, work, count, calIndex)


def ReduceMin(dst: LocalTensor, src: LocalTensor, work: LocalTensor, count: Index, calIndex: bool = False) -> None:
    """dst[0] = the smallest of count elements; calIndex: dst[1] = its first index, as an integer in dst's bits."""
    _reduce("MIN", dst, src, work, count, calIndex)


# -- broadcasts, gathers, transposes


@remembered
def Brcb(dst: LocalTensor, src: LocalTensor, repeat: Index, params: Sequence[int] = (1, 8)) -> None:
    """Each of 8 elements a repeat fills one block of 32 bytes. params: block and repeat stride of dst."""
    block, rep = params
    per_block = 32 // dst.dtype.itemsize
    lanes = Lanes(1, 8 * per_block, 0, repeat)
    if empty(lanes):
        return
    local("Brcb", dst, src)
    call = Call("Brcb", lanes, 8 * per_block)
    check_formats(call.tracer, call.instruction, (dst, src))
    check_lanes(call.tracer, call.instruction, lanes, call.width, (block, rep))
    call.add("dst", dst, WRITE, repeated(call.tracer, dst.dtype.itemsize, lanes, block, rep))
    call.add("src", src, READ, run(call.tracer, src.dtype.itemsize, repeat * 8))
    call.finish((block, 1, 0, rep, 1, 0))


def index_format(name: str, index: LocalTensor) -> None:
    """R22: an index is u32."""
    if index.dtype is not dtypes.u32:
        raise refuse("R22", f"{name}: the index is {index.dtype.name}; it must be u32 byte offsets", current().here(), "use ReinterpretCast(npu.u32)")


def _from(call: Call, table: LocalTensor, base: int) -> LocalTensor:
    """The elements of a table from byte `base` on (R15)."""
    size = table.dtype.itemsize
    if base < 0 or base % size or base >= sym.bounds(table.size)[1] * size:
        raise refuse("R15", f"{call.instruction.name}: base is {base}; it must be a multiple of {size} within the {table.size * size} bytes of {table}", call.tracer.here())
    return table[base // size :]


@remembered
def Gather(dst: LocalTensor, src: LocalTensor, index: LocalTensor, base: int, mask: Mask, repeat: Index | None = None, dstRepStride: int = 8) -> None:
    """dst[i] = the element of src at byte offset base + index[i].

    The offsets are data: all of src counts as read, and one that leaves src, or meets no element, stops the launch with IndexError.
    """
    lanes = lanes_of(mask, repeat)
    if empty(lanes):
        return
    local("Gather", dst, src, index)
    index_format("Gather", index)
    call = Call("Gather", lanes, REPEAT_BYTES // max(4, dst.dtype.itemsize))
    check_formats(call.tracer, call.instruction, (dst, src))
    if lanes.mode:
        check_lanes(call.tracer, call.instruction, lanes, call.width, (1, dstRepStride))
    if isinstance(dst.base, int) and isinstance(src.base, int) and isinstance(src.size, int):
        end = dst.base + sym.bounds(lanes.active)[1] * dst.dtype.itemsize if lanes.mode == 0 else dst.base + dst.dtype.itemsize
        if dst.base < src.base + src.size * src.dtype.itemsize and src.base < end:
            raise refuse("R11", f"Gather: dst {dst} lies within src {src}; they must be disjoint", call.tracer.here(), "write to another buffer")
    call.add("dst", dst, WRITE, call.shape(dst, 1, dstRepStride))
    table = _from(call, src, base)
    call.add("src", table, READ, run(call.tracer, 1, table.size * table.dtype.itemsize), src.dtype.itemsize)
    call.add("index", index, READ, call.shape(index, 1, 8))
    call.finish((1, 1, 1, dstRepStride, 0, 8), extra=(0,))


@remembered
def Gatherb(dst: LocalTensor, src: LocalTensor, index: LocalTensor, repeat: Index, params: Sequence[int] = (1, 8)) -> None:
    """Block j of repeat r of dst = the block of 32 bytes of src at byte offset index[8 r + j], as Gather. params: block and repeat stride of dst."""
    lanes = Lanes(1, REPEAT_BYTES // dst.dtype.itemsize, 0, repeat)
    if empty(lanes):
        return
    local("GatherBlocks", dst, src, index)
    index_format("Gatherb", index)
    call = Call("GatherBlocks", lanes, REPEAT_BYTES // dst.dtype.itemsize)
    check_formats(call.tracer, call.instruction, (dst, src))
    check_lanes(call.tracer, call.instruction, lanes, call.width, tuple(params))
    call.add("dst", dst, WRITE, call.shape(dst, params[0], params[1]))
    call.add("src", src, READ, run(call.tracer, src.dtype.itemsize, src.size))
    call.add("index", index, READ, run(call.tracer, 4, repeat * 8))
    call.finish((params[0], 1, 1, params[1], 0, 1))


@remembered
def Scatter(dst: LocalTensor, src: LocalTensor, index: LocalTensor, base: int, count: Index) -> None:
    """The element of dst at byte offset base + index[i] = src[i]. The offsets are data, as in Gather: any byte of dst may be written."""
    lanes = Lanes(0, count, 0, 1)
    if empty(lanes):
        return
    local("Scatter", dst, src, index)
    index_format("Scatter", index)
    call = Call("Scatter", lanes, REPEAT_BYTES // 4)
    check_formats(call.tracer, call.instruction, (dst, src))
    table = _from(call, dst, base)
    call.add("dst", table, WRITE | PARTIAL, run(call.tracer, 1, table.size * table.dtype.itemsize), dst.dtype.itemsize)
    call.add("src", src, READ, run(call.tracer, src.dtype.itemsize, count))
    call.add("index", index, READ, run(call.tracer, 4, count))
    call.finish((1, 1, 1, 8, 8, 8), extra=(0,))


_KEPT = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4, 6: 4, 7: 1}  # one of how many


@remembered
def GatherMask(dst: LocalTensor, src: LocalTensor, pattern: int | LocalTensor, count: Index, counted: LocalTensor | None = None) -> None:
    """Packs chosen elements of src[:count] into dst: those whose bit of the mask tensor is set, or a fixed pattern.

    pattern 1: even ones; 2: odd ones; 3-6: the first to fourth of each four; 7: all. counted: an i32 tensor whose first element becomes
    the number of chosen elements (the card returns it in a register).
    """
    lanes = Lanes(0, count, 0, 1)
    if empty(lanes):
        return
    bits, number = (pattern, 0) if isinstance(pattern, LocalTensor) else (None, pattern)
    if bits is None and number not in _KEPT:
        raise KernelError(f"GatherMask: the pattern is {number}; it must be 1..7 or a tensor of bits")
    local("GatherMask", dst, src, *([bits] if bits else []), *([counted] if counted else []))
    call = Call("GatherMask", lanes, REPEAT_BYTES // src.dtype.itemsize)
    check_formats(call.tracer, call.instruction, (dst, src))
    each = _KEPT.get(number, 1)
    kept = (count + each - 1) // each
    call.add("dst", dst, WRITE | PARTIAL if bits is not None else WRITE, run(call.tracer, dst.dtype.itemsize, kept))
    call.add("src", src, READ, run(call.tracer, src.dtype.itemsize, count))
    if bits is not None:
        call.add("mask", bits, READ, run(call.tracer, 1, (count + 7) // 8))
    if counted is not None:
        if counted.dtype is not dtypes.i32:
            raise refuse("R22", f"GatherMask: counted is {counted.dtype.name}; it must be i32", call.tracer.here())
        call.add("counted", counted, WRITE, run(call.tracer, 4, 1))
    call.finish((1, 1, 1, 8, 8, 8), extra=(number, int(counted is not None)))


def _even(name: str, rows: Sequence[LocalTensor], each: int) -> tuple[LocalTensor, int]:
    """The first of a list of rows, and their distance in bytes; `each` parts of 32 bytes make a row."""
    start = [sym.bounds(row.base)[0] for row in rows]
    pitch = start[each] - start[0]
    if len(rows) != 16 or start != [start[0] + i // each * pitch + i % each * 32 for i, _ in enumerate(rows)]:
        raise refuse("R22", f"TransDataTo5HD: the {name} rows begin at bytes {start}; here 16 must be evenly spaced, the halves of a row together", current().here())
    return rows[0], pitch


def TransDataTo5HD(dst: LocalTensor | Sequence[LocalTensor], src: LocalTensor | Sequence[LocalTensor], *how: int | TransDataTo5HDParams, **named: int) -> None:
    """Transposes R rows of 32 bytes (R = 16; 32 for 1-byte formats) a repeat.

    With lists of 16 rows and TransDataTo5HDParams, as the card takes them (2- and 4-byte formats; the rows evenly spaced), or with the
    first rows and dst_row, src_row, the bytes from row to row, then repeat, dstRepStride, srcRepStride.
    """
    if isinstance(dst, LocalTensor) and isinstance(src, LocalTensor):
        _transposed(dst, src, *how, **named)  # type: ignore[arg-type]
        return
    given = how[0] if how else None
    if isinstance(dst, LocalTensor) or isinstance(src, LocalTensor) or not isinstance(given, TransDataTo5HDParams):
        raise KernelError("TransDataTo5HD: takes two lists of 16 tensors and TransDataTo5HDParams, or two tensors and the bytes from row to row")
    if src[0].dtype.itemsize == 1:
        raise refuse("R22", "TransDataTo5HD: lists of 1-byte formats are not emulated", current().here(), "give the first rows and the bytes from row to row")
    (to, dst_row), (source, src_row) = _even("dst", dst, src[0].dtype.itemsize // 2), _even("src", src, 1)
    _transposed(to, source, dst_row, src_row, given.repeatTimes, given.dstRepStride, given.srcRepStride)


@remembered
def _transposed(dst: LocalTensor, src: LocalTensor, dst_row: int, src_row: int, repeat: int = 1, dstRepStride: int = 0, srcRepStride: int = 0) -> None:
    size = src.dtype.itemsize
    rows, columns = (32 if size == 1 else 16), 32 // size
    lanes = Lanes(1, columns, 0, repeat)
    local("Transpose", dst, src)
    call = Call("Transpose", lanes, columns)
    check_formats(call.tracer, call.instruction, (dst, src))
    check_lanes(call.tracer, call.instruction, lanes, call.width, (1, 1, dstRepStride, srcRepStride))
    if dst_row % 32 or src_row % 32:
        raise refuse("R02", f"TransDataTo5HD: rows are {dst_row} and {src_row} bytes apart; both must be multiples of 32", call.tracer.here())
    node = call.tracer.table.node

    def grid(run_bytes: int, count: int, pitch: int, rep: int) -> Shape:
        return Shape((node(run_bytes), 2, node(repeat), node(rep * 32), node(count), node(pitch)),
                     (repeat - 1) * rep * 32 + (count - 1) * pitch + run_bytes)

    call.add("dst", dst, WRITE, grid(rows * size, columns, dst_row, dstRepStride))
    call.add("src", src, READ, grid(32, rows, src_row, srcRepStride))
    call.finish((1, 1, 0, dstRepStride, srcRepStride, 0), extra=(src_row, dst_row))


def Transpose(dst: LocalTensor, src: LocalTensor) -> None:
    """A 16 x 16 block of 2-byte elements, contiguous on both sides."""
    if src.dtype.itemsize != 2:
        raise refuse("R22", f"Transpose: the format is {src.dtype.name}; it takes 2-byte formats", current().here(), "use TransDataTo5HD")
    TransDataTo5HD(dst, src, 32, 32)


__all__ = ["BlockReduce", "BlockReduceMax", "BlockReduceMin", "BlockReduceSum", "Brcb", "Gather", "GatherMask", "Gatherb",
           "PairReduceSum", "ReduceMax", "ReduceMin", "ReduceRepeat", "ReduceSum", "Scatter", "TransDataTo5HD", "Transpose",
           "WholeReduceMax", "WholeReduceMin", "WholeReduceSum"]
