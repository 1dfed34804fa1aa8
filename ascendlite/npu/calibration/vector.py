"""The element-wise add and the copies that the published ladders measure, written as those were."""

from __future__ import annotations

import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang.dtypes import f16, f32
from ascendlite.npu.lang.tensors import Argument, GlobalTensor, LocalTensor
from ascendlite.npu.lang.trace import Index
from ascendlite.npu.programs import kernel

LINE = 256  # halves in a line of the cache


@kernel(kind="aiv")
def add_ladder(x: Argument, y: Argument, z: Argument, tile: int, buffers: int, spread: int, past_l2: bool) -> None:
    """z = x + y. `spread`: elements between the two inputs' buffers, so that they lie in different bank groups."""
    per = ac.CeilAlign(ac.CeilDiv(x.numel(), ac.GetBlockNum()), LINE)
    start = ac.GetBlockIdx() * per
    count = ac.max(0, ac.min(per, x.numel() - start))
    xg, yg, zg = (GlobalTensor(t)[start:] for t in (x, y, z))
    if past_l2:
        zg.SetL2CacheHint(ac.CacheMode.CACHE_MODE_DISABLE)
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    xl = ub.AllocSlots(x.dtype, tile, buffers)
    if spread:
        ub.Alloc(x.dtype, spread)
    yl, zl = (ub.AllocSlots(x.dtype, tile, buffers) for _ in range(2))
    for b in range(buffers):
        ac.SetFlag(ac.HardEvent.V_MTE2, b)
        ac.SetFlag(ac.HardEvent.MTE3_V, b)
    for i in ac.range(ac.CeilDiv(count, tile)):
        slot, at = i % buffers, i * tile
        n = ac.min(tile, count - at)
        ac.WaitFlag(ac.HardEvent.V_MTE2, slot)
        ac.DataCopy(xl[slot], xg[at:], n)
        ac.DataCopy(yl[slot], yg[at:], n)
        ac.SetFlag(ac.HardEvent.MTE2_V, slot)
        ac.WaitFlag(ac.HardEvent.MTE2_V, slot)
        ac.WaitFlag(ac.HardEvent.MTE3_V, slot)
        ac.Add(zl[slot], xl[slot], yl[slot], n)
        ac.SetFlag(ac.HardEvent.V_MTE2, slot)
        ac.SetFlag(ac.HardEvent.V_MTE3, slot)
        ac.WaitFlag(ac.HardEvent.V_MTE3, slot)
        ac.DataCopy(zg[at:], zl[slot], n)
        ac.SetFlag(ac.HardEvent.MTE3_V, slot)
    for b in range(buffers):
        ac.WaitFlag(ac.HardEvent.V_MTE2, b)
        ac.WaitFlag(ac.HardEvent.MTE3_V, b)


@kernel(kind="aiv")
def adds_in_a_row(count: int, times: int, dst_kib: int, src1_bytes: int) -> None:
    """The same Add again and again, operands at chosen places of the unified buffer: shows conflicts of banks."""
    at = [ac.LocalTensor(ac.TPosition.VECCALC, place, f32, count) for place in (dst_kib * 1024, 0, src1_bytes)]
    for _ in ac.range(times):
        ac.Add(at[0], at[1], at[2], count)


@kernel(kind="aiv")
def scatter_blocks(repeats: int, times: int, stride: int) -> None:
    """Rows of 8 blocks to 8 columns of blocks `stride` blocks apart: what a change of layout in the unified buffer does."""
    source = ac.LocalTensor(ac.TPosition.VECCALC, 0, f16, repeats * 128)
    target = ac.LocalTensor(ac.TPosition.VECCALC, 64 * 1024, f16, 8 * stride * 16)
    for _ in ac.range(times):
        ac.Copy(target, source, 128, repeats, (stride, 1, 1, 8))


