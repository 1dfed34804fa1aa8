"""Convolutions of 1 to 3 dimensions and their gradients as products on the cube: what is laid out how, and which kernel runs.

Forward: `convolution` (Load3D). Gradient of the input, and transposed convolution: the same of the gradient with zeros between its elements
and the filter turned round. Gradient of the weight: one product a filter position, of the gradient with the image shifted by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu.kernels import copies, kernel_for, products
from ascendlite.npu.kernels.convolution import BLOCK, ROOM_3D, Shape, Tiles, Triple, convolution, taken, tiles_of
from ascendlite.npu.runtime import hf32
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

Pads = Sequence[tuple[int, int]]
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
SPLITS: Final = 2048  # pixels that are worth a core when a weight gradient's sum is dealt out


def _three(values: Sequence[int], fill: int) -> Triple:
    """Numbers by dim for (depth, height, width), the first ones filled in."""
    return tuple([fill] * (3 - len(values)) + [int(v) for v in values])  # type: ignore[return-value]


def _lifted(t: Tensor) -> Tensor:
    """(N, C, ...) as (N, C, D, H, W)."""
    return t.detach().reshape(*t.shape[:2], *_three(t.shape[2:], 1))


def _zeros(shape: Sequence[int], like: Tensor) -> Tensor:
    made: Tensor = _core.empty(tuple(shape), dtype=like.dtype, device=like.device)
    if copies.fill(made, 0.0) is NotImplemented:
        made.zero_()
    return made


def _placed(target: Tensor, source: Tensor, dims: Sequence[int], low: Sequence[int], step: Sequence[int], take: Sequence[int]) -> None:
    """Element i of `source` along dims to element (low + i) * step / take of `target`, where that exists: cropped, spread or thinned out."""
    for d, before, spread, thin in zip(dims, low, step, take, strict=True):
        first = max(0, -(before // spread))  # ceil
        while (before + first * spread) % thin:
            first += 1
        begin = (before + first * spread) // thin
        stride = thin if spread == 1 else 1
        count = min(-(-(source.shape[d] - first) // stride), -(-(target.shape[d] - begin) // spread))
        if count <= 0:
            return
        source, target = _cut(source, d, first, count, stride), _cut(target, d, begin, count, spread)
    target.copy_(source)


def _cut(t: Tensor, dim: int, first: int, count: int, step: int) -> Tensor:
    index = [slice(None)] * t.ndim
    index[dim] = slice(first, first + (count - 1) * step + 1, step)
    cut: Tensor = t[tuple(index)]
    return cut


def blocked(x: Tensor, groups: int, c0: int, pads: Pads, spread: Triple) -> Tensor:
    """(N, C, D, H, W) as (N, groups, D, C1, H, W, c0), zeros around and between its pixels and in channels that are not there."""
    N, C = x.shape[:2]
    channels, full = C // groups, C // groups // c0
    size = [low + (n - 1) * s + 1 + high for n, s, (low, high) in zip(x.shape[2:], spread, pads, strict=True)]
    shape = (N, groups, size[0], -(-channels // c0), size[1], size[2], c0)
    plain = channels % c0 == 0 and spread == (1, 1, 1) and all(low <= 0 and high <= 0 for low, high in pads)
    out: Tensor = _core.empty(shape, dtype=x.dtype, device=x.device) if plain else _zeros(shape, x)
    x = x.reshape(N, groups, channels, *x.shape[2:])
    low, once = [low for low, _ in pads], (1, 1, 1)
    if full:
        of = x[:, :, : full * c0].unflatten(2, (full, c0)).permute(0, 1, 4, 2, 5, 6, 3)
        _placed(out[:, :, :, :full], of, (2, 4, 5), low, spread, once)
    if channels % c0:
        _placed(out[:, :, :, full, :, :, : channels % c0], x[:, :, full * c0 :].permute(0, 1, 3, 4, 5, 2), (2, 3, 4), low, spread, once)
    return out


def weight_matrix(w: Tensor, c0: int, bias: Tensor | None, turned: bool) -> Tensor:
    """(G, O, C, KD, KH, KW) as rows of (KD, C1, KH, KW, c0), filter positions in reverse order if turned; then a block for the bias."""
    G, O, C, *kernel = w.shape
    full, c1 = C // c0, -(-C // c0)
    deep = math.prod(kernel) * c1 * c0
    out = _zeros((G, O, deep + (0 if bias is None else c0)), w)
    body = out[:, :, :deep].unflatten(2, (kernel[0], c1, kernel[1], kernel[2], c0))
    w = _turned(w) if turned and math.prod(kernel) > 1 else w
    for depth in range(kernel[0]):
        tap, place = w[:, :, :, depth], body[:, :, depth]
        if full:
            source = tap[:, :, : full * c0]
            place[:, :, :full].copy_(source.unflatten(2, (full, c0)).permute(0, 1, 2, *range(4, source.ndim + 1), 3))
        if C % c0:
            rest = tap[:, :, full * c0 :]
            place[:, :, full, ..., : C % c0].copy_(rest.permute(0, 1, *range(3, rest.ndim), 2))
    if bias is not None:
        out[:, :, deep].copy_(bias.reshape(G, O))
    return out


def _turned(w: Tensor) -> Tensor:
    """(G, O, C, KD, KH, KW) with the filter's positions in reverse order. They change places by rows of channels, which lie together for that."""
    G, O, C, *kernel = w.shape
    rows = w.permute(0, 1, 3, 4, 5, 2).contiguous().reshape(G * O, math.prod(kernel), C)
    out: Tensor = _core.empty(rows.shape, dtype=w.dtype, device=w.device)
    for tap in range(rows.shape[1]):
        out[:, tap].copy_(rows[:, rows.shape[1] - 1 - tap])
    turned: Tensor = out.reshape(G, O, *kernel, C).permute(0, 1, 5, 2, 3, 4)
    return turned


