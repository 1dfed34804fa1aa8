"""Convolutions of 1 to 3 dimensions and their gradients as products on the cube: what is laid out how, and which kernel runs.

Forward: `convolution` (Load3D). Gradient of the input, and transposed convolution: the same of the gradient with zeros between its elements
and the filter turned round. Gradient of the weight: `filter_gradient`; in float32 one product a filter position, of the gradient with the image
shifted by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu.kernels import copies, kernel_for, product_plans, products
from ascendlite.npu.kernels.convolution import BLOCK, ROOM_3D, Shape, Triple, best_tiles, convolution, cores_for, taken
from ascendlite.npu.kernels.filter_gradient import C0, best_plan, filter_gradient, rows_of
from ascendlite.npu.runtime import hf32
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

Pads = Sequence[tuple[int, int]]
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
LEAST_ROW: Final = 64  # bytes of channels that are worth moving as a row: shorter ones are moved for all filters at once
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
    """(G, O, C, KD, KH, KW) with the filter's positions in reverse order: rows of the channels of all filters change places."""
    G, O, C, *kernel = w.shape
    taps, order = math.prod(kernel), (0, 1, 3, 4, 5, 2) if C * w.itemsize >= LEAST_ROW else (3, 4, 5, 0, 1, 2)
    rows = w.permute(*order)
    shape, back = rows.shape, [order.index(d) for d in range(6)]
    rows = rows.reshape(G * O, taps, C) if order[0] == 0 else rows.reshape(1, taps, G * O * C)
    turned: Tensor = rows.index_select(1, _core.arange(taps - 1, -1, -1, device=w.device)).reshape(shape).permute(*back)
    return turned


