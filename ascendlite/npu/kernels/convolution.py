"""Convolution as a product on the cube: weights times the image's columns, which Load3D makes on their way to L0B.

The image lies in GM as (image, depth, C1, H, W, C0): channels in blocks of 32 bytes. The weights are a matrix whose columns follow Load3D's
order, (depth of the filter, C1, its height, its width, C0); the result leaves L0C as rows of pixels, which is NCHW.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ascendlite.core import _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.chips import Chip
from ascendlite.npu.kernels.product_plans import Outline
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.cube import ROOM_3D
from ascendlite.npu.lang.cube_tiles import ORDERED_BLOCKS
from ascendlite.npu.lang.declare import Memory, Pipe
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.tensors import Slots, allocate
from ascendlite.npu.lang.trace import Index
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime import launch as launching

Triple = tuple[int, int, int]
BLOCK: Final = 32
IMAGE_ROOM: Final = 144 * 1024  # bytes of L1 a slot for a part of the image: 2 x 144 + 2 x 96 = 480 of 512 KiB
WEIGHT_ROOM: Final = 96 * 1024
ROWS: Final = 128  # output channels of a tile
# Output pixels of a tile, by bytes of an element: 128 x 256 x 4 B = 128 KiB, all of L0C; half of that has two slots.
PIXELS: Final = {2: (256, 128, 64), 4: (128, 64)}
SUMS: Final = 32768  # float32 numbers of L0C
L0_ROOM: Final = 32 * 1024  # bytes of a slot of L0A or L0B
LONGEST_STEP: Final = 128  # of k through L0


@dataclass(frozen=True)
class Shape:
    """A convolution of `images` = batch x groups images. Sizes are (depth, height, width); the depth is padded in GM already."""

    images: int
    groups: int
    channels: int  # blocks of channels of an image
    outputs: int  # channels of the result, of one group
    size: Triple
    kernel: Triple
    stride: Triple
    dilation: Triple
    before: tuple[int, int]  # zeros above and left of the image
    out: Triple
    bias: bool  # the last block of the weights' columns begins with it
    hf32: bool = False  # float32 images and weights are rounded to 10 bits of mantissa; the bias is not

    @property
    def taps(self) -> int:
        """Filter positions of one depth."""
        return self.kernel[1] * self.kernel[2]

    def reach(self, dim: int) -> int:
        """How far the filter extends."""
        return (self.kernel[dim] - 1) * self.dilation[dim] + 1


@dataclass(frozen=True)
class Tiles:
    """Output rows and columns of a tile, and the blocks of channels that lie in L1 together."""

    rows: int
    columns: int
    blocks: int

    def image(self, s: Shape) -> tuple[int, int]:
        """The most rows and columns of the image that a tile needs."""
        return tuple(  # type: ignore[return-value]
            min(s.size[d], (n - 1) * s.stride[d] + s.reach(d)) for d, n in ((1, self.rows), (2, self.columns)))


def tiles_of(s: Shape, pixels: int) -> Tiles | None:
    """The largest tile of so many pixels whose part of the image fits in L1; None if not even 16 pixels of one block of channels do."""

    def shapes() -> Iterator[Tiles]:
        rows = min(s.out[1], pixels // s.out[2]) if s.out[2] <= pixels else 0
        while rows:
            yield Tiles(rows, s.out[2], 1)
            rows //= 2
        columns = min(pixels, s.out[2])
        while columns:
            yield Tiles(1, columns, 1)
            columns = columns // 2 // 16 * 16 if columns > 16 else 0

    def nbytes(t: Tiles) -> int:
        height, width = t.image(s)
        return height * width * BLOCK

    for t in shapes():
        if nbytes(t) <= IMAGE_ROOM:
            most = min(IMAGE_ROOM // nbytes(t), max(1, 1024 // s.taps))
            return Tiles(t.rows, t.columns, max(b for b in range(1, most + 1) if s.channels % b == 0))
    return None


def part(first: Index, count: Index, most: int, s: Shape, dim: int) -> tuple[Index, Index, Index, Index]:
    """The part of the image that outputs first .. first + count of a dim need: its begin and size, and the zeros before and after it.

    The outer bounds change no value: they tell the trace what these numbers can be.
    """
    reach, size = s.reach(dim), s.size[dim]
    begin = first * s.stride[dim] - s.before[dim - 1]
    end = begin + (count - 1) * s.stride[dim] + reach
    low = ac.max(0, begin)
    length = ac.max(1, ac.min(most, ac.min(size, end) - low))
    return low, length, ac.min(s.before[dim - 1], ac.max(0, 0 - begin)), ac.min(reach - 1, ac.max(0, end - size))


def load_image(to: Any, image: Any, s: Shape, t: Tiles, j: Index, down: tuple[Index, ...], across: tuple[Index, ...]) -> None:
    """MTE2: the j-th `t.blocks` blocks of channels of all depths of a filter, one behind the other; down, across: begin and size of the part of each."""
    _, height, width = s.size
    c0, groups = BLOCK // to.dtype.itemsize, s.channels // t.blocks
    depth, first = j // groups * s.dilation[0], j % groups * t.blocks
    for c in range(t.blocks):
        begin = ((depth * s.channels + first + c) * height + down[0]) * width + across[0]
        dst = to[c * down[1] * across[1] * c0 :]
        if t.image(s)[1] == width:
            ac.DataCopy(dst, image[begin * c0 :], down[1] * width * c0)
        else:
            ac.DataCopy(dst, image[begin * c0 :], ac.DataCopyParams(down[1], across[1], width - across[1], 0))


class Columns:
    """Buffers and flags of a convolution on one core. L1 and L0 are double buffered; the counters say whose turn a slot is."""

    def __init__(self, dtype: Any, s: Shape, t: Tiles) -> None:
        self.s, self.t, self.c0 = s, t, BLOCK // dtype.itemsize
        self.height, self.width = t.image(s)
        self.deep = t.blocks * s.taps * self.c0  # columns of the weights that go with a part of the image
        self.parts = s.kernel[0] * s.channels // t.blocks
        self.rows = min(ROWS, -(-s.outputs // 16) * 16)
        self.pixels = -(-t.rows * t.columns // 16) * 16
        self.step = min(LONGEST_STEP, L0_ROOM // (max(self.rows, self.pixels) * dtype.itemsize) // 16 * 16)
        self.piece = min(-(-self.deep // self.step) * self.step, WEIGHT_ROOM // (self.rows * dtype.itemsize) // self.step * self.step)
        self.image_l1 = Slots(allocate(Memory.L1, dtype, t.blocks * self.height * self.width * self.c0, 2))
        self.weight_l1 = Slots(allocate(Memory.L1, dtype, self.rows * self.piece, 2))
        self.a_l0 = Slots(allocate(Memory.L0A, dtype, self.rows * self.step, 2))
        self.b_l0 = Slots(allocate(Memory.L0B, dtype, self.step * self.pixels, 2))
        self.sums = 2 if 2 * self.rows * self.pixels <= SUMS else 1
        self.acc_l0c = Slots(allocate(Memory.L0C, dtypes.f32, self.rows * self.pixels, self.sums))
        self.image_free, self.weight_free = (take_events(HardEvent.MTE1_MTE2, 2)[0] for _ in range(2))
        self.weight_full = take_events(HardEvent.MTE2_MTE1, 2)[0]  # the image is there, too: it is copied before
        self.l0_free, self.l0_full = (take_events(e, 2)[0] for e in (HardEvent.M_MTE1, HardEvent.MTE1_M))
        self.acc_free, self.acc_full = (take_events(e, self.sums)[0] for e in (HardEvent.FIX_M, HardEvent.M_FIX))
        self.all_free = [(HardEvent.MTE1_MTE2, self.image_free), (HardEvent.MTE1_MTE2, self.weight_free), (HardEvent.M_MTE1, self.l0_free)]
        for event, first in self.all_free:
            for slot in (0, 1):
                SetFlag(event, first + slot)
        for slot in range(self.sums):
            SetFlag(HardEvent.FIX_M, self.acc_free + slot)

    def finish(self) -> None:
        """Leaves no flag set."""
        for event, first in self.all_free:
            for slot in (0, 1):
                WaitFlag(event, first + slot)
        for slot in range(self.sums):
            WaitFlag(HardEvent.FIX_M, self.acc_free + slot)

    def multiply(self, turn: Index, image: Any, weights: Any, ld: int, m: Index, down: tuple[Index, ...], across: tuple[Index, ...], n: Index) -> None:
        """The turn's accumulator = m rows of the weights times n columns; down, across: begin, size, zeros before and after, of the image's part."""
        pieces, steps = -(-self.deep // self.piece), -(-self.deep // self.step)
        for j in ac.range(self.parts):
            s = (turn * self.parts + j) % 2
            WaitFlag(HardEvent.MTE1_MTE2, self.image_free + s)
            load_image(self.image_l1[s], image, self.s, self.t, j, down, across)
            for k1 in ac.range(0, self.deep, self.piece):
                length = ac.min(self.piece, self.deep - k1)
                w = (turn * (self.parts * pieces + self.s.bias) + j * pieces + k1 // self.piece) % 2
                self._load_weights(w, weights[j * self.deep + k1 :], ld, m, length)
                with ac.If(j + k1 == 0):
                    WaitFlag(HardEvent.FIX_M, self.acc_free + turn % self.sums)
                for k0 in ac.range(0, length, self.step):
                    p = (turn * (self.parts * steps + self.s.bias) + j * steps + (k1 + k0) // self.step) % 2
                    k = ac.min(self.step, length - k0)
                    WaitFlag(HardEvent.M_MTE1, self.l0_free + p)
                    ac.LoadA(self.a_l0[p], self.weight_l1[w], m, k, k0)
                    ac.Load3D(self.b_l0[p], self.image_l1[s], (down[1], across[1], self.t.blocks * self.c0), n, k, 0, k1 + k0, filter=self.s.kernel[1:],
                              stride=self.s.stride[1:], dilation=self.s.dilation[1:], padding=(across[2], across[3], down[2], down[3]))
                    self._product(turn, p, m, n, k, (j + k1 + k0) == 0)
                SetFlag(HardEvent.MTE1_MTE2, self.weight_free + w)
            SetFlag(HardEvent.MTE1_MTE2, self.image_free + s)
        if self.s.bias:
            self._add_bias(turn, weights[self.parts * self.deep :], ld, m, n, pieces, steps)

    def _load_weights(self, w: Index, weights: Any, ld: int, m: Index, columns: Index) -> None:
        WaitFlag(HardEvent.MTE1_MTE2, self.weight_free + w)
        ac.DataCopy(self.weight_l1[w], weights, ac.Nd2NzParams(m, columns, ld=ld))
        SetFlag(HardEvent.MTE2_MTE1, self.weight_full + w)
        WaitFlag(HardEvent.MTE2_MTE1, self.weight_full + w)

    def _add_bias(self, turn: Index, bias: Any, ld: int, m: Index, n: Index, pieces: int, steps: int) -> None:
        """One more block of columns: the bias, times a row of ones."""
        w, p = ((turn * (self.parts * each + 1) + self.parts * each) % 2 for each in (pieces, steps))
        self._load_weights(w, bias, ld, m, self.c0)
        WaitFlag(HardEvent.M_MTE1, self.l0_free + p)
        ac.LoadA(self.a_l0[p], self.weight_l1[w], m, self.c0)
        ac.InitConstValue(self.b_l0[p], 1.0, self.pixels * self.c0)
        ac.SetHF32Mode(False)
        self._product(turn, p, m, n, self.c0, False)
        ac.SetHF32Mode(self.s.hf32)
        SetFlag(HardEvent.MTE1_MTE2, self.weight_free + w)

    def _product(self, turn: Index, p: Index, m: Index, n: Index, k: Index, init: Index) -> None:
        SetFlag(HardEvent.MTE1_M, self.l0_full + p)
        WaitFlag(HardEvent.MTE1_M, self.l0_full + p)
        with ac.If(ac.CeilDiv(m, 16) * ac.CeilDiv(n, 16) < ORDERED_BLOCKS):  # else the sums are added in order (R09)
            ac.PipeBarrier(Pipe.M)
        ac.Mmad(self.acc_l0c[turn % self.sums], self.a_l0[p], self.b_l0[p], m, n, k, init=init)
        SetFlag(HardEvent.M_MTE1, self.l0_free + p)

    def store(self, turn: Index, y: Any, ld: int, m: Index, n: Index) -> None:
        """The turn's accumulator to rows of pixels."""
        slot = turn % self.sums
        SetFlag(HardEvent.M_FIX, self.acc_full + slot)
        WaitFlag(HardEvent.M_FIX, self.acc_full + slot)
        ac.Fixpipe(y, self.acc_l0c[slot], m, n, ld)
        SetFlag(HardEvent.FIX_M, self.acc_free + slot)


