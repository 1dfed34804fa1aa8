"""Norms over channels or groups of channels, and their gradients: the plane of a channel of a sample is a row, with numbers of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import kernel_for, reductions
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.kernels.rowwise import FLOATS, Rows, Work, rows_of
from ascendlite.npu.lang.tiles import Items, pipeline
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Tensor, ...]
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
SHORTEST: Final = 16  # elements of a plane that are worth a row: below it a channel of the whole batch is one


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_sums(x: Any, g: Any, mean: Any, plain: Any, centred: Any, r: Rows) -> None:
    """plain[i] = the sum of row i of g, centred[i] = that of g (x - mean[i]); without g: of x - mean[i]."""
    work = Work(r)
    w, u = work.tile(), work.tile()
    first, second = work.new_stat(), work.new_stat()
    ins = (x, *([] if g is None else [g]), Items(mean, 1, 1))
    for t in pipeline(r.rows, r.tile, ins=ins, outs=(Items(plain, 1, 1), Items(centred, 1, 1)), width=r.columns, pitch=r.pitch, align=8):
        work.combine(ac.Sub, w, work.widen(w, t.ins[0], t.count, settled=False), t.ins[-1], t.count)
        v = w if g is None else work.widen(u, t.ins[1], t.count)
        work.reduce("SUM", first, v, t.count)
        work.each(ac.Mul, w, w, v, rows=t.count)
        work.reduce("SUM", second, w, t.count)
        ac.Adds(t.outs[0], first, 0.0, t.count)
        ac.Adds(t.outs[1], second, 0.0, t.count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def row_affine(x: Any, g: Any, mean: Any, scale: Any, shift: Any, slope: Any, y: Any, r: Rows) -> None:
    """y[i] = (x[i] - mean[i]) scale[i] + shift[i] + g[i] slope[i] by rows; without mean and without g where they are None."""
    work = Work(r)
    w, u = work.tile(), None if g is None else work.tile()
    numbers = [t for t in (mean, scale, shift, slope) if t is not None]
    ins = (x, *([] if g is None else [g]), *(Items(t, 1, 1) for t in numbers))
    for t in pipeline(r.rows, r.tile, ins=ins, outs=(y,), width=r.columns, pitch=r.pitch, align=16):
        v = work.widen(w, t.ins[0], t.count, settled=False)
        stats = list(t.ins[len(ins) - len(numbers) :])
        if mean is not None:
            work.combine(ac.Sub, w, v, stats.pop(0), t.count)
            v = w
        work.combine(ac.Mul, w, v, stats.pop(0), t.count)
        work.combine(ac.Add, w, w, stats.pop(0), t.count)
        if u is not None:
            work.combine(ac.Mul, u, work.widen(u, t.ins[1], t.count, settled=False), stats.pop(0), t.count)
            work.each(ac.Add, w, w, u, rows=t.count)
        work.narrow(t.outs[0], w, t.count)


@dataclass(frozen=True)
class Planes:
    """Rows of one channel each, and what statistics go over: `rows` of them make up `groups` x `together`, together lie behind each other;
    or, `across`, they are `groups` apart."""

    groups: int  # statistics
    together: int  # rows of each
    length: int  # elements of a row
    across: bool

    @property
    def count(self) -> int:
        """Elements of a statistic."""
        return self.together * self.length

    def gathered(self, rows: Tensor) -> Tensor:
        """Numbers of rows added up to those of statistics."""
        if self.across:
            return rows.reshape(self.together, self.groups).sum(0)
        return rows.reshape(self.groups, self.together).sum(1)

    def spread(self, stat: Tensor) -> Tensor:
        """The number of its statistic for each row."""
        shape, whole = ((1, self.groups), (self.together, self.groups)) if self.across else ((self.groups, 1), (self.groups, self.together))
        return stat.reshape(shape).expand(whole).contiguous().reshape(-1)


def _divided(rows: int, length: int, itemsize: int, moved: int) -> tuple[Rows, int] | None:
    """The layout of rows in UB, which are cut in equal parts if they are too long; and how many parts."""
    for parts in range(1, min(length, 1024) + 1):
        if length % parts == 0:
            r = rows_of(rows * parts, length // parts, itemsize, moved, 3)
            if r is not None:
                return r, parts
    return None


def _repeated(numbers: Tensor | None, parts: int) -> Tensor | None:
    return numbers if numbers is None or parts == 1 else numbers.reshape(-1, 1).expand(numbers.shape[0], parts).contiguous().reshape(-1)


def _sums(x: Tensor, g: Tensor | None, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row: the sum of g, and that of g (x - mean)."""
    layout = _divided(x.shape[0], x.shape[1], x.itemsize, 3)
    assert layout is not None
    r, parts = layout
    plain, centred = (_core.empty((r.rows,), dtype=_FLOAT32, device=x.device) for _ in range(2))
    launch(row_sums, x, g, _repeated(mean, parts), plain, centred, r, blocks=blocks_for(x.nbytes), name="row_sums")
    if parts > 1:
        plain, centred = (t.reshape(-1, parts).sum(1) for t in (plain, centred))
    return plain, centred