@kernel(kind="aiv")
def scalar_add(x: Argument, y: Argument, z: Argument, tile: int) -> None:
    """z = x + y, an element at a time by the scalar unit."""
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    xl, yl, zl = (ub.Alloc(x.dtype, tile) for _ in range(3))
    xg, yg, zg = (GlobalTensor(t) for t in (x, y, z))
    for i in ac.range(x.numel() // tile):
        ac.DataCopy(xl, xg[i * tile :], tile)
        ac.DataCopy(yl, yg[i * tile :], tile)
        ac.SetFlag(ac.HardEvent.MTE2_S, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_S, 0)
        for k in ac.range(tile):
            ac.GetValue(xl, k)
            ac.GetValue(yl, k)
            ac.SetValue(zl, k, 0.0)
        ac.SetFlag(ac.HardEvent.S_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.S_MTE3, 0)
        ac.DataCopy(zg[i * tile :], zl, tile)
        ac.SetFlag(ac.HardEvent.MTE3_MTE2, 0)
        ac.WaitFlag(ac.HardEvent.MTE3_MTE2, 0)


def _sweep(source: GlobalTensor, target: LocalTensor, first: Index, rows: int, size: int, ld: int, tile: tuple[int, int], cube: bool) -> None:
    """Reads `rows` rows of `size` elements from row `first` on, tile by tile."""
    height, width = tile
    for i in ac.range(rows // height):
        row = (first + i * height) * ld
        for j in ac.range(size // width):
            _tile(source, target, row + j * width, height, width, ld, cube)
        if size % width:
            _tile(source, target, row + size // width * width, height, size % width, ld, cube)


def _tile(source: GlobalTensor, target: LocalTensor, at: Index, height: int, width: int, ld: int, cube: bool) -> None:
    if cube:
        ac.DataCopy(target, source[at:], ac.Nd2NzParams(height, width, ld=ld))
    else:
        ac.DataCopyPad(target, source[at:], ac.DataCopyExtParams(height, width * 2, (ld - width) * 2, 0))


def _read(x: Argument, tile: tuple[int, int], passes: int, slices: int, cube: bool) -> None:
    """Each core reads its band of rows, `passes` times; in slices: each slice so often before the next."""
    rows, ld = x.shape
    band = rows // ac.GetBlockNum()
    size = tile[0] * tile[1]
    target = ac.LocalMemAllocator(ac.Hardware.L1 if cube else ac.Hardware.UB).Alloc(x.dtype, size)
    first = ac.GetBlockIdx() * band
    part = band // slices
    for s in range(slices):
        for _ in range(passes):
            _sweep(GlobalTensor(x), target, first + s * part, part, ld, ld, tile, cube)


@kernel(kind="aiv")
def read_to_ub(x: Argument, height: int, width: int, passes: int, slices: int) -> None:
    """Reads a matrix into the unified buffers."""
    _read(x, (height, width), passes, slices, cube=False)


@kernel(kind="aic")
def read_to_l1(x: Argument, height: int, width: int, passes: int, slices: int) -> None:
    """Reads a matrix into L1 as fractals."""
    _read(x, (height, width), passes, slices, cube=True)


def _read_same(x: Argument, width: int, height: int, staggered: bool, cube: bool) -> None:
    """Every core reads the whole matrix, a column of blocks after the other; staggered: each core begins elsewhere."""
    rows, ld = x.shape
    columns, steps = ld // width, rows // height
    block = ac.GetBlockIdx()
    target = ac.LocalMemAllocator(ac.Hardware.L1 if cube else ac.Hardware.UB).Alloc(x.dtype, height * width)
    shift = max(1, steps // ac.GetBlockNum())
    for j in ac.range(columns):
        for i in ac.range(steps):
            col = (j + block) % columns if staggered else j
            row = (i + block * shift) % steps if staggered else i
            at = row * height * ld + col * width
            _tile(GlobalTensor(x), target, at, height, width, ld, cube)


@kernel(kind="aiv")
def read_same_to_ub(x: Argument, width: int, height: int, staggered: bool) -> None:
    """All vector cores read one matrix."""
    _read_same(x, width, height, staggered, cube=False)


@kernel(kind="aic")
def read_same_to_l1(x: Argument, width: int, height: int, staggered: bool) -> None:
    """All cube cores read one matrix."""
    _read_same(x, width, height, staggered, cube=True)
