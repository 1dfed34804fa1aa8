"""Reading and writing by index: rows by number through GM, elements of a row by Gather, few elements a row set or added by comparison.

Sums are made in the order of the indices, whatever the number of cores: the same bits every time.
"""

from __future__ import annotations

import math
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import elements, kernel_for, longpicks, longrows, tables
from ascendlite.npu.kernels.elementwise import UB_BUDGET, blocks_for
from ascendlite.npu.kernels.rowwise import FLOATS, Rows, Work, f32, rows_of
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Tensor, ...]
SET, SUM = 0, 1  # modes of ops.scatter that are taken here
MOST_SCATTERED: Final = 16  # elements of a row: each is one pass over it
MOST_BY_ONE: Final = 4096  # elements of the only row: each is one transfer
FEW: Final = 256  # one element of so many of a row is read by itself
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
_GATHERED: Final = ("float32", "float16", "bfloat16", "int32", "int16")


# -- rows


def _one_index(x: Tensor, indices: Tensors, slots: tuple[int, ...], front: int, wrap: int) -> tuple[Tensor, list[int], int, int, int] | None:
    """(index, permutation of x, front positions, rows, columns) of a read or write by one index: several are joined where they lie side by side."""
    dims = [d for d, slot in enumerate(slots) if slot >= 0]
    if not x.numel() or not indices[0].numel():
        return None
    order = [*range(front), *dims, *(d for d in range(front, x.ndim) if slots[d] < 0)]
    if len(set(order)) != x.ndim:
        return None
    index = indices[slots[dims[0]]].detach()
    for d in dims[1:]:
        low = indices[slots[d]].detach()
        if wrap:
            index, low = (t.where(t >= 0, t + n) for t, n in ((index, math.prod(x.shape[k] for k in dims[: dims.index(d)])), (low, x.shape[d])))
        if not tables.in_range(low, x.shape[d]) or not tables.in_range(index, math.prod(x.shape[k] for k in dims[: dims.index(d)])):
            return None
        index = index * x.shape[d] + low
    fronts = math.prod(x.shape[d] for d in range(front))
    rows = math.prod(x.shape[d] for d in dims)
    if not wrap and not index.is_meta and not tables.not_negative(index):
        return None
    return index, order, fronts, rows, x.numel() // (fronts * rows)


def _read(outputs: Tensors, x: Tensor, indices: Tensors, attrs: tuple[Any, ...]) -> Any:
    slots, front, wrap = attrs
    with no_grad():
        found = _one_index(x, indices, tuple(slots), int(front), int(wrap))
        if found is None or not outputs[0].numel():
            return NotImplemented
        index, order, fronts, rows, columns = found
        return tables.take(outputs[0], x.detach().permute(*order).contiguous(), index, fronts, rows, columns, "index")


def _write(outputs: Tensors, x: Tensor, values: Tensor, indices: Tensors, attrs: tuple[Any, ...]) -> Any:
    slots, front, accumulate, wrap = attrs
    y = outputs[0].detach()
    with no_grad():
        found = _one_index(x, indices, tuple(slots), int(front), int(wrap))
        if found is None or not values.numel() or values.dtype is not x.dtype:
            return NotImplemented
        index, order, fronts, rows, columns = found
        turned = order != [*range(x.ndim)] or not y.is_contiguous()
        table = y.new_empty([x.shape[d] for d in order]) if turned else y
        if not tables.takes(table, index, columns, bool(accumulate)) or not tables.in_range(index, rows):
            return NotImplemented
        if turned or y.data_ptr() != x.data_ptr():  # otherwise it is written in place
            table.copy_(x.detach().permute(*order))
        tables.put(table, values.detach(), index, fronts, rows, columns, "index_put", add=bool(accumulate))
        if turned:
            y.permute(*order).copy_(table)
    return None


