"""The structs that instructions take: made with their fields in order, or empty and then filled in, as in Ascend C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.trace import Index, current


def _names(of: object) -> tuple[str, ...]:
    slots: tuple[str, ...] = type(of).__slots__  # type: ignore[attr-defined]
    return slots


class Params:
    """What the structs share."""

    __slots__ = ()

    def key(self) -> tuple[Any, ...]:
        """What two structs with equal fields share."""
        return (type(self), *(getattr(self, name) for name in _names(self)))


@dataclass(slots=True)
class DataCopyParams(Params):
    """`blockCount` rows of `blockLen` blocks of 32 bytes, with gaps of so many blocks between them."""

    blockCount: Index = 1
    blockLen: Index = 0
    srcStride: Index = 0
    dstStride: Index = 0


@dataclass(slots=True)
class DataCopyExtParams(Params):
    """`blockCount` rows of `blockLen` bytes; gaps: in bytes in GM, in blocks of 32 bytes in local memory (after the row is filled up).

    pitch: bytes from row to row in local memory, in place of its gap: for rows of an odd length in a tile of a fixed one. 0 is none: the
    manual's fifth field is reserved, and 0.
    """

    blockCount: Index = 1
    blockLen: Index = 0
    srcStride: Index = 0
    dstStride: Index = 0
    pitch: int | None = None


@dataclass(slots=True)
class DataCopyPadExtParams(Params):
    """How rows are filled on their way to local memory: elements before and after each row, and the number that is put there."""

    isPad: bool = False
    leftPadding: int = 0
    rightPadding: int = 0
    paddingValue: float = 0.0


_OWN: Final = ("rows", "cols", "ld", "dst_rows", "matrices", "src_matrix", "dst_matrix")
_MANUAL: Final = ("ndNum", "nValue", "dValue", "srcNdMatrixStride", "srcDValue", "dstNzC0Stride", "dstNzNStride", "dstNzMatrixStride")
_SAME: Final = {"ndNum": "matrices", "nValue": "rows", "dValue": "cols", "srcNdMatrixStride": "src_matrix", "srcDValue": "ld",
                "dstNzC0Stride": "dst_rows", "dstNzNStride": "step", "dstNzMatrixStride": "dst_matrix"}  # fmt: skip


class Nd2NzParams(Params):
    """A rows x cols matrix in GM, rows `ld` elements apart, into fractals; `dst_rows` (default: rows rounded up to 16) a column of blocks.

    `matrices` of them, src_matrix and dst_matrix elements apart. The manual's eight fields do as well, by name or in their order:
    ndNum, nValue, dValue, srcNdMatrixStride, srcDValue, dstNzC0Stride, dstNzNStride, dstNzMatrixStride.
    """

    __slots__ = ("cols", "dst_matrix", "dst_rows", "ld", "matrices", "rows", "src_matrix", "step")

    def __init__(self, *fields: Index | None, **named: Index | None) -> None:
        values: dict[str, Index | None] = {"rows": 0, "cols": 0, "ld": None, "dst_rows": None, "matrices": 1, "src_matrix": 0, "dst_matrix": 0, "step": 1}
        order = _MANUAL if len(fields) == len(_MANUAL) or not named.keys().isdisjoint(_MANUAL) else _OWN
        if len(fields) > len(order):
            raise KernelError(f"Nd2NzParams: {len(fields)} fields were given; it takes {', '.join(_OWN)}, or {', '.join(_MANUAL)}")
        for name, value in (*zip(order, fields), *named.items()):
            if _SAME.get(name, name) not in values:
                raise KernelError(f"Nd2NzParams: there is no field {name!r}; it has {', '.join(_OWN)}, or {', '.join(_MANUAL)}")
            values[_SAME.get(name, name)] = value
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _SAME:
            raise AttributeError(f"Nd2NzParams has no field {name!r}; it has {', '.join(_OWN)}, or {', '.join(_MANUAL)}")
        return getattr(self, _SAME[name])

    def __setattr__(self, name: str, value: Index | None) -> None:
        object.__setattr__(self, _SAME.get(name, name), value)


@dataclass(slots=True)
class Nz2NdParams(Params):
    """Fractals with `src_rows` rows a column of blocks to a rows x cols matrix in GM, rows `ld` elements apart."""

    rows: Index
    cols: Index
    ld: Index | None = None
    src_rows: Index | None = None


@dataclass(slots=True)
class LoadData2DParams(Params):
    """`repeatTimes` fractals of 512 bytes from number startIndex on, srcStride fractals from one to the next, with gaps of dstGap fractals in dst."""

    startIndex: int = 0
    repeatTimes: Index = 0
    srcStride: int = 0
    sid: int = 0
    dstGap: int = 0
    ifTranspose: bool = False
    addrMode: int = 0


@dataclass(slots=True)
class MmadParams(Params):
    """An m x k by k x n product; cmatrixInitVal: it starts from 0 (else it adds to what is there)."""

    m: Index = 0
    n: Index = 0
    k: Index = 0
    unitFlag: int = 0
    cmatrixSource: bool = False
    cmatrixInitVal: Index = True
    isBias: bool = False


class QuantMode_t(StrEnum):
    """Conversions of Fixpipe; several names are one, since the formats of the tensors say the rest."""

    NoQuant = "none"
    F322F16 = F322BF16 = "convert"
    QF322B8_PRE = REQ8 = DEQF16 = "scale"
    VQF322B8_PRE = VREQ8 = VDEQF16 = "scale_columns"


@dataclass(slots=True)
class FixpipeParamsV220(Params):
    """mSize x nSize results; srcStride: rows of a column of L0C's blocks; dstStride: elements from row to row in GM."""

    nSize: Index = 0
    mSize: Index = 0
    srcStride: Index = 0
    dstStride: Index = 0
    reluEn: bool = False
    quantPre: str = QuantMode_t.NoQuant
    deqScalar: float = 1.0
    ndNum: int = 1
    srcNdStride: int = 0
    dstNdStride: int = 0
    unitFlag: int = 0


