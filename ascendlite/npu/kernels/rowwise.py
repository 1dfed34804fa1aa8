"""Softmax, norms and their gradients: rows stream through UB, everything is computed in float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import copies, kernel_for, longrows
from ascendlite.npu.kernels.elementwise import UB_BUDGET, blocks_for
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.row_parts import add_to_gm
from ascendlite.npu.lang.rows import LANES, WIDEST, RowWise, barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

f32 = dtypes.f32
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
FLOATS: Final = ("float32", "float16", "bfloat16")
MOST_ROWS: Final = 248  # repeats of one instruction, in whole blocks of 8


@dataclass(frozen=True)
class Rows:
    """How many rows of how many columns, and how they lie in UB: `pitch` elements apart, `tile` rows at a time."""

    rows: int
    columns: int
    pitch: int
    tile: int
    slots: int = 2  # of each tensor that moves


def rows_of(rows: int, columns: int, itemsize: int, moved: int, work: int, *, single: bool = False) -> Rows | None:
    """The layout for a kernel that moves `moved` tensors and has `work` float32 tiles; None if not even one row fits.

    `single`: the kernel's pipeline takes `Rows.slots`, so that a row which only fits once is worked on while nothing moves.
    """
    pitch = -(-columns // (32 // itemsize)) * (32 // itemsize)
    spread = LANES * 4 if pitch <= WIDEST else 0  # RowWise's partial sums
    for slots in (2, 1) if single else (2,):
        each = pitch * (slots * moved * itemsize + 4 * work) + spread + 64
        tile = min(MOST_ROWS, (UB_BUDGET - 2048) // each, max(1, rows))
        if tile >= 8:
            tile = tile // 8 * 8
        if tile >= 1:
            return Rows(rows, columns, pitch, tile, slots)
    return None


class Work(RowWise):
    """Row-wise work with float32 tiles of its own, and numbers that all rows share."""

    def __init__(self, r: Rows) -> None:
        super().__init__(r.tile, r.columns, r.pitch)
        self.size = r.tile * r.pitch

    def tile(self) -> Any:
        """A float32 tile. What lies between its rows is 0 at first, since work on whole tiles reads it."""
        made = scratch(f32, self.size)
        if self.pitch > self.columns:
            ac.Duplicate(made, 0.0, self.size)
            barrier()
        return made

    def widen(self, dst: Any, src: Any, rows: Any, *, settled: bool = True) -> Any:
        """The values of a tile in float32: itself, or `dst` with a copy. Not settled: for `combine`, which waits before it reads them."""
        if src.dtype is f32:
            return src
        ac.Cast(dst, src, "CAST_NONE", rows * self.pitch)
        if settled:
            barrier()
        return dst

    def narrow(self, out: Any, src: Any, rows: Any) -> None:
        """A float32 tile to the output's format."""
        if out.dtype is f32:
            ac.Adds(out, src, 0.0, rows * self.pitch)
        else:
            ac.Cast(out, src, "CAST_RINT", rows * self.pitch)

    def each(self, op: Callable[..., None], dst: Any, *src: Any, rows: Any) -> None:
        """dst = op(src) on all elements; the last of src may be a number."""
        op(dst, *src, rows * self.pitch)
        barrier()

    def across(self, op: Callable[..., None], dst: Any, src: Any, row: Any, rows: Any) -> None:
        """dst[r, :] = op(src[r, :], row)."""
        if self.by_row():
            for r in ac.range(rows):
                op(dst[r * self.pitch :], src[r * self.pitch :], row, self.columns)
        else:
            for c in range(0, self.columns, LANES):
                op(dst[c:], src[c:], row[c:], min(LANES, self.columns - c), rows, (1, 1, 1, self.blocks, self.blocks, 0))
        barrier()

    def gather_rows(self, total: Any, src: Any, rows: Any) -> None:
        """total += the sum of the rows."""
        if self.by_row():
            for r in ac.range(rows):
                ac.Add(total, total, src[r * self.pitch :], self.columns)
                barrier()
        else:
            for c in range(0, self.columns, LANES):
                ac.Add(total[c:], src[c:], total[c:], min(LANES, self.columns - c), rows, (1, 1, 1, 0, self.blocks, 0))
            barrier()


