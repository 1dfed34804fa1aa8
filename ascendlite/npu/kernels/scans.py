"""cumsum, cumprod, logcumsumexp, cummax and cummin: one pass over the sequences, two where they are few and long.

Those are cut into parts that are scanned like sequences of their own; a scan of their ends says what each part begins with (Blelloch, 1990,
"Prefix sums and their applications").
"""

from __future__ import annotations

import math
from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu.kernels import elementwise
from ascendlite.npu.kernels.scan_tiles import SEGMENT, START, Sequences, extremes, scan
from ascendlite.npu.kernels.scan_words import scan_words
from ascendlite.npu.lang.rows import LANES
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

_FLOAT32, _INT64 = _core.DTYPE_NAMES["float32"], _core.DTYPE_NAMES["int64"]
_NAMES: Final = {"maximum": "cummax", "minimum": "cummin"}
TILE: Final = 8192  # elements: 20 bytes each; of extremes with their places, which take 56, a quarter of it
LEAST_CUT: Final = 1024  # positions of a sequence that is worth cutting


def _up(n: int, to: int) -> int:
    return -(-n // to) * to


def _layout(outer: int, n: int, lanes: int, room: int, reverse: bool) -> Sequences:
    """Tiles for `outer` matrices of n positions by `lanes` numbers."""
    turned = lanes == 1
    most = outer if turned else lanes
    height = min(_up(n, SEGMENT), room // LANES)
    width = min(room // height, _up(most, LANES)) // LANES * LANES
    while width > LANES and _tasks(outer, lanes, width) < state.chip.aiv:
        width = _up(width // 2, LANES)
    if width == LANES or not turned:
        height = min(_up(n, SEGMENT), room // width // SEGMENT * SEGMENT)
    return Sequences(outer, n, lanes, height, width, turned, reverse)


def _tasks(outer: int, lanes: int, width: int) -> int:
    return -(-outer // width) if lanes == 1 else outer * -(-lanes // width)


def _cut(outer: int, n: int, lanes: int) -> int:
    """Parts of each sequence: as many as keep all cores busy, of equal length."""
    tasks = _tasks(outer, lanes, LANES)
    if n < LEAST_CUT or 2 * tasks > state.chip.aiv:
        return 1
    wanted = min(n // 256, max(1, 2 * state.chip.aiv * LANES // outer if lanes == 1 else state.chip.aiv // tasks))
    return max((g for g in range(1, wanted + 1) if n % g == 0), default=1)


def _empty(shape: tuple[int, ...], like: Tensor, dtype: Any = _FLOAT32) -> Tensor:
    made: Tensor = _core.empty(shape, dtype=dtype, device=like.device)
    return made


def _once(y: Tensor, x: Tensor, outer: int, n: int, lanes: int, kind: str, reverse: bool, name: str) -> None:
    whole = x.dtype is _INT64
    s = _layout(outer, n, lanes, TILE // 4 if whole else TILE, reverse)
    run, more = (scan_words, ()) if whole else (scan, (kind,))
    launch(run, x, y, s, *more, blocks=min(elementwise.blocks_for(x.nbytes), _tasks(outer, lanes, s.width)), name=name)


def _split(x: Tensor, dim: int) -> tuple[int, int, int]:
    return math.prod(x.shape[:dim]), x.shape[dim], math.prod(x.shape[dim + 1 :])


def _uneven(outer: int, n: int, lanes: int, parts: int) -> bool:
    """Whether few long sequences have no good divisor: they are scanned with what fills them up to a length that has one."""
    return parts == 1 and n >= LEAST_CUT and 8 * _tasks(outer, lanes, LANES) < state.chip.aiv and n % 512 != 0


def _padded(x: Tensor, sizes: tuple[int, int, int], with_: float) -> Tensor:
    outer, n, lanes = sizes
    padded: Tensor = _core.full((outer, _up(n, 512), lanes), with_, dtype=x.dtype, device=x.device)
    padded.narrow(1, 0, n).copy_(x.reshape(*sizes))
    return padded


def _before(ends: Tensor, parts: int, begin: float, reverse: bool) -> Tensor:
    """What each part begins with, (outer, parts, 1, lanes): the scanned ends of the others, and `begin` for the first."""
    outer, _, lanes = ends.shape
    before: Tensor = _core.full((outer, parts, 1, lanes), begin, dtype=ends.dtype, device=ends.device)
    before.narrow(1, 0 if reverse else 1, parts - 1).copy_(ends.reshape(outer, parts - 1, 1, lanes))
    return before


def run(out: Tensor, x: Tensor, dim: int, kind: str, reverse: bool, name: str) -> None:
    """out = the scan of a tensor of floats that has elements, or of int64 that is added up."""
    wide = _INT64 if x.dtype is _INT64 else _FLOAT32  # of what is joined in memory
    x, begin = x.contiguous(), -math.inf if kind == "logaddexp" else START[kind]
    outer, n, lanes = sizes = _split(x, dim)
    parts = _cut(*sizes)
    direct = out.is_contiguous()
    if _uneven(*sizes, parts):
        whole = _padded(x, sizes, begin)
        run(whole, whole, 1, kind, reverse, name)
        out.copy_(whole.narrow(1, 0, n).reshape(out.shape))
        return
    if parts == 1:
        y = out if direct else _empty(tuple(x.shape), x, x.dtype)
        _once(y, x, *sizes, kind, reverse, name)
    else:
        long = n // parts
        part = _empty((outer, parts, long, lanes), x, wide)
        _once(part, x, outer * parts, long, lanes, kind, reverse, name)
        ends = part.select(2, 0 if reverse else long - 1).narrow(1, 1 if reverse else 0, parts - 1).contiguous()
        run(ends, ends, 1, kind, reverse, name)
        direct = direct and out.dtype is wide
        y = out if direct else _empty(tuple(x.shape), x, wide)
        elementwise.run(kind, y.reshape(outer, parts, long, lanes), (_before(ends, parts, begin, reverse), part), wide)
    if not direct:
        out.copy_(y.reshape(out.shape))


def run_extremes(values: Tensor, places: Tensor, x: Tensor, dim: int, kind: str) -> None:
    """Running extremes and their places, both contiguous."""
    x = x.contiguous()
    outer, n, lanes = sizes = _split(x, dim)
    parts = _cut(*sizes)
    if _uneven(*sizes, parts):
        whole = _padded(x, sizes, START[kind])
        pair = _empty(tuple(whole.shape), x, x.dtype), _empty(tuple(whole.shape), x)
        run_extremes(*pair, whole, 1, kind)
        for out, found in zip((values, places), pair, strict=True):
            out.copy_(found.narrow(1, 0, n).reshape(out.shape))
        return
    if parts > 1:
        _extremes_of_parts(values, places, x.reshape(outer, parts, n // parts, lanes), kind)
        return
    s = _layout(outer, n, lanes, TILE // 4, False)
    launch(extremes, x, values, places, s, kind, blocks=min(elementwise.blocks_for(x.nbytes), _tasks(outer, lanes, s.width)), name=_NAMES[kind])


def _extremes_of_parts(values: Tensor, places: Tensor, x: Tensor, kind: str) -> None:
    """Each part by itself; then the extreme of the parts before it stays where the part has none as good. Places are whole numbers of float32."""
    parts, long = x.shape[1:3]
    part, place = _empty(tuple(x.shape), x, x.dtype), _empty(tuple(x.shape), x)
    run_extremes(part, place, x, 2, kind)
    place.add_(_core.arange(0, parts * long, long, dtype=_FLOAT32, device=x.device).reshape(1, parts, 1, 1))
    ends, their = (t.select(2, long - 1).narrow(1, 0, parts - 1).contiguous() for t in (part, place))
    best, which = _empty(tuple(ends.shape), x, x.dtype), _empty(tuple(ends.shape), x, _core.DTYPE_NAMES["int64"])
    run_extremes(best, which, ends, 1, kind)
    before, where = _before(best, parts, START[kind], False), _before(their.gather(1, which), parts, 0.0, False)
    own = (part >= before if kind == "maximum" else part <= before).logical_or(part.isnan())
    places.copy_(place.where(own, where).reshape(places.shape))
    values.copy_((part.maximum(before) if kind == "maximum" else part.minimum(before)).reshape(values.shape))
