"""Attention over chosen rows of a small table: every place sees all rows, and a mask counts how often each was chosen.

The cube multiplies tiles of 128 x 128 in little more time than tiles of 16 x 16, so that a table which a few tiles hold is better read once
for all places of a batch than gathered for each of them. What nobody chose is multiplied by 0, so it must be finite.
"""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.attention import Case
from ascendlite.npu.kernels.elementwise import UB_BUDGET, blocks_for
from ascendlite.npu.kernels.flash_plan import Lie, Problem
from ascendlite.npu.kernels.rowwise import Rows, Work
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
TILE: Final = 128
MOST_ROWS: Final = 1024  # of a table
MOST_PICKS: Final = 512  # of a place: each is one pass over its row of the mask
f32 = dtypes.f32


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def pick_mask(index: Any, mask: Any, r: Rows, picks: int, heads: int) -> None:
    """mask[i, h, j] = ln(how often index[i, :] names j), the same for all heads h: 0 for once, -inf for never."""
    work, target = Work(r), ac.GlobalTensor(mask)
    size, most = r.tile * r.pitch, -(-r.tile * picks // 64) * 64
    columns, apart, counts, ones = (scratch(f32, size) for _ in range(4))
    number, hidden = scratch(f32, most), scratch(f32, size)
    starts, places = scratch(dtypes.i32, r.tile), scratch(dtypes.i32, r.tile)
    bits, stat = scratch(dtypes.u8, -(-size // 256) * 32), work.new_stat()
    _count_columns(columns, r)
    ac.Duplicate(ones, 1.0, size)
    ac.Duplicate(apart, 1.0, size)
    ac.Duplicate(number, 0.0, most)
    ac.CreateVecIndex(starts, 0, r.tile)
    barrier()
    ac.Muls(starts, starts, picks * 4, r.tile)  # done before the first tile arrives: its load waits for the vector pipe
    made, left = take_events(HardEvent.V_MTE3, 1)[0], take_events(HardEvent.MTE3_V, 1)[0]
    SetFlag(HardEvent.MTE3_V, left)
    for t in pipeline(r.rows, r.tile, ins=(Items(index, picks, picks),), outs=(), align=8):
        ac.Cast(number, t.ins[0], "CAST_NONE" if t.ins[0].dtype is dtypes.i32 else "CAST_RINT", t.count * picks)
        ac.Duplicate(counts, 0.0, size)
        for s in ac.range(picks):
            ac.Adds(places, starts, s * 4, r.tile)
            barrier()
            ac.Gather(stat, number, places.ReinterpretCast(dtypes.u32), 0, t.count)
            barrier()
            work.combine(ac.Sub, apart, columns, stat, t.count)
            ac.CompareScalar(bits, apart, 0.0, "EQ", size)
            barrier()
            ac.Select(apart, bits, ones, 0.0, "VSEL_TENSOR_SCALAR_MODE", size)
            barrier()
            ac.Add(counts, counts, apart, size)
            barrier()
        WaitFlag(HardEvent.MTE3_V, left)
        ac.Ln(hidden, counts, size)
        SetFlag(HardEvent.V_MTE3, made)
        WaitFlag(HardEvent.V_MTE3, made)
        rows = ac.DataCopyExtParams(t.count, r.columns * 4, 0, (heads - 1) * r.columns * 4, pitch=r.pitch * 4)
        for h in range(heads):
            ac.DataCopyPad(target[(t.start * heads + h) * r.columns :], hidden, rows)
        SetFlag(HardEvent.MTE3_V, left)
    WaitFlag(HardEvent.MTE3_V, left)


def _count_columns(tile: Any, r: Rows) -> None:
    """0, 1, 2, ... in each row."""
    ac.CreateVecIndex(tile, 0.0, r.pitch)
    barrier()
    done = 1
    while done < r.tile:
        some = min(done, r.tile - done)
        ac.Adds(tile[done * r.pitch :], tile, 0.0, some * r.pitch)
        barrier()
        done += some


def _layout(places: int, columns: int, picks: int) -> Rows | None:
    """Places that are worked on at once: a multiple of 8."""
    pitch = -(-columns // 8) * 8
    each = pitch * 21 + picks * 24 + 256 + 64
    tile = min(128, (UB_BUDGET - 4096) // each, -(-places // 8) * 8) // 8 * 8
    return Rows(places, columns, pitch, tile) if tile else None


def worthwhile(q: Tensor, rows: int, picks: int) -> bool:
    """Whether the tiles of all rows are no more than those of the gathered ones."""
    batches, places, heads, _ = q.shape
    whole = batches * -(-places * heads // TILE) * -(-rows // TILE)
    gathered = batches * places * -(-heads // TILE) * -(-picks // TILE)
    return whole <= gathered and rows <= MOST_ROWS and picks <= MOST_PICKS and _layout(1, rows, picks) is not None


class Whole:
    """A problem of chosen rows as one of masked rows: the places of a batch times its heads are the queries of one head."""

    def __init__(self, q: Tensor, table: Tensor, index: Tensor, scale: float) -> None:
        self.q, self.table = q, table
        B, T, H, D = q.shape
        rows = table.shape[1]
        lie = Lie(rows * D, 0, D)
        hidden = Lie(T * H * rows if index.shape[0] > 1 else 0, 0, rows)
        self.problem = Problem(B, 1, 1, T * H, rows, D, D, False, 0, scale, Lie(T * H * D, 0, D), lie, lie, hidden, picked=True)
        self.mask = self._mask(index, H, rows)

    def _mask(self, index: Tensor, heads: int, rows: int) -> Tensor:
        places, picks = index.shape[0] * index.shape[1], index.shape[2]
        layout = _layout(places, rows, picks)
        assert layout is not None
        mask: Tensor = _core.empty((places * heads * rows,), dtype=_FLOAT32, device=self.q.device)
        launch(pick_mask, index.detach().contiguous(), mask, layout, picks, heads, blocks=blocks_for(mask.nbytes), name="sparse_attention_mask")
        return mask

    def case(self, which: str, sinks: bool = False) -> Case:
        back = None if which == "flash" else Lie(self.problem.q.batch, 0, self.problem.E)
        return Case(which, self.problem, self.q.dtype.name, "float32", sinks, back)
