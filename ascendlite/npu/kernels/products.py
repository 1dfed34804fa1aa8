"""Matrix products on the cube: one kernel for plain, transposed, batched and broadcast operands, its tiles chosen by the clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.chips import Chip
from ascendlite.npu.kernels import elementwise, kernel_for, product_plans, small_products
from ascendlite.npu.kernels.product_costs import product_us
from ascendlite.npu.kernels.product_plans import LEAST_GAIN, Outline, Plan, Tiles, cut, extent, padded, padded_row
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.cube_tiles import Product, table_slots
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime import hf32
from ascendlite.npu.runtime import launch as launching
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.hf32 import Switch
from ascendlite.npu.runtime.launch import launch

FORMATS: Final = {"float16": 2, "bfloat16": 2, "float32": 4}
# (bm, bn, bk, kl1) by bytes of an element. They fit: L0A, L0B 64 KiB with two slots each, L0C 128 KiB of f32, L1 512 KiB with two slots each.
TILES: Final = {
    2: ((128, 256, 64, 256), (256, 128, 64, 256), (128, 128, 128, 256), (64, 128, 128, 512), (64, 64, 128, 512), (16, 256, 64, 256)),
    4: ((128, 256, 32, 128), (256, 128, 32, 128), (128, 128, 64, 128), (64, 128, 64, 256), (64, 64, 64, 256), (16, 128, 64, 256)),
}
# Plans that the clock compares: of those that take one launch, of those that take more. The others are estimated to be no better.
_PLAIN, _FURTHER, _NEAR = 3, 2, 1.15  # _NEAR: of the best estimate
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
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
    bias: str | None = None  # format of the row that is added to each of c's
    step_bias: int = 0  # elements from the row of one matrix to that of the next
    hf32: bool = False  # float32 operands are rounded to 10 bits of mantissa


@kernel(kind="aic")  # type: ignore[untyped-decorator]
def product(a: Any, b: Any, bias: Any, c: Any, s: Shape, plan: Plan) -> None:
    """c[i] = a[i] b[i] (+ bias[i] in each row), or c[p, i] = the p-th part of that sum: tiles of all matrices are dealt out to the cores in turn."""
    bm, bn, bk, kl1 = plan.tiles
    ag, bg, cg = ac.GlobalTensor(a), ac.GlobalTensor(b), ac.GlobalTensor(c)
    ac.SetHF32Mode(s.hf32)
    work = Product(a.dtype, dtypes.f32, bm, bn, bk, kl1, trans_a=s.trans_a, trans_b=s.trans_b, bias=None if bias is None else bias.dtype)
    down, across = ac.CeilDiv(s.m, bm), ac.CeilDiv(s.n, bn)
    each = s.batch * down * across
    for t in ac.range(ac.GetBlockIdx(), plan.parts * each, ac.GetBlockNum()):
        work.begin((t - ac.GetBlockIdx()) // ac.GetBlockNum())
        p, k0 = (t // each, t // each * plan.deep) if plan.parts > 1 else (0, 0)
        i, m0, n0 = (t // (down * across) % s.batch if plan.parts > 1 else t // (down * across)), t // across % down * bm, t % across * bn
        m, n, k = ac.min(bm, s.m - m0), ac.min(bn, s.n - n0), ac.min(plan.deep, s.k - k0) if plan.parts > 1 else s.k
        first_a = i * s.step_a + (k0 * s.lda + m0 if s.trans_a else m0 * s.lda + k0)
        first_b = i * s.step_b + (n0 * s.ldb + k0 if s.trans_b else k0 * s.ldb + n0)
        operands, most = (ag[first_a:], s.lda, bg[first_b:], s.ldb, m, n, k), plan.deep if plan.parts > 1 else None
        row = None if bias is None else ac.GlobalTensor(bias)[i * s.step_bias + n0 :]
        if row is None or plan.parts == 1:
            work.multiply(*operands, most=most, bias=row)
        else:  # the first part begins with the row
            with ac.If(p == 0):
                work.multiply(*operands, most=most, bias=row)
            with ac.Else():
                work.multiply(*operands, most=most)
        work.store(cg[((p * s.batch + i) * s.m + m0) * s.n + n0 :], s.n, m, n)
    work.finish()


def _apart(s: Shape, shapes: Iterable[Tiles], chip: Chip) -> list[Tiles]:
    """Those that have room for the bias; of several that cover a small matrix by equal tiles the last one."""
    able = [tiles for tiles in shapes if s.bias is None or s.k > tiles[2] or table_slots(tiles[1], chip.memory["BT"]) > 1]
    return list({(min(bm, -(-s.m // 16) * 16), min(bn, -(-s.n // 16) * 16)): (bm, bn, bk, kl1) for bm, bn, bk, kl1 in able}.values())


def _further(s: Shape, itemsize: int, chip: Chip) -> Iterator[Plan]:
    """Plans that take more launches: the sum is cut, or operands are laid out anew. Of equal tiles those whose steps are finest."""
    for tiles in _apart(s, reversed(TILES[itemsize]), chip):
        plan = cut(tiles, s.batch * -(-s.m // tiles[0]) * -(-s.n // tiles[1]), s.k, chip.aic)
        if plan is not None:
            yield plan
    for tiles in _apart(s, TILES[itemsize], chip):
        for a, b in product_plans.paddings(s, itemsize):
            yield Plan(tiles, pad_a=a, pad_b=b)


@cache
def best_plan(s: Shape, dtype: str, out: str, chip: Chip) -> Plan:
    """The plan that the clock finds fastest, of those that promise to be."""
    itemsize = FORMATS[dtype]
    about = {plan: product_us(s, plan, dtype, out, chip) for plan in map(Plan, _apart(s, TILES[itemsize], chip))}
    ranked = sorted(about, key=lambda plan: about[plan])
    times = {plan: _us(s, plan, dtype, out, chip) for plan in ranked[:_PLAIN] if about[plan] <= _NEAR * about[ranked[0]]}
    least = min(times.values())
    limit = max(least, about[ranked[0]])
    longer = {}
    for plan in _further(s, itemsize, chip):
        us = product_us(s, plan, dtype, out, chip)
        if us < limit and (us := us + _extra_us(s, plan, dtype, out, chip)) < limit:
            longer[plan] = us
    for plan in sorted(longer, key=lambda plan: longer[plan])[:_FURTHER]:
        if (us := _us(s, plan, dtype, out, chip)) < least * LEAST_GAIN:
            times[plan] = us
    return min(times, key=lambda plan: times[plan])


def laid_out(s: Shape, plan: Plan, itemsize: int) -> Shape:
    """The product after its operands were copied to rows of whole lines."""
    (_, columns_a), (_, columns_b) = product_plans.stored_a(s), product_plans.stored_b(s)
    lda, ldb = padded_row(columns_a, itemsize) if plan.pad_a else s.lda, padded_row(columns_b, itemsize) if plan.pad_b else s.ldb
    return replace(s, lda=lda, ldb=ldb)


def _us(s: Shape, plan: Plan, dtype: str, out: str, chip: Chip) -> float:
    """Microseconds of all launches of a plan."""
    extra = _extra_us(s, plan, dtype, out, chip)
    s = laid_out(s, plan, FORMATS[dtype])
    sizes = (extent(s.batch, s.step_a, s.k if s.trans_a else s.m, s.lda), extent(s.batch, s.step_b, s.n if s.trans_b else s.k, s.ldb))
    target = Outline(plan.parts * s.batch * s.m * s.n, "float32" if plan.parts > 1 else out)
    row = None if s.bias is None else Outline((s.batch - 1) * s.step_bias + s.n, s.bias)
    arguments = (*[Outline(n, dtype) for n in sizes], row, target, s, plan)
    return extra + float(launching.timing(product.program(None, chip, arguments, {}).traced).us)


def _extra_us(s: Shape, plan: Plan, dtype: str, out: str, chip: Chip) -> float:
    """Microseconds of a plan's launches but that of the product."""
    us = product_plans.joined_us(s.batch * s.m * s.n, plan.parts, out, chip) if plan.parts > 1 else 0.0
    for padding, stored, ld in ((plan.pad_a, product_plans.stored_a(s), s.lda), (plan.pad_b, product_plans.stored_b(s), s.ldb)):
        if padding:
            us += product_plans.padded_us(*stored, ld, dtype, chip)
    return us


