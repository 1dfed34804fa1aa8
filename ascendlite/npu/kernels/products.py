"""Matrix products on the cube: one kernel for plain, transposed, batched and broadcast operands, its tiles chosen by the clock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu.chips import Chip
from ascendlite.npu.kernels import elementwise, kernel_for, small_products
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.cube_tiles import Product
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime import launch as launching
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

FORMATS: Final = {"float16": 2, "bfloat16": 2, "float32": 4}
# (bm, bn, bk, kl1) by bytes of an element. They fit: L0A, L0B 64 KiB with two slots each, L0C 128 KiB of f32, L1 512 KiB with two slots each.
TILES: Final = {
    2: ((128, 256, 64, 256), (256, 128, 64, 256), (128, 128, 128, 256), (64, 128, 128, 512), (64, 64, 128, 512), (16, 256, 64, 256)),
    4: ((128, 128, 64, 128), (64, 128, 64, 256), (64, 64, 64, 256), (16, 128, 64, 256)),
}
_CANDIDATES: Final = 3  # tile shapes that the clock compares: the first ones that leave the fewest cores idle
LONGEST_ROW: Final = 65535  # elements from row to row that Nd2Nz can skip


@dataclass(frozen=True)
class Shape:
    """A batch of products c = a b, with where each matrix of an operand lies."""

    batch: int
    m: int
    n: int
    k: int
    lda: int
    ldb: int
    step_a: int  # elements from one matrix of the batch to the next; 0: the same for all
    step_b: int
    trans_a: bool
    trans_b: bool


@kernel(kind="aic")  # type: ignore[untyped-decorator]
def product(a: Any, b: Any, c: Any, s: Shape, tiles: tuple[int, int, int, int]) -> None:
    """c[i] = a[i] b[i]: tiles of all matrices are dealt out to the cores in turn."""
    bm, bn, bk, kl1 = tiles
    ag, bg, cg = ac.GlobalTensor(a), ac.GlobalTensor(b), ac.GlobalTensor(c)
    work = Product(a.dtype, dtypes.f32, bm, bn, bk, kl1, trans_a=s.trans_a, trans_b=s.trans_b)
    down, across = ac.CeilDiv(s.m, bm), ac.CeilDiv(s.n, bn)
    for t in ac.range(ac.GetBlockIdx(), s.batch * down * across, ac.GetBlockNum()):
        work.begin((t - ac.GetBlockIdx()) // ac.GetBlockNum())
        i, m0, n0 = t // (down * across), t // across % down * bm, t % across * bn
        m, n = ac.min(bm, s.m - m0), ac.min(bn, s.n - n0)
        first_a = i * s.step_a + (m0 if s.trans_a else m0 * s.lda)
        first_b = i * s.step_b + (n0 * s.ldb if s.trans_b else n0)
        work.multiply(ag[first_a:], s.lda, bg[first_b:], s.ldb, m, n, s.k)
        work.store(cg[(i * s.m + m0) * s.n + n0 :], s.n, m, n)
    work.finish()


def _candidates(s: Shape, itemsize: int, cores: int) -> Iterator[tuple[int, int, int, int]]:
    """Tile shapes, those first whose last round leaves the fewest cores idle; larger tiles win ties, as they reuse more."""

    def rounds(tile: tuple[int, int, int, int]) -> tuple[float, int]:
        bm, bn, _, _ = tile
        count = s.batch * -(-s.m // bm) * -(-s.n // bn)
        work = -(-count // cores) * (min(bm, s.m) + 15) // 16 * ((min(bn, s.n) + 15) // 16)
        return work, -bm * bn

    yield from sorted(TILES[itemsize], key=rounds)[:_CANDIDATES]


@cache
def best_tiles(s: Shape, dtype: str, chip: Chip) -> tuple[int, int, int, int]:
    """The tile shape that the clock finds fastest."""
    sizes = (_extent(s.batch, s.step_a, s.k if s.trans_a else s.m, s.lda), _extent(s.batch, s.step_b, s.n if s.trans_b else s.k, s.ldb), s.batch * s.m * s.n)
    arguments = [Outline(n, dtype) for n in sizes]
    return fastest(product, chip, {tiles: (*arguments, s, tiles) for tiles in _candidates(s, FORMATS[dtype], chip.aic)})


def fastest(which: Any, chip: Chip, calls: dict[tuple[int, int, int, int], tuple[Any, ...]]) -> tuple[int, int, int, int]:
    """Of several tile shapes, each with the arguments of a kernel, that which the clock finds fastest; the first wins ties."""
    times = {tiles: launching.timing(which.program(None, chip, arguments, {}).traced).us for tiles, arguments in calls.items()}
    return min(times, key=lambda tiles: times[tiles])


def _extent(batch: int, step: int, rows: int, ld: int) -> int:
    return (batch - 1) * step + rows * ld


@dataclass(frozen=True)
class Outline:
    """The shape and format of a flat tensor: enough to trace a kernel."""

    size: int
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)


@dataclass(frozen=True)
class Operand:
    """A tensor as a batch of matrices in its own memory."""

    flat: Tensor  # 1-d window from its first element on
    ld: int
    step: int
    trans: bool


def operand(t: Tensor, batch: tuple[int, ...]) -> Operand:
    """A view of the last two dims as they lie in memory, transposed or not; copied where they do not lie in rows."""
    rows, columns = t.shape[-2:]
    stride_rows, stride_columns = t.stride()[-2:]
    step = _batch_step(t, batch)
    straight = (stride_columns == 1 or columns == 1) and (stride_rows >= columns or rows == 1)
    turned = (stride_rows == 1 or rows == 1) and (stride_columns >= rows or columns == 1)
    if step is None or not (straight or turned) or max(stride_rows, stride_columns) > LONGEST_ROW:
        t = t.expand(*batch, rows, columns).contiguous() if step is None else t.contiguous()
        straight, stride_rows, step = True, columns, _batch_step(t, batch)
    assert step is not None
    if straight:
        ld = columns if rows == 1 else stride_rows
        return Operand(_window(t, step, batch, rows, ld), ld, step, False)
    ld = rows if columns == 1 else stride_columns
    return Operand(_window(t, step, batch, columns, ld), ld, step, True)


def _window(t: Tensor, step: int, batch: tuple[int, ...], rows: int, ld: int) -> Tensor:
    """The operand's memory from its first element on: whole rows, or as much of the last one as there is."""
    room = len(t.untyped_storage()) // t.itemsize - t.storage_offset()
    return t.detach().as_strided((min(room, (math.prod(batch) - 1) * step + rows * ld),), (1,), t.storage_offset())


