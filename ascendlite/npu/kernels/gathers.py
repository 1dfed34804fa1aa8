"""Copies along whose rows the source runs backwards or stands still, where UB's Gather lays the elements out: it knows words of 16 and 32 bits."""

from __future__ import annotations

import math
from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import strided
from ascendlite.npu.kernels.elementwise import blocks_for, window
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import BLOCK, Flow, Port, my_part, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

i32 = dtypes.i32
MOST: Final = 4096  # words of a tile: two tiles that arrive, two that leave, and four of 32 bits for their offsets: 128 KiB of 192


def _quotients(number: Any, by: int, size: int) -> Any:
    """The whole parts of numbers of float32, divided."""
    row = scratch(i32, size)
    ac.Adds(number, number, 0.5, size)
    barrier()
    ac.Muls(number, number, 1.0 / by, size)
    barrier()
    ac.Cast(row, number, "CAST_FLOOR", size)
    barrier()
    return row


class _Backwards:
    """Byte offsets of the words of rows of `width` elements, each row from its end on."""

    def __init__(self, rows: int, width: int, itemsize: int) -> None:
        each = max(1, itemsize // 4)  # words of an element
        self.words = rows * width * each
        size = -(-self.words // 64) * 64
        number, word, self.offsets = scratch(dtypes.f32, size), scratch(i32, size), scratch(i32, size)
        ac.CreateVecIndex(number, 0.0, size)
        ac.CreateVecIndex(word, 0, size)
        barrier()
        ac.Muls(self.offsets, word, -1, size)
        row = _quotients(number, width * each, size)  # word w of row r comes from word (2 r + 1) width - 1 - w, if an element is one
        ac.Muls(row, row, 2 * width * each, size)
        barrier()
        ac.Add(self.offsets, self.offsets, row, size)
        barrier()
        ac.Adds(self.offsets, self.offsets, width * each - 1, size)
        barrier()
        if each == 2:  # but the words of an element keep their order: odd ones take the next, even ones the one before
            ac.ShiftLeft(word.ReinterpretCast(dtypes.u32), word.ReinterpretCast(dtypes.u32), 31, size)
            barrier()
            ac.ShiftRight(word.ReinterpretCast(dtypes.u32), word.ReinterpretCast(dtypes.u32), 30, size)
            ac.Adds(self.offsets, self.offsets, -1, size)
            barrier()
            ac.Add(self.offsets, self.offsets, word, size)
            barrier()
        ac.Muls(self.offsets, self.offsets, min(itemsize, 4), size)

    def turn(self, dst: Any, src: Any, words: Any) -> None:
        """dst = the rows of src, backwards."""
        ac.Gather(dst, src, self.offsets.ReinterpretCast(dtypes.u32), 0, words)


class _Rows(Port):
    """Parts of rows of a tensor as words; a tile of the source begins elsewhere than that of the target."""

    def __init__(self, tensor: Any, elements: int) -> None:
        self.window = window(tensor)
        super().__init__(self.window, elements, 1, 1, 2)
        self.at: Any = 0

    def load(self, slot: Any, _start: Any, items: Any) -> None:
        """`items` elements from where they lie."""
        ac.DataCopyPad(self.slots[slot], self.window[self.at :], items)

    def store(self, slot: Any, _start: Any, items: Any) -> None:
        """`items` elements to their place."""
        ac.DataCopyPad(self.window[self.at :], self.slots[slot], items)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def backwards(target: Any, source: Any, layout: strided.Layout, rows: int, part: int) -> None:
    """Rows that are contiguous in both, each from its end on: `rows` of them at a time, or one in equal parts."""
    (height, _, _), (width, _, _) = layout.inner
    to, of = _Rows(target, rows * part), _Rows(source, rows * part)
    size = to.window.dtype.itemsize
    each, word = max(1, size // 4), dtypes.u32 if size == 8 else to.window.dtype
    turns, flow = _Backwards(rows, part, size), Flow([of], [to], 2)
    groups, parts = -(-height // rows), width // part
    first, count = my_part(layout.count * groups * parts, 1)
    for i in ac.range(first, first + count):
        row, k = i // parts % groups * rows, i % parts
        begin_to, begin_of = layout.place(i // parts // groups)
        n = ac.min(rows, height - row) * part
        to.at, of.at = begin_to + row * width + k * part, begin_of + row * width + (parts - 1 - k) * part
        t = flow.fill(i - first, 0, n)
        turns.turn(t.outs[0].ReinterpretCast(word), t.ins[0].ReinterpretCast(word)[: n * each], n * each)
        flow.drain(t)
    flow.close()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def repeat_pairs(target: Any, source: Any, layout: strided.Layout, rows: int, width: int) -> None:
    """target[r, :] = source[r] of 64-bit integers: `rows` of them at a time, each spread over a row of `width`, which is stored as often as it fits."""
    buffer, words = strided.Buffer(dtypes.i64, rows * max(width, BLOCK // 8), True), rows * width * 2
    number, word = scratch(dtypes.f32, words), scratch(i32, words)
    ac.CreateVecIndex(number, 0.0, words)
    ac.CreateVecIndex(word, 0, words)
    barrier()
    offsets = _quotients(number, 2 * width, words)
    ac.ShiftLeft(word.ReinterpretCast(dtypes.u32), word.ReinterpretCast(dtypes.u32), 31, words)
    ac.Muls(offsets, offsets, BLOCK, words)  # each number has a block
    barrier()
    ac.ShiftRight(word.ReinterpretCast(dtypes.u32), word.ReinterpretCast(dtypes.u32), 29, words)
    barrier()
    ac.Add(offsets, offsets, word, words)
    barrier()

    def spread(stored: Any, loaded: Any, n: Any) -> None:
        ac.Gather(stored.ReinterpretCast(dtypes.u32), loaded.ReinterpretCast(dtypes.u32), offsets.ReinterpretCast(dtypes.u32), 0, n * width * 2)

    strided.spread_rows(ac.GlobalTensor(target), ac.GlobalTensor(source), layout, rows, width, buffer, spread)


def pairs_taken(t: Tensor) -> bool:
    """Whether elements are 64-bit integers that can be seen as words: the wide modes give each element room of its own."""
    return t.itemsize == 8 and state.numerics == "device"


def repeat(target: Tensor, source: Tensor) -> Any:
    """Copy 64-bit integers that stand still along the target's rows, or say that it is not taken."""
    dims = strided.coalesced(target, source)
    if not pairs_taken(target) or dims[-1][1:] != (1, 0):
        return NotImplemented
    picked = strided.columns(dims, 8)
    assert picked is not None, dims
    _, layout, rows, width = picked
    rows = max(1, min(rows, MOST // 2 // width))
    launch(repeat_pairs, strided.flat(target), strided.flat(source), layout, rows, width, blocks=blocks_for(target.nbytes), name="copy")
    return None


def _part(width: int, most: int) -> int | None:
    """Elements of a part of a row: the whole of a short one, else the largest divisor that is worth a transfer."""
    return width if width <= most else next((part for part in range(most, most // 16, -1) if width % part == 0), None)


def flip(out: Tensor, x: Tensor, dims: tuple[int, ...]) -> Any:
    """out = x, a contiguous tensor that has elements, with these dims backwards; or say that it is not taken."""
    size = x.itemsize
    found: list[strided.Dim] = []  # strides of the source below 0 where it runs backwards
    base = 0
    for d, (n, stride) in enumerate(zip(x.shape, x.stride(), strict=True)):
        if n == 1:
            continue
        step = -stride if d in dims else stride
        base += (n - 1) * stride if d in dims else 0
        if found and found[-1][2] == step * n:
            found[-1] = (found[-1][0] * n, stride, step)
        else:
            found.append((n, stride, step))
    if not found:
        found = [(1, 1, 1)]
    width, _, step = found[-1]
    if step == 1:
        return _flip_rows(out, x, found, base)
    most = MOST // max(1, size // 4)
    part = _part(width, most) if size in (2, 4) or pairs_taken(x) else None
    if part is None:
        return NotImplemented
    down = len(found) > 1 and part == width and found[-2][2] == width
    height = found[-2][0] if down else 1
    rows = max(1, min(height, most // width))
    layout = strided.Layout(tuple(found[: -2 if down else -1]), ((height, width, width), found[-1]), base - (width - 1))
    launch(backwards, out, x, layout, rows, part, blocks=blocks_for(out.nbytes), name="flip")
    return None


def _flip_rows(out: Tensor, x: Tensor, found: list[strided.Dim], base: int) -> Any:
    """Whole rows in another order: each is a transfer of its own, where it is worth one."""
    width = found[-1][0]
    if width * x.itemsize < BLOCK * 8 and math.prod(n for n, _, _ in found[:-1]) > 4096:
        return NotImplemented
    part = _part(width, strided.ROOM // x.itemsize)
    if part is None:
        return NotImplemented
    pieces = (width // part, part, part)
    layout = strided.Layout((*found[:-1], pieces), ((1, width, width), (part, 1, 1)), base)
    launch(strided.copy_rows, out, x, layout, 1, blocks=blocks_for(out.nbytes), name="flip")
    return None
