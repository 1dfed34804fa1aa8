"""Row-wise work on [rows, columns] tiles of f32 in UB: one number a row, and rows combined with their number."""

from __future__ import annotations

from collections.abc import Callable

from ascendlite.npu.errors import KernelError
from ascendlite.npu.lang import order
from ascendlite.npu.lang.dtypes import f32
from ascendlite.npu.lang.elementwise import Add, Adds, Duplicate, Max, Min
from ascendlite.npu.lang.order import PIPE_V, CeilDiv, PipeBarrier
from ascendlite.npu.lang.reorder import Brcb, ReduceRepeat
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.lang.trace import Index

LANES = 64  # f32 lanes of a repeat
WIDEST = 255 * 8  # f32 elements that a repeat stride reaches
MOST_REPEATS = 255
_FOLD = {"SUM": Add, "MAX": Max, "MIN": Min}
_START = {"SUM": 0.0, "MAX": float("-inf"), "MIN": float("inf")}
Op = Callable[..., None]


def barrier() -> None:
    """Later vector work waits for earlier."""
    PipeBarrier(PIPE_V)


class RowWise:
    """Reduces and combines up to `rows` rows of `columns` f32 elements, `pitch` elements apart (a multiple of 8).

    `stat` tensors hold one number a row; make them with `new_stat`. Narrow rows are worked on column by column of 64, wide ones (beyond
    2040 elements, where a row no longer fits the stride's field) and few ones row by row: the order of sums is the same.
    """

    def __init__(self, rows: int, columns: int, pitch: int | None = None) -> None:
        self.rows, self.columns, self.pitch = rows, columns, columns if pitch is None else pitch
        if self.pitch % 8 or not 0 < rows <= MOST_REPEATS:
            raise KernelError(f"RowWise: {rows} rows of pitch {self.pitch}; the pitch must be a multiple of 8 and there may be 1..{MOST_REPEATS} rows")
        self.blocks = self.pitch // 8  # of 32 bytes, from row to row
        self.wide = self.pitch > WIDEST
        self._padded = (rows + 7) // 8 * 8
        self._partial = scratch(f32, LANES if self.wide else rows * LANES)
        self._spread = scratch(f32, self._padded * 8)

    def by_row(self, calls: int = 1) -> bool:
        """Whether `calls` instructions a row are so many fewer than one for each 64 columns that they pay for the loop."""
        return self.wide or 5 * calls * self.rows <= 4 * (self.columns // LANES)

    def new_stat(self) -> LocalTensor:
        """One number a row. The numbers of rows that a short tile lacks are 0, not whatever lay there."""
        stat = scratch(f32, self._padded)
        Duplicate(stat, 0.0, self._padded)
        barrier()
        return stat

    def reduce(self, kind: str, stat: LocalTensor, tile: LocalTensor, rows: Index) -> None:
        """stat[r] = the "SUM", "MAX" or "MIN" of row r."""
        if self.wide:
            for r in order.range(rows):
                self._reduce_row(kind, stat[r], tile[r * self.pitch :])
        elif self.columns <= LANES:
            ReduceRepeat(kind, stat, tile, self.columns, rows, 1, 1, self.blocks)
        else:
            fold = self._fold_rows if self.by_row() else self._fold_columns
            fold(_FOLD[kind], tile, rows)
            ReduceRepeat(kind, stat, self._partial, LANES, rows, 1, 1, 8)
        barrier()

    def _fold_columns(self, op: Op, tile: LocalTensor, rows: Index) -> None:
        """The partial tensor: [rows, 64], folded over columns 64 apart."""
        part, b = self._partial, self.blocks
        begin = LANES
        if self.columns >= 2 * LANES:
            op(part, tile, tile[LANES:], LANES, rows, (1, 1, 1, 8, b, b))
            begin = 2 * LANES
        else:
            Adds(part, tile, 0.0, LANES, rows, (1, 1, 8, b))
        barrier()
        for c in range(begin, self.columns, LANES):
            op(part, part, tile[c:], min(LANES, self.columns - c), rows, (1, 1, 1, 8, 8, b))
            barrier()

    def _fold_rows(self, op: Op, tile: LocalTensor, rows: Index) -> None:
        """The same in the same order, one row after the other: its columns are repeats that add up in src1."""
        part, whole = self._partial, self.columns // LANES
        op(part, tile, tile[LANES:], LANES, rows, (1, 1, 1, 8, self.blocks, self.blocks))
        barrier()
        if whole > 2:
            for r in order.range(rows):
                op(part[r * LANES :], tile[r * self.pitch + 2 * LANES :], part[r * LANES :], LANES, whole - 2, (1, 1, 1, 0, 8, 0))
            barrier()
        if rest := self.columns % LANES:
            op(part, part, tile[whole * LANES :], rest, rows, (1, 1, 1, 8, 8, self.blocks))
            barrier()

    def _reduce_row(self, kind: str, out: LocalTensor, row: LocalTensor) -> None:
        part, op = self._partial, _FOLD[kind]
        Duplicate(part, _START[kind], LANES)
        barrier()
        whole = self.columns // LANES
        for c in range(0, whole, MOST_REPEATS):
            op(part, row[c * LANES :], part, LANES, min(MOST_REPEATS, whole - c), (1, 1, 1, 0, 8, 0))  # repeats add up in src1
            barrier()
        if rest := self.columns % LANES:
            op(part, part, row[whole * LANES :], rest, 1, (1, 1, 1, 8, 8, 8))
            barrier()
        ReduceRepeat(kind, out, part, LANES, 1)

    def combine(self, op: Op, dst: LocalTensor, src: LocalTensor, stat: LocalTensor, rows: Index) -> None:
        """dst[r, :] = op(src[r, :], stat[r])."""
        Brcb(self._spread, stat, CeilDiv(rows, 8), (1, 8))
        barrier()
        if self.by_row(2 if self.columns % LANES else 1):
            for r in order.range(rows):
                self._combine_row(op, dst[r * self.pitch :], src[r * self.pitch :], self._spread[r * 8 :])
        else:
            b = self.blocks
            for c in range(0, self.columns, LANES):
                op(dst[c:], src[c:], self._spread, min(LANES, self.columns - c), rows, (1, 1, 0, b, b, 1))
        barrier()

    def _combine_row(self, op: Op, dst: LocalTensor, src: LocalTensor, number: LocalTensor) -> None:
        whole = self.columns // LANES
        for c in range(0, whole, MOST_REPEATS):
            op(dst[c * LANES :], src[c * LANES :], number, LANES, min(MOST_REPEATS, whole - c), (1, 1, 0, 8, 8, 0))
        if rest := self.columns % LANES:
            op(dst[whole * LANES :], src[whole * LANES :], number, rest, 1, (1, 1, 0, 8, 8, 0))
