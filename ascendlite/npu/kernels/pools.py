"""Pools, interpolation and their gradients: with the planes' elements as the last dim, each spatial dim is resized by taps, one after another.

The gradient of a largest-of pool compares, window position by window position, where the largest was with where that position is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import kernel_for
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.kernels.resizing import ROOM, Exchange, Pass, add_rows, each_run, f32, largest_rows, pass_of, widened
from ascendlite.npu.kernels.rowwise import FLOATS
from ascendlite.npu.kernels.windows import Resize, Run, even
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import LANES, barrier
from ascendlite.npu.lang.tiles import my_part, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Tensor, ...]
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
EXACT: Final = 1 << 24  # places in a plane that float32 tells apart


def _planes_last(t: Tensor, nd: int) -> Tensor:
    """(planes, pixels) as (pixels, planes)."""
    pixels = math.prod(t.shape[t.ndim - nd :])
    return t.detach().reshape(-1, pixels).transpose(0, 1).contiguous()


def _planes_first(y: Tensor, t: Tensor) -> None:
    """The reverse, into y."""
    y.detach().reshape(t.shape[1], t.shape[0]).copy_(t.transpose(0, 1))


def _new(rows: int, like: Tensor, dtype: Any) -> Tensor:
    made: Tensor = _core.empty((rows, like.shape[1]), dtype=dtype, device=like.device)
    return made


def _cores(p: Pass, nbytes: int) -> int:
    return min(blocks_for(nbytes), p.outer * -(-p.inner // p.width))


def _passes(maps: Sequence[Resize], order: Sequence[int], planes: int, sizes: Sequence[tuple[int, int]]) -> list[Pass] | None:
    """A pass for each dim in order, if all fit; sizes: bytes of UB by element before and after a pass."""
    shape, found = [m.ends[0] for m in maps], []
    for d, (by_input, by_output) in zip(order, sizes, strict=True):
        p = pass_of(maps[d], math.prod(shape[:d]), math.prod(shape[d + 1 :]) * planes, by_input, by_output)
        if p is None:
            return None
        found.append(p)
        shape[d] = maps[d].ends[1]
    return found


def resize(y: Tensor, x: Tensor, maps: Sequence[Resize], name: str) -> Any:
    """y = x with its last dims resized, those that shrink most first; in float32 between two of them."""
    if x.dtype.name not in FLOATS or y.dtype is not x.dtype or not x.numel() or not y.numel():
        return NotImplemented
    order = sorted((d for d, m in enumerate(maps) if not m.identity), key=lambda d: maps[d].ends[1] / maps[d].ends[0])
    last, own = len(order) - 1, 4 if x.itemsize == 4 else 4 + x.itemsize
    planes = x.numel() // math.prod(m.ends[0] for m in maps)
    passes = _passes(maps, order, planes, [(own if k == 0 else 4, own if k == last else 4) for k in range(len(order))])
    if passes is None:
        return NotImplemented
    with no_grad():
        t = _planes_last(x, len(maps))
        for k, p in enumerate(passes):
            out = _new(t.shape[0] // p.resize.ends[0] * p.resize.ends[1], t, y.dtype if k == last else _FLOAT32)
            launch(add_rows, t, out, p, blocks=_cores(p, out.nbytes), name=name)
            t = out
        _planes_first(y, t)
    return None


# -- means


def _means(x: Tensor, out: Sequence[int], attrs: tuple[Any, ...], transposed: bool) -> list[Resize]:
    kernel, stride, padding, include_pad, divisor = attrs[:5]
    share = 0 if divisor else 2 if include_pad else 1
    sizes = x.shape[x.ndim - len(kernel) :]
    ends = zip(out, sizes, strict=True) if transposed else zip(sizes, out, strict=True)
    scales = [1.0 / divisor if divisor and d == 0 else 1.0 for d in range(len(kernel))]
    return [Resize("window", size, n, (k, s, p, 1, share, scale), transposed) for (size, n), k, s, p, scale in zip(ends, kernel, stride, padding, scales, strict=True)]


@kernel_for("avg_pool")
def _avg_pool(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return resize(outputs[0], inputs[0], _means(inputs[0], attrs[5], attrs, False), "avg_pool")


@kernel_for("avg_pool_backward")
def _avg_pool_backward(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return resize(outputs[0], inputs[0], _means(inputs[0], attrs[5], attrs, True), "avg_pool_backward")


@kernel_for("adaptive_avg_pool")
def _adaptive(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    sizes = inputs[0].shape[inputs[0].ndim - len(attrs[0]) :]
    if not outputs[0].numel():
        return NotImplemented
    return resize(outputs[0], inputs[0], [Resize("adaptive", n, out, (True,)) for n, out in zip(sizes, attrs[0], strict=True)], "adaptive_avg_pool")


@kernel_for("adaptive_avg_pool_backward")
def _adaptive_backward(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    sizes = inputs[0].shape[inputs[0].ndim - len(attrs[0]) :]
    if not inputs[0].numel():
        return NotImplemented
    maps = [Resize("adaptive", n, out, (True,), True) for n, out in zip(attrs[0], sizes, strict=True)]
    return resize(outputs[0], inputs[0], maps, "adaptive_avg_pool_backward")


# -- interpolation

_MODES: Final = {0: ("nearest", 0.0), 1: ("nearest", 0.5), 2: ("linear", None), 3: ("cubic", None)}


def _resampling(x: Tensor, attrs: tuple[Any, ...], transposed: bool) -> list[Resize]:
    size, mode, align, *scales = attrs
    kind, centred = _MODES[mode]
    of = x.shape[2:]
    ends = zip(size, of, strict=True) if transposed else zip(of, size, strict=True)
    first = bool(align) if centred is None else centred
    return [Resize(kind, n, out, (first, scale), transposed) for (n, out), scale in zip(ends, scales[3 - len(of) :], strict=True)]


@kernel_for("interpolate")
def _interpolate(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return resize(outputs[0], inputs[0], _resampling(inputs[0], attrs, False), "interpolate")


@kernel_for("interpolate_backward")
def _interpolate_backward(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return resize(outputs[0], inputs[0], _resampling(inputs[0], attrs, True), "interpolate_backward")


# -- largest


def _largest(outputs: Tensors, x: Tensor, maps: Sequence[Resize], name: str) -> Any:
    """The largest of each window, and its place in the plane: dim by dim, from the last on."""
    y, index = outputs
    shape = [m.size for m in maps]
    if x.dtype.name not in FLOATS or not y.numel() or math.prod(shape) >= EXACT:
        return NotImplemented
    order, item = list(range(len(maps)))[::-1], x.itemsize if x.itemsize == 4 else 4 + x.itemsize
    planes = x.numel() // math.prod(shape)
    passes = _passes(maps, order, planes, [(item + 12, item + 13)] * len(maps))
    if passes is None:
        return NotImplemented
    with no_grad():
        t, places = _planes_last(x, len(maps)), None
        for d, p in zip(order, passes, strict=True):
            rows = t.shape[0] // p.resize.size * p.resize.out
            out, at = _new(rows, t, x.dtype), _new(rows, t, _FLOAT32)
            launch(largest_rows, t, places, out, at, p, math.prod(shape[d + 1 :]), blocks=_cores(p, out.nbytes), name=name)
            t, places = out, at
        assert places is not None
        _planes_first(y, t)
        _planes_first(index, places)
    return None


def _windows(sizes: Sequence[int], out: Sequence[int], windows: tuple[Any, ...]) -> list[Resize]:
    """Windows of a largest-of pool: kernel, stride, padding and dilation, or nothing for adaptive ones."""
    if not windows:
        return [Resize("adaptive", n, o, (False,)) for n, o in zip(sizes, out, strict=True)]
    kernel, stride, padding, dilation = windows
    return [Resize("window", n, o, (k, s, p, d, 0, 1.0)) for n, o, k, s, p, d in zip(sizes, out, kernel, stride, padding, dilation, strict=True)]


@kernel_for("max_pool")
def _max_pool(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    sizes = inputs[0].shape[inputs[0].ndim - len(attrs[4]) :]
    return _largest(outputs, inputs[0], _windows(sizes, attrs[4], attrs[:4]), "max_pool")


@kernel_for("adaptive_max_pool")
def _adaptive_max_pool(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    sizes = inputs[0].shape[inputs[0].ndim - len(attrs[0]) :]
    return _largest(outputs, inputs[0], _windows(sizes, attrs[0], ()), "adaptive_max_pool") if outputs[0].numel() else NotImplemented


@dataclass(frozen=True)
class Spread:
    """Windows of a plane, whose largest elements get the gradients: `rows` of the first dim at a time, `width` planes of `inner`."""

    maps: tuple[Resize, ...]
    inner: int
    width: int
    rows: int

    def plane(self, after: bool) -> int:
        """Elements of a plane behind one of its first dim."""
        return math.prod(m.ends[after] for m in self.maps[1:])


@dataclass(frozen=True)
class Part:
    """Rows low .. high of a plane, outputs begin .. end that reach them, and by distance from an output's first element what to add, in
    rounds: the runs of one reach no element twice."""

    low: int
    high: int
    begin: int
    end: int
    bases: tuple[int, ...]  # the first element of each output
    runs: tuple[tuple[int, tuple[tuple[Run, ...], ...]], ...]


@cache
def _parts(s: Spread) -> tuple[Part, ...]:
    taps = [[[i for i, _ in row] for row in m.taps()] for m in s.maps]
    inside, outside = s.plane(False), s.plane(True)
    rests = [[_flat(p, s.maps[1:]) for p in product(*(t[o] for t, o in zip(taps[1:], q, strict=True)))] for q in product(*(range(m.out) for m in s.maps[1:]))]
    found = []
    for low in range(0, s.maps[0].size, s.rows):
        high = min(low + s.rows, s.maps[0].size)
        reach = [o for o, row in enumerate(taps[0]) if row and row[0] < high and row[-1] >= low]
        begin, end = (reach[0], reach[-1] + 1) if reach else (0, 1)
        pairs: dict[int, list[tuple[int, int]]] = {}
        bases = [taps[0][o][0] * inside + rest[0] for o in range(begin, end) for rest in rests]
        for o in range(begin, end):
            for i in (i for i in taps[0][o] if low <= i < high):
                for q, rest in enumerate(rests):
                    number = (o - begin) * outside + q
                    for r in rest:
                        pairs.setdefault(i * inside + r - bases[number], []).append((number, (i - low) * inside + r))
        runs = tuple((distance, _rounds(places)) for distance, places in sorted(pairs.items()))
        found.append(Part(low, high, begin, end, tuple(bases), runs))
    return tuple(found)


def _rounds(pairs: list[tuple[int, int]]) -> tuple[tuple[Run, ...], ...]:
    """(output, element) pairs as runs, those of one element in different rounds."""
    found: list[dict[int, int]] = []
    for output, element in pairs:
        free = next((r for r in found if element not in r), None)
        if free is None:
            found.append(free := {})
        free[element] = output
    return tuple(tuple(even([(output, element) for element, output in r.items()], 1.0)) for r in found)


def _flat(place: tuple[int, ...], maps: tuple[Resize, ...]) -> int:
    at = 0
    for i, m in zip(place, maps, strict=True):
        at = at * m.size + i
    return at


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def spread_rows(g: Any, places: Any, dx: Any, s: Spread) -> None:
    """dx[p, :] = the sum of g[q, :] over the outputs q whose largest element was at p."""
    gg, at_g, xg, width, parts = ac.GlobalTensor(g), ac.GlobalTensor(places), ac.GlobalTensor(dx), s.width, _parts(s)
    inside, outside = s.plane(False), s.plane(True)
    n, m = -(-max(p.end - p.begin for p in parts) * outside * width // LANES) * LANES, s.rows * inside * width
    room = Exchange([(gg.dtype, n), (f32, n)], [(xg.dtype, m)])
    wide = None if gg.dtype is f32 else scratch(f32, n)
    distance, chosen, hit = room.ins[1], scratch(f32, n), scratch(dtypes.u8, n // 8)
    acc = room.outs[0] if xg.dtype is f32 else scratch(f32, m)

    def add(of: int, to: int, lanes: int, repeat: int | None, step: int, stride: int, weight: float) -> None:
        ac.Add(acc[to:], acc[to:], chosen[of:], lanes, repeat, None if repeat is None else (1, 1, 1, stride, stride, step))

    first, count = my_part(-(-s.inner // width), 1)
    for item in ac.range(first, first + count):
        column = item * width
        columns = ac.min(width, s.inner - column)
        for p in parts:
            outputs, pixels = (p.end - p.begin) * outside, (p.high - p.low) * inside
            room.load([t[p.begin * outside * s.inner + column :] for t in (gg, at_g)], outputs, s.inner, columns, width)
            v = widened(wide, room.ins[0], outputs * width, settled=False)
            ac.Duplicate(acc, 0.0, pixels * width)
            for q, base in enumerate(p.bases):
                ac.Adds(distance[q * width :], distance[q * width :], float(-base), width)
            barrier()
            for far, rounds in p.runs:
                ac.CompareScalar(hit, distance, float(far), "EQ", -(-outputs * width // LANES) * LANES)
                barrier()
                ac.Select(chosen, hit, v, 0.0, "VSEL_TENSOR_SCALAR_MODE", outputs * width)
                barrier()
                for runs in rounds:
                    each_run(runs, 0, width, add)
                    barrier()
            if acc is not room.outs[0]:
                ac.Cast(room.outs[0], acc, "CAST_RINT", pixels * width)
            room.store([xg[p.low * inside * s.inner + column :]], pixels, s.inner, columns, width)
    room.finish()


def _spread_of(maps: tuple[Resize, ...], planes: int, item: int) -> Spread | None:
    """As many rows of a plane at a time as fit, of as many planes as a repeat has lanes, or fewer."""
    for width in (LANES, LANES // 2, LANES // 4):
        for rows in range(maps[0].size, 0, -1):
            s = Spread(maps, planes, width, rows)
            touched = max(sum(1 for row in maps[0].taps() if row[0][0] < low + rows and row[-1][0] >= low) for low in range(0, maps[0].size, rows))
            pixels, outputs = rows * s.plane(False), max(1, touched) * s.plane(True)
            if max(pixels, outputs) <= 4095 and width * (pixels * item + outputs * (item + 9)) <= ROOM:
                return s
    return None


@kernel_for("window_scatter")
def _window_scatter(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    (g, index), dx, size = inputs, outputs[0], attrs[0]
    nd = len(size)
    if g.dtype.name not in FLOATS or not g.numel() or math.prod(size) >= EXACT:
        return NotImplemented
    maps = tuple(_windows(size, g.shape[g.ndim - nd :], attrs[1:]))
    s = _spread_of(maps, dx.numel() // math.prod(size), 4 if g.itemsize == 4 else 4 + g.itemsize)
    if s is None:
        return NotImplemented
    with no_grad():
        t = _new(math.prod(size), _planes_last(g, nd), g.dtype)
        launch(spread_rows, _planes_last(g, nd), _planes_last(index.detach().to(_FLOAT32), nd), t, s, blocks=min(state.chip.aiv, -(-s.inner // s.width)), name="max_pool_backward")
        _planes_first(dx, t)
    return None
