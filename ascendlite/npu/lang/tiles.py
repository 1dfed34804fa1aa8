"""What the library's kernels share: the part of a tensor that a core works on, and tiles that stream through UB with two buffers each.

`pipeline` places every flag of a kernel that reads tiles, works on them and writes tiles; the kernel says only what happens to a tile.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ascendlite.npu.lang import order
from ascendlite.npu.lang.declare import Memory
from ascendlite.npu.lang.dtypes import DType
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.movement import DataCopy, DataCopyExtParams, DataCopyPad
from ascendlite.npu.lang.order import CeilAlign, CeilDiv, GetBlockIdx, SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.tensors import Argument, GlobalTensor, LocalTensor, Slots, allocate
from ascendlite.npu.lang.trace import Index, current

LINE = 512  # bytes of GM that two cores should not share: a line of L2
BLOCK = 32
MOST_UNROLLED = 128  # tiles of a core; longer kernels stay loops, so that their programs do not grow with the tensors


def core_count() -> int:
    """Cores that run this code."""
    tracer = current()
    return tracer.blocks * (2 if tracer.kind == "mix" and tracer.core == "aiv" else 1)


def my_part(n: int, align: int) -> tuple[Index, Index]:
    """(start, size) of this core's part of n items: contiguous, cut at multiples of `align`; the last cores may have less, or nothing."""
    part = CeilAlign(CeilDiv(n, core_count()), align)
    start = GetBlockIdx() * part
    return start, order.max(0, order.min(part, n - start))


def my_tiles(n: int, tile: int, align: int = 256) -> Iterator[tuple[Index, Index]]:
    """(offset, size) of this core's tiles of n elements, one by one: a contiguous part for each core, the last tile shorter.

    With elements of b bytes choose align * b = 512, so that no two cores share a line of L2. The loop is unrolled, but for what is between the first
    tile and the last one where there are more than MOST_UNROLLED.
    """
    part = CeilAlign(CeilDiv(n, core_count()), align)
    start = GetBlockIdx() * part
    count = max(0, min(part, n - start))
    tiles = operator.index(CeilDiv(count, tile))
    if tiles <= MOST_UNROLLED:
        for i in range(tiles):
            yield start + i * tile, min(tile, count - i * tile)
        return
    yield start, tile
    for middle in order.range(1, tiles - 1):
        yield start + middle * tile, tile
    yield start + (tiles - 1) * tile, count - (tiles - 1) * tile


