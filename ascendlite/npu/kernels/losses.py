"""Cross-entropy over rows of logits: one pass for the loss, one for the gradient; the picked logit comes by Gather."""

from __future__ import annotations

from typing import Any

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu import wide
from ascendlite.npu.kernels import copies, elements, kernel_for, longlosses, longrows
from ascendlite.npu.kernels.elementwise import as_int32, blocks_for
from ascendlite.npu.kernels.rowwise import FLOATS, Rows, Work, f32, rows_of, shared_row
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch
from ascendlite.ops.compare import where

NONE, MEAN, SUM = 0, 1, 2  # the reductions of ops.cross_entropy
_FLOAT32 = _core.DTYPE_NAMES["float32"]


class _Picked:
    """Byte offsets of one element a row: row * pitch + class."""

    def __init__(self, r: Rows) -> None:
        most = -(-r.tile // 8) * 8
        self.pitch = r.pitch
        self.classes, self.starts, self.offsets = (scratch(dtypes.i32, most) for _ in range(3))
        ac.CreateVecIndex(self.starts, 0, most)
        barrier()
        ac.Muls(self.starts, self.starts, r.pitch * 4, most)

    def place(self, target: Any, columns: int, count: Any) -> Any:
        """Of each row the offset of its class; classes out of range count as the nearest one, whose value is not used."""
        ac.Cast(self.classes, target, "CAST_NONE", count)
        barrier()
        ac.Maxs(self.classes, self.classes, 0, count)
        barrier()
        ac.Mins(self.classes, self.classes, columns - 1, count)
        barrier()
        ac.Muls(self.classes, self.classes, 4, count)
        barrier()
        ac.Add(self.offsets, self.classes, self.starts, count)
        barrier()
        return self.offsets.ReinterpretCast(dtypes.u32)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_losses(x: Any, target: Any, weight: Any, loss: Any, lse: Any, rest: Any, r: Rows) -> None:
    """lse = log of the sum of exponentials of each row, loss = lse - x[target], and where it is asked for rest = the sum of weight (x - lse)."""
    work, picked = Work(r), _Picked(r)
    w, e, stat, peak, value = work.tile(), work.tile(), work.new_stat(), work.new_stat(), work.new_stat()
    table = None if weight is None else shared_row(weight, r.columns, r.pitch)
    ac.Duplicate(w, 0.0, work.size)
    outs = tuple(Items(t, 1, 1) for t in (loss, lse, rest) if t is not None)
    for t in pipeline(r.rows, r.tile, ins=(x, Items(target, 1, 1)), outs=outs, width=r.columns, pitch=r.pitch, align=8, slots=r.slots):
        if t.ins[0].dtype is f32:
            ac.Adds(w, t.ins[0], 0.0, t.count * r.pitch)
        else:
            ac.Cast(w, t.ins[0], "CAST_NONE", t.count * r.pitch)
        ac.Gather(value, w, picked.place(t.ins[1], r.columns, t.count), 0, t.count)
        work.reduce("MAX", peak, w, t.count)
        work.combine(ac.Sub, e, w, peak, t.count)
        work.each(ac.Exp, e, e, rows=t.count)
        work.reduce("SUM", stat, e, t.count)
        ac.Ln(stat, stat, t.count)
        barrier()
        ac.Add(t.outs[1], stat, peak, t.count)
        barrier()
        ac.Sub(t.outs[0], t.outs[1], value, t.count)
        if rest is not None:
            ac.Adds(peak, t.outs[1], 0.0, t.count)
            barrier()
            work.combine(ac.Sub, e, w, peak, t.count)
            if table is not None:
                work.across(ac.Mul, e, e, table, t.count)
            work.reduce("SUM", t.outs[2], e, t.count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_gradients(x: Any, target: Any, lse: Any, factor: Any, marks: Any, table: Any, dx: Any, r: Rows, smooth: bool, keep: float, share: float) -> None:
    """dx = (e^(x - lse) - keep onehot(target) - share) factor, by rows; with marks (one of either a row) and a table (one a column),
    dx = (marks[0] e^(x - lse) - marks[1] onehot(target) - share table) factor. Not smooth: keep is 1, share 0.

    The vector unit has no scatter: |column - target|, cut at 1, less 1 is -onehot.
    """
    work = Work(r)
    w, hit, columns = work.tile(), work.tile(), work.tile()
    most = -(-r.tile // 8) * 8
    whole, place = scratch(dtypes.i32, most), work.new_stat()
    line, less = scratch(f32, r.pitch), None if table is None else shared_row(table, r.columns, r.pitch)
    ac.CreateVecIndex(line, 0.0, r.pitch)
    barrier()
    for k in range(r.tile):
        ac.Adds(columns[k * r.pitch :], line, 0.0, r.pitch)
    if less is not None:
        ac.Muls(less, less, share, r.columns)
    ins = (x, *(Items(t, 1, 1) for t in (target, lse, factor, *(marks or ()))))
    for t in pipeline(r.rows, r.tile, ins=ins, outs=(dx,), width=r.columns, pitch=r.pitch, align=8, slots=r.slots):
        ac.Cast(whole, t.ins[1], "CAST_NONE", t.count)
        barrier()
        ac.Cast(place, whole, "CAST_NONE", t.count)
        work.combine(ac.Sub, w, work.widen(w, t.ins[0], t.count, settled=False), t.ins[2], t.count)
        work.each(ac.Exp, w, w, rows=t.count)
        work.combine(ac.Sub, hit, columns, place, t.count)
        work.each(ac.Abs, hit, hit, rows=t.count)
        work.each(ac.Mins, hit, hit, 1.0, rows=t.count)
        if smooth and less is None:
            work.each(ac.Muls, hit, hit, keep, rows=t.count)
            work.each(ac.Adds, hit, hit, -keep - share, rows=t.count)
        else:
            work.each(ac.Adds, hit, hit, -1.0, rows=t.count)
        if less is not None:
            work.combine(ac.Mul, hit, hit, t.ins[5], t.count)
            work.combine(ac.Mul, w, w, t.ins[4], t.count)
            work.across(ac.Sub, w, w, less, t.count)
        work.each(ac.Add, w, w, hit, rows=t.count)
        work.combine(ac.Mul, w, w, t.ins[3], t.count)
        work.narrow(t.outs[0], w, t.count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_picks(x: Any, target: Any, weight: Any, picked: Any, weights: Any, r: Rows) -> None:
    """picked[i] = x[i, target[i]], weights[i] = weight[target[i]]; what is None is left out."""
    work, place = Work(r), _Picked(r)
    w, classes = None if x is None else work.tile(), scratch(dtypes.i32, -(-r.tile // 8) * 8)
    table = None if weight is None else shared_row(weight, r.columns, r.pitch)[: r.columns]
    if w is not None:
        ac.Duplicate(w, 0.0, work.size)
    outs = tuple(Items(t, 1, 1) for t in (picked, weights) if t is not None)
    ins = (Items(target, 1, 1), *(() if x is None else (x,)))
    for t in pipeline(r.rows, r.tile, ins=ins, outs=outs, width=r.columns, pitch=r.pitch, align=8, slots=r.slots):
        if w is not None and t.ins[1].dtype is f32:
            ac.Adds(w, t.ins[1], 0.0, t.count * r.pitch)
        elif w is not None:
            ac.Cast(w, t.ins[1], "CAST_NONE", t.count * r.pitch)
        offsets = place.place(t.ins[0], r.columns, t.count)
        if w is not None:
            ac.Gather(t.outs[0], w, offsets, 0, t.count)
        if table is not None:
            ac.Sub(classes, place.offsets, place.starts, t.count)
            barrier()
            ac.Gather(t.outs[-1], table, classes.ReinterpretCast(dtypes.u32), 0, t.count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_marks(target: Any, factor: Any, dx: Any, r: Rows) -> None:
    """dx[i, :] = factor[i] at target[i], 0 elsewhere."""
    work = Work(r)
    w, columns = work.tile(), work.tile()
    whole, place, line = scratch(dtypes.i32, -(-r.tile // 8) * 8), work.new_stat(), scratch(f32, r.pitch)
    ac.CreateVecIndex(line, 0.0, r.pitch)
    barrier()
    for k in range(r.tile):
        ac.Adds(columns[k * r.pitch :], line, 0.0, r.pitch)
    for t in pipeline(r.rows, r.tile, ins=(Items(target, 1, 1), Items(factor, 1, 1)), outs=(dx,), width=r.columns, pitch=r.pitch, align=16, slots=r.slots):
        ac.Cast(whole, t.ins[0], "CAST_NONE", t.count)
        barrier()
        ac.Cast(place, whole, "CAST_NONE", t.count)
        barrier()
        work.combine(ac.Sub, w, columns, place, t.count)
        work.each(ac.Abs, w, w, rows=t.count)
        work.each(ac.Muls, w, w, -1.0, rows=t.count)
        work.each(ac.Adds, w, w, 1.0, rows=t.count)
        work.each(ac.Relu, w, w, rows=t.count)
        work.combine(ac.Mul, w, w, t.ins[1], t.count)
        work.narrow(t.outs[0], w, t.count)


def _taken(x: Tensor, target: Tensor, weight: Tensor | None) -> bool:
    known = x.ndim == 2 and x.dtype.name in FLOATS and target.dtype.name == "int64" and (weight is None or weight.dtype.name in FLOATS)
    return known and x.numel() > 0 and x.shape[1] <= longrows.MOST


def _layout(x: Tensor, moved: int, work: int) -> Rows | None:
    return rows_of(x.shape[0], x.shape[1], x.itemsize, moved, work, single=True)


def _counted(target: Tensor, ignore: int) -> Tensor:
    """Whether a row counts: its class is not the ignored one."""
    counted: Tensor = as_int32(target) != ignore  # int64 has no comparison on the vector core
    return counted


def _weights(weight: Tensor | None, target: Tensor, counted: Tensor) -> Tensor:
    """What each row counts: the weight of its class, or 1; 0 if it is ignored."""
    used: Tensor = counted.to(_FLOAT32)
    if weight is None:
        return used
    return used * weight.to(_FLOAT32).gather(0, target.clamp(0, weight.shape[0] - 1))


def _reduced(each: Tensor, total: Tensor, reduction: int) -> Tensor:
    if reduction == NONE:
        return each
    return each.sum() / total if reduction == MEAN else each.sum()


@kernel_for("cross_entropy")
def _cross_entropy(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    x, target, weight = (None if t is None else t.detach() for t in inputs)
    reduction, ignore, smoothing = attrs
    assert x is not None and target is not None
    if not _taken(x, target, weight) or not _legal(target, ignore, x.shape[1]):
        return NotImplemented
    n, columns = x.shape
    loss, total, lse = outputs
    table = weight.contiguous() if smoothing and weight is not None else None
    each: Tensor = _core.empty((n,), dtype=_FLOAT32, device=x.device)
    rest: Tensor | None = _core.empty((n,), dtype=_FLOAT32, device=x.device) if smoothing else None
    r = _layout(x, 2, 3 + (table is not None))
    with no_grad():
        if r is None:
            longlosses.row_losses(each, lse, rest, x, target, table)
        else:
            launch(row_losses, x.contiguous(), target.contiguous(), table, each, lse, rest, r, blocks=blocks_for(x.nbytes), name="cross_entropy")
        counted = _counted(target, ignore)
        weights = _weights(weight, target, counted)
        total.copy_(weights.sum())
        each = each * weights
        if rest is not None:
            each = each * (1.0 - smoothing) - rest * (smoothing / columns)
        loss.copy_(_reduced(where(counted, each, 0.0), total, reduction))  # what is ignored may be infinite
    return None


@kernel_for("cross_entropy_backward")
def _cross_entropy_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    g, x, target, weight, total, lse = (None if t is None else t.detach() for t in inputs)
    reduction, ignore, smoothing = attrs
    assert g is not None and x is not None and target is not None and total is not None and lse is not None
    if not _taken(x, target, weight):
        return NotImplemented
    keep, share, marks, table = 1.0 - smoothing, smoothing / x.shape[1], None, None
    with no_grad():
        counted = _counted(target, ignore)
        factor = (counted.to(_FLOAT32) if smoothing else _weights(weight, target, counted)) * g.to(_FLOAT32)
        if reduction == MEAN:
            factor = factor / total
        if smoothing and weight is not None:
            table, mark = weight.contiguous(), _weights(weight, target, counted) * keep
            marks = (mark + weight.to(_FLOAT32).sum() * share, mark)
        r = _layout(x, 2, 4 + (table is not None))
        if r is None:
            longlosses.row_gradients(outputs[0], x, target, lse, factor, marks, table, smoothing > 0, keep, share)
        else:
            launch(row_gradients, x.contiguous(), target.contiguous(), lse, factor.contiguous(), marks, table, outputs[0], r, smoothing > 0, keep, share,
                   blocks=blocks_for(x.nbytes), name="cross_entropy_backward")
    return None


def _picks(x: Tensor | None, target: Tensor, weight: Tensor | None, r: Rows) -> list[Tensor]:
    """Of each row what x and the weights have for its class: of those that are given."""
    found: list[Any] = [None if t is None else _core.empty((r.rows,), dtype=_FLOAT32, device=target.device) for t in (x, weight)]
    picked, weights = found
    launch(row_picks, None if x is None else x.contiguous(), target.contiguous(), weight, picked, weights, r, blocks=blocks_for(r.rows * r.columns * 4), name="nll_loss")
    return [t for t in found if t is not None]


@kernel_for("nll_loss")
def _nll_loss(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    x, target, weight = (None if t is None else t.detach() for t in inputs)
    reduction, ignore = attrs
    assert x is not None and target is not None
    if not _taken(x, target, weight) or not _legal(target, ignore, x.shape[1]):
        return NotImplemented
    loss, total = outputs
    with no_grad():
        counted = _counted(target, ignore)
        r = _layout(x, 2, 4)
        if r is None:
            picked, each = longlosses.picked(x, target).to(_FLOAT32), _weights(weight, target, counted)
        else:
            picked, *weights = _picks(x, target, weight, r)
            each = counted.to(_FLOAT32) * weights[0] if weights else counted.to(_FLOAT32)
        total.copy_(each.sum())
        found = where(each == 0.0, 0.0, picked * each) * -1.0  # what is ignored may be infinite
        loss.copy_(_reduced(found, total, reduction))
    return None


@kernel_for("nll_loss_backward")
def _nll_loss_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    g, target, weight, total = (None if t is None else t.detach() for t in inputs)
    dx, (reduction, ignore) = outputs[0], attrs[:2]
    assert g is not None and target is not None and total is not None
    if not _taken(dx, target, weight):
        return NotImplemented
    r = _layout(dx, 2, 4)
    with no_grad():
        counted = _counted(target, ignore)
        factor = g.to(_FLOAT32) * -1.0
        if weight is not None and r is not None:
            factor = factor * counted.to(_FLOAT32) * _picks(None, target, weight, r)[0]
        else:
            factor = factor * _weights(weight, target, counted)
        if reduction == MEAN:
            factor = factor / total
        if r is None:
            copies.fill(dx, 0.0)
            elements.put(dx, factor.to(dx.dtype).reshape(-1, 1), target.clamp(0, dx.shape[1] - 1).reshape(-1, 1), add=False, name="nll_loss_backward")
        else:
            launch(row_marks, target.contiguous(), factor.contiguous(), dx, r, blocks=blocks_for(dx.nbytes), name="nll_loss_backward")
    return None


def _legal(target: Tensor, ignore: int, classes: int) -> bool:
    """Whether every class that counts exists: the AI CPU names the first that does not."""
    if target.is_meta or not target.numel():
        return True
    values = wide.on_host(target)
    wrong = ((values < 0) | (values >= classes)) & (values != ignore)
    return not bool(wrong.any().item())

