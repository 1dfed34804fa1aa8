"""Rows of a table by index, and gradients added back to them: addresses come from memory, within a declared range."""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu import wide
from ascendlite.npu.kernels import copies, kernel_for
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.tiles import my_part, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

ROOM: Final = 128 * 1024  # bytes of UB for rows
IDS: Final = 256  # indices at a time: 2 KiB of int64
_FORMATS: Final = ("float32", "float16", "bfloat16", "int32")


class _Ids:
    """Indices of a group of rows, in UB, where the scalar unit reads them one by one."""

    def __init__(self, ids: Any, most: int) -> None:
        self.window = ac.GlobalTensor(ids)
        self.room = scratch(self.window.dtype, -(-most // 8) * 8)
        self.loaded, self.read = take_events(HardEvent.MTE2_S, 1)[0], take_events(HardEvent.S_MTE2, 1)[0]
        SetFlag(HardEvent.S_MTE2, self.read)

    def load(self, first: Any, n: Any) -> None:
        WaitFlag(HardEvent.S_MTE2, self.read)
        ac.DataCopyPad(self.room, self.window[first:], n)
        SetFlag(HardEvent.MTE2_S, self.loaded)
        WaitFlag(HardEvent.MTE2_S, self.loaded)

    def done(self) -> None:
        SetFlag(HardEvent.S_MTE2, self.read)

    def finish(self) -> None:
        WaitFlag(HardEvent.S_MTE2, self.read)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def take_rows(table: Any, ids: Any, out: Any, n: int, rows: int, columns: int, group: int) -> None:
    """out[i] = table[ids[i]]."""
    source, target = ac.GlobalTensor(table), ac.GlobalTensor(out)
    size = source.dtype.itemsize
    pitch = -(-columns * size // 32) * 32 // size
    room = scratch(source.dtype, group * pitch)
    index = _Ids(ids, group)
    full, free = take_events(HardEvent.MTE2_MTE3, 1)[0], take_events(HardEvent.MTE3_MTE2, 1)[0]
    SetFlag(HardEvent.MTE3_MTE2, free)
    first, count = my_part(n, group)
    for at in ac.range(first, first + count, group):
        m = ac.min(group, first + count - at)
        index.load(at, m)
        WaitFlag(HardEvent.MTE3_MTE2, free)
        for i in ac.range(m):
            row: Any = ac.GetValue(index.room, i, 0, rows - 1)
            ac.DataCopyPad(room[i * pitch :], source[row * columns :], columns)
        index.done()
        SetFlag(HardEvent.MTE2_MTE3, full)
        WaitFlag(HardEvent.MTE2_MTE3, full)
        ac.DataCopyPad(target[at * columns :], room, ac.DataCopyExtParams(m, columns * size, 0, 0))
        SetFlag(HardEvent.MTE3_MTE2, free)
    WaitFlag(HardEvent.MTE3_MTE2, free)
    index.finish()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def add_rows(g: Any, ids: Any, table: Any, n: int, rows: int, columns: int, group: int, padding: int) -> None:
    """table[ids[i]] += g[i], in the order in which the cores get there; rows of index `padding` are left out."""
    source, target = ac.GlobalTensor(g), ac.GlobalTensor(table)
    size = source.dtype.itemsize
    pitch = -(-columns * size // 32) * 32 // size
    room = scratch(source.dtype, group * pitch)
    index = _Ids(ids, group)
    full, free = take_events(HardEvent.MTE2_MTE3, 1)[0], take_events(HardEvent.MTE3_MTE2, 1)[0]
    SetFlag(HardEvent.MTE3_MTE2, free)
    ac.SetAtomicAdd(source.dtype)
    first, count = my_part(n, group)
    for at in ac.range(first, first + count, group):
        m = ac.min(group, first + count - at)
        index.load(at, m)
        WaitFlag(HardEvent.MTE3_MTE2, free)
        ac.DataCopyPad(room, source[at * columns :], ac.DataCopyExtParams(m, columns * size, 0, 0))
        SetFlag(HardEvent.MTE2_MTE3, full)
        WaitFlag(HardEvent.MTE2_MTE3, full)
        for i in ac.range(m):
            row: Any = ac.GetValue(index.room, i, 0, rows - 1)
            if padding >= 0:
                with ac.If(row != padding):
                    ac.DataCopyPad(target[row * columns :], room[i * pitch :], columns)
            else:
                ac.DataCopyPad(target[row * columns :], room[i * pitch :], columns)
        index.done()
        SetFlag(HardEvent.MTE3_MTE2, free)
    ac.SetAtomicNone()
    WaitFlag(HardEvent.MTE3_MTE2, free)
    index.finish()


def _group(columns: int, itemsize: int) -> int:
    return min(IDS, ROOM // (-(-columns * itemsize // 32) * 32))


def _in_range(ids: Tensor, rows: int) -> bool:
    """Whether every index names a row: a look from outside the card, so that a wrong one is an error, not a read elsewhere."""
    if ids.is_meta:
        return True
    values = wide.on_host(ids)
    return int(values.amin().item()) >= 0 and int(values.amax().item()) < rows


@kernel_for("embedding")
def _embedding(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    table, ids = (t.detach() for t in inputs)
    out = outputs[0]
    rows, columns = table.shape[0], table.numel() // max(1, table.shape[0])
    if table.dtype.name not in _FORMATS or ids.dtype.name not in ("int64", "int32") or not ids.numel() or not columns or not _group(columns, table.itemsize):
        return NotImplemented
    if not _in_range(ids, rows):
        return NotImplemented
    group = max(1, min(_group(columns, table.itemsize), ids.numel()))
    launch(take_rows, table.contiguous(), ids.contiguous(), out, ids.numel(), rows, columns, group, blocks=blocks_for(out.nbytes), name="embedding")
    return None


@kernel_for("embedding_backward")
def _embedding_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    g, ids = (t.detach() for t in inputs)
    table = outputs[0]
    rows, padding, by_frequency = int(attrs[0]), int(attrs[1]), bool(attrs[2])
    columns = table.numel() // max(1, rows)
    if g.dtype.name not in _FORMATS or by_frequency or not ids.numel() or not columns or not _group(columns, g.itemsize) or not _in_range(ids, rows):
        return NotImplemented
    copies.fill(table, 0.0)
    group = max(1, min(_group(columns, g.itemsize), ids.numel()))
    launch(add_rows, g.contiguous(), ids.contiguous(), table, ids.numel(), rows, columns, group, padding, blocks=blocks_for(g.nbytes), name="embedding_backward")
    return None