def fastest(which: Any, chip: Chip, calls: dict[Tiles, tuple[Any, ...]]) -> Tiles:
    """Of several tile shapes, each with the arguments of a kernel, that which the clock finds fastest; the first wins ties."""
    times = {tiles: launching.timing(which.program(None, chip, arguments, {}).traced).us for tiles, arguments in calls.items()}
    return min(times, key=lambda tiles: times[tiles])


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


def multiply(c: Tensor, a: Tensor, b: Tensor, bias: Tensor | None = None, switch: Switch = hf32.matmul) -> Any:
    """c = a b (+ bias in each row) for matrices and batches of them, c contiguous, of the operands' dtype or float32.

    bias: (..., 1, n), as many dims as c, those in front 1 or c's; float32 or the operands' dtype. switch: whether HF32 is allowed. Returns NotImplemented for formats that are not taken.
    """
    dtype = a.dtype.name
    fits = c.dtype is a.dtype or c.dtype.name == "float32"
    if dtype not in FORMATS or b.dtype is not a.dtype or not fits or not c.numel() or not a.shape[-1]:
        return NotImplemented
    batch = tuple(c.shape[:-2])
    one_row = bias is None or bias.numel() == bias.shape[-1]
    if b.ndim == 2 and a.is_contiguous() and one_row:  # the batch joins the rows
        a, batch = a.detach().reshape(-1, a.shape[-1]), ()
    if b.shape[-1] == 1 and a.shape[-2] > 1 and bias is None:  # a column as a row: that fills whole tiles
        return multiply(c.detach().reshape(*batch, 1, a.shape[-2]), b.detach().transpose(-2, -1), a.detach().transpose(-2, -1), None, switch)
    x, y = operand(a.detach(), batch), operand(b.detach(), batch)
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    s = Shape(math.prod(batch), m, n, k, x.ld, y.ld, x.step, y.step, x.trans, y.trans)
    tiny = _tiny(s) if dtype == "float32" and bias is None else None
    if dtype == "float32" and switch.allow_hf32:
        s = replace(s, hf32=True)
    if tiny is not None:
        small_products.multiply(c.detach().reshape(-1), x.flat, y.flat, tiny)
        return None
    row = None
    if bias is not None:
        row = bias.detach().contiguous().reshape(-1) if one_row else bias.detach().expand(*batch, 1, n).contiguous().reshape(-1)
        s = replace(s, bias=row.dtype.name, step_bias=0 if one_row else n)
    _launch(c.detach().reshape(-1), x.flat, y.flat, row, s)
    return None


