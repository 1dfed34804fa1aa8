"""Losses of rows that do not fit the unified buffer: a core streams a row in parts, twice where all its classes count.

A few very long rows are reductions and element-wise passes in float32: each a kernel of the device, the values between them in its memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import longrows, streams
from ascendlite.npu.kernels.elementwise import as_int32
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.row_parts import RowParts, Stream, Totals, fold, lanes, narrowed, relu_less, spread, widened
from ascendlite.npu.lang.rows import LANES, barrier
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch
from ascendlite.ops.movement import cat

Tensors = tuple[Any, ...]
f32 = dtypes.f32
_FLOAT32, _INT32 = _core.DTYPE_NAMES["float32"], _core.DTYPE_NAMES["int32"]


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def loss_parts(x: Any, weight: Any, lse: Any, rest: Any, n: int, columns: int, part: int) -> None:
    """lse = the logarithm of the sum of exponentials of each row, rest = the sum of weight (x - lse) where it is asked for."""
    rows, source, target = RowParts(n, columns, part), Stream((x,), (), part, passes=1 if rest is None else 2), Stream((), (lse,), 1)
    e, total = streams.Exponentials(part), None if rest is None else lanes()
    table = [] if weight is None else [Stream((weight,), (), part, shared=True)]
    sums = [] if rest is None else [Stream((), (rest,), 1)]
    for row in rows:
        e.of(rows, row, source)
        ac.Ln(e.sum, e.sum, LANES)
        barrier()
        for o in rows.number(row, target):
            ac.Add(o.outs[0], e.peak, e.sum, 1)
        if total is None:
            continue
        ac.Add(e.peak, e.peak, e.sum, LANES)
        ac.Duplicate(total, 0.0, LANES)
        barrier()
        for t, *more in rows.parts(row, 1, source, *table):
            spread(ac.Sub, e.w, widened(e.w, t.ins[0], t.count), e.peak, t.count)
            if more:
                ac.Mul(e.w, e.w, more[0].ins[0], t.count)
                barrier()
            fold(ac.Add, total, e.w, t.count)
        e.totals.all("SUM", total)
        for o in rows.number(row, sums[0]):
            ac.Adds(o.outs[0], total, 0.0, 1)
    rows.close(source, target, *table, *sums)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def gradient_parts(x: Any, target: Any, lse: Any, factor: Any, marks: Any, table: Any, dx: Any, n: int, columns: int, part: int, smooth: bool, keep: float,
                   share: float) -> None:  # fmt: skip
    """As losses.row_gradients. 1 - |column - target|, cut at 0, is the one-hot row."""
    rows, source, to = RowParts(n, columns, part), Stream((x,), (), part), Stream((), (dx,), part)
    picks, numbers = Stream((target,), (), 1), Stream([t for t in (lse, factor, *(marks or ())) if t is not None], (), 1)
    shared = [] if table is None else [Stream((table,), (), part, shared=True)]
    w, hit, column, totals = scratch(f32, part), scratch(f32, part), scratch(f32, part), Totals()
    logs, scale, place, one, whole = lanes(), lanes(), lanes(), lanes(1.0), scratch(dtypes.i32, 8)
    more = [] if marks is None else [lanes(), lanes()]
    ac.CreateVecIndex(column, 0.0, part)
    for row in rows:
        for t in rows.number(row, picks):
            ac.Cast(whole, t.ins[0], "CAST_NONE", 1)
            barrier()
            ac.Cast(totals.stat, whole, "CAST_NONE", 1)
            barrier()
            totals.every(place)
        for t in rows.number(row, numbers):
            for k, to_lanes in enumerate((logs, scale, *more)):
                ac.Adds(totals.stat, t.ins[k], 0.0, 1)
                barrier()
                totals.every(to_lanes)
        for t, o, *tables in rows.parts(row, 0, source, to, *shared):
            spread(ac.Sub, w, widened(w, t.ins[0], t.count), logs, t.count)
            ac.Exp(w, w, t.count)
            spread(ac.Sub, hit, column, place, t.count)
            ac.Abs(hit, hit, t.count)
            barrier()
            spread(relu_less, hit, hit, one, t.count)
            if more:
                spread(ac.Mul, w, w, more[0], t.count, settled=False)
                spread(ac.Mul, hit, hit, more[1], t.count)
                ac.Axpy(w, tables[0].ins[0], -share, t.count)
                barrier()
            elif smooth:
                ac.Muls(hit, hit, keep, t.count)
                ac.Adds(w, w, -share, t.count)
                barrier()
            ac.Sub(w, w, hit, t.count)
            ac.Adds(place, place, -float(part), LANES)
            barrier()
            spread(ac.Mul, w, w, scale, t.count)
            narrowed(o.outs[0], w, t.count)
    rows.close(source, to, picks, numbers, *shared)


# -- what is launched


def _deliver(outputs: Tensors, results: Tensors) -> None:
    for out, result in zip(outputs, results, strict=True):
        if out is not None:
            out.detach().copy_(result.reshape(out.shape))


def _places(target: Tensor, classes: int) -> Tensor:
    """Where the logit of each row's class lies, counted over the whole matrix; that of an ignored class, within its row."""
    rows = target.shape[0]
    starts = _core.arange(0, rows * classes, classes, dtype=_INT32, device=target.device)
    return starts + as_int32(target).clamp(0, classes - 1)