def _affine(y: Tensor, x: Tensor, g: Tensor | None, *numbers: Tensor | None) -> None:
    layout = _divided(x.shape[0], x.shape[1], x.itemsize, 3)
    assert layout is not None
    r, parts = layout
    launch(row_affine, x, g, *(_repeated(t, parts) for t in numbers), y, r, blocks=blocks_for(x.nbytes), name="row_affine")


def _taken(*tensors: Tensor | None) -> bool:
    first = tensors[0]
    assert first is not None
    same = all(t is None or t.dtype.name in FLOATS for t in tensors)
    return same and first.numel() > 0 and _divided(1, math.prod(first.shape[2:]), first.itemsize, 3) is not None


def _rows_of_channels(x: Tensor) -> tuple[Tensor, bool]:
    """(N, C, ...) as rows of channels, and whether those of all samples were joined to one: (C, N S) rather than (N C, S)."""
    N, C = x.shape[:2]
    if N > 1 and x.numel() // (N * C) < SHORTEST and _divided(1, x.numel() // C, x.itemsize, 3) is not None:
        return x.reshape(N, C, -1).transpose(0, 1).contiguous().reshape(C, -1), True
    return x.contiguous().reshape(N * C, -1), False


def _back(y: Tensor, rows: Tensor, joined: bool) -> None:
    """Rows into the tensor that they stand for."""
    N, C = y.shape[:2]
    y.copy_(rows.reshape(C, N, -1).transpose(0, 1).reshape(y.shape) if joined else rows.reshape(y.shape))


