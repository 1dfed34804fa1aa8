"""Scans, further reductions, turned and padded tensors, as passes of other ops of the device over whole tensors.

A running sum of n numbers takes log2(n) passes (Kogge and Stone, 1973): always in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu.kernels import COMPOSITES, Launcher, gathers, kernel_for, longrows, scans, streams
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Tensor, ...]
FLOATS: Final = ("float32", "float16", "bfloat16")
LEAST_STREAMED: Final = 512  # columns of a row that is worked on by itself: shorter ones take passes over many rows at once
EXACT: Final = 1 << 24  # whole numbers that float32 holds
LEAST_WHOLE: Final = 1 << 17  # 64-bit integers whose running products and extremes are worth passes: the AI CPU is faster at fewer
_FLOAT32, _INT64 = _core.DTYPE_NAMES["float32"], _core.DTYPE_NAMES["int64"]


def passes_for(*names: str, dtypes: tuple[str, ...] = FLOATS) -> Callable[[Launcher], Launcher]:
    """Register a composite for inputs of these dtypes that have elements; their history is left out."""
    COMPOSITES.update(names)
    return kernels_for(*names, dtypes=dtypes)


def kernels_for(*names: str, dtypes: tuple[str, ...] = FLOATS) -> Callable[[Launcher], Launcher]:
    """The same for what has a kernel of its own."""

    def register(run: Launcher) -> Launcher:
        def launch(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
            if any(t.dtype.name not in dtypes or not t.numel() for t in inputs) or not outputs[0].numel():
                return NotImplemented
            with no_grad():
                return run(tuple(t.detach() for t in outputs), tuple(t.detach() for t in inputs), attrs)

        kernel_for(*names)(launch)
        return run

    return register


def _put(out: Tensor, value: Tensor) -> None:
    out.copy_(value.reshape(out.shape))


def counted(n: int, device: Any) -> Tensor:
    """0 to n - 1 in float32."""
    made: Tensor = _core.arange(n, dtype=_FLOAT32, device=device)
    return made


# -- scans


def _scanned(parts: list[Tensor], dim: int, reverse: bool, join: Callable[..., tuple[Tensor, ...]]) -> list[Tensor]:
    """parts[i] joined with all before (reverse: after) it: each pass reaches twice as far."""
    n, reach = parts[0].shape[dim], 1
    while reach < n:
        near, far = (0, reach) if reverse else (reach, 0)
        joined = join([t.narrow(dim, far, n - reach) for t in parts], [t.narrow(dim, near, n - reach) for t in parts])
        parts = [t.clone() for t in parts]
        for t, value in zip(parts, joined, strict=True):
            t.narrow(dim, near, n - reach).copy_(value)
        reach *= 2
    return parts


def _exclusive(y: Tensor, dim: int, reverse: bool, start: float) -> Tensor:
    """Shifted by one: what stood before each element."""
    n = y.shape[dim]
    to, of = (0, 1) if reverse else (1, 0)
    moved = _core.full(tuple(y.shape), start, dtype=y.dtype, device=y.device)
    if n > 1:
        moved.narrow(dim, to, n - 1).copy_(y.narrow(dim, of, n - 1))
    return moved


def _running(name: str, kind: str, start: float) -> Launcher:
    def run(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
        x, y = inputs[0], outputs[0]
        dim, reverse, exclusive = int(attrs[0]), bool(attrs[1]), bool(attrs[2]) if len(attrs) > 2 else False
        if x.dtype is _INT64 and not (gathers.pairs_taken(x) and (kind == "add" or x.numel() >= LEAST_WHOLE)):
            return NotImplemented
        if exclusive:
            y = _core.empty(tuple(x.shape), dtype=x.dtype if x.dtype is _INT64 else _FLOAT32, device=x.device)
        if x.dtype is _INT64 and kind == "mul":
            y.copy_(_scanned([x], dim, reverse, lambda far, near: (far[0] * near[0],))[0])
        else:
            scans.run(y, x, dim, kind, reverse, name)
        if exclusive:
            _put(outputs[0], _exclusive(y, dim, reverse, start))
        return None

    return run


kernels_for("cumsum", dtypes=(*FLOATS, "int64"))(_running("cumsum", "add", 0.0))
kernels_for("cumprod", dtypes=(*FLOATS, "int64"))(_running("cumprod", "mul", 1.0))
kernels_for("logcumsumexp")(_running("logcumsumexp", "logaddexp", -math.inf))


def _running_extreme(kind: str) -> Launcher:
    def run(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
        x, dim = inputs[0], int(attrs[0])
        if x.dtype is _INT64:
            return _whole_extreme(outputs, x, dim, kind) if gathers.pairs_taken(x) and x.numel() >= LEAST_WHOLE else NotImplemented
        if x.shape[dim] >= EXACT or not all(t.is_contiguous() for t in outputs):
            return NotImplemented
        scans.run_extremes(outputs[0], outputs[1], x, dim, kind)
        return None

    return run


def _whole_extreme(outputs: Tensors, x: Tensor, dim: int, kind: str) -> None:
    """Of int64, and its last place: the far one stays where the near one is not as good."""
    join, better = (Tensor.maximum, Tensor.ge) if kind == "maximum" else (Tensor.minimum, Tensor.le)
    place = counted(x.shape[dim], x.device) if x.shape[dim] < EXACT else _core.arange(x.shape[dim], dtype=_INT64, device=x.device)
    places = place.reshape(*[x.shape[dim] if d == dim else 1 for d in range(x.ndim)]).expand(x.shape).contiguous()
    found = _scanned([x, places], dim, False, lambda far, near: (join(near[0], far[0]), near[1].where(better(near[0], far[0]), far[1])))
    for out, value in zip(outputs, found, strict=True):
        _put(out, value)


kernels_for("cummax", dtypes=(*FLOATS, "int64"))(_running_extreme("maximum"))
kernels_for("cummin", dtypes=(*FLOATS, "int64"))(_running_extreme("minimum"))


@passes_for("linear_scan")
def _linear_scan(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    """y = a + b y_before: pairs (a, b) join to (a + b a_before, b b_before)."""
    dim, reverse = int(attrs[0]), bool(attrs[1])
    a, b = (t.to(_FLOAT32) for t in inputs)
    n = a.shape[dim]
    b = b.clone()
    b.narrow(dim, n - 1 if reverse else 0, 1).zero_()  # the first has none before it
    y, _ = _scanned([a, b], dim, reverse, lambda far, near: (near[0] + near[1] * far[0], near[1] * far[1]))
    _put(outputs[0], y)


# -- reductions


def _turned(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """(kept, reduced): the reduced dims last, as one."""
    kept = [d for d in range(x.ndim) if d not in dims]
    turned = x.permute(*kept, *dims) if x.ndim else x
    return turned.reshape(math.prod(x.shape[d] for d in kept), -1).contiguous()


def _rows(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """(kept, reduced): the reduced dims last, as one, in float32."""
    return _turned(x, dims).to(_FLOAT32)


@passes_for("var_mean")
def _var_mean(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    dims, _, root, correction = attrs
    x = _turned(inputs[0], tuple(dims))
    degrees = x.shape[1] - correction
    if degrees <= 0:
        return NotImplemented
    size = longrows.streamed(x, x.shape[1])
    if size and x.shape[1] >= LEAST_STREAMED and all(t.is_contiguous() for t in outputs):
        part = streams.part_of(x.itemsize, 4)
        launch(streams.variance_parts, x, *outputs, *size, part, 1.0 / degrees, bool(root), blocks=longrows.blocks_of(x, size[1]), name="var_mean")
        return None
    x = x.to(_FLOAT32)
    mean = x.mean(1, keepdim=True)
    centred = x - mean
    variance = centred.square().sum(1) / degrees
    _put(outputs[0], variance.sqrt() if root else variance)
    _put(outputs[1], mean)
    return None


def whole_sum(out: Tensor, x: Tensor, dims: tuple[int, ...]) -> Any:
    """out = a sum of integers or bools. Narrow ones whose sums float32 holds are added in it; others half to half, modulo 2^64."""
    if out.dtype is not _INT64 or x.dtype.name not in ("bool", "uint8", "int8", "int16", "int32", "int64") or not x.numel():
        return NotImplemented
    with no_grad():
        kept = [d for d in range(x.ndim) if d not in dims]
        x = x.detach().permute(*kept, *dims).reshape(math.prod(x.shape[d] for d in kept), -1) if x.ndim else x.detach().reshape(1, 1)
        if x.itemsize == 1 and x.shape[1] * 255 < EXACT:
            _put(out.detach(), x.to(_FLOAT32).sum(1))
            return None
        _put(out.detach(), _halved(x.to(_INT64), Tensor.add))
    return None


def _halved(x: Tensor, join: Callable[..., Tensor]) -> Tensor:
    """(rows, 1): the columns joined half to half."""
    while (n := x.shape[1]) > 1:
        half = n // 2
        joined = join(x[:, :half], x[:, half : 2 * half])
        if n % 2:
            joined[:, :1].copy_(join(joined[:, :1], x[:, n - 1 :]))
        x = joined
    return x


def whole_extreme(out: Tensor, x: Tensor, dims: tuple[int, ...], reduction: Callable[..., Tensor], join: Callable[..., Tensor]) -> Any:
    """out = the largest or smallest of integers or bools: those that float32 holds in it, others half to half."""
    if x.dtype.name not in ("bool", "uint8", "int8", "int16", "int32", "int64") or not x.numel():
        return NotImplemented
    with no_grad():
        rows = _turned(x.detach(), dims)
        if x.itemsize <= 2:
            _put(out.detach(), reduction(rows.to(_FLOAT32), 1))
        else:
            _put(out.detach(), _halved(rows, join))
    return None


ANY: Final = (*FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool")


@passes_for("count_nonzero", dtypes=ANY)
def _count_nonzero(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return whole_sum(outputs[0], inputs[0].ne(0) if inputs[0].dtype.name != "bool" else inputs[0], tuple(attrs[0]))


@passes_for("count_numbers")
def _count_numbers(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    return whole_sum(outputs[0], inputs[0].eq(inputs[0]), tuple(attrs[0]))


@passes_for("logsumexp")
def _logsumexp(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    x = _rows(inputs[0], tuple(attrs[0]))
    peak = x.amax(1, keepdim=True)
    peak = peak.where(peak.isfinite(), _core.zeros((), dtype=_FLOAT32, device=x.device))
    _put(outputs[0], (x - peak).exp().sum(1, keepdim=True).log() + peak)


@passes_for("prod_dims")
def _prod(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    """Halves are multiplied until one column is left."""
    x = _rows(inputs[0], tuple(attrs[0]))
    while (n := x.shape[1]) > 1:
        half = n // 2
        product = x[:, :half] * x[:, half : 2 * half]
        if n % 2:
            product[:, :1].mul_(x[:, n - 1 :])
        x = product
    _put(outputs[0], x)


def _along(largest: bool) -> Launcher:
    def run(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
        """The extreme, and the first place that holds it (or NaN)."""
        x = _turned(inputs[0], (int(attrs[0]),) if inputs[0].ndim else ())
        n = x.shape[1]
        if n >= EXACT:
            return NotImplemented
        whole = x.dtype.name not in FLOATS
        size = None if whole else longrows.streamed(x, n)
        if size and n >= LEAST_STREAMED and all(t.is_contiguous() for t in outputs):
            part = streams.part_of(x.itemsize, 9)
            launch(streams.extreme_parts, x, *outputs, *size, part, "MAX" if largest else "MIN", blocks=longrows.blocks_of(x, n), name="argmax" if largest else "argmin")
            return None
        x = x if whole and x.itemsize > 2 else x.to(_FLOAT32)
        best = x.amax(1, keepdim=True) if largest else x.amin(1, keepdim=True)
        found = x == best if whole else (x == best).logical_or(x.isnan())
        place = counted(n, x.device).expand(x.shape[0], n).where(found, _core.full((), float(n), dtype=_FLOAT32, device=x.device)).amin(1)
        _put(outputs[0], best)
        _put(outputs[1], place)
        return None

    return run


passes_for("max_dim", dtypes=ANY)(_along(True))
passes_for("min_dim", dtypes=ANY)(_along(False))


@passes_for("dot")
def _dot(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    a, b = (t.to(_FLOAT32) for t in inputs)
    _put(outputs[0], (a * b).sum())


# -- layouts


def _flip(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    """One pass; where there is no kernel for such rows, by number, from the last on."""
    x, dims = inputs[0].contiguous(), tuple(attrs[0]) if inputs[0].ndim else ()
    out = outputs[0]
    if out.is_contiguous() and gathers.flip(out, x, dims) is not NotImplemented:
        return
    for d in dims:
        last = x.shape[d] - 1
        x = x.index_select(d, _core.tensor([last - i for i in range(last + 1)], dtype=_INT64, device=x.device))
    out.copy_(x)


kernels_for("flip", dtypes=ANY)(_flip)


@passes_for("roll", dtypes=ANY)
def _roll(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    """Two pieces a dim."""
    x = inputs[0]
    for d, shift in enumerate(attrs[0]):
        if shift:
            n, to = x.shape[d], _core.empty(tuple(x.shape), dtype=x.dtype, device=x.device)
            to.narrow(d, shift, n - shift).copy_(x.narrow(d, 0, n - shift))
            to.narrow(d, 0, shift).copy_(x.narrow(d, n - shift, shift))
            x = to
    outputs[0].copy_(x)


@passes_for("triangle", dtypes=ANY)
def _triangle(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    """Columns compared with rows."""
    x = inputs[0]
    diagonal, upper = int(attrs[0]), bool(attrs[1])
    height, width = x.shape[-2], x.shape[-1]
    ahead = counted(width, x.device).unsqueeze(0) - counted(height, x.device).unsqueeze(1)
    outputs[0].copy_(x.masked_fill(ahead < float(diagonal) if upper else ahead > float(diagonal), 0))


@passes_for("diag_embed", dtypes=ANY)
def _diag_embed(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    offset, dim1, dim2 = attrs
    outputs[0].zero_()
    outputs[0].diagonal(offset, dim1, dim2).copy_(inputs[0])


@passes_for("pad_constant", dtypes=ANY)
def _pad_constant(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> None:
    """The number everywhere, then what is left of the tensor in its place; negative widths cut."""
    x, y = inputs[0], outputs[0]
    y.copy_(inputs[1].expand(y.shape))
    for d, (before, after) in enumerate(zip(*attrs, strict=True)):
        cut, place = max(0, -before), max(0, before)
        n = x.shape[d] - cut - max(0, -after)
        if n <= 0:
            return
        x, y = x.narrow(d, cut, n), y.narrow(d, place, n)
    y.copy_(x)