def _batch_step(t: Tensor, batch: tuple[int, ...]) -> int | None:
    """Elements from one matrix to the next, if that is one number."""
    own = t.shape[:-2]
    if not batch or math.prod(own) == 1:
        return 0
    if tuple(own) != batch:
        return None
    expected = None
    for size, stride in reversed(list(zip(own, t.stride()[:-2], strict=True))):
        if size == 1:
            continue
        if expected is None:
            step = expected = stride
        if stride != expected:
            return None
        expected = stride * size
    return 0 if expected is None else step


def multiply(c: Tensor, a: Tensor, b: Tensor) -> Any:
    """c = a b for matrices and batches of them, c contiguous, of the operands' dtype or float32; or say that the formats are not taken."""
    dtype = a.dtype.name
    fits = c.dtype is a.dtype or c.dtype.name == "float32"
    if dtype not in FORMATS or b.dtype is not a.dtype or not fits or not c.numel() or not a.shape[-1]:
        return NotImplemented
    batch = tuple(c.shape[:-2])
    if b.ndim == 2 and a.is_contiguous():  # the batch joins the rows
        a, batch = a.detach().reshape(-1, a.shape[-1]), ()
    x, y = operand(a.detach(), batch), operand(b.detach(), batch)
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    s = Shape(math.prod(batch), m, n, k, x.ld, y.ld, x.step, y.step, x.trans, y.trans)
    tiny = _tiny(s) if dtype == "float32" else None
    if tiny is not None:
        small_products.multiply(c.detach().reshape(-1), x.flat, y.flat, tiny)
        return None
    launch(product, x.flat, y.flat, c.detach().reshape(-1), s, best_tiles(s, dtype, state.chip), name="matmul")
    return None


@cache
def _tiny(s: Shape) -> small_products.Small | None:
    """A batch of matrices that lie behind each other, if they are so small that the vector cores multiply them."""
    behind = s.step_a == s.m * s.k and s.step_b == s.k * s.n and s.lda == (s.m if s.trans_a else s.k) and s.ldb == s.n and not s.trans_b
    return small_products.small(s.batch, s.m, s.n, s.k, s.trans_a) if behind else None


@kernel_for("matmul")
def _matmul(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    if len(inputs) == 3:  # addmm: alpha a b + beta c
        return NotImplemented
    return multiply(outputs[0], inputs[0], inputs[1])


@kernel_for("linear")
def _linear(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    x, w, bias = inputs
    if multiply(outputs[0].reshape(-1, w.shape[0]), x.reshape(-1, x.shape[-1]), w.transpose(0, 1)) is NotImplemented:
        return NotImplemented
    if bias is not None:
        return elementwise.run("add", outputs[0], (outputs[0], bias), bias.dtype)
    return None
