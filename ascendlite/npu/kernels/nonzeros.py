"""nonzero: places that a mask chooses, packed by GatherMask. How many there are is read by the host, as CANN does, and makes the result's shape.

One core packs, tile after tile: where a tile's places go depends on the tiles before.
"""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import kernel_for
from ascendlite.npu.kernels.elementwise import window
from ascendlite.npu.kernels.longsort import EXACT, Turns
from ascendlite.npu.kernels.rowwise import FLOATS, f32
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.order import take_events
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Tensor, ...]
TILE: Final = 8192  # elements of a mask
TAKEN: Final = (*FLOATS, "bool", "uint8", "int8", "int16", "int32", "int64")
_FLOAT32, _INT64 = _core.DTYPE_NAMES["float32"], _core.DTYPE_NAMES["int64"]


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def pack_places(mask: Any, places: Any, n: int) -> None:
    """places = the numbers of the elements of a mask that are not 0, in float32; there is room for n and a tile."""
    source, target = window(mask), ac.GlobalTensor(places)
    given, made, turns = scratch(source.dtype, TILE), scratch(f32, TILE), Turns()
    full, free = (take_events(e, 1)[0] for e in (ac.HardEvent.MTE2_V, ac.HardEvent.MTE3_V))
    index, numbers, flags, bits = (scratch(t, TILE // by) for t, by in ((f32, 1), (f32, 1), (dtypes.f16, 1), (dtypes.u8, 8)))
    used, more = scratch(dtypes.i32, 8), scratch(dtypes.i32, 8)
    ac.CreateVecIndex(index, 0.0, TILE)
    ac.Duplicate(used, 0, 8)
    ac.Duplicate(more, 0, 8)
    ac.SetFlag(ac.HardEvent.MTE3_V, free)
    for start in ac.range(0, n, TILE):
        count = ac.min(TILE, n - start)
        ac.DataCopyPad(given, source[start:], count)
        ac.SetFlag(ac.HardEvent.MTE2_V, full)
        ac.Duplicate(flags, 0.0, TILE)
        ac.WaitFlag(ac.HardEvent.MTE3_V, free)
        ac.Duplicate(made, 0.0, TILE)
        ac.WaitFlag(ac.HardEvent.MTE2_V, full)
        barrier()
        ac.Cast(flags, given, "CAST_NONE", count)
        ac.Adds(numbers, index, start, TILE)
        barrier()
        ac.CompareScalar(bits, flags, 0.0, "NE", TILE)
        barrier()
        ac.GatherMask(made, numbers, bits.ReinterpretCast(dtypes.u32), TILE, more)
        at, size = turns.read((used, n, start // 2), (more, TILE, TILE // 2))  # what is read, V has done: the pipes of copies wait for no more
        ac.Add(used, used, more, 8)
        ac.DataCopyPad(target[at:], made, size)
        ac.SetFlag(ac.HardEvent.MTE3_V, free)
    ac.WaitFlag(ac.HardEvent.MTE3_V, free)


@kernel_for("nonzero_count")
def _nonzero_count(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    x = inputs[0].detach()
    if x.dtype.name not in TAKEN or not x.numel():
        return NotImplemented
    with no_grad():
        outputs[0].copy_(x.count_nonzero())
    return None


@kernel_for("nonzero")
def _nonzero(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    """Coordinates from places by division: a quotient of whole numbers below 2^24 rounds to no whole number above it."""
    x, found, count = inputs[0].detach(), outputs[0].detach(), int(attrs[0])
    n = x.numel()
    if x.dtype.name not in TAKEN or n + TILE >= EXACT or not count or not x.ndim:
        return NotImplemented
    with no_grad():
        mask = (x if x.dtype.name == "bool" else x != 0).reshape(-1).contiguous()
        room = _core.empty((n + TILE,), dtype=_FLOAT32, device=x.device)
        launch(pack_places, mask, room, n, blocks=1, name="nonzero")
        places = room.narrow(0, 0, count)
        for d in reversed(range(x.ndim)):
            rest = (places / x.shape[d]).floor() if d else places
            found.select(0, d).copy_((places - rest * x.shape[d] if d else places).to(_INT64))
            places = rest
    return None