def shared_row(g: Any, columns: int, pitch: int) -> Any:
    """A row that all tiles need, in float32 in UB."""
    event = take_events(HardEvent.MTE2_V, 1)[0]
    per_block = 32 // g.dtype.itemsize
    raw = scratch(g.dtype, -(-pitch // per_block) * per_block)
    ac.DataCopyPad(raw, ac.GlobalTensor(g), columns)
    SetFlag(HardEvent.MTE2_V, event)
    WaitFlag(HardEvent.MTE2_V, event)
    if g.dtype is f32:
        return raw
    wide = scratch(f32, pitch)
    ac.Cast(wide, raw, "CAST_NONE", columns)
    barrier()
    return wide


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def softmax(x: Any, y: Any, r: Rows, log: bool) -> None:
    """y = softmax of the rows of x, or its logarithm."""
    work = Work(r)
    w, e, stat = work.tile(), work.tile() if log else None, work.new_stat()
    for t in pipeline(r.rows, r.tile, ins=(x,), outs=(y,), width=r.columns, pitch=r.pitch, slots=r.slots):
        v = work.widen(w, t.ins[0], t.count)
        work.reduce("MAX", stat, v, t.count)
        work.combine(ac.Sub, w, v, stat, t.count)
        e_ = w if e is None else e
        work.each(ac.Exp, e_, w, rows=t.count)
        work.reduce("SUM", stat, e_, t.count)
        if log:
            ac.Ln(stat, stat, t.count)
            barrier()
        work.combine(ac.Sub if log else ac.Div, w, w, stat, t.count)
        work.narrow(t.outs[0], w, t.count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def softmax_backward(g: Any, y: Any, dx: Any, r: Rows, log: bool) -> None:
    """dx = (g - sum(g y)) y; of the logarithm: g - e^y sum(g)."""
    work = Work(r)
    a, b, p, stat = work.tile(), work.tile(), work.tile(), work.new_stat()
    for t in pipeline(r.rows, r.tile, ins=(g, y), outs=(dx,), width=r.columns, pitch=r.pitch, slots=r.slots):
        gv, yv = work.widen(a, t.ins[0], t.count), work.widen(b, t.ins[1], t.count)
        if log:
            work.each(ac.Exp, p, yv, rows=t.count)
            work.reduce("SUM", stat, gv, t.count)
            work.combine(ac.Mul, p, p, stat, t.count)
            work.each(ac.Sub, p, gv, p, rows=t.count)
        else:
            work.each(ac.Mul, p, gv, yv, rows=t.count)
            work.reduce("SUM", stat, p, t.count)
            work.combine(ac.Sub, p, gv, stat, t.count)
            work.each(ac.Mul, p, p, yv, rows=t.count)
        work.narrow(t.outs[0], p, t.count)


def _moments(work: Work, v: Any, centred_tile: Any, square: Any, mean: Any, rstd: Any, rows: Any, columns: int, centred: bool, eps: float) -> Any:
    """Mean (0 where the norm does not subtract it) and 1 / sqrt(variance + eps) of each row; the tile less its mean."""
    if centred:
        work.reduce("SUM", mean, v, rows)
        ac.Muls(mean, mean, 1.0 / columns, rows)
        barrier()
        work.combine(ac.Sub, centred_tile, v, mean, rows)
        v = centred_tile
    work.each(ac.Mul, square, v, v, rows=rows)
    work.reduce("SUM", rstd, square, rows)
    ac.Muls(rstd, rstd, 1.0 / columns, rows)
    barrier()
    ac.Adds(rstd, rstd, eps, rows)
    barrier()
    ac.Sqrt(rstd, rstd, rows)
    barrier()
    return v


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_norm(x: Any, weight: Any, bias: Any, y: Any, mean_out: Any, rstd_out: Any, r: Rows, centred: bool, eps: float) -> None:
    """y = (x - mean) rstd weight + bias by rows; mean and rstd are kept for the backward pass."""
    work = Work(r)
    w, square = work.tile(), work.tile()
    mean, root, one = work.new_stat(), work.new_stat(), work.new_stat()
    scale = None if weight is None else shared_row(weight, r.columns, r.pitch)
    shift = None if bias is None else shared_row(bias, r.columns, r.pitch)
    stats = tuple(Items(s, 1, 1) for s in (mean_out, rstd_out))
    for t in pipeline(r.rows, r.tile, ins=(x,), outs=(y, *stats), width=r.columns, pitch=r.pitch, align=8, slots=r.slots):
        v = _moments(work, work.widen(w, t.ins[0], t.count), w, square, mean, root, t.count, r.columns, centred, eps)
        work.combine(ac.Div, w, v, root, t.count)
        if scale is not None:
            work.across(ac.Mul, w, w, scale, t.count)
        if shift is not None:
            work.across(ac.Add, w, w, shift, t.count)
        work.narrow(t.outs[0], w, t.count)
        ac.Duplicate(one, 1.0, t.count)
        ac.Adds(t.outs[1], mean, 0.0, t.count)
        barrier()
        ac.Div(t.outs[2], one, root, t.count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_norm_backward(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, dx: Any, dweight: Any, dbias: Any, r: Rows, centred: bool) -> None:
    """dx = rstd (s - u mean(s u) - mean(s)) with u = (x - mean) rstd and s = g weight; dweight and dbias are added up in GM, in float32."""
    work = Work(r)
    gs, u, p = work.tile(), work.tile(), work.tile()
    dot, mid = work.new_stat(), work.new_stat()
    scale = None if weight is None else shared_row(weight, r.columns, r.pitch)
    totals = [(out, scratch(f32, r.pitch)) for out in (dweight, dbias) if out is not None]
    for _, total in totals:
        ac.Duplicate(total, 0.0, r.pitch)
    barrier()
    sums = dict(zip([name for name, out in (("w", dweight), ("b", dbias)) if out is not None], [t for _, t in totals], strict=True))
    stats = tuple(Items(s, 1, 1) for s in (mean, rstd))
    for t in pipeline(r.rows, r.tile, ins=(g, x, *stats), outs=(dx,), width=r.columns, pitch=r.pitch, align=8, slots=r.slots):
        gv, xv = work.widen(gs, t.ins[0], t.count), work.widen(u, t.ins[1], t.count)
        work.combine(ac.Sub, u, xv, t.ins[2], t.count)
        work.combine(ac.Mul, u, u, t.ins[3], t.count)
        if "b" in sums:
            work.gather_rows(sums["b"], gv, t.count)
        if "w" in sums:
            work.each(ac.Mul, p, gv, u, rows=t.count)
            work.gather_rows(sums["w"], p, t.count)
        if scale is not None:
            work.across(ac.Mul, gs, gv, scale, t.count)
            gv = gs
        work.each(ac.Mul, p, gv, u, rows=t.count)
        work.reduce("SUM", dot, p, t.count)
        ac.Muls(dot, dot, 1.0 / r.columns, t.count)
        barrier()
        work.combine(ac.Mul, u, u, dot, t.count)
        work.each(ac.Sub, p, gv, u, rows=t.count)
        if centred:
            work.reduce("SUM", mid, gv, t.count)
            ac.Muls(mid, mid, 1.0 / r.columns, t.count)
            barrier()
            work.combine(ac.Sub, p, p, mid, t.count)
        work.combine(ac.Mul, p, p, t.ins[3], t.count)
        work.narrow(t.outs[0], p, t.count)
    add_to_gm(totals, r.columns)


# -- the ops


def _last(t: Tensor, dim: int) -> bool:
    return t.ndim > 0 and dim == t.ndim - 1 and t.dtype.name in FLOATS and t.numel() > 0


def _steps(x: Tensor, dim: int, log: bool) -> Tensor:
    """Softmax along another dim than the last, or its logarithm, by ops on whole tensors: nothing is turned."""
    x = x - x.amax(dim, keepdim=True)
    e = x.exp()
    total = e.sum(dim, keepdim=True)
    return x - total.log() if log else e / total


def _steps_backward(g: Tensor, y: Tensor, dim: int, log: bool) -> Tensor:
    return g - y.exp() * g.sum(dim, keepdim=True) if log else (g - (g * y).sum(dim, keepdim=True)) * y


def _along(run: Any, steps: Any, outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], log: bool) -> Any:
    """By rows where the dim is the last one, else by steps in float32."""
    dim, like = attrs[0], inputs[-1]
    if like.ndim == 0 or dim == like.ndim - 1:
        return run(outputs, inputs, attrs, log)
    if not like.numel() or any(t.dtype.name not in FLOATS for t in inputs):
        return NotImplemented
    with no_grad():
        outputs[0].detach().copy_(steps(*(t.detach().to(_FLOAT32) for t in inputs), dim, log))
    return None


def _run_softmax(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], log: bool) -> Any:
    x, y, dim = inputs[0], outputs[0], attrs[0]
    r = rows_of(x.numel() // x.shape[-1], x.shape[-1], x.itemsize, 2, 2, single=True) if _last(x, dim) else None
    if not _last(x, dim) or not y.is_contiguous():
        return NotImplemented
    if r is None:
        return longrows.softmax(y, x, log)
    launch(softmax, x.contiguous(), y, r, log, blocks=blocks_for(x.nbytes), name="log_softmax" if log else "softmax")
    return None


@kernel_for("softmax")
def _softmax(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return _along(_run_softmax, _steps, outputs, inputs, attrs, False)


@kernel_for("log_softmax")
def _log_softmax(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return _along(_run_softmax, _steps, outputs, inputs, attrs, True)


def _run_softmax_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], log: bool) -> Any:
    (g, y), dx, dim = inputs, outputs[0], attrs[0]
    r = rows_of(y.numel() // y.shape[-1], y.shape[-1], y.itemsize, 3, 3, single=True) if _last(y, dim) and g.dtype is y.dtype else None
    if not _last(y, dim) or not dx.is_contiguous() or g.dtype is not y.dtype:
        return NotImplemented
    if r is None:
        return longrows.softmax_backward(dx, g, y, log)
    launch(softmax_backward, g.contiguous(), y.contiguous(), dx, r, log, blocks=blocks_for(y.nbytes), name="log_softmax_backward" if log else "softmax_backward")
    return None


@kernel_for("softmax_backward")
def _softmax_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return _along(_run_softmax_backward, _steps_backward, outputs, inputs, attrs, False)


@kernel_for("log_softmax_backward")
def _log_softmax_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    return _along(_run_softmax_backward, _steps_backward, outputs, inputs, attrs, True)


def _rows_of_norm(x: Tensor, n: int, weight: Tensor | None, bias: Tensor | None) -> Rows | None:
    """Long rows leave no room to spare: beside two float32 tiles there are weight and bias, as they come and in float32."""
    r = rows_of(x.numel() // n, n, x.itemsize, 2, 4)
    if r is not None and r.tile > 1:
        return r
    pitch = -(-n // (32 // x.itemsize)) * (32 // x.itemsize)
    shared = sum(4 + (0 if t.dtype.name == "float32" else t.itemsize) for t in (weight, bias) if t is not None)
    for slots in (2, 1):
        if pitch * (2 * slots * x.itemsize + 8 + shared) + 4096 <= UB_BUDGET:
            return Rows(x.numel() // n, n, pitch, 1, slots)
    return None


@kernel_for("row_norm")
def _row_norm(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    x, weight, bias = inputs
    n, centred, eps = attrs
    assert x is not None
    if x.dtype.name not in FLOATS or not x.numel() or any(t is not None and t.dtype.name not in FLOATS for t in (weight, bias)):
        return NotImplemented
    r = _rows_of_norm(x, n, weight, bias)
    if not math.isfinite(eps):
        return NotImplemented
    if r is None:
        return longrows.row_norm(outputs, x, weight, bias, n, bool(centred), float(eps))
    launch(row_norm, x.contiguous(), weight, bias, *outputs, r, bool(centred), float(eps), blocks=blocks_for(x.nbytes), name="layer_norm" if centred else "rms_norm")
    return None


@kernel_for("row_norm_backward")
def _row_norm_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    g, x, weight, mean, rstd = inputs
    n, centred = attrs[0], attrs[1]
    dx, dweight, dbias = outputs
    assert g is not None and x is not None
    floats = all(t is None or t.dtype.name in FLOATS for t in inputs)
    totals = [t if t.numel() else None for t in (dweight, dbias)]
    if not floats or not x.numel() or g.dtype is not x.dtype:
        return NotImplemented
    assert mean is not None and rstd is not None
    sums = [None if t is None else t if t.dtype is _FLOAT32 else _core.empty(tuple(t.shape), dtype=_FLOAT32, device=t.device) for t in totals]
    for t in sums:
        if t is not None:
            copies.fill(t, 0.0)
    r, name = rows_of(x.numel() // n, n, x.itemsize, 3, 6, single=True), "layer_norm_backward" if centred else "rms_norm_backward"
    given = (g.contiguous(), x.contiguous(), weight, mean, rstd, dx, *sums)
    if r is not None:
        launch(row_norm_backward, *given, r, bool(centred), blocks=blocks_for(x.nbytes), name=name)
    elif not longrows.norm_backward(given, n, bool(centred), name):
        return longrows.row_norm_backward(outputs, g, x, weight, mean, rstd, n, bool(centred))
    for t, total in zip(totals, sums, strict=True):
        if t is not None and t is not total:
            t.detach().copy_(total)
    return None