def _launch(c: Tensor, a: Tensor, b: Tensor, row: Tensor | None, s: Shape) -> None:
    """A product of flat operands, as the clock's plan says."""
    plan = best_plan(s, a.dtype.name, c.dtype.name, state.chip)
    left = padded(a, *product_plans.stored_a(s), s.lda) if plan.pad_a else a
    right = padded(b, *product_plans.stored_b(s), s.ldb) if plan.pad_b else b
    size = c.numel()
    sums = _core.empty((plan.parts * size,), dtype=_FLOAT32, device=c.device) if plan.parts > 1 else c
    launch(product, left, right, row, sums, laid_out(s, plan, a.itemsize), plan, name="matmul")
    if plan.parts > 1:
        product_plans.join(sums, c, size, plan.parts)


@cache
def _tiny(s: Shape) -> small_products.Small | None:
    """A batch of matrices that lie behind each other, if they are so small that the vector cores multiply them."""
    behind = s.step_a == s.m * s.k and s.step_b == s.k * s.n and s.lda == (s.m if s.trans_a else s.k) and s.ldb == s.n and not s.trans_b
    return small_products.small(s.batch, s.m, s.n, s.k, s.trans_a) if behind else None


@kernel_for("matmul")
def _matmul(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return multiply(outputs[0], inputs[0], inputs[1])


@kernel_for("linear")
def _linear(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    x, w, bias = inputs
    row = None if bias is None else bias.detach().unsqueeze(0)
    return multiply(outputs[0].detach().reshape(-1, w.shape[0]), x.detach().reshape(-1, x.shape[-1]), w.detach().transpose(0, 1), row)


@kernel_for("addmm")
def _addmm(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    """alpha a b + beta addend. A row for all rows is where the sums begin; anything else is added to the float32 sums, in one pass."""
    a, b, addend = (t.detach() for t in inputs)
    (alpha, beta), c = attrs, outputs[0].detach()
    addend = addend.reshape(*[1] * (c.ndim - addend.ndim), *addend.shape)
    if c.shape[-1] == 1:  # a column as a row
        a, b, addend, c = b.transpose(-2, -1), a.transpose(-2, -1), addend.transpose(-2, -1), c.transpose(-2, -1)
    if a.dtype.name not in FORMATS or addend.dtype is not a.dtype:
        return NotImplemented
    if alpha == 1 and addend.shape[-2] == 1 and addend.shape[-1] == c.shape[-1]:
        return multiply(c, a, b, addend if beta == 1 else addend.to(_FLOAT32) * beta)
    sums = _core.empty(tuple(c.shape), dtype=_FLOAT32, device=c.device)
    if multiply(sums, a, b) is NotImplemented:
        return NotImplemented
    return elementwise.run("scaled_sum", c, (sums, addend, alpha, beta), _FLOAT32)