def scratch(dtype: DType, size: int) -> LocalTensor:
    """A buffer in UB that only the vector pipe uses."""
    return allocate(Memory.UB, dtype, size)[0]


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: its items are `start .. start + count`; `ins` are filled, `outs` are free to be written. `index` counts this core's tiles."""

    index: Index
    start: Index
    count: Index
    ins: tuple[LocalTensor, ...]
    outs: tuple[LocalTensor, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A tensor in a pipeline whose items have another width than the rest, such as one number a row."""

    tensor: Argument | GlobalTensor
    width: int
    pitch: int
    period: int = 0  # items after which the tensor begins again, whole tiles of them; 0: it has them all


class Port:
    """A tensor whose tiles pass through slots of UB: `width` elements an item, in rows of `pitch` elements."""

    def __init__(self, tensor: Argument | GlobalTensor, tile: int, width: int, pitch: int, slots: int, period: int = 0) -> None:
        self.period = period
        self.window = tensor if isinstance(tensor, GlobalTensor) else GlobalTensor(tensor)
        self.width, self.pitch = width, pitch
        per_block = BLOCK // self.window.dtype.itemsize or 1
        name = f"tiles of {self.window.argument.name}"
        self.slots = Slots(allocate(Memory.UB, self.window.dtype, CeilAlign(tile * pitch, per_block), slots, name=name))

    def _rows(self, items: Index) -> DataCopyExtParams | Index:
        size = self.window.dtype.itemsize
        if self.width == self.pitch:
            return items * self.width
        gap = (self.pitch * size - CeilAlign(self.width * size, BLOCK)) // BLOCK
        return DataCopyExtParams(items, self.width * size, 0, gap)

    def load(self, slot: Index, start: Index, items: Index) -> None:
        """Rows of GM to rows of UB."""
        how = self._rows(items)
        begin = start % self.period if self.period else start
        self._copy(self.slots[slot], self.window[begin * self.width :], how)

    def store(self, slot: Index, start: Index, items: Index) -> None:
        """Rows of UB to rows of GM."""
        how = self._rows(items)
        if isinstance(how, DataCopyExtParams):
            how = DataCopyExtParams(how.blockCount, how.blockLen, how.dstStride, 0)
        self._copy(self.window[start * self.width :], self.slots[slot], how)

    def _copy(self, dst: LocalTensor | GlobalTensor, src: LocalTensor | GlobalTensor, how: DataCopyExtParams | Index) -> None:
        whole = not isinstance(how, DataCopyExtParams) and self.width * self.window.dtype.itemsize % BLOCK == 0
        if whole and not isinstance(how, DataCopyExtParams):
            DataCopy(dst, src, how)
        else:
            DataCopyPad(dst, src, how)


class Flow:
    """The flags between the pipes that fill slots, work on them and empty them."""

    def __init__(self, sources: Sequence[Port], targets: Sequence[Port], slots: int) -> None:
        self.sources, self.targets, self.slots = sources, targets, slots
        self.free_in, self.full_in = (take_events(e, slots)[0] if sources else 0 for e in (HardEvent.V_MTE2, HardEvent.MTE2_V))
        self.free_out, self.full_out = (take_events(e, slots)[0] if targets else 0 for e in (HardEvent.MTE3_V, HardEvent.V_MTE3))
        free = ((HardEvent.V_MTE2, self.free_in),) * bool(sources) + ((HardEvent.MTE3_V, self.free_out),) * bool(targets)
        self.free = [(event, first + s) for s in range(slots) for event, first in free]
        for event, number in self.free:
            SetFlag(event, number)

    def fill(self, index: Index, first: Index, items: Index) -> Tile:
        """The tile of this number, its inputs there and its outputs free."""
        s = index % self.slots
        if self.sources:
            WaitFlag(HardEvent.V_MTE2, self.free_in + s)
            for port in self.sources:
                port.load(s, first, items)
            SetFlag(HardEvent.MTE2_V, self.full_in + s)
            WaitFlag(HardEvent.MTE2_V, self.full_in + s)
        if self.targets:
            WaitFlag(HardEvent.MTE3_V, self.free_out + s)
        return Tile(index, first, items, tuple(p.slots[s] for p in self.sources), tuple(p.slots[s] for p in self.targets))

    def drain(self, t: Tile) -> None:
        """The tile was worked on: its outputs leave."""
        s = t.index % self.slots
        if self.sources:
            SetFlag(HardEvent.V_MTE2, self.free_in + s)
        if self.targets:
            SetFlag(HardEvent.V_MTE3, self.full_out + s)
            WaitFlag(HardEvent.V_MTE3, self.full_out + s)
            for port in self.targets:
                port.store(s, t.start, t.count)
            SetFlag(HardEvent.MTE3_V, self.free_out + s)

    def close(self) -> None:
        """Nothing follows."""
        for event, number in self.free:
            WaitFlag(event, number)


def pipeline(n: int, tile: int, ins: Sequence[Argument | GlobalTensor | Items], outs: Sequence[Argument | GlobalTensor | Items], *, width: int = 1,
             pitch: int | None = None, slots: int = 2, align: int | None = None) -> Iterator[Tile]:
    """This core's tiles of n items, streamed: inputs arrive in the next slots while this tile is worked on and the last one leaves.

    An item is an element, or a row of `width` elements that lies in UB `pitch` elements apart (default: width; else each row starts at a
    block of 32 bytes). The loop stays a loop, so its body may use Python variables only that do not change from tile to tile.

        for t in tiles.pipeline(n, 8192, ins=(x, y), outs=(z,)):
            ac.Add(t.outs[0], t.ins[0], t.ins[1], t.count)
    """
    pitch = width if pitch is None else pitch
    given = [[t if isinstance(t, Items) else Items(t, width, pitch) for t in group] for group in (ins, outs)]
    smallest = min(GlobalTensor(t.tensor).dtype.itemsize for group in given for t in group)
    start, size = my_part(n, align or max(1, LINE // (width * smallest)))
    sources, targets = ([Port(t.tensor, tile, t.width, t.pitch, slots, t.period) for t in group] for group in given)
    flow = Flow(sources, targets, slots)
    for done in order.range(0, size, tile):
        t = flow.fill(done // tile, start + done, order.min(tile, size - done))
        yield t
        flow.drain(t)
    flow.close()


def my_segments(sizes: Sequence[int], align: int) -> Iterator[tuple[int, Index, Index]]:
    """(tensor, start, size) of this core's part of several tensors, as if they lay one behind the other, each filled up to `align` elements.

    All tensors are given; of most a core has nothing: a size of 0 or less.
    """
    part = CeilAlign(CeilDiv(sum(CeilAlign(n, align) for n in sizes), core_count()), align)
    first: Index = 0
    for k, n in enumerate(sizes):
        start: Index = order.max(0, GetBlockIdx() * part - first)
        yield k, start, order.min(n, GetBlockIdx() * part + (part - first)) - start
        first += CeilAlign(n, align)


def pipelines(sizes: Sequence[int], tile: int, ins: Sequence[Sequence[Argument]], outs: Sequence[Sequence[Argument]], *, slots: int = 2) -> Iterator[Tile]:
    """`pipeline` over many tensors in one launch: operand i of tensor k is `ins[i][k]`, of `sizes[k]` elements; those of one operand have one format.

        for t in tiles.pipelines((n, m), 4096, ins=((x, u), (y, v)), outs=((z, w),)):
            ac.Add(t.outs[0], t.ins[0], t.ins[1], t.count)
    """
    groups = [*ins, *outs]
    ports = [Port(group[0], tile, 1, 1, slots) for group in groups]
    flow = Flow(ports[: len(ins)], ports[len(ins) :], slots)
    for k, start, size in my_segments(sizes, LINE // min(port.window.dtype.itemsize for port in ports)):
        for port, group in zip(ports, groups, strict=True):
            port.window = GlobalTensor(group[k])
        for done in order.range(0, size, tile):
            t = flow.fill(done // tile, start + done, order.min(tile, size - done))
            yield t
            flow.drain(t)
    flow.close()