@dataclass(slots=True)
class MrgSortSrcList(Params):
    """The lists that MrgSort merges."""

    src1: LocalTensor
    src2: LocalTensor
    src3: LocalTensor | None = None
    src4: LocalTensor | None = None


@dataclass(slots=True)
class MrgSort4Info(Params):
    """Pairs in each list, and which of the four take part (validBit 3, 7 or 15)."""

    elementLengths: Sequence[Index] = (0, 0, 0, 0)
    ifExhaustedSuspension: bool = False
    validBit: int = 0b1111
    repeatTimes: int = 1

    def lists(self) -> int:
        """How many lists take part."""
        if self.ifExhaustedSuspension:
            raise refuse("R22", "MrgSort: suspending at the end of the first list is not emulated", current().here(), "merge shorter lists to their end")
        if self.validBit not in (0b11, 0b111, 0b1111):
            raise refuse("R22", f"MrgSort: validBit is {self.validBit}; it must be 3, 7 or 15", current().here())
        return self.validBit.bit_length()


@dataclass(slots=True)
class TransDataTo5HDParams(Params):
    """The repeats of a transpose and their strides in blocks of 32 bytes; the halves are of 1-byte formats."""

    dstHighHalf: bool = False
    srcHighHalf: bool = False
    repeatTimes: int = 1
    dstRepStride: int = 0
    srcRepStride: int = 0


class _Strides(Params):
    """Numbers in a row, for whom the names are too long."""

    __slots__ = ()

    def __iter__(self) -> Iterator[int]:
        return iter(self.key()[1:])

    def __len__(self) -> int:
        return len(_names(self))

    def __getitem__(self, which: slice) -> tuple[int, ...]:
        return tuple(self)[which]


@dataclass(slots=True)
class BinaryRepeatParams(_Strides):
    """Strides of the mask form, in blocks of 32 bytes."""

    dstBlkStride: int = 1
    src0BlkStride: int = 1
    src1BlkStride: int = 1
    dstRepStride: int = 8
    src0RepStride: int = 8
    src1RepStride: int = 8


@dataclass(slots=True)
class UnaryRepeatParams(_Strides):
    """Strides of the mask form, in blocks of 32 bytes."""

    dstBlkStride: int = 1
    srcBlkStride: int = 1
    dstRepStride: int = 8
    srcRepStride: int = 8
