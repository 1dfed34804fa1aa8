"""Arithmetic of a tensor and a smaller one that is repeated: the vector unit's strides repeat it in UB, so that it is never written out whole.

Of a result of O x M x C an operand has all of it, a number for each (o, m), or a row of C for each o; or there is one row for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from ascendlite.core import DType, Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import POINTWISE, elementwise
from ascendlite.npu.kernels.elementwise import UB_BUDGET, blocks_for
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import LANES, MOST_REPEATS, WIDEST, barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

OPS: Final[dict[str, Callable[..., None]]] = {"add": ac.Add, "sub": ac.Sub, "mul": ac.Mul, "div": ac.Div}
WHOLE, NUMBER, ROW, ONE_ROW = "whole", "number", "row", "one row"
MOST_MIDDLE: Final = 16  # rows of a group that are worked on one by one
MOST_KEPT: Final = 4096  # forms of calls
f32 = dtypes.f32


@dataclass(frozen=True)
class Spread:
    """A result of `outer` x `middle` x `columns`, `tile` of the outer at a time; what the two operands have of it."""

    outer: int
    middle: int
    columns: int
    tile: int
    kinds: tuple[str, str]

    def width(self, kind: str) -> int:
        """Elements of an operand for one of the outer."""
        return {WHOLE: self.middle * self.columns, NUMBER: self.middle, ROW: self.columns, ONE_ROW: 0}[kind]


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def spread(a: Any, b: Any, out: Any, op: str, s: Spread) -> None:
    """out = op(a, b)."""
    rows, blocks = s.tile * s.middle, s.columns // 8
    numbers = [scratch(f32, -(-rows // 8) * 64) if kind == NUMBER else None for kind in s.kinds]
    streamed = [Items(x, s.width(kind), s.width(kind)) for x, kind in zip((a, b), s.kinds, strict=True) if kind != ONE_ROW]
    lone = [_row(x, s.columns) if kind == ONE_ROW else None for x, kind in zip((a, b), s.kinds, strict=True)]
    whole = Items(out, s.middle * s.columns, s.middle * s.columns)
    for t in pipeline(s.outer, s.tile, ins=streamed, outs=(whole,), align=8):
        tiles, ins = list(lone), iter(t.ins)
        for k, kind in enumerate(s.kinds):
            if kind == NUMBER:
                tiles[k] = room = cast(Any, numbers[k])
                ac.Brcb(room, next(ins), ac.CeilDiv(t.count * s.middle, 8), (1, 8))
            elif kind != ONE_ROW:
                tiles[k] = next(ins)
        if NUMBER in s.kinds:
            barrier()
        if ROW in s.kinds:
            for m in range(s.middle):
                _combine(OPS[op], t.outs[0], tiles, s, m, t.count, s.middle * blocks)
        else:
            _combine(OPS[op], t.outs[0], tiles, s, 0, t.count * s.middle, blocks)


def _row(x: Any, columns: int) -> Any:
    """A row that all tiles need. It is there when the first tile is, which is read by the same pipe."""
    room = scratch(f32, columns)
    ac.DataCopyPad(room, ac.GlobalTensor(x), columns)
    return room


def _combine(op: Callable[..., None], out: Any, tiles: list[Any], s: Spread, m: int, rows: Any, pitch: int) -> None:
    """`rows` rows, `pitch` blocks apart in the result, from row m on."""
    blocks = s.columns // 8
    step = s.middle if ROW in s.kinds else 1  # rows from one to the next
    strides = {WHOLE: (1, pitch), NUMBER: (0, step), ROW: (1, blocks), ONE_ROW: (1, 0)}
    begin = {WHOLE: m * s.columns, NUMBER: m * 8, ROW: 0, ONE_ROW: 0}
    (block_a, repeat_a), (block_b, repeat_b) = (strides[kind] for kind in s.kinds)
    for c in range(0, s.columns, LANES):
        a, b = (tile[begin[kind] + (0 if kind == NUMBER else c) :] for tile, kind in zip(tiles, s.kinds, strict=True))
        op(out[m * s.columns + c :], a, b, min(LANES, s.columns - c), rows, (1, block_a, block_b, pitch, repeat_a, repeat_b))


# -- what takes it


def _kept(t: Tensor, shape: tuple[int, ...]) -> list[bool]:
    """For each dim of the result, whether the operand has it."""
    own = (1,) * (len(shape) - t.ndim) + tuple(t.shape)
    return [n == size for n, size in zip(own, shape, strict=True)]


def form_of(output: Tensor, a: Tensor, b: Tensor) -> Spread | None:
    """How a call is laid out, or None where it is none of these."""
    if any(t.dtype.name != "float32" or not t.is_contiguous() for t in (output, a, b)) or not output.numel():
        return None
    shape = tuple(output.shape)
    dims: list[tuple[int, bool, bool]] = []
    for size, in_a, in_b in zip(shape, _kept(a, shape), _kept(b, shape), strict=True):
        if size == 1:
            continue
        if dims and dims[-1][1:] == (in_a, in_b):
            dims[-1] = (dims[-1][0] * size, in_a, in_b)
        else:
            dims.append((size, in_a, in_b))
    names: dict[tuple[Any, ...], str]
    patterns = [tuple(d[k] for d in dims) for k in (1, 2)]
    sizes = [d[0] for d in dims]
    if len(dims) == 2:
        names = {(True, True): WHOLE, (True, False): NUMBER, (False, True): ONE_ROW}
        outer, middle, columns = sizes[0], 1, sizes[1]
    elif len(dims) == 3:
        names = {(True, True, True): WHOLE, (True, True, False): NUMBER, (True, False, True): ROW}
        outer, middle, columns = sizes
    else:
        return None
    kinds = tuple(names.get(p, "") for p in patterns)
    return _laid_out(outer, middle, columns, (kinds[0], kinds[1])) if all(kinds) and kinds != (ONE_ROW, ONE_ROW) else None


def _laid_out(outer: int, middle: int, columns: int, kinds: tuple[str, str]) -> Spread | None:
    if columns % 8 or middle > MOST_MIDDLE or middle * columns > WIDEST:
        return None
    each = 4 * (2 * sum(Spread(1, middle, columns, 1, kinds).width(k) for k in (*kinds, WHOLE)) + 8 * middle * kinds.count(NUMBER))
    most = MOST_REPEATS // middle
    tile = min(most, (UB_BUDGET - 4 * columns * kinds.count(ONE_ROW) - 2048) // each, outer)
    tile = tile // 8 * 8 or tile
    return Spread(outer, middle, columns, tile, kinds) if tile > 0 else None


_FORMS: dict[tuple[Any, ...], Spread | None] = {}  # by shapes


def run(name: str, output: Tensor, args: Any, compute: DType) -> Any:
    """Launch a pointwise op of two tensors of which one is repeated, or else as any other."""
    if len(args) == 2 and compute.name == "float32":
        a, b = args
        if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape != b.shape:
            key = (output.shape, a.shape, b.shape, output.dtype, a.dtype, b.dtype, output.is_contiguous(), a.is_contiguous(), b.is_contiguous())
            if key not in _FORMS:
                if len(_FORMS) >= MOST_KEPT:
                    _FORMS.clear()
                _FORMS[key] = form_of(output, a, b)
            form = _FORMS[key]
            if form is not None:
                launch(spread, a, b, output, name, form, blocks=min(blocks_for(output.nbytes), math.ceil(form.outer / 8)), name=name)
                return None
    return elementwise.run(name, output, args, compute)


def register() -> None:
    """Put these ops into the table in place of their plain forms."""
    POINTWISE.update({name: partial(run, name) for name in OPS})
