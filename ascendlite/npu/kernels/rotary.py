"""Rotary position embedding: rows are turned in UB, halves by strides, neighbours by gathering each element's partner and angle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy

from ascendlite.core import Tensor, _core, from_numpy
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import KEPT, kernel_for
from ascendlite.npu.kernels.elementwise import UB_BUDGET, blocks_for
from ascendlite.npu.kernels.rowwise import FLOATS
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import MOST_REPEATS, WIDEST, barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

LANES: Final = 8  # float32 numbers in a block of UB
WIDE: Final = 64  # of a repeat
MOST: Final = 4096  # elements of a tile: its tables of partners and angles take 48 KiB


@dataclass(frozen=True)
class Turn:
    """Rows of `heads` heads of `dim` elements, of which the first 2 * `pairs` turn; all heads of a row have the same angles."""

    rows: int
    heads: int
    dim: int
    pairs: int
    pitch: int  # elements from row to row in UB
    angles: int  # numbers from row to row of the tables in UB
    tile: int  # rows
    period: int  # rows after which the angles come again, whole tiles of them; 0: each row has its own


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def turn_halves(x: Any, cos: Any, sin: Any, out: Any, r: Turn, inverse: bool) -> None:
    """out = (a cos - b sin, b cos + a sin) for the halves a and b of what turns of each head, or with sin negated; the rest as it is."""
    size, blocks = r.tile * r.pitch, r.pitch // LANES
    v, by_cos, by_sin = (scratch(dtypes.f32, size) for _ in range(3))
    c, s = (scratch(dtypes.f32, r.tile * r.angles) for _ in range(2))
    ac.Duplicate(by_cos, 0.0, size)  # also what fills up a row
    heads = [h * r.dim for h in range(r.heads)]
    for t in pipeline(r.rows, r.tile, ins=(x, *_angles(r, cos, sin)), outs=(out,), width=r.heads * r.dim, pitch=r.pitch, align=r.tile):
        _widen((v, c, s), t, r)
        barrier()
        for at, part, lanes in ((h + k, k, min(WIDE, r.pairs - k)) for h in heads for k in range(0, r.pairs, WIDE)):
            a, b, how = at, at + r.pairs, (lanes, t.count, (1, 1, 1, blocks, blocks, r.angles // LANES))
            ac.Mul(by_cos[a:], v[a:], c[part:], *how)
            ac.Mul(by_cos[b:], v[b:], c[part:], *how)
            ac.Mul(by_sin[a:], v[b:], s[part:], *how)
            ac.Mul(by_sin[b:], v[a:], s[part:], *how)
        for at, lanes in ((h + k, min(WIDE, r.dim - k)) for h in heads for k in range(2 * r.pairs, r.dim, WIDE)):
            ac.Adds(by_cos[at:], v[at:], 0.0, lanes, t.count, (1, 1, blocks, blocks))
        barrier()
        for at, lanes in ((h + k, min(WIDE, r.pairs - k)) for h in heads for k in range(0, r.pairs, WIDE)):
            for begin, join in ((at, ac.Add if inverse else ac.Sub), (at + r.pairs, ac.Sub if inverse else ac.Add)):
                join(by_cos[begin:], by_cos[begin:], by_sin[begin:], lanes, t.count, (1, 1, 1, blocks, blocks, blocks))
        barrier()
        if t.outs[0].dtype is dtypes.f32:
            ac.Adds(t.outs[0], by_cos, 0.0, t.count * r.pitch)
        else:
            ac.Cast(t.outs[0], by_cos, "CAST_RINT", t.count * r.pitch)


def _angles(r: Turn, cos: Any, sin: Any) -> tuple[Items, Items]:
    return Items(cos, r.pairs, r.angles, r.period), Items(sin, r.pairs, r.angles, r.period)


def _widen(to: Sequence[Any], t: Any, r: Turn) -> None:
    """Rows and angles in float32."""
    for dst, src, count in zip(to, t.ins, (t.count * r.pitch, t.count * r.angles, t.count * r.angles), strict=True):
        if src.dtype is dtypes.f32:
            ac.Adds(dst, src, 0.0, count)
        else:
            ac.Cast(dst, src, "CAST_NONE", count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def turn_rows(x: Any, cos: Any, sin: Any, places: Any, signs: Any, out: Any, r: Turn) -> None:
    """out = x * cos + partner(x) * sin * sign. `places`: the byte offsets of partners in a tile, then those of angles in a tile of the tables."""
    size, room = r.tile * r.pitch, r.tile * r.angles
    v, partner, c, s = (scratch(dtypes.f32, size) for _ in range(4))
    tables = [scratch(dtypes.f32, room + LANES) for _ in range(2)]
    ac.Duplicate(v, 0.0, size)
    for table, unturned in zip(tables, (1.0, 0.0), strict=True):  # behind the angles: those of elements that do not turn
        ac.Duplicate(table, 0.0, room)
        ac.Duplicate(table[room:], unturned, LANES)
    sign, partners, angles = scratch(dtypes.f32, size), scratch(dtypes.i32, size), scratch(dtypes.i32, size)
    given = ac.GlobalTensor(places)
    for buffer, source in ((sign, ac.GlobalTensor(signs)), (partners, given), (angles, given[size:])):
        ac.DataCopyPad(buffer, source, size)  # there when the first tile is, which is read by the same pipe
    at_partner, at_angle = (index.ReinterpretCast(dtypes.u32) for index in (partners, angles))
    for t in pipeline(r.rows, r.tile, ins=(x, *_angles(r, cos, sin)), outs=(out,), width=r.heads * r.dim, pitch=r.pitch, align=r.tile if r.period else None):
        _widen((v, *tables), t, r)
        barrier()
        n = t.count * r.pitch
        for dst, src, index in ((partner, v, at_partner), (c, tables[0], at_angle), (s, tables[1], at_angle)):
            ac.Gather(dst, src, index, 0, n)
        barrier()
        ac.Mul(s, s, sign, n)
        ac.Mul(c, c, v, n)
        barrier()
        ac.Mul(s, s, partner, n)
        barrier()
        if t.outs[0].dtype is dtypes.f32:
            ac.Add(t.outs[0], c, s, n)
        else:
            ac.Add(c, c, s, n)
            barrier()
            ac.Cast(t.outs[0], c, "CAST_RINT", n)


@lru_cache(maxsize=256)
def _tables(r: Turn, interleaved: bool, inverse: bool, device: Any) -> tuple[Tensor, Tensor]:
    """Where the partner and the angle of each element of a tile lie, in bytes, and the sign of its sine."""
    if device.type == "meta":
        places, signs = (_core.empty((n,), dtype=_core.DTYPE_NAMES[name], device=device) for n, name in ((2 * r.tile * r.pitch, "int32"), (r.tile * r.pitch, "float32")))
        return places, signs
    row, column = numpy.divmod(numpy.arange(r.tile * r.pitch), r.pitch)
    place = column % r.dim
    turns = (place < 2 * r.pairs) & (column < r.heads * r.dim)
    first = place % 2 == 0 if interleaved else place < r.pairs
    step = numpy.where(first, 1, -1) * (1 if interleaved else r.pairs)
    pair = place // 2 if interleaved else place % r.pairs
    partner = (row * r.pitch + column + numpy.where(turns, step, 0)) * 4
    angle = numpy.where(turns, row * r.angles + pair, r.tile * r.angles) * 4
    sign = numpy.where(turns, numpy.where(first != inverse, -1.0, 1.0), 0.0)
    both = numpy.concatenate([partner, angle]).astype(numpy.int32)
    return from_numpy(both).to(device), from_numpy(sign.astype(numpy.float32)).to(device)


KEPT.append(_tables.cache_clear)


def _layout(x: Tensor, cos: Tensor) -> tuple[Turn, tuple[int, ...], tuple[int, ...]] | None:
    """How rows of x are cut, and the sizes of rows that have angles of their own and of the heads in one, which share them."""
    dim, pairs = x.shape[-1], cos.shape[-1]
    lead = x.shape[:-1]
    shared = [n == 1 for n in (*[1] * (len(lead) - cos.ndim + 1), *cos.shape[:-1])]
    heads, cut = 1, len(lead)
    most = MOST // max(dim, 1)
    while cut and (shared[cut - 1] or lead[cut - 1] == 1) and heads * lead[cut - 1] <= most:
        cut -= 1
        heads *= lead[cut]
    rows = math.prod(lead[:cut])
    per_block = 32 // x.itemsize
    pitch = -(-heads * dim // per_block) * per_block
    per_block = 32 // cos.itemsize
    angles = -(-pairs // per_block) * per_block
    each = pitch * (4 * x.itemsize + 28) + angles * (8 * cos.itemsize + 8)
    tile = min(MOST // pitch, UB_BUDGET // each, rows, MOST_REPEATS)
    if tile < 1:
        return None
    first = next((d for d in range(cut) if not shared[d] and lead[d] > 1), cut)
    again = math.prod(lead[first:cut])  # rows after which the angles come again, if those in front share them
    fitting = max(n for n in range(1, tile + 1) if again % n == 0)
    if first == 0 or 2 * fitting < tile or any(shared[d] and lead[d] > 1 for d in range(first, cut)):
        return Turn(rows, heads, dim, pairs, pitch, angles, tile, 0), tuple(lead[:cut]), tuple(lead[cut:])
    return Turn(rows, heads, dim, pairs, pitch, angles, fitting, again), tuple(lead[first:cut]), tuple(lead[cut:])


def _of_rows(t: Tensor, rows: tuple[int, ...], heads: tuple[int, ...], pairs: int) -> Tensor:
    """A table of angles with a row for each of these rows: dims in front that the rows share are left out."""
    t = t.reshape(t.shape[max(0, t.ndim - len(rows) - len(heads) - 1) :])
    return t.expand(*rows, *(1 for _ in heads), pairs).contiguous()


@kernel_for("rope")
def _rope(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    x, cos, sin = (t.detach() for t in inputs)
    out = outputs[0]
    if x.dtype.name not in FLOATS or cos.dtype.name not in FLOATS or not x.numel() or not cos.shape[-1] or not out.is_contiguous():
        return NotImplemented
    found = _layout(x, cos)
    if found is None:
        return NotImplemented
    r, rows, heads = found
    cos, sin = (_of_rows(t, rows, heads, r.pairs) for t in (cos, sin))
    if not attrs[0] and r.dim % LANES == 0 and r.pairs % LANES == 0 and r.pitch <= WIDEST:
        launch(turn_halves, x.contiguous(), cos, sin, out, r, bool(attrs[1]), blocks=blocks_for(x.nbytes), name="rope")
        return None
    places, signs = _tables(r, bool(attrs[0]), bool(attrs[1]), x.device)
    launch(turn_rows, x.contiguous(), cos, sin, places, signs, out, r, blocks=blocks_for(x.nbytes), name="rope")
    return None
