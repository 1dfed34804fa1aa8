"""Rows of convolutions, unfold and fold: the references are sums over kernel taps, written with slices."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import ascendlite as al
from ascendlite.core import FUNCTIONS
from tests.opcase import Case, Raises, raises, randn

F = al.nn.functional


def _each(value: Any, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def conv(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution of (N, C, ...), one tap of the kernel after the other."""
    n = w.ndim - 2
    stride, dilation = _each(stride, n), _each(dilation, n)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, w.shape[2:], strict=True)]
        widths = [(t // 2, t - t // 2) for t in total]
    else:
        widths = [(p, p) for p in _each(padding, n)]
    x = np.pad(x, [(0, 0), (0, 0), *widths])
    size = [(i - d * (k - 1) - 1) // s + 1 for i, d, k, s in zip(x.shape[2:], dilation, w.shape[2:], stride, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *size))
    ins, outs = w.shape[1], w.shape[0] // groups
    for tap in itertools.product(*map(range, w.shape[2:])):
        window = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilation, size, stride, strict=True))
        for g in range(groups):
            y[:, g * outs : (g + 1) * outs] += np.einsum(
                "ni...,oi->no...",
                x[:, g * ins : (g + 1) * ins][(..., *window)],
                w[(slice(g * outs, (g + 1) * outs), slice(None), *tap)],
            )
    return y if b is None else y + b.reshape(-1, *(1,) * n)


def conv_transpose(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed convolution of (N, C, ...): every input adds its taps to the output."""
    n = w.ndim - 2
    stride, padding, extra, dilation = (_each(v, n) for v in (stride, padding, output_padding, dilation))
    full = [(i - 1) * s + d * (k - 1) + 1 + e for i, s, d, k, e in zip(x.shape[2:], stride, dilation, w.shape[2:], extra, strict=True)]
    ins, outs = w.shape[0] // groups, w.shape[1]
    y = np.zeros((x.shape[0], outs * groups, *full))
    for tap in itertools.product(*map(range, w.shape[2:])):
        window = tuple(slice(t * d, t * d + (i - 1) * s + 1, s) for t, d, i, s in zip(tap, dilation, x.shape[2:], stride, strict=True))
        for g in range(groups):
            y[:, g * outs : (g + 1) * outs][(..., *window)] += np.einsum(
                "ni...,io->no...",
                x[:, g * ins : (g + 1) * ins],
                w[(slice(g * ins, (g + 1) * ins), slice(None), *tap)],
            )
    y = y[(..., *(slice(p, s - p) for p, s in zip(padding, full, strict=True)))]
    return y if b is None else y + b.reshape(-1, *(1,) * n)


def row(name: str, shapes: list[tuple[int, ...]], form: str = "", errors: tuple[Raises, ...] = (), gradients: bool = True, **options: Any) -> Case:
    """A convolution with these options against its reference; `gradients` by central differences."""
    reference = conv_transpose if "transpose" in name else conv
    fn = FUNCTIONS[name]
    return Case(
        f"{name}:{form}" if form else name,
        lambda *a: reference(*a, **options),
        [randn(*s) for s in shapes],
        fn=lambda *a: fn(*a, **options),
        errors=errors,
        grad=gradients,
        tol=4,  # sums of up to 60 products of normal numbers, so results and their roundings are larger than the terms
    )


def unfold(x, kernel, dilation=1, padding=0, stride=1):
    kernel, dilation, padding, stride = (_each(v, 2) for v in (kernel, dilation, padding, stride))
    eye = np.eye(kernel[0] * kernel[1]).reshape(-1, 1, *kernel)
    N, C = x.shape[:2]
    y = conv(x.reshape(N * C, 1, *x.shape[2:]), eye, None, stride, padding, dilation)
    return y.reshape(N, C * kernel[0] * kernel[1], -1)


def fold(y, size, kernel, stride=1):
    N, rows, _ = y.shape
    window = kernel * kernel
    grid = [(s - kernel) // stride + 1 for s in size]
    eye = np.eye(window).reshape(window, 1, kernel, kernel)
    extra = [s - ((g - 1) * stride + kernel) for s, g in zip(size, grid, strict=True)]
    x = conv_transpose(y.reshape(N * rows // window, window, *grid), eye, None, stride, 0, extra)
    return x.reshape(N, rows // window, *size)


X, W = al.ones(1, 4, 5, 5), al.ones(6, 4, 3, 3)
CONV2D_ERRORS = (
    raises(lambda: al.conv2d(al.ones(5, 5), W), RuntimeError, r"conv2d: Expected 3D \(unbatched\) or 4D \(batched\) input"),
    raises(lambda: al.conv2d(al.ones(1, 3, 5, 5), W), RuntimeError, "to have 4 channels, but got 3 channels"),
    raises(lambda: al.conv2d(X, W, al.ones(5)), RuntimeError, "expected bias to be 1-dimensional with 6 elements"),
    raises(lambda: al.conv2d(X, al.ones(6, 4, 7, 7)), RuntimeError, "Kernel size can't be greater than actual input size"),
    raises(lambda: al.conv2d(X, W, stride=0), RuntimeError, "stride should be greater than zero"),
    raises(lambda: al.conv2d(X, W, padding=-1), RuntimeError, "negative padding is not supported"),
    raises(lambda: al.conv2d(X, W, padding="same", stride=2), RuntimeError, "not supported for strided convolutions"),
    raises(lambda: al.conv2d(X, W, groups=4), RuntimeError, "expected weight to be divisible by 4"),
    raises(lambda: al.conv2d(X, W.double()), RuntimeError, "should be the same"),
    raises(lambda: al.conv2d(X.bool(), W.bool()), RuntimeError, "not implemented for dtype bool"),
)
TRANSPOSE_ERROR = (raises(lambda: al.conv_transpose2d(X, al.ones(4, 2, 3, 3), output_padding=1), RuntimeError, "output padding must be smaller"),)
SMALL = (raises(lambda: al.conv1d(al.ones(1, 1, 2), al.ones(1, 1, 3)), RuntimeError, "greater than actual input size"),)
SMALL3 = (raises(lambda: al.conv3d(al.ones(1, 1, 2, 2, 2), al.ones(1, 1, 3, 3, 3)), RuntimeError, "greater than actual input"),)

CASES = [
    row("conv1d", [(2, 4, 9), (6, 2, 3), (6,)], errors=SMALL, stride=2, padding=1, groups=2),
    row("conv1d", [(1, 2, 40), (3, 2, 4)], "same", padding="same", dilation=2),
    row("conv2d", [(2, 3, 6, 7), (5, 3, 3, 2), (5,)], errors=CONV2D_ERRORS, stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
    row("conv2d", [(2, 4, 6, 5), (4, 1, 3, 3)], "depthwise", padding=1, groups=4),
    row("conv2d", [(3, 2, 7, 37), (2, 1, 3, 3), (2,)], "depthwise, long rows", stride=2, padding=1, groups=2),
    row("conv2d", [(1, 2, 9, 43), (2, 1, 5, 3)], "depthwise, more taps than registers", stride=(2, 1), padding=2, dilation=(1, 2), groups=2),
    row("conv2d", [(2, 3, 8, 50), (3, 1, 2, 2), (3,)], "depthwise, stride over kernel", stride=3, groups=3),
    row("conv2d", [(2, 5, 4, 3), (7, 5, 1, 1), (7,)], "pointwise"),
    row("conv2d", [(1, 9, 12, 12), (17, 9, 3, 3)], "tiles", padding=1),
    row("conv2d", [(1, 2, 9, 9), (3, 2, 2, 2)], "stride over kernel", stride=3),
    row("conv2d", [(3, 17, 5, 4), (16, 17, 3, 2), (16,)], "small planes", stride=2, padding=(1, 2), dilation=(2, 1)),
    row("conv2d", [(2, 17, 5, 6), (19, 17, 3, 3), (19,)], "3x3 taps of many channels", gradients=False, padding=1),
    row("conv2d", [(9, 18, 4, 7), (16, 18, 3, 3)], "3x3 taps of many channels, wide padding", gradients=False, padding=(3, 0)),
    row("conv2d", [(1, 20, 6, 93), (33, 20, 3, 3), (33,)], "3x3 taps of many channels, long rows", gradients=False),
    row("conv2d", [(2, 16, 5, 4), (20, 16, 1, 1), (20,)], "small planes, pointwise"),
    row("conv1d", [(2, 16, 9), (17, 16, 3)], "small planes, taps in the padding", padding=11, stride=5, dilation=2),
    Case("conv2d:unbatched", lambda x, w: conv(x[None], w)[0], [randn(3, 4, 5), randn(2, 3, 2, 2)], fn=al.conv2d, tol=4),
    row("conv3d", [(1, 2, 4, 5, 3), (3, 2, 2, 3, 2), (3,)], errors=SMALL3, stride=(1, 2, 1), padding=1),
    row("conv3d", [(2, 18, 3, 3, 2), (16, 18, 2, 1, 2)], "small planes", padding=(0, 1, 1)),
    row("conv_transpose1d", [(2, 4, 5), (4, 3, 3), (6,)], errors=TRANSPOSE_ERROR, stride=2, padding=1, output_padding=1, groups=2),
    row("conv_transpose2d", [(2, 3, 4, 3), (3, 2, 3, 2), (2,)], errors=TRANSPOSE_ERROR, stride=(2, 3), padding=1, output_padding=(1, 2)),
    row("conv_transpose2d", [(2, 16, 3, 2), (16, 17, 3, 2), (17,)], "small planes", stride=2, padding=1, output_padding=1),
    row("conv_transpose2d", [(2, 18, 4, 5), (18, 21, 3, 3), (21,)], "3x3 taps of many channels", gradients=False, padding=1),
    row("conv_transpose2d", [(1, 2, 3, 3), (2, 3, 2, 2)], "dilated", dilation=2),
    row("conv_transpose2d", [(2, 2, 4, 19), (2, 1, 3, 3), (2,)], "depthwise", stride=2, padding=1, output_padding=1, groups=2),
    row("conv_transpose3d", [(1, 2, 2, 3, 2), (2, 3, 2, 2, 3)], errors=TRANSPOSE_ERROR, stride=2),
    Case(
        "unfold",
        lambda x: unfold(x, (2, 3), 1, 1, (2, 1)),
        [randn(2, 3, 5, 4)],
        fn=lambda x: F.unfold(x, (2, 3), 1, 1, (2, 1)),
        errors=[raises(lambda: F.unfold(al.ones(1, 1, 2, 2), 3), RuntimeError, "shape of the array of sliding blocks")],
    ),
    Case(
        "fold",
        lambda y: fold(y, (5, 4), 2),
        [randn(2, 8, 12)],
        fn=lambda y: F.fold(y, (5, 4), 2),
        errors=[raises(lambda: F.fold(al.ones(1, 8, 11), (5, 4), 2), RuntimeError, "number of sliding blocks 4 \\* 3 = 12")],
    ),
    Case("fold:strided", lambda y: fold(y, (5, 5), 2, 2), [randn(1, 4, 4)], fn=lambda y: F.fold(y, 5, 2, stride=2)),
]