def _merge(groups: int, channels: int, c0: int) -> int:
    """How many groups share a block of channels: as many as fit and divide them."""
    return max(m for m in range(1, max(1, c0 // channels) + 1) if groups % m == 0)


def _joined(w: Tensor, m: int) -> Tensor:
    """Filters of m groups as those of one, with zeros between channels of different groups."""
    if m == 1:
        return w
    G, O, C, *kernel = w.shape
    out = _zeros((G // m, m, O, m, C, *kernel), w)
    w = w.reshape(G // m, m, O, C, *kernel)
    for i in range(m):
        out[:, i, :, i].copy_(w[:, i])
    return out.reshape(G // m, m * O, m * C, *kernel)


def _convolve(y: Tensor, x: Tensor, w: Tensor, bias: Tensor | None, stride: Triple, before: Sequence[int], dilation: Triple, spread: Triple, turned: bool) -> Any:
    """y = w * x, for x (N, C, D, H, W) with zeros between its elements, w (G, O, C / G, KD, KH, KW) and any zeros `before`; or not taken."""
    c0, groups = BLOCK // x.itemsize, w.shape[0]
    m = _merge(groups, w.shape[2], c0)
    groups, kernel, out = groups // m, _three(w.shape[3:], 1), _three(y.shape[2:], 1)
    pads, inside = [], []
    for d in range(3):
        reach = (kernel[d] - 1) * dilation[d] + 1
        after = (out[d] - 1) * stride[d] + reach - (x.shape[2 + d] - 1) * spread[d] - 1 - before[d]
        most = min(reach - 1, ROOM_3D["padding"]) if d else 0
        inside.append(max(0, min(before[d], most)))
        pads.append((before[d] - inside[d], max(0, after - most) if d else after))
    size: Triple = tuple(low + (n - 1) * s + 1 + high for n, s, (low, high) in zip(x.shape[2:], spread, pads, strict=True))  # type: ignore[assignment]
    s = Shape(x.shape[0] * groups, groups, -(-m * w.shape[2] // c0), m * w.shape[1], size, kernel, stride, dilation, (inside[1], inside[2]), out,
              bias is not None, x.dtype.name == "float32" and hf32.conv.allow_hf32)
    tiles = tiles_of(s, x.itemsize) if taken(s) and min(size) > 0 else None
    if tiles is None:
        return NotImplemented
    image, weights = blocked(x, groups, c0, pads, spread), weight_matrix(_joined(w, m), c0, bias, turned)
    launch(convolution, image.reshape(-1), weights.reshape(-1), y.reshape(-1), s, tiles, blocks=_cores(s, tiles), name="conv")
    return None


def _cores(s: Shape, t: Tiles) -> int:
    return min(state.chip.aic, s.images * s.out[0] * -(-s.outputs // 128) * -(-s.out[1] // t.rows) * -(-s.out[2] // t.columns))


def _filters(w: Tensor, groups: int) -> Tensor:
    """(O, C / G, ...) as (G, O / G, C / G, KD, KH, KW)."""
    w = _lifted(w)
    return w.reshape(groups, w.shape[0] // groups, *w.shape[1:])


@kernel_for("conv")
def _conv(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    x, w, bias = inputs
    stride, padding, dilation, groups, _ = attrs
    assert x is not None and w is not None
    if x.dtype.name not in products.FORMATS or not outputs[0].numel() or not x.numel() or not w.numel():
        return NotImplemented
    with no_grad():
        steps = (_three(stride, 1), _three(padding, 0), _three(dilation, 1))
        return _convolve(outputs[0], _lifted(x), _filters(w, groups), None if bias is None else bias.detach(), *steps, (1, 1, 1), False)


@kernel_for("conv_input")
def _conv_input(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    g, w, bias = inputs
    stride, padding, dilation, groups, _ = attrs
    assert g is not None and w is not None
    if g.dtype.name not in products.FORMATS or not outputs[0].numel() or not g.numel() or not w.numel():
        return NotImplemented
    with no_grad():
        around = [d * (k - 1) - p for d, k, p in zip(_three(dilation, 1), _three(w.shape[2:], 1), _three(padding, 0), strict=True)]
        filters = _filters(w, groups).transpose(1, 2)
        return _convolve(outputs[0], _lifted(g), filters, None if bias is None else bias.detach(), (1, 1, 1), around, _three(dilation, 1), _three(stride, 1), True)


def _rows(t: Tensor, groups: int, m: int, size: Triple, low: Sequence[int], take: Triple, rows: int) -> Tensor:
    """(N, C, D, H, W) as (groups, rows, C / groups): every `take`-th pixel of each image on a grid of `size`, zeros around; then zeros."""
    N, C = t.shape[:2]
    out = _zeros((groups // m, rows, C // groups * m), t)
    grid = out[:, : N * math.prod(size)].unflatten(1, (N, *size))
    of = t.reshape(N, groups // m, m * C // groups, *t.shape[2:]).permute(1, 0, 3, 4, 5, 2)
    _placed(grid, of, (2, 3, 4), low, (1, 1, 1), take)
    return out


@kernel_for("conv_weight")
def _conv_weight(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    x, y = inputs
    groups = attrs[3]
    if x.dtype.name not in products.FORMATS or y.dtype is not x.dtype or not outputs[0].numel() or not x.numel() or not y.numel():
        return NotImplemented
    with no_grad():
        stride, padding, dilation = _three(attrs[0], 1), _three(attrs[1], 0), _three(attrs[2], 1)
        _shifted_products(outputs[0], _lifted(x), _lifted(y), stride, padding, dilation, groups, _three(attrs[4], 1))
    return None


def _shifted_products(dw: Tensor, x: Tensor, y: Tensor, stride: Triple, padding: Triple, dilation: Triple, groups: int, kernel: Triple) -> None:
    """dw[o, c, tap] = the sum over all pixels p of y[p, o] x[stride p + dilation tap - padding, c].

    Every stride-th pixel of x from each phase on lies on a grid as large as all taps need; y lies on the same grid, with zeros where it has
    no pixel. So a tap is a number of rows by which the two are shifted, and its products are one matrix product over the rows of all images.
    """
    N, out = x.shape[0], _three(y.shape[2:], 1)
    m = _merge(groups, max(x.shape[1], y.shape[1]) // groups, 16)
    size: Triple = tuple(o + (k - 1) * d // s for o, k, d, s in zip(out, kernel, dilation, stride, strict=True))  # type: ignore[assignment]
    used = (N - 1) * math.prod(size) + ((out[0] - 1) * size[1] + out[1] - 1) * size[2] + out[2]
    parts = max(1, min(state.chip.aic, used // SPLITS)) if groups == m else 1
    chunk = -(-used // parts)
    rows = N * math.prod(size) + parts * chunk - used
    g = _rows(y, groups, m, size, (0, 0, 0), (1, 1, 1), rows)
    batch, outs, ins = parts * (groups // m), g.shape[2], m * x.shape[1] // groups
    a = g.as_strided((batch, outs, chunk), ((chunk if parts > 1 else rows) * outs, 1, outs))
    phases: dict[Triple, Tensor] = {}
    sums: Tensor = _core.empty((math.prod(kernel), groups // m, outs, ins), dtype=_FLOAT32, device=x.device)
    for k in range(math.prod(kernel)):
        place = [t * d for t, d in zip((k // (kernel[1] * kernel[2]), k // kernel[2] % kernel[1], k % kernel[2]), dilation, strict=True)]
        phase: Triple = tuple(p % s for p, s in zip(place, stride, strict=True))  # type: ignore[assignment]
        if phase not in phases:
            phases[phase] = _rows(x, groups, m, size, [p - f for p, f in zip(padding, phase, strict=True)], stride, rows)
        shift = ((place[0] // stride[0]) * size[1] + place[1] // stride[1]) * size[2] + place[2] // stride[2]
        b = phases[phase].as_strided((batch, chunk, ins), ((chunk if parts > 1 else rows) * ins, ins, 1), shift * ins)
        if parts == 1:
            products.multiply(sums[k], a, b, switch=hf32.conv)
        else:
            some: Tensor = _core.empty((batch, outs, ins), dtype=_FLOAT32, device=x.device)
            products.multiply(some, a, b, switch=hf32.conv)
            sums[k].copy_(some.sum(0, keepdim=True))
    whole = dw.reshape(groups // m, m, outs // m, ins // m, math.prod(kernel))
    for i in range(m):
        of = sums[:, :, i * (outs // m) : (i + 1) * (outs // m), i * (ins // m) : (i + 1) * (ins // m)].permute(1, 2, 3, 0)
        whole[:, i].copy_(of)