def _batch_planes(x: Tensor, joined: bool) -> Planes:
    N, C = x.shape[:2]
    return Planes(C, 1, x.numel() // C, True) if joined else Planes(C, N, x.numel() // (N * C), True)


def _group_planes(x: Tensor, groups: int) -> Planes:
    N, C = x.shape[:2]
    return Planes(N * groups, C // groups, x.numel() // (N * C), False)


def _by_row(channel: Tensor, rows: int) -> Tensor:
    """A number a channel as one a row."""
    C = channel.shape[0]
    return channel.to(_FLOAT32).reshape(1, C).expand(rows // C, C).contiguous().reshape(-1)


def _normalise(y: Tensor, x: Tensor, w: Tensor | None, b: Tensor | None, p: Planes, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Fills the rows y; mean, 1 / sqrt(variance + eps) and variance of each statistic."""
    sums: Tensor = _core.empty((x.shape[0],), dtype=_FLOAT32, device=x.device)
    reductions.reduce(sums, x, (1,))
    mean = p.gathered(sums) / p.count
    row_mean = p.spread(mean)
    var = p.gathered(_sums(x, None, row_mean)[1]) / p.count
    inverse = (var + eps).rsqrt()
    scale = p.spread(inverse)
    if w is not None:
        scale = scale * _by_row(w, x.shape[0])
    shift = row_mean * 0.0 if b is None else _by_row(b, x.shape[0])
    _affine(y, x, None, row_mean, scale, shift, None)
    return mean, inverse, var


def _gradients(dx: Tensor, g: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, w: Tensor | None, p: Planes, channels: int) -> tuple[Tensor, Tensor]:
    """Fills the rows dx = r (s - mean(s) - u mean(s u)) with u = (x - mean) r and s = g w; gradients of weight and bias."""
    row_mean, row_inverse = p.spread(mean), p.spread(inverse)
    plain, centred = _sums(x, g, row_mean)
    weight = None if w is None else _by_row(w, x.shape[0])
    s, su = (plain, centred) if weight is None else (plain * weight, centred * weight)
    by_x = p.spread(p.gathered(su) * inverse * inverse * inverse * (-1.0 / p.count))
    shift = p.spread(p.gathered(s) * inverse * (-1.0 / p.count))
    slope = row_inverse if weight is None else row_inverse * weight
    _affine(dx, x, g, row_mean, by_x, shift, slope)
    return (centred * row_inverse).reshape(-1, channels).sum(0), plain.reshape(-1, channels).sum(0)


@kernel_for("batch_norm")
def _batch_norm(outputs: Tensors, inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    x, w, b = (None if t is None else t.detach() for t in inputs)
    if x is None or not _taken(x, w, b):
        return NotImplemented
    with no_grad():
        rows, joined = _rows_of_channels(x)
        y: Tensor = _core.empty(tuple(rows.shape), dtype=x.dtype, device=x.device) if joined else outputs[0].detach().reshape(rows.shape)
        stats = _normalise(y, rows, w, b, _batch_planes(x, joined), attrs[0])
        if joined:
            _back(outputs[0].detach(), y, joined)
        for out, value in zip(outputs[1:], stats, strict=True):
            out.detach().copy_(value)
    return None


@kernel_for("batch_norm_backward")
def _batch_norm_backward(outputs: Tensors, inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    g, x, mean, inverse, w = (None if t is None else t.detach() for t in inputs)
    if x is None or g is None or mean is None or inverse is None or g.dtype is not x.dtype or not _taken(x, w):
        return NotImplemented
    with no_grad():
        rows, joined = _rows_of_channels(x)
        dx: Tensor = _core.empty(tuple(rows.shape), dtype=x.dtype, device=x.device) if joined else outputs[0].detach().reshape(rows.shape)
        found = _gradients(dx, _rows_of_channels(g)[0], rows, mean, inverse, w, _batch_planes(x, joined), x.shape[1])
        if joined:
            _back(outputs[0].detach(), dx, joined)
        for out, value in zip(outputs[1:], found, strict=True):
            out.detach().copy_(value)
    return None


@kernel_for("group_norm")
def _group_norm(outputs: Tensors, inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    x, w, b = (None if t is None else t.detach() for t in inputs)
    if x is None or not _taken(x, w, b):
        return NotImplemented
    with no_grad():
        rows = x.contiguous().reshape(x.shape[0] * x.shape[1], -1)
        mean, inverse, _ = _normalise(outputs[0].detach().reshape(rows.shape), rows, w, b, _group_planes(x, attrs[0]), attrs[1])
        for out, value in zip(outputs[1:], (mean, inverse), strict=True):
            out.detach().copy_(value)
    return None


@kernel_for("group_norm_backward")
def _group_norm_backward(outputs: Tensors, inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    g, x, mean, inverse, w = (None if t is None else t.detach() for t in inputs)
    if x is None or g is None or mean is None or inverse is None or g.dtype is not x.dtype or not _taken(x, w):
        return NotImplemented
    with no_grad():
        rows = x.contiguous().reshape(x.shape[0] * x.shape[1], -1)
        dx = outputs[0].detach().reshape(rows.shape)
        found = _gradients(dx, g.contiguous().reshape(rows.shape), rows, mean, inverse, w, _group_planes(x, attrs[0]), x.shape[1])
        for out, value in zip(outputs[1:], found, strict=True):
            out.detach().copy_(value)
    return None


@kernel_for("channel_affine")
def _channel_affine(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    x, scale, shift = (t.detach() for t in inputs)
    if not _taken(x, scale, shift):
        return NotImplemented
    with no_grad():
        rows, joined = _rows_of_channels(x)
        p = _batch_planes(x, joined)
        y: Tensor = _core.empty(tuple(rows.shape), dtype=x.dtype, device=x.device) if joined else outputs[0].detach().reshape(rows.shape)
        _affine(y, rows, None, None, p.spread(scale.to(_FLOAT32)), p.spread(shift.to(_FLOAT32)), None)
        if joined:
            _back(outputs[0].detach(), y, joined)
    return None
