"""Single elements of rows written by index: each is one transfer of its few bytes, so that any format goes, 64-bit integers among them."""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import tables
from ascendlite.npu.kernels.elementwise import window
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.tiles import BLOCK, my_part, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

GROUP: Final = 256  # elements at a time, each in a block of 32 bytes of UB
MOST: Final = 4096  # elements of one core: more are left to the AI CPU, which moves them as fast as some LEAST_ROWS cores
LEAST_ROWS: Final = 8


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def put_elements(values: Any, index: Any, out: Any, rows: int, columns: int, each: int, group: int, add: bool) -> None:
    """out[i, index[i, k]] = or += values[i, k], for k in turn. A row is one core's."""
    source, target = window(values), window(out)
    size = source.dtype.itemsize
    pitch = BLOCK // size
    room, ids = scratch(source.dtype, group * pitch), tables.Ids(index, group)
    full, free = take_events(HardEvent.MTE2_MTE3, 1)[0], take_events(HardEvent.MTE3_MTE2, 1)[0]
    SetFlag(HardEvent.MTE3_MTE2, free)
    if add:
        ac.SetAtomicAdd(source.dtype)
    first, count = my_part(rows, 1)
    for at in ac.range(first * each, (first + count) * each, group):
        m = ac.min(group, (first + count) * each - at)
        ids.load(at, m)
        WaitFlag(HardEvent.MTE3_MTE2, free)
        ac.DataCopyPad(room, source[at:], ac.DataCopyExtParams(m, size, 0, 0))
        SetFlag(HardEvent.MTE2_MTE3, full)
        WaitFlag(HardEvent.MTE2_MTE3, full)
        for i in ac.range(m):
            if each > 1 and not add:
                ac.PipeBarrier(ac.PIPE_MTE3)  # an element that is written twice keeps what came last
            ac.DataCopyPad(target[(at + i) // each * columns + ids.row(i, columns) :], room[i * pitch :], 1)
        ids.done()
        SetFlag(HardEvent.MTE3_MTE2, free)
    if add:
        ac.SetAtomicNone()
    WaitFlag(HardEvent.MTE3_MTE2, free)
    ids.finish()


def takes(out: Tensor, rows: int, each: int, add: bool) -> bool:
    """Whether elements of such a tensor can be moved, or added to, and the cores are faster at it than the AI CPU."""
    return out.dtype.name in (tables.ADDED if add else tables.MOVED) and (rows >= LEAST_ROWS or each <= MOST)


def put(out: Tensor, values: Tensor, index: Tensor, *, add: bool, name: str) -> None:
    """out[i, index[i, k]] = or += values[i, k] along the last dim, in the order of k; out contiguous, indices in range."""
    columns, each = out.shape[-1], index.shape[-1]
    rows = index.numel() // each
    group = max(1, min(GROUP, -(-rows // state.chip.aiv) * each))
    launch(put_elements, values.contiguous(), index.contiguous(), out, rows, columns, each, group, add, blocks=min(state.chip.aiv, rows), name=name)
