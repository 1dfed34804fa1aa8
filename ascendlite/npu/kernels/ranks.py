"""sort, topk and kthvalue: rows are sorted 32 numbers at a time (Sort32) and merged four lists at a time (MrgSort), stable, NaN as the largest.

Long rows are sorted through the card's memory (longsort), integers by parts of their bits.
"""

from __future__ import annotations

import math
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import kernel_for, longsort
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.kernels.rowwise import FLOATS, Rows, f32
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Tensor, ...]
LIST: Final = 32  # numbers that one Sort32 orders
LISTS: Final = 4  # that one MrgSort merges
LONGEST: Final = 2048  # numbers of a row: values, places, two buffers of pairs and what streams take 152 of 184 KiB
MOST_OF_PART: Final = LONGEST // 4  # numbers of a longer row that are looked for: each round leaves a quarter or less
EXACT: Final = 1 << 24  # places that float32 holds
# Bits of integers by which they are sorted in turn, each a whole number of float32; 0: all.
INTEGERS: Final[dict[str, tuple[int, ...]]] = {
    "int8": (0,), "uint8": (0,), "int16": (0,), "int32": (0xFFFF, -1 << 16), "int64": (0xFFFFFF, 0xFFFFFF << 24, -1 << 48),
}  # fmt: skip
_FLOAT16 = _core.DTYPE_NAMES["float16"]
_FLOAT32, _INT64 = _core.DTYPE_NAMES["float32"], _core.DTYPE_NAMES["int64"]


