"""Copies between layouts on the device: rows by descriptors of the copy engine, transposes in UB, broadcasts along rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.elementwise import blocks_for, window
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.declare import Memory
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.tensors import Slots, allocate
from ascendlite.npu.lang.tiles import my_part, scratch
from ascendlite.npu.lang.trace import Index
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

BLOCK: Final = 32
MOST_ROWS: Final = 4095  # of one descriptor
LEAST_DOWN: Final = 32  # rows that are worth a descriptor, where another dim has more
ROOM: Final = 64 * 1024  # bytes of UB for a tile: two of them are in flight
Dim = tuple[int, int, int]  # size, stride of the target, stride of the source


@dataclass(frozen=True)
class Layout:
    """A copy as dims from the outermost in: the last ones are worked on inside UB, the rest are looped over."""

    outer: tuple[Dim, ...]
    inner: tuple[Any, ...]  # one or two Dims
    base: int = 0  # where the source begins

    @property
    def count(self) -> int:
        """Pieces: combinations of the outer dims."""
        return math.prod(size for size, _, _ in self.outer)

    def place(self, piece: Index) -> tuple[Index, Index]:
        """Where a piece begins in the target and in the source."""
        target: Index = 0
        source: Index = self.base
        after = 1
        for size, to, of in reversed(self.outer):
            at = piece // after % size if after > 1 or len(self.outer) > 1 else piece
            target, source, after = target + at * to, source + at * of, after * size
        return target, source


def coalesced(target: Tensor, source: Tensor) -> list[Dim]:
    """The dims of a copy, with those joined that lie behind each other in both."""
    dims: list[Dim] = []
    for size, to, of in zip(target.shape, target.stride(), source.stride(), strict=True):
        if size == 1:
            continue
        if dims and dims[-1][1] == to * size and dims[-1][2] == of * size:
            dims[-1] = (dims[-1][0] * size, to, of)
        else:
            dims.append((size, to, of))
    return dims or [(1, 1, 1)]


class _Slots:
    """Two buffers in UB that the copy engine fills and empties in turn, each with its flags."""

    def __init__(self, dtype: Any, size: int) -> None:
        self.rooms = Slots(allocate(Memory.UB, dtype, size, 2))
        self.free, self.full = (take_events(e, 2)[0] for e in (HardEvent.MTE3_MTE2, HardEvent.MTE2_MTE3))
        for slot in (0, 1):
            SetFlag(HardEvent.MTE3_MTE2, self.free + slot)

    def before_load(self, slot: Index) -> Any:
        """MTE2 waits until the buffer has left."""
        WaitFlag(HardEvent.MTE3_MTE2, self.free + slot)
        return self.rooms[slot]

    def after_load(self, slot: Index) -> None:
        """MTE3 waits until it is there."""
        SetFlag(HardEvent.MTE2_MTE3, self.full + slot)
        WaitFlag(HardEvent.MTE2_MTE3, self.full + slot)

    def after_store(self, slot: Index) -> None:
        """The buffer is free."""
        SetFlag(HardEvent.MTE3_MTE2, self.free + slot)

    def finish(self) -> None:
        """Leaves no flag set."""
        for slot in (0, 1):
            WaitFlag(HardEvent.MTE3_MTE2, self.free + slot)


class Buffer:
    """A buffer in UB that the copy engine fills and empties, or two with vector work between; and the flags of either."""

    def __init__(self, dtype: Any, size: int, middle: bool) -> None:
        self.loaded = scratch(dtype, size)
        self.stored = scratch(dtype, size) if middle else self.loaded
        self.middle = middle
        if middle:  # vector work takes whole blocks, and short tiles do not fill them
            plain = self.loaded if dtype.itemsize in (2, 4) else self.loaded.ReinterpretCast(dtypes.u16)
            ac.Duplicate(plain, 0, size * dtype.itemsize // plain.dtype.itemsize)
        self.events: tuple[HardEvent, ...] = (HardEvent.V_MTE2, HardEvent.MTE2_V, HardEvent.MTE3_V, HardEvent.V_MTE3) if middle else (HardEvent.MTE3_MTE2, HardEvent.MTE2_MTE3)
        self.ids = {e: take_events(e, 1)[0] for e in self.events}
        for e in self.events[::2]:
            SetFlag(e, self.ids[e])

    def _pass(self, event: HardEvent) -> None:
        SetFlag(event, self.ids[event])
        WaitFlag(event, self.ids[event])

    def before_load(self) -> None:
        WaitFlag(self.events[0], self.ids[self.events[0]])

    def after_load(self) -> None:
        self._pass(self.events[1])
        if self.middle:
            WaitFlag(self.events[2], self.ids[self.events[2]])

    def after_work(self) -> None:
        SetFlag(self.events[0], self.ids[self.events[0]])
        self._pass(self.events[3])

    def after_store(self) -> None:
        last = self.events[2] if self.middle else self.events[0]
        SetFlag(last, self.ids[last])

    def finish(self) -> None:
        for e in self.events[::2]:
            WaitFlag(e, self.ids[e])


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def copy_rows(target: Any, source: Any, layout: Layout, rows: int) -> None:
    """Rows that are contiguous on both sides, `rows` of them by one descriptor; a row that is repeated is loaded once."""
    to, of = window(target), window(source)
    (height, to_row, of_row), (width, _, _) = layout.inner
    size = to.dtype.itemsize
    full = -(-width * size // BLOCK) * BLOCK // size
    repeated = of_row == 0 and height > 1
    slots = _Slots(to.dtype, full * (1 if repeated else rows))
    groups = -(-height // rows)
    first, count = my_part(layout.count * groups, 1)
    for i in ac.range(first, first + count):
        piece, row, slot = i // groups, i % groups * rows, (i - first) % 2
        begin_to, begin_of = layout.place(piece)
        n = ac.min(rows, height - row)
        room = slots.before_load(slot)
        ac.DataCopyPad(room, of[begin_of + row * of_row :], ac.DataCopyExtParams(1 if repeated else n, width * size, 0 if repeated else (of_row - width) * size, 0))
        slots.after_load(slot)
        if repeated:
            for k in ac.range(n):
                ac.DataCopyPad(to[begin_to + (row + k) * to_row :], room, ac.DataCopyExtParams(1, width * size, 0, 0))
        else:
            ac.DataCopyPad(to[begin_to + row * to_row :], room, ac.DataCopyExtParams(n, width * size, 0, (to_row - width) * size))
        slots.after_store(slot)
    slots.finish()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def copy_elements(target: Any, source: Any, layout: Layout, tile: int) -> None:
    """Single elements that lie apart in the source, one block of UB each, to a contiguous row: slow, as on the card."""
    to, of = window(target), window(source)
    ((width, to_step, of_step),) = layout.inner
    size = to.dtype.itemsize
    buffer = Buffer(to.dtype, tile * BLOCK // size, False)
    room = buffer.loaded
    groups = -(-width // tile)
    first, count = my_part(layout.count * groups, 1)
    for i in ac.range(first, first + count):
        begin_to, begin_of = layout.place(i // groups)
        column = i % groups * tile
        n = ac.min(tile, width - column)
        buffer.before_load()
        ac.DataCopyPad(room, of[begin_of + column * of_step :], ac.DataCopyExtParams(n, size, (of_step - 1) * size, 0))
        buffer.after_load()
        ac.DataCopyPad(to[begin_to + column * to_step :], room, ac.DataCopyExtParams(n, size, 0, (to_step - 1) * size))
        buffer.after_store()
    buffer.finish()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def transpose(target: Any, source: Any, layout: Layout, tile_rows: int, tile_columns: int) -> None:
    """target[r, c] = source[c, r]: tiles are loaded as the source lies, turned in UB, and stored as rows of the target."""
    to, of = window(target), window(source)
    (height, to_row, _), (width, _, of_column) = layout.inner  # of the target; the source is contiguous along the target's rows
    size = to.dtype.itemsize
    per_block = BLOCK // size
    buffer = Buffer(to.dtype, tile_rows * tile_columns, True)
    loaded, stored = buffer.loaded, buffer.stored
    down, across = -(-height // tile_rows), -(-width // tile_columns)
    first, count = my_part(layout.count * down * across, 1)
    for i in ac.range(first, first + count):
        begin_to, begin_of = layout.place(i // (down * across))
        r0, c0 = i // across % down * tile_rows, i % across * tile_columns
        rows, columns = ac.min(tile_rows, height - r0), ac.min(tile_columns, width - c0)
        buffer.before_load()
        ac.DataCopyPad(loaded, of[begin_of + c0 * of_column + r0 :], ac.DataCopyExtParams(columns, rows * size, (of_column - rows) * size, 0, tile_rows * size))
        buffer.after_load()
        turn_tile(stored, loaded, tile_rows, tile_columns, per_block)
        buffer.after_work()
        ac.DataCopyPad(to[begin_to + r0 * to_row + c0 :], stored, ac.DataCopyExtParams(rows, columns * size, 0, (to_row - columns) * size, tile_columns * size))
        buffer.after_store()
    buffer.finish()


def turn_tile(dst: Any, src: Any, rows: int, columns: int, per_block: int) -> None:
    """dst[r, c] = src[c, r]: blocks of 16 (32 for bytes) columns by 32 bytes of rows."""
    size = BLOCK // per_block
    band = 32 if size == 1 else 16
    for c in range(0, columns, band):
        ac.TransDataTo5HD(dst[c:], src[c * rows :], columns * size, rows * size, rows // per_block, columns * per_block * size // BLOCK, 1)


def spread_rows(to: Any, of: Any, layout: Layout, rows: int, width: int, buffer: Buffer, spread: Callable[[Any, Any, Index], None]) -> None:
    """to[r, :] = of[r], `rows` at a time: spread(stored, loaded, n) makes rows of `width` of n numbers in a block each; they are stored as often as they fit."""
    (height, to_row, of_row), (length, _, _) = layout.inner
    size = to.dtype.itemsize
    groups, across = -(-height // rows), -(-length // width)
    first, count = my_part(layout.count * groups, 1)
    for i in ac.range(first, first + count):
        begin_to, begin_of = layout.place(i // groups)
        row = i % groups * rows
        n = ac.min(rows, height - row)
        buffer.before_load()
        ac.DataCopyPad(buffer.loaded, of[begin_of + row * of_row :], ac.DataCopyExtParams(n, size, (of_row - 1) * size, 0))
        buffer.after_load()
        spread(buffer.stored, buffer.loaded, n)
        buffer.after_work()
        for k in range(across):
            part = min(width, length - k * width)
            gap = (width * size - -(-part * size // BLOCK) * BLOCK) // BLOCK
            ac.DataCopyPad(to[begin_to + row * to_row + k * width :], buffer.stored, ac.DataCopyExtParams(n, part * size, gap, (to_row - part) * size))
        buffer.after_store()
    buffer.finish()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def copy_columns(target: Any, source: Any, layout: Layout, rows: int, width: int) -> None:
    """target[r, :] = source[r]: numbers, whose blocks are filled up with the number itself, are spread over rows in UB."""
    to, of = window(target), window(source)
    lanes, per_block = 256 // to.dtype.itemsize, BLOCK // to.dtype.itemsize
    buffer = Buffer(to.dtype, rows * max(width, per_block), True)

    def spread(stored: Any, loaded: Any, n: Index) -> None:
        for c in range(0, width, lanes):
            ac.Copy(stored[c:], loaded, min(lanes, width - c), n, (1, 0, width // per_block, 1))

    spread_rows(to, of, layout, rows, width, buffer, spread)


# -- which one


def flat(t: Tensor) -> Tensor:
    room = len(t.untyped_storage()) // t.itemsize - t.storage_offset()
    return t.detach().as_strided((room,), (1,), t.storage_offset())


def copy(target: Tensor, source: Tensor) -> Any:
    """Copy between tensors of one shape and dtype whose layouts differ, or say that it is not taken."""
    look = (tuple(target.shape), target.stride(), source.stride(), target.itemsize)
    if look not in _PICKED:
        if len(_PICKED) >= _MOST_PICKED:
            _PICKED.clear()
        _PICKED[look] = _pick(target, source)
    picked = _PICKED[look]
    if picked is None or target.dtype.name.startswith("float4"):
        return NotImplemented
    function, *arguments = picked
    launch(function, flat(target), flat(source), *arguments, blocks=blocks_for(target.nbytes), name="copy" if function is not transpose else "transpose")
    return None


_MOST_PICKED: Final = 8192
_PICKED: Final[dict[tuple[Any, ...], tuple[Any, ...] | None]] = {}  # by how the tensors lie


def _pick(target: Tensor, source: Tensor) -> tuple[Any, ...] | None:
    """The kernel for such a copy and what it is launched with."""
    size = target.itemsize
    dims = _cut(coalesced(target, source), ROOM // size)
    return _rows(dims, size) or (_transposed(dims, size) or columns(dims, size) if size <= 4 else None) or _elements(dims, size)


def _cut(dims: list[Dim], most: int) -> list[Dim]:
    """Rows that are longer than a tile, contiguous or one number on the other side, cut into equal parts where these are of some length."""
    width, to, of = dims[-1]
    most = most if of else most // 4  # nothing waits for a load: more cores share the stores
    if to != 1 or of not in (0, 1) or width <= most:
        return dims
    pieces = next((pieces for pieces in range(-(-width // most), 64 * width // most) if width % pieces == 0), None)
    if pieces is None:
        return dims
    part = width // pieces
    return [*dims[:-1], (pieces, part, part * of), (part, 1, of)]


def _rows(dims: list[Dim], size: int) -> tuple[Any, ...] | None:
    width, to, of = dims[-1]
    if to != 1 or of != 1 or width * size > ROOM:
        return None
    along = _down(dims)
    height, to_row, of_row = (1, width, width) if along is None else dims[along]
    layout = Layout(tuple(d for k, d in enumerate(dims[:-1]) if k != along), ((height, to_row, of_row), dims[-1]))
    rows = max(1, min(height, MOST_ROWS, ROOM // 2 // (-(-width * size // BLOCK) * BLOCK)))
    if of_row == 0:
        rows = min(height, 64)
    return copy_rows, layout, rows


def _down(dims: list[Dim]) -> int | None:
    """The dim whose rows one descriptor moves: the innermost, or the longest if that is short; rows must not overlap."""
    width, last = dims[-1][0], len(dims) - 2
    able = [k for k, (_, to, of) in enumerate(dims[:-1]) if to >= width and (of >= width or (of == 0 and k == last))]
    if last in able and (dims[last][0] >= LEAST_DOWN or dims[last][2] == 0):
        return last
    return max(able, key=lambda k: (dims[k][0], k), default=None)


def _transposed(dims: list[Dim], size: int) -> tuple[Any, ...] | None:
    width, to, of_column = dims[-1]
    along = next((k for k, d in enumerate(dims[:-1]) if d[2] == 1), None)
    if to != 1 or along is None or of_column < dims[along][0]:
        return None
    height, to_row, _ = dims[along]
    if to_row < width:
        return None
    outer = tuple(d for k, d in enumerate(dims[:-1]) if k != along)
    per_block = BLOCK // size
    band = 32 if size == 1 else 16
    columns = min(-(-width // band) * band, 64 if size > 1 else 128)
    rows = min(-(-height // per_block) * per_block, ROOM // (2 * columns * size) // per_block * per_block, 255 * per_block)
    return transpose, Layout(outer, ((height, to_row, 1), (width, 1, of_column))), rows, columns


def columns(dims: list[Dim], size: int) -> tuple[Any, ...] | None:
    length, to, of = dims[-1]
    if to != 1 or of != 0 or size == 1:
        return None
    height, to_row, of_row = dims[-2] if len(dims) > 1 else (1, length, 1)
    if of_row == 0 or to_row < length:
        height, to_row, of_row, outer = 1, length, 1, tuple(dims[:-1])
    else:
        outer = tuple(dims[:-2])
    per_block = BLOCK // size
    width = min(-(-length // per_block) * per_block, 1024)
    rows = max(1, min(height, 255, ROOM // (2 * width * size)))
    return copy_columns, Layout(outer, ((height, to_row, of_row), (length, 1, 0))), rows, width


def _elements(dims: list[Dim], size: int) -> tuple[Any, ...] | None:
    width, to, of = dims[-1]
    if to < 1 or of < 1:
        return None
    return copy_elements, Layout(tuple(dims[:-1]), (dims[-1],)), min(width, ROOM // BLOCK)
