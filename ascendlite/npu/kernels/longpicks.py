"""Elements picked from rows that do not fit the unified buffer: parts of the row pass by, and each pick takes its own from the part that has it."""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.rowwise import f32
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

PICKS: Final = 4096  # of a tile
PART: Final = 8192  # numbers of a row
EXACT: Final = 1 << 24  # places that float32 holds


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def gather_parts(x: Any, index: Any, out: Any, rows: int, n: int, each: int) -> None:
    """out[i, k] = x[i, index[i, k]], of float32. Where a pick is at or past a part's begin it takes from this part: the last such part has it."""
    source, places, target = (ac.GlobalTensor(t) for t in (x, index, out))
    tiles, part = -(-each // PICKS), min(PART, n)
    pipe, moved_index, moved_in, moved_out = ac.TPipe(), ac.TQue(ac.TPosition.VECIN, 1), ac.TQue(ac.TPosition.VECIN, 1), ac.TQue(ac.TPosition.VECOUT, 1)
    pipe.InitBuffer(moved_index, 1, PICKS * places.dtype.itemsize)
    pipe.InitBuffer(moved_in, 1, part * 4)
    pipe.InitBuffer(moved_out, 1, PICKS * 4)
    place, local = scratch(dtypes.i32, PICKS), scratch(dtypes.i32, PICKS)
    place_f, picked, bits = scratch(f32, PICKS), scratch(f32, PICKS), scratch(dtypes.u8, PICKS // 8)
    for t in ac.range(ac.GetBlockIdx(), rows * tiles, ac.GetBlockNum()):
        row, start = t // tiles, t % tiles * PICKS
        count = ac.min(PICKS, each - start)
        given = moved_index.AllocTensor(places.dtype)
        ac.DataCopyPad(given, places[row * each + start :], count)
        moved_index.EnQue(given)
        given = moved_index.DeQue()
        ac.Duplicate(place, 0, PICKS)
        barrier()
        if given.dtype is dtypes.i32:
            ac.Muls(place, given, 1, count)
        else:
            ac.Cast(place, given, "CAST_NONE", count)
        moved_index.FreeTensor(given)
        barrier()
        ac.Cast(place_f, place, "CAST_NONE", PICKS)
        made = moved_out.AllocTensor(f32)
        ac.Duplicate(made, 0.0, PICKS)
        for first in ac.range(0, n, part):
            size = ac.min(part, n - first)
            numbers = moved_in.AllocTensor(f32)
            ac.DataCopyPad(numbers, source[row * n + first :], size)
            moved_in.EnQue(numbers)
            ac.Adds(local, place, 0 - first, PICKS)
            barrier()
            ac.Maxs(local, local, 0, PICKS)
            barrier()
            ac.Mins(local, local, size - 1, PICKS)
            barrier()
            ac.Muls(local, local, 4, PICKS)
            ac.CompareScalar(bits, place_f, first, "GE", PICKS)
            barrier()
            numbers = moved_in.DeQue()
            ac.Gather(picked, numbers[:size], local.ReinterpretCast(dtypes.u32), 0, PICKS)
            moved_in.FreeTensor(numbers)
            barrier()
            ac.Select(made, bits, picked, made, "VSEL_TENSOR_TENSOR_MODE", PICKS)
        moved_out.EnQue(made)
        made = moved_out.DeQue()
        ac.DataCopyPad(target[row * each + start :], made, count)
        moved_out.FreeTensor(made)


def gather(x: Tensor, index: Tensor, out: Tensor) -> None:
    """out = picks along the last dim; all contiguous, x and out of float32, index int32 or int64 and within less than 2^24."""
    n, each = x.shape[-1], index.shape[-1]
    rows = index.numel() // each
    launch(gather_parts, x, index, out, rows, n, each, blocks=min(state.chip.aiv, rows * -(-each // PICKS)), name="gather")