def _parts(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """(first, count) of runs of rows whose elements int32 positions can name."""
    step = max(1, longrows.MOST // columns)
    return ((first, min(step, rows - first)) for first in range(0, rows, step))


def picked(x: Tensor, target: Tensor) -> Tensor:
    """The number of each row's class."""
    rows, columns = x.shape
    found = [
        x.narrow(0, first, count).reshape(-1, 1).index_select(0, _places(target.narrow(0, first, count), columns)).reshape(-1)
        for first, count in _parts(rows, columns)
    ]
    return found[0] if len(found) == 1 else cat(found)


def row_losses(each: Tensor, lse: Tensor, rest: Tensor | None, x: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """log sum exp of each row, that less the logit of the row's class, and the sum of weight (x - lse) over its classes."""
    size = longrows.streamed(x, x.shape[-1]) if lse.is_contiguous() else None
    with no_grad():
        v = x.detach() if size else x.detach().to(_FLOAT32)
        weight = None if weight is None else weight.to(_FLOAT32)
        if size:
            logs, part = lse.detach(), streams.part_of(x.itemsize + 4 * (weight is not None), 4)
            launch(loss_parts, v.contiguous(), weight, logs, rest, *size, part, blocks=longrows.blocks_of(x, size[1]), name="cross_entropy")
        else:
            peak = v.amax(-1, keepdim=True)
            logs = (v - peak).exp().sum(-1).log() + peak.reshape(-1)
            if rest is not None:
                less = v - logs.reshape(-1, 1)
                rest.copy_((less if weight is None else less * weight).sum(-1))
        _deliver((None if size else lse, each), (logs, logs - picked(v, target).to(_FLOAT32)))


def row_gradients(dx: Tensor, x: Tensor, target: Tensor, lse: Tensor, factor: Tensor, marks: tuple[Tensor, Tensor] | None, table: Tensor | None,
                  smooth: bool, keep: float, share: float) -> None:  # fmt: skip
    """As losses.row_gradients."""
    size = longrows.streamed(x, x.shape[-1])
    table = None if table is None else table.to(_FLOAT32)
    if size and dx.is_contiguous():
        part = streams.part_of(2 * x.itemsize + 4 * (table is not None), 12)
        launch(gradient_parts, *(t.detach().contiguous() for t in (x, target, lse, factor)), marks, table, dx.detach(), *size, part, smooth, keep, share,
               blocks=longrows.blocks_of(x, size[1]), name="cross_entropy_backward")
        return
    with no_grad():
        each = factor.reshape(-1, 1)
        p = (x.detach().to(_FLOAT32) - lse.detach().reshape(-1, 1)).exp()
        if marks is not None and table is not None:
            p = p * marks[0].reshape(-1, 1) - table * share
        elif smooth:
            p = p - share
        hit = each * (keep if marks is None else marks[1].reshape(-1, 1))
        p = p * each
        for first, count in _parts(*x.shape):
            places = _places(target.narrow(0, first, count), x.shape[1])
            p.narrow(0, first, count).reshape(-1, 1).index_add_(0, places, -hit.narrow(0, first, count))
        _deliver((dx,), (p,))
