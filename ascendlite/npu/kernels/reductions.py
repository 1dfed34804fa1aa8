"""Sums, means, norms and extremes: over rows by row-wise work, over columns and over everything by partial results that cores add up in GM."""

from __future__ import annotations

import math
from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import copies, elementwise, kernel_for, passes
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.kernels.rowwise import FLOATS, Rows, Work, add_to_gm, f32, rows_of
from ascendlite.npu.lang.rows import LANES, barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

FLAT: Final = 2048  # columns of a row when everything is reduced: 8 KiB of float32, short of the widest row
MOST_STEPS: Final = 64  # vector instructions a tile for slices of a row
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
PIECE: Final = 8192  # columns of a matrix whose rows do not fit UB


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def reduce_rows(x: Any, out: Any, r: Rows, kind: str, square: bool, scale: float, root: bool) -> None:
    """out[i] = scale * the "SUM", "MAX" or "MIN" of row i (of its squares), or the square root of that."""
    work = Work(r)
    w, stat = work.tile(), work.new_stat()
    for t in pipeline(r.rows, r.tile, ins=(x,), outs=(Items(out, 1, 1),), width=r.columns, pitch=r.pitch, align=16):
        v = work.widen(w, t.ins[0], t.count)
        if square:
            work.each(ac.Mul, w, v, v, rows=t.count)
            v = w
        work.reduce(kind, stat, v, t.count)
        if scale != 1.0:
            ac.Muls(stat, stat, scale, t.count)
            barrier()
        if root:
            ac.Sqrt(stat, stat, t.count)
            barrier()
        if t.outs[0].dtype is f32:
            ac.Adds(t.outs[0], stat, 0.0, t.count)
        else:
            ac.Cast(t.outs[0], stat, "CAST_RINT", t.count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def reduce_columns(x: Any, out: Any, r: Rows, square: bool) -> None:
    """out[j] += the sum of column j (of its squares), in float32."""
    work = Work(r)
    w, total = work.tile(), scratch(f32, r.pitch)
    ac.Duplicate(total, 0.0, r.pitch)
    for t in pipeline(r.rows, r.tile, ins=(x,), outs=(), width=r.columns, pitch=r.pitch):
        v = work.widen(w, t.ins[0], t.count)
        if square:
            work.each(ac.Mul, w, v, v, rows=t.count)
            v = w
        work.gather_rows(total, v, t.count)
    add_to_gm([(out, total)], r.columns)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def reduce_slices(x: Any, out: Any, r: Rows, slices: int, kind: str, square: bool, scale: float) -> None:
    """out[i] = scale * the "SUM", "MAX" or "MIN" of the slices of row i, each as long as a row of out."""
    op = {"SUM": ac.Add, "MAX": ac.Max, "MIN": ac.Min}[kind]
    columns = r.columns // slices
    work = Work(r)
    w, total = work.tile(), scratch(f32, r.tile * columns)
    per_row, per_total = r.pitch * 4 // 32, columns * 4 // 32  # blocks
    for t in pipeline(r.rows, r.tile, ins=(x,), outs=(Items(out, columns, columns),), width=r.columns, pitch=r.pitch, align=16):
        v = work.widen(w, t.ins[0], t.count)
        if square:
            work.each(ac.Mul, w, v, v, rows=t.count)
            v = w
        for k in range(1, slices):
            first = v if k == 1 else total
            for c in range(0, columns, LANES):
                op(total[c:], first[c:], v[k * columns + c :], min(LANES, columns - c), t.count, (1, 1, 1, per_total, per_row if k == 1 else per_total, per_row))
            barrier()
        n = t.count * columns
        if t.outs[0].dtype is f32:
            ac.Muls(t.outs[0], total, scale, n)
        else:
            ac.Muls(total, total, scale, n)
            barrier()
            ac.Cast(t.outs[0], total, "CAST_RINT", n)


def _new(shape: tuple[int, ...], dtype: Any, like: Tensor) -> Tensor:
    made: Tensor = _core.empty(shape, dtype=dtype, device=like.device)
    return made


def columns_sum(x: Tensor, square: bool = False) -> Tensor | None:
    """The float32 sums of the columns of a contiguous matrix."""
    rows, columns = x.shape
    r = rows_of(rows, columns, x.itemsize, 1, 2)
    out = _new((columns,), _FLOAT32, x)
    if r is None:  # a row does not fit UB: by pieces of the columns, each laid out anew
        for at in range(0, columns, PIECE):
            sums = columns_sum(x[:, at : at + PIECE].contiguous(), square)
            if sums is None:
                return None
            out[at : at + PIECE].copy_(sums)
        return out
    copies.fill(out, 0.0)
    launch(reduce_columns, x, out, r, square, blocks=blocks_for(x.nbytes), name="reduce_sum")
    return out


def rows_into(out: Tensor, x: Tensor, kind: str, square: bool, scale: float, root: bool) -> bool:
    """Reduce the rows of a contiguous matrix into a contiguous vector; rows that do not fit are cut in equal parts first."""
    rows, columns = x.shape
    r = rows_of(rows, columns, x.itemsize, 1, 2)
    if r is not None:
        launch(reduce_rows, x, out, r, kind, square, scale, root, blocks=blocks_for(x.nbytes), name=f"reduce_{kind.lower()}")
        return True
    least = max(2, columns // 8192)
    parts = next((p for p in range(least, max(512, 4 * least)) if columns % p == 0), None)
    if parts is None:
        return False
    partial = _new((rows * parts,), _FLOAT32, x)
    return rows_into(partial, x.reshape(rows * parts, columns // parts), kind, square, 1.0, False) and rows_into(
        out, partial.reshape(rows, parts), kind, False, scale, root)


def _slices_into(out: Tensor, x: Tensor, dims: tuple[int, ...], kind: str, square: bool, scale: float) -> bool:
    """Reduce neighbouring dims that are not the last ones: nothing has to be transposed where the dims behind them fill whole blocks."""
    first, last = dims[0], dims[-1] + 1
    slices, columns = math.prod(x.shape[first:last]), math.prod(x.shape[last:])
    neighbours = dims == tuple(range(first, last))
    if not neighbours or slices < 2 or columns * min(x.itemsize, out.itemsize) % 32 or slices * -(-columns // LANES) > MOST_STEPS:
        return False
    r = rows_of(math.prod(x.shape[:first]), slices * columns, x.itemsize, 2, 2)
    if r is None or r.pitch * 4 // 32 > 255:  # the largest step between rows that an instruction can state
        return False
    launch(reduce_slices, x.contiguous(), out, r, slices, kind, square, scale, blocks=blocks_for(x.nbytes), name=f"reduce_{kind.lower()}")
    return True


def _everything(out: Tensor, x: Tensor, square: bool, scale: float, root: bool) -> bool:
    """The sum of all elements of a contiguous vector into a tensor of one element."""
    n = x.numel()
    whole = n // FLAT * FLAT
    if n <= FLAT:
        return rows_into(out.reshape(1), x.reshape(1, n), "SUM", square, scale, root)
    columns = columns_sum(x[:whole].reshape(-1, FLAT), square)
    if columns is None:
        return False
    if whole == n:
        return rows_into(out.reshape(1), columns.reshape(1, FLAT), "SUM", False, scale, root)
    both = _new((2,), _FLOAT32, x)
    done = rows_into(both[:1], columns.reshape(1, FLAT), "SUM", False, 1.0, False) and rows_into(both[1:], x[whole:].reshape(1, n - whole), "SUM", square, 1.0, False)
    return done and rows_into(out.reshape(1), both.reshape(1, 2), "SUM", False, scale, root)


def reduce(out: Tensor, x: Tensor, dims: tuple[int, ...], kind: str = "SUM", *, square: bool = False, scale: float = 1.0, root: bool = False) -> Any:
    """out = the reduction of x over dims, or say that it is not taken. out is contiguous."""
    if x.dtype.name not in FLOATS or out.dtype.name not in FLOATS or not x.numel() or not out.is_contiguous():
        return NotImplemented
    dims = tuple(d for d in dims if x.ndim)
    kept = [d for d in range(x.ndim) if d not in dims]
    x, kept_size = x.detach(), math.prod(x.shape[d] for d in kept)
    if kind == "SUM" and not kept:
        return None if _everything(out, x.contiguous().reshape(-1), square, scale, root) else NotImplemented
    if kind == "SUM" and not root and dims == tuple(range(len(dims))) and kept_size > 1:  # leading dims: columns
        total = columns_sum(x.contiguous().reshape(-1, kept_size), square)
        if total is None:
            return NotImplemented
        if scale != 1.0:
            elementwise.run("mul", total, (total, scale), _FLOAT32)
        return elementwise.convert(out.reshape(-1), total)
    if dims and not root and max(dims) < x.ndim - 1 and _slices_into(out, x, dims, kind, square, scale):
        return None
    if dims != tuple(range(x.ndim - len(dims), x.ndim)):
        x = x.permute(*kept, *dims)
    return None if rows_into(out.reshape(-1), x.contiguous().reshape(kept_size, -1), kind, square, scale, root) else NotImplemented


@kernel_for("sum")
def _sum(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    if not inputs[0].dtype.is_floating_point:
        return passes.whole_sum(outputs[0], inputs[0], tuple(attrs[0]))
    return reduce(outputs[0], inputs[0], attrs[0])


@kernel_for("mean")
def _mean(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    x, y = inputs[0], outputs[0]
    return reduce(y, x, attrs[0], scale=y.numel() / x.numel()) if x.numel() else NotImplemented


@kernel_for("norm2")
def _norm2(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return reduce(outputs[0], inputs[0], attrs[0], square=True, root=True)


@kernel_for("amax")
def _amax(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    if not inputs[0].dtype.is_floating_point:
        return passes.whole_extreme(outputs[0], inputs[0], tuple(attrs[0]), Tensor.amax, Tensor.maximum)
    return reduce(outputs[0], inputs[0], attrs[0], "MAX")


@kernel_for("amin")
def _amin(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    if not inputs[0].dtype.is_floating_point:
        return passes.whole_extreme(outputs[0], inputs[0], tuple(attrs[0]), Tensor.amin, Tensor.minimum)
    return reduce(outputs[0], inputs[0], attrs[0], "MIN")


def _truth(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], kind: str) -> Any:
    """Whether all (the least) or any (the largest) are not 0: bools as 0 and 1 in float32."""
    x, y = inputs[0].detach(), outputs[0]
    if x.dtype.name != "bool" or y.dtype.name != "bool" or not x.numel():
        return NotImplemented
    numbers, found = _new(tuple(x.shape), _FLOAT32, x), _new(tuple(y.shape), _FLOAT32, x)
    if elementwise.convert(numbers, x.contiguous()) is NotImplemented or reduce(found, numbers, attrs[0], kind) is NotImplemented:
        return NotImplemented
    return elementwise.run("ne", y, (found, 0.0), _FLOAT32)


@kernel_for("all")
def _all(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return _truth(outputs, inputs, attrs, "MIN")


@kernel_for("any")
def _any(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return _truth(outputs, inputs, attrs, "MAX")


@kernel_for("sum_to")
def _sum_to(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    x, shape = inputs[0], tuple(attrs[0])
    extra = x.ndim - len(shape)
    dims = (*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1))
    return reduce(outputs[0], x, dims)