def _merge(src: Any, dst: Any, count: int, keep: int) -> Any:
    """The first `keep` pairs of `count` sorted lists, in one of the two buffers: each level merges four lists into one."""
    lengths, stride = [min(LIST, keep)] * count, LIST
    while len(lengths) > 1:
        merged = []
        for g in range(0, len(lengths), LISTS):
            part, at = lengths[g : g + LISTS], g * stride * 2
            if len(part) > 1:
                ac.MrgSort(dst[at:], [src[at + j * stride * 2 :] for j in range(len(part))], part)
            else:
                ac.DataCopy(dst[at:], src[at:], -(-part[0] // 4) * 8)
            merged.append(min(sum(part), keep))
        barrier()
        lengths, stride, src, dst = merged, stride * LISTS, dst, src
    return src


def _part(values: Any, places: Any, pairs: Any, count: int) -> None:
    """The values and the places of the first `count` pairs; what Extract does for whole lists."""
    ac.GatherMask(values, pairs, 1, 2 * count)
    ac.GatherMask(places, pairs.ReinterpretCast(dtypes.u32), 2, 2 * count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def rank_rows(x: Any, values: Any, indices: Any, r: Rows, k: int, rising: bool) -> None:
    """The first k of each row in falling or rising order, with their places.

    Rising: the row is turned around, sorted falling, and read from its end; so equal numbers keep their order, and NaN comes last.
    """
    n, padded = r.columns, -(-r.columns // LIST) * LIST
    w, number = scratch(f32, r.tile * padded), scratch(dtypes.i32, r.tile * padded)
    a, b = (scratch(f32, r.tile * padded * 2) for _ in (0, 1))
    best, place = scratch(f32, padded), scratch(dtypes.u32, padded)
    line, back, turned = scratch(f32, padded), scratch(dtypes.i32, padded), scratch(dtypes.i32, padded)
    ac.Duplicate(w, -math.inf, r.tile * padded)
    for row in range(r.tile):
        ac.ArithProgression(number[row * padded :], n - 1 if rising else 0, -1 if rising else 1, padded)
    ac.ArithProgression(back, 4 * (n - 1), -4, padded)
    outs = tuple(Items(t, k, -(-k * t.itemsize // 32) * 32 // t.itemsize) for t in (values, indices))
    for t in pipeline(r.rows, r.tile, ins=(x,), outs=outs, width=n, pitch=r.pitch, align=1):
        for i in ac.range(t.count):
            longsort.load_row(w[i * padded :], t.ins[0][i * r.pitch :], line, back if rising else None, n)
        barrier()
        ac.Sort32(a, w, number.ReinterpretCast(dtypes.u32), t.count * (padded // LIST))
        barrier()
        for i in ac.range(t.count):
            first, second = a[i * padded * 2 :], b[i * padded * 2 :]
            keep = n if rising else k
            _part(best, place, _merge(first, second, padded // LIST, keep), keep)
            barrier()
            found, where = best, place.ReinterpretCast(dtypes.i32)
            if rising:
                ac.Gather(line, best[:n], back.ReinterpretCast(dtypes.u32), 0, k)
                ac.Gather(turned, where[:n], back.ReinterpretCast(dtypes.u32), 0, k)
                barrier()
                found, where = line, turned
            value_out, index_out = (o[i * item.pitch :] for o, item in zip(t.outs, outs, strict=True))
            if value_out.dtype is f32:
                ac.Muls(value_out, found, 1.0, k)
            else:
                ac.Cast(value_out, found, "CAST_RINT", k)
            ac.Cast(index_out, where, "CAST_NONE", k)


def _rank(x: Tensor, dim: int, k: int, rising: bool, into: Tensors = ()) -> tuple[Tensor, Tensor] | None:
    """(values, places) of the first k along a dim, that dim last; None if it is not taken. Written `into` two tensors if they lie as they should."""
    if not x.numel() or not k or not x.ndim:
        return None
    if x.dtype.name in INTEGERS:
        return _rank_integers(x.detach().transpose(dim, -1).contiguous(), k, rising)
    if x.dtype.name not in FLOATS:
        return None
    x = x.detach().transpose(dim, -1).contiguous()
    n = x.shape[-1]
    shape, name = (*x.shape[:-1], k), "sort" if k == n else "topk"
    if n > LONGEST and k <= MOST_OF_PART:
        return _rank_parts(x, k, rising)
    if n >= longsort.EXACT:
        return None
    direct = bool(into) and all(tuple(t.shape) == shape and t.is_contiguous() for t in into)
    values, places = (t.detach() for t in into) if direct else (_core.empty(shape, dtype=t, device=x.device) for t in (x.dtype, _INT64))
    if n > LONGEST:
        longsort.rank(x, values, places, rising, name)
        return values, places
    padded = -(-n // LIST) * LIST
    per_block = 32 // x.itemsize
    tile = max(1, min(x.numel() // n, LONGEST // padded, 64))
    r = Rows(x.numel() // n, n, -(-n // per_block) * per_block, tile)
    launch(rank_rows, x, values, places, r, k, rising, blocks=min(blocks_for(x.nbytes), r.rows), name=name)
    return values, places


def _rank_integers(x: Tensor, k: int, rising: bool) -> tuple[Tensor, Tensor] | None:
    """The first k of rows of integers: sorted by one part of their bits after the other, the lowest first, each a whole number of float32.

    As each sort is stable, the last one leaves those that are equal in its part in the order of the parts before.
    """
    last, n, masks = x.ndim - 1, x.shape[-1], INTEGERS[x.dtype.name]
    keys = [(x & mask if mask else x).to(_FLOAT32) for mask in masks]
    order: Tensor | None = None
    for i in range(len(keys)):
        found = _rank(keys[i], last, k if i == len(keys) - 1 else n, rising)
        if found is None:
            return None
        keys = [found[0] if j == i else key.gather(last, found[1]) for j, key in enumerate(keys)]
        order = found[1] if order is None else order.to(_FLOAT32).gather(last, found[1]).to(_INT64)
    value = (keys[0].to(_FLOAT16) if x.itemsize == 1 else keys[0]).to(x.dtype)  # as the vector core casts to 8 bits
    for key in keys[1:]:
        value = value + key.to(x.dtype)
    return (value, order) if order is not None else None


def _rank_parts(x: Tensor, k: int, rising: bool) -> tuple[Tensor, Tensor] | None:
    """The first k of long rows: those of each part, and of these again, as often as they are too many.

    Equal numbers keep their order, as parts do. What fills the last part up comes after everything else: NaN where rising, else -inf.
    """
    n, parts = x.shape[-1], -(-x.shape[-1] // LONGEST)
    rows = x.numel() // n
    if parts * LONGEST >= EXACT:
        return None
    filled = _core.full((rows, parts * LONGEST), math.nan if rising else -math.inf, dtype=x.dtype, device=x.device)
    filled.narrow(1, 0, n).copy_(x.reshape(rows, n))
    found = _rank(filled.reshape(rows, parts, LONGEST), 2, k, rising)
    if found is None:
        return None
    starts = _core.arange(0, parts * LONGEST, LONGEST, dtype=_FLOAT32, device=x.device).reshape(1, parts, 1)
    places = (found[1].to(_FLOAT32) + starts).reshape(rows, parts * k)
    best = _rank(found[0].reshape(rows, parts * k), 1, k, rising)
    if best is None:
        return None
    chosen = places.gather(1, best[1]).to(_INT64)
    return best[0].reshape(*x.shape[:-1], k), chosen.reshape(*x.shape[:-1], k)


def _last(outputs: Tensors, dim: int) -> Tensors:
    """The outputs, if the dim is their last one."""
    return outputs if dim == outputs[0].ndim - 1 else ()


def _deliver(outputs: Tensors, found: tuple[Tensor, Tensor] | None, dim: int, begin: int = 0) -> Any:
    if found is None:
        return NotImplemented
    for out, value in zip(outputs, found, strict=True):
        if out.data_ptr() == value.data_ptr():
            continue
        turned = value[..., begin:].transpose(dim, -1)
        out.detach().copy_(turned if turned.shape == out.shape else turned.reshape(out.shape))
    return None


@kernel_for("sort")
def _sort(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    dim, falling = int(attrs[0]), bool(attrs[1])
    with no_grad():
        return _deliver(outputs, _rank(inputs[0], dim, inputs[0].shape[dim] if inputs[0].ndim else 0, not falling, _last(outputs, dim)), dim)


@kernel_for("topk")
def _topk(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    dim, largest, k = int(attrs[0]), bool(attrs[1]), int(attrs[2])
    with no_grad():
        return _deliver(outputs, _rank(inputs[0], dim, k, not largest, _last(outputs, dim)), dim)


@kernel_for("kthvalue")
def _kthvalue(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    dim, k = int(attrs[0]), int(attrs[1])
    with no_grad():
        return _deliver(outputs, _rank(inputs[0], dim, k, True), dim, k - 1)
