"""Rows of a table by index, and gradients added back to them: addresses come from memory, within a declared range."""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu import wide
from ascendlite.npu.kernels import copies, kernel_for
from ascendlite.npu.kernels.elementwise import blocks_for, window
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.tiles import LINE, my_part, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

ROOM: Final = 128 * 1024  # bytes of UB for rows
IDS: Final = 256  # indices at a time: 2 KiB of int64
MOVED: Final = ("float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
ADDED: Final = ("float32", "float16", "bfloat16", "int32", "int16", "int8")  # by atomics


class Ids:
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

    def row(self, i: Any, rows: int) -> Any:
        """The index at i, as a row."""
        value: Any = ac.GetValue(self.room, i, -rows, rows - 1)
        return (value + rows) % rows

    def done(self) -> None:
        SetFlag(HardEvent.S_MTE2, self.read)

    def finish(self) -> None:
        WaitFlag(HardEvent.S_MTE2, self.read)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def take_rows(table: Any, ids: Any, out: Any, fronts: int, n: int, rows: int, columns: int, group: int) -> None:
    """out[f, i] = table[f, ids[i]]; negative indices count from the end."""
    source, target = window(table), window(out)
    size = source.dtype.itemsize
    pitch = -(-columns * size // 32) * 32 // size
    room = scratch(source.dtype, group * pitch)
    index = Ids(ids, group)
    full, free = take_events(HardEvent.MTE2_MTE3, 1)[0], take_events(HardEvent.MTE3_MTE2, 1)[0]
    SetFlag(HardEvent.MTE3_MTE2, free)
    groups = -(-n // group)
    first, count = my_part(fronts * groups, 1)
    for piece in ac.range(first, first + count):
        front, at = piece // groups, piece % groups * group
        m = ac.min(group, n - at)
        index.load(at, m)
        WaitFlag(HardEvent.MTE3_MTE2, free)
        for i in ac.range(m):
            row = index.row(i, rows)
            ac.DataCopyPad(room[i * pitch :], source[(front * rows + row) * columns :], columns)
        index.done()
        SetFlag(HardEvent.MTE2_MTE3, full)
        WaitFlag(HardEvent.MTE2_MTE3, full)
        ac.DataCopyPad(target[(front * n + at) * columns :], room, ac.DataCopyExtParams(m, columns * size, 0, 0))
        SetFlag(HardEvent.MTE3_MTE2, free)
    WaitFlag(HardEvent.MTE3_MTE2, free)
    index.finish()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def put_rows(values: Any, ids: Any, table: Any, fronts: int, n: int, rows: int, columns: int, group: int, part: int, add: bool, padding: int) -> None:
    """table[f, ids[i]] = or += values[f, i], in the order of i. Each core has `part` columns of its own, which lie behind each other in table[core].

    Rows of index `padding` are left out.
    """
    source, target = window(values), window(table)
    size = source.dtype.itemsize
    pitch = -(-part * size // 32) * 32 // size
    room = scratch(source.dtype, group * pitch)
    index = Ids(ids, group)
    full, free = take_events(HardEvent.MTE2_MTE3, 1)[0], take_events(HardEvent.MTE3_MTE2, 1)[0]
    SetFlag(HardEvent.MTE3_MTE2, free)
    if add:
        ac.SetAtomicAdd(source.dtype)
    first = ac.GetBlockIdx() * part
    width, mine = ac.min(part, columns - first), ac.GetBlockIdx() * (fronts * rows * part)
    groups = -(-n // group)
    for piece in ac.range(fronts * groups):
        front, at = piece // groups, piece % groups * group
        m = ac.min(group, n - at)
        index.load(at, m)
        WaitFlag(HardEvent.MTE3_MTE2, free)
        ac.DataCopyPad(room, source[(front * n + at) * columns + first :], ac.DataCopyExtParams(m, width * size, (columns - width) * size, 0, pitch * size))
        SetFlag(HardEvent.MTE2_MTE3, full)
        WaitFlag(HardEvent.MTE2_MTE3, full)
        for i in ac.range(m):
            row = index.row(i, rows)
            if not add:
                ac.PipeBarrier(ac.PIPE_MTE3)  # a row that is written twice keeps what came last
            to, of = target[mine + (front * rows + row) * part :], room[i * pitch :]
            if padding >= 0:
                with ac.If(row != padding):
                    ac.DataCopyPad(to, of, width)
            else:
                ac.DataCopyPad(to, of, width)
        index.done()
        SetFlag(HardEvent.MTE3_MTE2, free)
    if add:
        ac.SetAtomicNone()
    WaitFlag(HardEvent.MTE3_MTE2, free)
    index.finish()


def _group(columns: int, itemsize: int) -> int:
    return min(IDS, ROOM // (-(-columns * itemsize // 32) * 32))


def take(out: Tensor, table: Tensor, ids: Tensor, fronts: int, rows: int, columns: int, name: str) -> Any:
    """out[f, i] = table[f, ids[i]] of contiguous tensors of `fronts` tables with rows of `columns` elements, or say that it is not taken."""
    n = ids.numel()
    if not takes(table, ids, columns) or not fronts or not in_range(ids, rows):
        return NotImplemented
    group = max(1, min(_group(columns, table.itemsize), -(-n * fronts // state.chip.aiv), n))
    launch(take_rows, table.contiguous(), ids.contiguous(), out, fronts, n, rows, columns, group, blocks=blocks_for(out.nbytes), name=name)
    return None


def put(table: Tensor, values: Tensor, ids: Tensor, fronts: int, rows: int, columns: int, name: str, *, add: bool, padding: int = -1) -> Any:
    """table[f, ids[i]] = or += values[f, i], or say that it is not taken."""
    if not takes(table, ids, columns, add) or not fronts or not in_range(ids, rows):
        return NotImplemented
    part = min(columns, max(LINE // table.itemsize, -(-columns // state.chip.aiv)))
    if part < columns:
        part = -(-part // (LINE // table.itemsize)) * (LINE // table.itemsize)
    cores = -(-columns // part)
    group = max(1, min(_group(part, table.itemsize), ids.numel()))
    parts = table if cores == 1 else _parted(table.reshape(fronts * rows, columns), cores, part)
    launch(put_rows, values.contiguous(), ids.contiguous(), parts, fronts, ids.numel(), rows, columns, group, part, add, padding, blocks=cores, name=name)
    if cores > 1:
        for to, of in _pairs(table.reshape(fronts * rows, columns), parts, part):
            to.copy_(of)
    return None


def _pairs(table: Tensor, parts: Tensor, part: int) -> list[tuple[Tensor, Tensor]]:
    """Views of a table that lie in its parts: whole ones, and the narrower last one."""
    columns = table.shape[1]
    whole = columns // part
    found = [(table[:, : whole * part].unflatten(1, (whole, part)).transpose(0, 1), parts[:whole])]
    return found + [(table[:, whole * part :], parts[whole, :, : columns % part])] if columns % part else found


def _parted(table: Tensor, cores: int, part: int) -> Tensor:
    """The columns of a table in parts for cores, each contiguous: so that no two cores write near each other."""
    parts: Tensor = table.new_empty((cores, table.shape[0], part))
    for of, to in _pairs(table, parts, part):
        to.copy_(of)
    return parts


def takes(table: Tensor, ids: Tensor, columns: int, add: bool = False) -> bool:
    """Whether rows of such a table can be moved, or added to."""
    if add and table.dtype.name not in ADDED:
        return False
    return table.dtype.name in MOVED and ids.dtype.name in ("int64", "int32") and ids.numel() > 0 and columns > 0 and _group(columns, table.itemsize) > 0


def in_range(ids: Tensor, rows: int) -> bool:
    """Whether every index names a row: a look from outside the card, so that a wrong one is an error, not a read elsewhere."""
    return ids.is_meta or wide.within(ids, -rows, rows - 1)


def not_negative(ids: Tensor) -> bool:
    return ids.is_meta or wide.within(ids, low=0)


@kernel_for("embedding")
def _embedding(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    table, ids = (t.detach() for t in inputs)
    rows = table.shape[0]
    if not not_negative(ids):
        return NotImplemented
    return take(outputs[0], table, ids, 1, rows, table.numel() // max(1, rows), "embedding")


@kernel_for("embedding_backward")
def _embedding_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    g, ids = (t.detach() for t in inputs)
    table = outputs[0]
    rows, padding, by_frequency = int(attrs[0]), int(attrs[1]), bool(attrs[2])
    columns = table.numel() // max(1, rows)
    if by_frequency or g.dtype is not table.dtype or not not_negative(ids) or not takes(table, ids, columns) or not in_range(ids, rows):
        return NotImplemented
    if not attrs[3]:
        copies.fill(table, 0.0)
    return put(table, g, ids, 1, rows, columns, "embedding_backward", add=True, padding=padding)