@kernel_for("index")
def _index(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return _read(outputs, inputs[0], inputs[1:], attrs)


@kernel_for("index_many")
def _index_many(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return _read(outputs, inputs[0], inputs[1:], attrs)


@kernel_for("index_put")
def _index_put(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return _write(outputs, inputs[0], inputs[1], inputs[2:], attrs)


@kernel_for("index_put_many")
def _index_put_many(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return _write(outputs, inputs[0], inputs[1], inputs[2:], attrs)


# -- elements of rows


class Places:
    """Byte offsets of `each` elements a row in a tile of rows `pitch` elements apart."""

    def __init__(self, rows: int, each: int, pitch: int, size: int) -> None:
        most = -(-rows * each // 64) * 64
        self.size = size
        self.starts, self.offsets = scratch(dtypes.i32, most), scratch(dtypes.i32, most)
        number = scratch(f32, most)
        ac.CreateVecIndex(number, 0.5, most)
        barrier()
        ac.Muls(number, number, 1.0 / each, most)
        barrier()
        ac.Cast(self.starts, number, "CAST_FLOOR", most)  # the row of each element
        barrier()
        ac.Muls(self.starts, self.starts, pitch * size, most)

    def of(self, columns: Any, count: Any) -> Any:
        """The offsets of elements by their columns (int64 or int32)."""
        if columns.dtype is dtypes.i32:
            ac.Muls(self.offsets, columns, self.size, count)
        else:
            ac.Cast(self.offsets, columns, "CAST_NONE", count)
            barrier()
            ac.Muls(self.offsets, self.offsets, self.size, count)
        barrier()
        ac.Add(self.offsets, self.offsets, self.starts, count)
        barrier()
        return self.offsets.ReinterpretCast(dtypes.u32)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def gather_rows(x: Any, index: Any, out: Any, r: Rows, each: int) -> None:
    """out[i, k] = x[i, index[i, k]]."""
    source = ac.GlobalTensor(x)
    places = Places(r.tile, each, r.pitch, source.dtype.itemsize)
    wide_rows = Items(x, r.columns, r.pitch)
    for t in pipeline(r.rows, r.tile, ins=(wide_rows, Items(index, each, each)), outs=(Items(out, each, each),), align=8):
        n = t.count * each
        ac.Gather(t.outs[0], t.ins[0][: t.count * r.pitch], places.of(t.ins[1], n), 0, n)


def _gather_layout(rows: int, columns: int, each: int, size: int) -> Rows | None:
    pitch = -(-columns * size // 32) * 32 // size
    room = 2 * (pitch * size + each * (8 + size)) + 12 * each
    tile = min((UB_BUDGET - 4096) // room, max(1, -(-rows // 8) * 8))
    return Rows(rows, columns, pitch, tile // 8 * 8 or tile) if tile else None


@kernel_for("gather")
def _gather(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    x, index, dim = inputs[0].detach(), inputs[1].detach(), int(attrs[0])
    y = outputs[0].detach()
    if x.dtype.name not in tables.MOVED or not index.numel() or not x.numel() or not tables.not_negative(index) or not tables.in_range(index, x.shape[dim]):
        return NotImplemented
    with no_grad():
        for d in range(x.ndim):
            if d != dim and x.shape[d] != index.shape[d]:
                x = x.narrow(d, 0, index.shape[d])
        x, index = (t.transpose(dim, -1).contiguous() for t in (x, index))
        r = _gather_layout(index.numel() // index.shape[-1], x.shape[-1], index.shape[-1], x.itemsize) if x.dtype.name in _GATHERED else None
        if r is None:
            return _gather_long(y, x, index, dim)
        last = dim == y.ndim - 1 and y.is_contiguous()
        found = y if last else _core.empty(tuple(index.shape), dtype=y.dtype, device=y.device)
        launch(gather_rows, x, index, found, r, index.shape[-1], blocks=blocks_for(x.nbytes), name="gather")
        if not last:
            y.copy_(found.transpose(dim, -1))
    return None


def _gather_long(y: Tensor, x: Tensor, index: Tensor, dim: int) -> Any:
    """Picks from rows that do not fit, or of formats that Gather does not know: few of each row one by one, many from parts of it.

    The dim is the last one of x and index.
    """
    n, each = x.shape[-1], index.shape[-1]
    if (each * FEW <= n or x.dtype.name not in _GATHERED) and x.numel() < longrows.MOST:
        if x.numel() > n:
            index = index + _core.arange(0, x.numel(), n, dtype=index.dtype, device=x.device).reshape(*x.shape[:-1], 1)
        found = x.reshape(-1, 1).index_select(0, index.reshape(-1)).reshape(index.shape)
    elif x.dtype.name in (*FLOATS, "int16") and n < longpicks.EXACT:
        found = _core.empty(tuple(index.shape), dtype=_FLOAT32, device=x.device)
        longpicks.gather(x.to(_FLOAT32), index, found)
    else:
        return NotImplemented
    y.copy_(found.transpose(dim, -1))
    return None


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def scatter_rows(x: Any, index: Any, values: Any, out: Any, r: Rows, each: int, add: bool) -> None:
    """out[i] = x[i], and out[i, index[i, k]] = or += values[i, k] for k in turn. The vector core has no scatter: columns are compared."""
    work = Work(r)
    w, changed, columns = work.tile(), work.tile(), work.tile()
    whole = -(-work.size // 64) * 64
    gap, bits = scratch(f32, whole), scratch(dtypes.u8, whole // 8)
    ac.Duplicate(gap, 1.0, whole)
    ac.CreateVecIndex(columns, 0.0, r.pitch)
    barrier()
    for k in range(1, r.tile):
        ac.Adds(columns[k * r.pitch :], columns, 0.0, r.pitch)
    column, value, number = work.new_stat(), work.new_stat(), scratch(dtypes.i32, -(-r.tile // 8) * 8)
    places, numbers = Places(r.tile, 1, each, 4), scratch(dtypes.i32, -(-r.tile * each // 8) * 8)
    place, items = scratch(dtypes.i32, -(-r.tile // 8) * 8), scratch(f32, -(-r.tile * each // 8) * 8)
    small = (Items(index, each, each), Items(values, each, each))
    for t in pipeline(r.rows, r.tile, ins=(x, *small), outs=(out,), width=r.columns, pitch=r.pitch, align=8):
        n = t.count * each
        ac.Cast(numbers, t.ins[1], "CAST_NONE", n)
        if t.ins[2].dtype is f32:
            ac.Adds(items, t.ins[2], 0.0, n)
        else:
            ac.Cast(items, t.ins[2], "CAST_NONE", n)
        v = work.widen(w, t.ins[0], t.count)
        if v is not w:
            ac.Muls(w, v, 1.0, t.count * r.pitch)
        for k in range(each):
            ac.Adds(place, places.starts, k * 4, t.count)
            barrier()
            ac.Gather(number, numbers[:n], place.ReinterpretCast(dtypes.u32), 0, t.count)
            ac.Gather(value, items[:n], place.ReinterpretCast(dtypes.u32), 0, t.count)
            barrier()
            ac.Cast(column, number, "CAST_NONE", t.count)
            barrier()
            work.combine(ac.Sub, gap, columns, column, t.count)
            ac.CompareScalar(bits, gap, 0.0, "EQ", whole)
            if add:
                work.combine(ac.Add, changed, w, value, t.count)
            else:
                ac.Duplicate(changed, 1.0, t.count * r.pitch)
                work.combine(ac.Mul, changed, changed, value, t.count)
            ac.Select(w, bits, changed, w, "VSEL_TENSOR_TENSOR_MODE", t.count * r.pitch)
            barrier()
        work.narrow(t.outs[0], w, t.count)


def _scatter(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    x, index, values = (t.detach() for t in inputs)
    dim, mode = attrs
    y = outputs[0].detach()
    if mode not in (SET, SUM) or values.dtype is not x.dtype or not index.numel() or index.dtype.name != "int64":
        return NotImplemented
    if not tables.not_negative(index) or not tables.in_range(index, x.shape[dim] if x.ndim else 1):
        return NotImplemented
    with no_grad():
        if x.ndim == 1 and x.dtype.name in FLOATS and MOST_SCATTERED < index.numel() <= MOST_BY_ONE:
            y.copy_(x)
            return tables.put(y, values.narrow(0, 0, index.numel()), index, 1, x.shape[0], 1, "scatter", add=mode == SUM)
        if _scatter_rows(y, x, index, values, dim, mode == SUM) is not NotImplemented:
            return None
        return _scatter_elements(y, x, index, values, dim, mode == SUM)


def _scatter_rows(y: Tensor, x: Tensor, index: Tensor, values: Tensor, dim: int, add: bool) -> Any:
    """Few elements of each row, in float32."""
    each = index.shape[dim] if x.ndim else 1
    if x.dtype.name not in FLOATS or not x.ndim or each > MOST_SCATTERED or any(d != dim and x.shape[d] != index.shape[d] for d in range(x.ndim)):
        return NotImplemented
    x, index, values = (t.transpose(dim, -1).contiguous() for t in (x, index, _corner(values, index)))
    r = rows_of(x.numel() // x.shape[-1], x.shape[-1], x.itemsize, 2, 4 + -(-30 * each // (4 * x.shape[-1])))
    if r is None or r.pitch > 2040:
        return NotImplemented
    last = dim == y.ndim - 1 and y.is_contiguous()
    found = y if last else _core.empty(tuple(x.shape), dtype=y.dtype, device=y.device)
    launch(scatter_rows, x, index, values, found, r, each, add, blocks=blocks_for(x.nbytes), name="scatter")
    if not last:
        y.copy_(found.transpose(dim, -1))
    return None


def _corner(t: Tensor, like: Tensor) -> Tensor:
    """The first elements of each dim, as many as `like` has."""
    for d in range(t.ndim):
        if t.shape[d] != like.shape[d]:
            t = t.narrow(d, 0, like.shape[d])
    return t


def _scatter_elements(y: Tensor, x: Tensor, index: Tensor, values: Tensor, dim: int, add: bool) -> Any:
    """Each element by a transfer of its own, where the cores share enough rows that this is faster than the AI CPU."""
    if not x.ndim or not elements.takes(y, index.numel() // index.shape[dim], index.shape[dim], add):
        return NotImplemented
    y.copy_(x)
    part = y
    for d in range(y.ndim):
        if d != dim and y.shape[d] != index.shape[d]:
            part = part.narrow(d, 0, index.shape[d])
    turned = part.transpose(dim, -1)
    found = turned.contiguous()
    elements.put(found, _corner(values, index).transpose(dim, -1), index.transpose(dim, -1), add=add, name="scatter")
    if not turned.is_contiguous():
        turned.copy_(found)
    return None


kernel_for("scatter", "scatter_reduce")(_scatter)
