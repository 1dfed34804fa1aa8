"""The gradient of a convolution's weights: the image's columns, turned by Load3D on their way to L0A, times the gradient's planes.

The sum goes over all pixels of all images; a part of them stays in L0C until it is done. The result has a row for each column of the weights as
`convolution` orders them, (depth of the filter, C1, its height, its width, C0), and a column for each output channel, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ascendlite.npu import ascendc as ac
from ascendlite.npu.chips import Chip
from ascendlite.npu.kernels.convolution import BLOCK, IMAGE_ROOM, L0_ROOM, PIXELS, SUMS, Shape, Tiles, load_image, part, tiles_of
from ascendlite.npu.kernels.product_plans import MOST_PARTS, Outline, joined_us
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.cube_tiles import ORDERED_BLOCKS
from ascendlite.npu.lang.declare import Memory, Pipe
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.tensors import Slots, allocate
from ascendlite.npu.lang.trace import Index
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime import launch as launching

C0: Final = 16  # channels of a block: Load3D turns formats of 2 bytes only
GRADIENT_ROOM: Final = 96 * 1024  # bytes of L1 a slot for planes of the gradient, beside 2 x IMAGE_ROOM
LONGEST_PLANE: Final = 65535  # elements from one output channel to the next that Nd2Nz can skip


@dataclass(frozen=True)
class Plan:
    """Pixels and blocks of channels of a tile of the image; columns and output channels of the sums that L0C holds; pixels a step through L0."""

    tiles: Tiles
    columns: int  # of all blocks of the tile, or some of its only one
    outputs: int
    deep: int
    parts: int  # of the sum over the images' tiles


class Correlation:
    """Buffers and flags of a gradient on one core. L1 and L0 are double buffered; `turn` counts the tiles of the image before one."""

    def __init__(self, dtype: Any, s: Shape, p: Plan) -> None:
        self.s, self.p = s, p
        self.height, self.width = p.tiles.image(s)
        self.pixels = p.tiles.rows * p.tiles.columns
        self.steps = -(-self.pixels // p.deep)
        self.image_l1 = Slots(allocate(Memory.L1, dtype, p.tiles.blocks * self.height * self.width * C0, 2))
        self.gradient_l1 = Slots(allocate(Memory.L1, dtype, p.outputs * -(-self.pixels // C0) * C0, 2))
        self.a_l0 = Slots(allocate(Memory.L0A, dtype, p.columns * p.deep, 2))
        self.b_l0 = Slots(allocate(Memory.L0B, dtype, p.deep * p.outputs, 2))
        self.acc_l0c = allocate(Memory.L0C, dtypes.f32, p.columns * p.outputs)[0]
        self.l1_free, self.l1_full = (take_events(e, 2)[0] for e in (HardEvent.MTE1_MTE2, HardEvent.MTE2_MTE1))
        self.l0_free, self.l0_full = (take_events(e, 2)[0] for e in (HardEvent.M_MTE1, HardEvent.MTE1_M))
        self.acc_free, self.acc_full = (take_events(e, 1)[0] for e in (HardEvent.FIX_M, HardEvent.M_FIX))
        for slot in (0, 1):
            SetFlag(HardEvent.MTE1_MTE2, self.l1_free + slot)
            SetFlag(HardEvent.M_MTE1, self.l0_free + slot)
        SetFlag(HardEvent.FIX_M, self.acc_free)

    def add(self, turn: Index, first: Index, image: Any, block: Index, down: tuple[Index, ...], across: tuple[Index, ...],
            gradient: Any, plane: int, pixels: Index, begin: Index, columns: Index, outputs: Index) -> None:
        """Adds a tile of the image to the sums, or begins them if `first` is 0: `columns` of its blocks' from `begin` on, times planes of the gradient."""
        s = turn % 2
        WaitFlag(HardEvent.MTE1_MTE2, self.l1_free + s)
        load_image(self.image_l1[s], image, self.s, self.p.tiles, block, down, across)
        ac.DataCopy(self.gradient_l1[s], gradient, ac.Nd2NzParams(outputs, pixels, ld=plane))
        SetFlag(HardEvent.MTE2_MTE1, self.l1_full + s)
        WaitFlag(HardEvent.MTE2_MTE1, self.l1_full + s)
        with ac.If(first == 0):
            WaitFlag(HardEvent.FIX_M, self.acc_free)
        for k0 in ac.range(0, pixels, self.p.deep):
            p = (turn * self.steps + k0 // self.p.deep) % 2
            k = ac.min(self.p.deep, pixels - k0)
            WaitFlag(HardEvent.M_MTE1, self.l0_free + p)
            ac.Load3D(self.a_l0[p], self.image_l1[s], (down[1], across[1], self.p.tiles.blocks * C0), k, columns, k0, begin, filter=self.s.kernel[1:],
                      stride=self.s.stride[1:], dilation=self.s.dilation[1:], padding=(across[2], across[3], down[2], down[3]), trans=True)
            ac.LoadB(self.b_l0[p], self.gradient_l1[s], k, outputs, k0, trans=True)
            SetFlag(HardEvent.MTE1_M, self.l0_full + p)
            WaitFlag(HardEvent.MTE1_M, self.l0_full + p)
            with ac.If(ac.CeilDiv(columns, 16) * ac.CeilDiv(outputs, 16) < ORDERED_BLOCKS):  # else the sums are added in order (R09)
                ac.PipeBarrier(Pipe.M)
            ac.Mmad(self.acc_l0c, self.a_l0[p], self.b_l0[p], columns, outputs, k, init=(first + k0) == 0)
            SetFlag(HardEvent.M_MTE1, self.l0_free + p)
        SetFlag(HardEvent.MTE1_MTE2, self.l1_free + s)

    def store(self, sums: Any, ld: int, columns: Index, outputs: Index) -> None:
        """FIX: the sums to rows of output channels."""
        SetFlag(HardEvent.M_FIX, self.acc_full)
        WaitFlag(HardEvent.M_FIX, self.acc_full)
        ac.Fixpipe(sums, self.acc_l0c, columns, outputs, ld)
        SetFlag(HardEvent.FIX_M, self.acc_free)

    def finish(self) -> None:
        """Leaves no flag set."""
        for slot in (0, 1):
            WaitFlag(HardEvent.MTE1_MTE2, self.l1_free + slot)
            WaitFlag(HardEvent.M_MTE1, self.l0_free + slot)
        WaitFlag(HardEvent.FIX_M, self.acc_free)


@kernel(kind="aic")  # type: ignore[untyped-decorator]
def filter_gradient(x: Any, y: Any, sums: Any, s: Shape, p: Plan) -> None:
    """sums[part, group] = the columns of the part's pixels, times their gradients: parts, groups, strips of columns and outputs go to the cores in turn."""
    xg, yg, out = ac.GlobalTensor(x), ac.GlobalTensor(y), ac.GlobalTensor(sums)
    work = Correlation(x.dtype, s, p)
    slices, height, width = s.out
    each = p.tiles.blocks * s.taps * C0  # columns of the blocks of a tile
    strips, over = -(-each // p.columns), -(-s.outputs // p.outputs)
    blocks = s.kernel[0] * s.channels // p.tiles.blocks
    down, across = -(-height // p.tiles.rows), -(-width // p.tiles.columns)
    items = s.images // s.groups * slices * down * across
    most = -(-items // p.parts)
    image_size = s.size[0] * s.channels * s.size[1] * s.size[2] * C0
    for unit in ac.range(ac.GetBlockIdx(), p.parts * s.groups * blocks * strips * over, ac.GetBlockNum()):
        n0, strip, block = unit % over * p.outputs, unit // over % strips, unit // (over * strips) % blocks
        group, share = unit // (over * strips * blocks) % s.groups, unit // (over * strips * blocks * s.groups)
        columns, outputs = ac.min(p.columns, each - strip * p.columns), ac.min(p.outputs, s.outputs - n0)
        turn = (unit - ac.GetBlockIdx()) // ac.GetBlockNum() * most
        for i in ac.range(ac.min(most, items - share * most)):
            item = share * most + i
            image, z = item // (slices * down * across) * s.groups + group, item // (down * across) % slices
            y0, x0 = item // across % down * p.tiles.rows, item % across * p.tiles.columns
            rows, wide = ac.min(p.tiles.rows, height - y0), ac.min(p.tiles.columns, width - x0)
            work.add(
                turn + i, i, xg[image * image_size + z * s.stride[0] * (image_size // s.size[0]) :], block, part(y0, rows, work.height, s, 1),
                part(x0, wide, work.width, s, 2), yg[((image * s.outputs + n0) * slices + z) * height * width + y0 * width + x0 :],
                slices * height * width, rows * wide, strip * p.columns, columns, outputs)
        work.store(out[((share * s.groups + group) * blocks * each + block * each + strip * p.columns) * s.outputs + n0 :], s.outputs, columns, outputs)
    work.finish()


def plans(s: Shape, chip: Chip) -> Iterator[Plan]:
    """Sums of 128 output channels or fewer by as many columns as L0C holds; cut in parts so that all cores have some."""
    whole = tiles_of(s, PIXELS[2][0])
    if whole is None:
        return
    for outputs in sorted({min(n, -(-s.outputs // 16) * 16) for n in (32, 64, 128)}):
        most = SUMS // outputs // C0 * C0
        for blocks in sorted({max(b for b in range(1, limit + 1) if s.channels % b == 0) for limit in (1, 2, max(1, most // (s.taps * C0)))}):
            columns = min(blocks * s.taps * C0, most)
            if blocks > 1 and columns < blocks * s.taps * C0:
                continue
            tiles = _within(s, Tiles(whole.rows, whole.columns, blocks), GRADIENT_ROOM // (2 * outputs))
            if tiles is None:
                continue
            room = min(L0_ROOM // (2 * max(columns, outputs)), tiles.rows * tiles.columns + 15) // 16 * 16
            if room:
                yield from _divided(s, Plan(tiles, columns, outputs, min(room, 256), 1), chip)


def _within(s: Shape, t: Tiles, pixels: int) -> Tiles | None:
    """A tile with fewer rows or columns, so that its image and gradient fit in L1."""
    while t.rows * t.columns > pixels // 16 * 16 or t.image(s)[0] * t.image(s)[1] * t.blocks * BLOCK > IMAGE_ROOM:
        if t.rows > 1:
            t = Tiles(-(-t.rows // 2), t.columns, t.blocks)
        elif t.columns > 16:
            t = Tiles(1, -(-t.columns // 32) * 16, t.blocks)
        else:
            return None
    return t


def _divided(s: Shape, p: Plan, chip: Chip) -> Iterator[Plan]:
    """The plan with its sum cut in as many parts as give each core one or two units of work."""
    items = s.images // s.groups * s.out[0] * -(-s.out[1] // p.tiles.rows) * -(-s.out[2] // p.tiles.columns)
    each = p.tiles.blocks * s.taps * C0
    units = s.groups * (s.kernel[0] * s.channels // p.tiles.blocks) * -(-each // p.columns) * -(-s.outputs // p.outputs)
    for wanted in sorted({max(1, min(MOST_PARTS, items, n * chip.aic // units)) for n in (1, 2)}):
        most = -(-items // wanted)
        yield Plan(p.tiles, p.columns, p.outputs, p.deep, -(-items // most))


@cache
def best_plan(s: Shape, dtype: str, chip: Chip) -> Plan | None:
    """The plan that the clock finds fastest; None if the gradient's planes are too long, or a tile does not fit."""
    if s.out[0] * s.out[1] * s.out[2] > LONGEST_PLANE:
        return None
    times = {p: _us(s, p, dtype, chip) for p in plans(s, chip)}
    return min(times, key=lambda p: times[p], default=None)


def rows_of(s: Shape) -> int:
    """Rows of the sums of a group."""
    return s.kernel[0] * s.channels * s.taps * C0


def _us(s: Shape, p: Plan, dtype: str, chip: Chip) -> float:
    size = s.groups * rows_of(s) * s.outputs
    images = s.images * s.size[0] * s.channels * s.size[1] * s.size[2] * C0
    arguments = (Outline(images, dtype), Outline(s.images * s.outputs * s.out[0] * s.out[1] * s.out[2], dtype), Outline(p.parts * size, "float32"), s, p)
    extra = joined_us(size, p.parts, "float32", chip) if p.parts > 1 else 0.0
    return extra + float(launching.timing(filter_gradient.program(None, chip, arguments, {}).traced).us)
