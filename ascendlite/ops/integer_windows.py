"""Convolutions and means of windows of integers: products of copied windows, exact as long as their sums fit the dtype. No gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ascendlite.core import Tensor, tensor
from ascendlite.ops.arithmetic import div
from ascendlite.ops.matmul import matmul
from ascendlite.ops.movement import pad

Sizes = Sequence[int]


def _windows(x: Tensor, kernel: Sizes, stride: Sizes, before: Sizes, dilation: Sizes, size: Sizes) -> Tensor:
    """(N, C, *spatial) -> (N, C, *size, *kernel), with zeros around."""
    edges: list[int] = []
    for i, k, s, p, d, o in zip(x.shape[2:], kernel, stride, before, dilation, size, strict=True):
        edges = [p, (o - 1) * s + d * (k - 1) + 1 - i - p, *edges]
    x = pad(x, edges).contiguous()
    steps = x.stride()
    moves = [t * s for t, s in zip(steps[2:], stride, strict=True)], [t * d for t, d in zip(steps[2:], dilation, strict=True)]
    return x.as_strided((*x.shape[:2], *size, *kernel), (*steps[:2], *moves[0], *moves[1]))


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, before: Sizes, dilation: Sizes, groups: int, size: Sizes
) -> Tensor:
    """(N, C, *spatial) with weight (O, C / groups, *kernel) -> (N, O, *size)."""
    n, kernel = len(size), tuple(weight.shape[2:])
    N, C, O, depth = x.shape[0], x.shape[1], weight.shape[0], math.prod(weight.shape[1:])
    parts = _windows(x, kernel, stride, before, dilation, size).reshape(N, groups, C // groups, *size, *kernel)
    order = (1, 0, *range(3, 3 + n), 2, *range(3 + n, 3 + 2 * n))
    rows = parts.permute(*order).reshape(groups, N * math.prod(size), depth)
    products = matmul(rows, weight.reshape(groups, O // groups, depth).mT)
    y = products.reshape(groups, N, *size, O // groups).permute(1, 0, 2 + n, *range(2, 2 + n)).reshape(N, O, *size).contiguous()
    return y if bias is None else y + bias.reshape(-1, *(1,) * n)


def convolve_transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int, size: Sizes
) -> Tensor:
    """The same as a convolution by the turned weight (C, O / groups, *kernel), of the input with zeros between its elements."""
    n, kernel = len(size), tuple(weight.shape[2:])
    C, per_group = weight.shape[:2]
    apart = x.new_zeros((*x.shape[:2], *((i - 1) * s + 1 for i, s in zip(x.shape[2:], stride, strict=True))))
    apart[(slice(None), slice(None), *(slice(None, None, s) for s in stride))] = x
    turned = weight.reshape(groups, C // groups, per_group, *kernel).transpose(1, 2).flip(tuple(range(3, 3 + n)))
    before = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    return convolve(apart, turned.reshape(groups * per_group, C // groups, *kernel), bias, (1,) * n, before, dilation, groups, size)


def averages(x: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, include_pad: bool, divisor: int, size: Sizes) -> Tensor:
    """Means of windows over the last dims, rounded towards zero."""
    n = len(size)
    lead, spatial = tuple(x.shape[: x.ndim - n]), tuple(x.shape[x.ndim - n :])
    flat = x.reshape(1, math.prod(lead), *spatial)
    sums = _windows(flat, kernel, stride, padding, (1,) * n, size).sum(tuple(range(2 + n, 2 + 2 * n)), dtype=x.dtype)
    counts = tensor(1, dtype=x.dtype, device=x.device)
    for d, (i, k, s, p, o) in enumerate(zip(spatial, kernel, stride, padding, size, strict=True)):
        low, high = (-p, i + p) if include_pad else (0, i)
        held = [min(j * s - p + k, high) - max(j * s - p, low) for j in range(o)]
        counts = counts * tensor(held, dtype=x.dtype, device=x.device).reshape(-1, *(1,) * (n - 1 - d))
    return div(sums, divisor or counts, rounding_mode="trunc").reshape(*lead, *size)