@kernel(kind="aic")  # type: ignore[untyped-decorator]
def convolution(x: Any, w: Any, y: Any, s: Shape, t: Tiles) -> None:
    """y[i] = w[i % groups] * x[i]: tiles of output channels by output pixels are dealt out to the cores in turn."""
    xg, wg, yg = ac.GlobalTensor(x), ac.GlobalTensor(w), ac.GlobalTensor(y)
    work = Columns(x.dtype, s, t)
    ac.SetHF32Mode(s.hf32)
    slices, height, width = s.out
    ld = work.parts * work.deep + work.c0 * s.bias
    plane = s.channels * s.size[1] * s.size[2] * work.c0
    over, down, across = -(-s.outputs // work.rows), -(-height // t.rows), -(-width // t.columns)
    for tile in ac.range(ac.GetBlockIdx(), s.images * slices * over * down * across, ac.GetBlockNum()):
        image, z = tile // (down * across * over * slices), tile // (down * across * over) % slices
        row, y0, x0 = tile // (down * across) % over * work.rows, tile // across % down * t.rows, tile % across * t.columns
        m, rows, columns = ac.min(work.rows, s.outputs - row), ac.min(t.rows, height - y0), ac.min(t.columns, width - x0)
        turn = (tile - ac.GetBlockIdx()) // ac.GetBlockNum()
        work.multiply(
            turn, xg[(image * s.size[0] + z * s.stride[0]) * plane :], wg[(image % s.groups * s.outputs + row) * ld :], ld,
            m, part(y0, rows, work.height, s, 1), part(x0, columns, work.width, s, 2), rows * columns)
        work.store(turn, yg[((image * s.outputs + row) * slices + z) * height * width + y0 * width + x0 :], slices * height * width, m, rows * columns)
    work.finish()


@cache
def best_tiles(s: Shape, dtype: str, chip: Chip) -> Tiles | None:
    """The tiles that the clock finds fastest; None if none fits."""
    itemsize = _core.DTYPE_NAMES[dtype].itemsize
    found = [t for t in dict.fromkeys(tiles_of(s, pixels) for pixels in PIXELS[itemsize]) if t is not None]
    if len(found) < 2:
        return found[0] if found else None
    c0 = BLOCK // itemsize
    columns = s.kernel[0] * s.channels * s.taps * c0 + c0 * s.bias
    sizes = (s.images * s.size[0] * s.channels * s.size[1] * s.size[2] * c0, s.groups * s.outputs * columns, s.images * s.outputs * s.out[0] * s.out[1] * s.out[2])
    outlines = [Outline(n, dtype) for n in sizes]
    times = {t: launching.timing(convolution.program(cores_for(s, t, chip), chip, (*outlines, s, t), {}).traced).us for t in found}
    return min(times, key=lambda t: times[t])


def cores_for(s: Shape, t: Tiles, chip: Chip) -> int:
    """Cores that have a tile."""
    return min(chip.aic, s.images * s.out[0] * -(-s.outputs // ROWS) * -(-s.out[1] // t.rows) * -(-s.out[2] // t.columns))


def taken(s: Shape) -> bool:
    """Whether the numbers fit Load3D's fields."""
    most = ROOM_3D
    return all(
        (s.kernel[d] <= most["filter"] and s.stride[d] <= most["stride"] and s.dilation[d] <= most["dilation"] and s.reach(d) - 1 <= most["padding"]
         and s.size[d] <= most["image"]) for d in (1, 2))