def _merge(groups: int, channels: int, c0: int) -> int:
    """How many groups share a block of channels: as many as fit and divide them."""
    return max(m for m in range(1, max(1, c0 // channels) + 1) if groups % m == 0)


def _same(m: int, like: Tensor) -> Tensor:
    """(m, m): where the first number is the second."""
    numbers: Tensor = _core.arange(m, dtype=_FLOAT32, device=like.device)
    same: Tensor = numbers.reshape(m, 1) == numbers
    return same


def _joined(w: Tensor, m: int) -> Tensor:
    """Filters of m groups as those of one, with zeros between channels of different groups."""
    if m == 1:
        return w
    G, O, C, *kernel = w.shape
    out = _zeros((G // m, m, O, m, C, *kernel), w)
    out.diagonal(0, 1, 3).movedim(-1, 1).copy_(w.reshape(G // m, m, O, C, *kernel))
    return out.reshape(G // m, m * O, m * C, *kernel)


def _geometry(x: Tensor, groups: int, outputs: int, kernel: Triple, stride: Triple, before: Sequence[int], dilation: Triple, spread: Triple, out: Triple,
              bias: bool) -> tuple[Shape, list[tuple[int, int]]]:
    """A convolution of x (N, C, D, H, W) with zeros between its elements, and the zeros around it that Load3D does not make: those lie in GM."""
    pads, inside = [], []
    for d in range(3):
        reach = (kernel[d] - 1) * dilation[d] + 1
        after = (out[d] - 1) * stride[d] + reach - (x.shape[2 + d] - 1) * spread[d] - 1 - before[d]
        most = min(reach - 1, ROOM_3D["padding"]) if d else 0
        inside.append(max(0, min(before[d], most)))
        pads.append((before[d] - inside[d], max(0, after - most) if d else after))
    size: Triple = tuple(low + (n - 1) * s + 1 + high for n, s, (low, high) in zip(x.shape[2:], spread, pads, strict=True))  # type: ignore[assignment]
    channels = -(-x.shape[1] // groups // (BLOCK // x.itemsize))
    rounded = x.dtype.name == "float32" and hf32.conv.allow_hf32
    return Shape(x.shape[0] * groups, groups, channels, outputs, size, kernel, stride, dilation, (inside[1], inside[2]), out, bias, rounded), pads


def _single_pixels(y: Tensor, x: Tensor, w: Tensor, stride: Triple, before: Sequence[int], spread: Triple) -> Any:
    """y = w * x for filters (1, O, C, 1, 1, 1) that take each pixel by itself: a plain product; or not taken."""
    pixels, plain = math.prod(x.shape[2:]), (stride, tuple(before), spread) == ((1, 1, 1), (0, 0, 0), (1, 1, 1))
    if w.shape[0] > 1 or math.prod(w.shape[3:]) > 1 or not plain or math.prod(y.shape[2:]) != pixels or pixels > products.LONGEST_ROW:
        return NotImplemented
    return products.multiply(y.detach().reshape(*y.shape[:2], pixels), w.reshape(w.shape[1:3]), x.reshape(*x.shape[:2], pixels), switch=hf32.conv)


def _convolve(y: Tensor, x: Tensor, w: Tensor, bias: Tensor | None, stride: Triple, before: Sequence[int], dilation: Triple, spread: Triple, turned: bool) -> Any:
    """y = w * x, for x (N, C, D, H, W) with zeros between its elements, w (G, O, C / G, KD, KH, KW) and any zeros `before`; or not taken."""
    if bias is None and _single_pixels(y, x, w, stride, before, spread) is None:
        return None
    c0 = BLOCK // x.itemsize
    m = _merge(w.shape[0], w.shape[2], c0)
    groups = w.shape[0] // m
    s, pads = _geometry(x, groups, m * w.shape[1], _three(w.shape[3:], 1), stride, before, dilation, spread, _three(y.shape[2:], 1), bias is not None)
    tiles = best_tiles(s, x.dtype.name, state.chip) if taken(s) and min(s.size) > 0 else None
    if tiles is None:
        return NotImplemented
    image, weights = blocked(x, groups, c0, pads, spread), weight_matrix(_joined(w, m), c0, bias, turned)
    launch(convolution, image.reshape(-1), weights.reshape(-1), y.reshape(-1), s, tiles, blocks=cores_for(s, tiles, state.chip), name="conv")
    return None


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
        places = (_three(attrs[0], 1), _three(attrs[1], 0), _three(attrs[2], 1), groups, _three(attrs[4], 1))
        if _turned_columns(outputs[0], _lifted(x), _lifted(y), *places) is NotImplemented:
            _shifted_products(outputs[0], _lifted(x), _lifted(y), *places)
    return None


def _turned_columns(dw: Tensor, x: Tensor, y: Tensor, stride: Triple, padding: Triple, dilation: Triple, groups: int, kernel: Triple) -> Any:
    """dw as one product, of the image's columns with y; in formats of 2 bytes, which Load3D turns."""
    if x.itemsize != C0 // 8:
        return NotImplemented
    m = _merge(groups, x.shape[1] // groups, C0)
    merged, outs, ins = groups // m, y.shape[1] // groups, x.shape[1] // groups
    s, pads = _geometry(x, merged, m * outs, kernel, stride, padding, dilation, (1, 1, 1), _three(y.shape[2:], 1), False)
    plan = best_plan(s, x.dtype.name, state.chip) if taken(s) and min(s.size) > 0 else None
    if plan is None:
        return NotImplemented
    rows, image = rows_of(s), blocked(x, merged, C0, pads, (1, 1, 1))
    parts: Tensor = _core.empty((plan.parts, merged, rows, m * outs), dtype=_FLOAT32, device=x.device)
    launch(filter_gradient, image.reshape(-1), y.contiguous().reshape(-1), parts.reshape(-1), s, plan, name="conv_weight")
    sums = parts[0]
    if plan.parts > 1:
        sums = _core.empty(tuple(sums.shape), dtype=_FLOAT32, device=x.device)
        product_plans.join(parts.reshape(-1), sums.reshape(-1), sums.numel(), plan.parts)
    _unblocked(dw.reshape(merged, m, outs, ins, *kernel), sums.reshape(merged, kernel[0], s.channels, *kernel[1:], C0, m, outs))
    return None


def _unblocked(dw: Tensor, sums: Tensor) -> None:
    """dw (G, M, O, C, KD, KH, KW) = sums (G, KD, C1, KH, KW, c0, M, O): a channel of merged groups has its own group's outputs only."""
    m, outs, ins = dw.shape[1:4]
    if m > 1:
        pairs = sums[:, :, 0, :, :, : m * ins].unflatten(4, (m, ins))  # (G, KD, KH, KW, M, C, M, O)
        if outs == ins == 1:  # single numbers are not copied one by one
            own = pairs.squeeze(7).squeeze(5).masked_fill(_same(m, sums).logical_not(), 0.0).sum(5, keepdim=True).unsqueeze(5).movedim(4, -1)
        else:
            own = pairs.diagonal(0, 4, 6)
        dw.copy_(own.permute(0, 6, 5, 4, 1, 2, 3))  # (G, KD, KH, KW, C, O, M) before
        return
    full, body = ins // C0, sums[:, :, :, :, :, :, 0].permute(0, 6, 2, 5, 1, 3, 4)  # (G, O, C1, c0, KD, KH, KW)
    if full:
        dw[:, 0, :, : full * C0].unflatten(2, (full, C0)).copy_(body[:, :, :full])
    if ins % C0:
        dw[:, 0, :, full * C0 :].copy_(body[:, :, full, : ins % C0])


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
