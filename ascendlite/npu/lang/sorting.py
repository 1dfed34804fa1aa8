"""Sorting: pairs of a value and its index, sorted 32 at a time and merged; and the vendor's Sort made of both."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.npu.errors import KernelError
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.declare import READ, WRITE
from ascendlite.npu.lang.footprint import Lanes, check_lanes, run
from ascendlite.npu.lang.memo import remembered
from ascendlite.npu.lang.movement import DataCopy
from ascendlite.npu.lang.order import PIPE_V, PipeBarrier
from ascendlite.npu.lang.params import MrgSort4Info, MrgSortSrcList
from ascendlite.npu.lang.reorder import GatherMask, index_format
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.trace import Index
from ascendlite.npu.lang.vector import Call, check_formats, empty, local

_LIST, _LISTS, _PAIR = 32, 4, 8  # numbers that Sort32 orders, lists that MrgSort merges, bytes of a pair


@remembered
def Sort32(dst: LocalTensor, src: LocalTensor, index: LocalTensor, repeat: Index) -> None:
    """Each repeat sorts 32 elements, largest first: pairs of 8 bytes (value, u32 index) to dst."""
    lanes = Lanes(1, 32, 0, repeat)
    if empty(lanes):
        return
    local("Sort32", dst, src, index)
    index_format("Sort32", index)
    call = Call("Sort32", lanes, 32)
    check_formats(call.tracer, call.instruction, (dst, src))
    check_lanes(call.tracer, call.instruction, lanes, 32, (1, 1))
    call.add("dst", dst, WRITE, run(call.tracer, 8, repeat * 32))
    call.add("src", src, READ, run(call.tracer, src.dtype.itemsize, repeat * 32))
    call.add("index", index, READ, run(call.tracer, 4, repeat * 32))
    call.finish((1, 1, 1, 8, src.dtype.itemsize, 4))


def MrgSort(dst: LocalTensor, sources: Sequence[LocalTensor] | MrgSortSrcList, lengths: Sequence[Index] | MrgSort4Info) -> None:
    """Merges 2-4 sorted lists of pairs into dst, largest first; ties go to the earlier list. lengths: pairs in each list.

    MrgSort(dst, MrgSortSrcList, MrgSort4Info) says the same; repeatTimes merges as many groups of lists, one after the other.
    """
    times = 1
    if isinstance(lengths, MrgSort4Info):
        count, times = lengths.lists(), lengths.repeatTimes
        lengths = tuple(lengths.elementLengths[:count])
        sources = sources.key()[1 : 1 + count] if isinstance(sources, MrgSortSrcList) else sources
    given = tuple(sources.key()[1:] if isinstance(sources, MrgSortSrcList) else sources)
    words = sum(lengths) * 8 // dst.dtype.itemsize
    for repeat in range(times):
        _merge(dst[repeat * words :] if repeat else dst, tuple(s[repeat * words :] for s in given) if repeat else given, tuple(lengths))


@remembered
def _merge(dst: LocalTensor, sources: Sequence[LocalTensor], lengths: Sequence[Index]) -> None:
    if not 2 <= len(sources) == len(lengths) <= 4:
        raise KernelError(f"MrgSort: {len(sources)} lists with {len(lengths)} lengths; it takes 2 to 4 of each")
    local("MrgSort", dst, *sources)
    total = sum(lengths[1:], lengths[0])
    call = Call("MrgSort", Lanes(0, total, 0, 1), 32)
    check_formats(call.tracer, call.instruction, (dst, sources[0], sources[0], sources[0], sources[0]))
    call.add("dst", dst, WRITE, run(call.tracer, 8, total))
    for i, (src, length) in enumerate(zip(sources, lengths)):
        call.add(f"src{i}", src, READ, run(call.tracer, 8, length), 8)
    call.finish((1, 1, 1, 8, 8, 8), extra=(len(sources), *lengths, *(0,) * (4 - len(lengths))))


def Extract(dstValue: LocalTensor, dstIndex: LocalTensor, sorted: LocalTensor, repeatTime: Index) -> None:
    """The values and the u32 indices of sorted pairs, 32 pairs (256 bytes of `sorted`) a repeat: two GatherMasks."""
    index_format("Extract", dstIndex)
    narrow = dstValue.dtype.itemsize == 2
    GatherMask(dstValue, sorted.ReinterpretCast(dstValue.dtype), 3 if narrow else 1, repeatTime * (128 if narrow else 64))
    GatherMask(dstIndex, sorted.ReinterpretCast(dtypes.u32), 2, repeatTime * 64)


def GetSortOffset(elemOffset: int, dtype: object) -> int:
    """Where the pair of an element begins among the numbers of a tensor of sorted pairs."""
    return elemOffset * _PAIR // dtypes.as_dtype(dtype).itemsize


def GetSortLen(elemCount: int, dtype: object) -> int:
    """Numbers of a tensor that holds so many sorted pairs."""
    return GetSortOffset(elemCount, dtype)


def Concat(concat: LocalTensor, src: LocalTensor, tmp: LocalTensor, repeatTime: int) -> LocalTensor:
    """What Sort takes for `src`: on this generation values and indices are apart, so it is src itself and nothing is done."""
    local("Concat", concat, src, tmp)
    return src


def Sort(dst: LocalTensor, concat: LocalTensor, index: LocalTensor, tmp: LocalTensor, repeatTime: int, isFullSort: bool = False) -> None:
    """Sorts 32 numbers a repeat, largest first, to pairs in dst; isFullSort: all of them together, with tmp as large as dst.

    Made of Sort32, of MrgSort a level for every factor of 4, and of the barriers between them; dst and tmp take turns.
    """
    Sort32(dst, concat, index, repeatTime)
    if not isFullSort or repeatTime == 1:
        return
    words, lengths, stride, here, there = _PAIR // dst.dtype.itemsize, [_LIST] * repeatTime, _LIST, dst, tmp
    while len(lengths) > 1:
        PipeBarrier(PIPE_V)
        lengths = _level(there, here, lengths, stride * words)
        stride, here, there = stride * _LISTS, there, here
    if here is tmp:
        PipeBarrier(PIPE_V)
        DataCopy(dst, tmp, repeatTime * _LIST * words)


def _level(dst: LocalTensor, src: LocalTensor, lengths: Sequence[int], stride: int) -> list[int]:
    """Merges each four lists, which begin `stride` numbers apart, and says how long the new ones are."""
    merged = []
    for first in range(0, len(lengths), _LISTS):
        part, at = lengths[first : first + _LISTS], first * stride
        if len(part) > 1:
            MrgSort(dst[at:], [src[at + i * stride :] for i in range(len(part))], part)
        else:
            DataCopy(dst[at:], src[at:], part[0] * _PAIR // dst.dtype.itemsize)
        merged.append(sum(part))
    return merged


__all__ = ["Concat", "Extract", "GetSortLen", "GetSortOffset", "MrgSort", "Sort", "Sort32"]
