"""Rows of pooling, resampling and the norms over channels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import ascendlite as al
from tests.opcase import Case, away, distinct, raises, randn

F = al.nn.functional


def fixed(size: int, kernel: int, stride: int, padding: int = 0, dilation: int = 1) -> list[list[int]]:
    """The inputs of every window of one dimension; what lies in the padding is left out."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    starts = [o * stride - padding for o in range(count)]
    return [[i for i in range(s, s + dilation * kernel, dilation) if 0 <= i < size] for s in starts]


def adaptive(size: int, out: int) -> list[list[int]]:
    return [list(range(o * size // out, -(-(o + 1) * size // out))) for o in range(out)]


def drawn(size: int, out: int, kernel: int, sample: float = 0.3) -> list[list[int]]:
    """The windows of fractional pooling."""
    step = (size - kernel) / (out - 1)
    starts = [int((k + sample) * step) - int(sample * step) for k in range(out - 1)] + [size - kernel]
    return [list(range(s, s + kernel)) for s in starts]


def pooled(x: np.ndarray, windows: list[list[list[int]]], reduce: Any) -> np.ndarray:
    """reduce(values, counts) of every window of the last dimensions."""
    n = len(windows)
    y = np.zeros((*x.shape[:-n], *map(len, windows)))
    for place in itertools.product(*(range(len(w)) for w in windows)):
        y[(..., *place)] = reduce(x[(..., *np.ix_(*(w[p] for w, p in zip(windows, place, strict=True))))], n)
    return y


def largest(v: np.ndarray, n: int) -> np.ndarray:
    return v.max(tuple(range(-n, 0)))


def average(v: np.ndarray, n: int) -> np.ndarray:
    return v.mean(tuple(range(-n, 0)))


def positions(x: np.ndarray, windows: list[list[list[int]]]) -> np.ndarray:
    """Flat positions of the maxima of windows in planes of distinct numbers."""
    n = len(windows)
    flat = x.reshape(*x.shape[:-n], -1)
    return np.argmax(flat[..., None, :] == pooled(x, windows, largest).reshape(*x.shape[:-n], -1, 1), -1).reshape(
        *x.shape[:-n], *map(len, windows)
    )


def normalised(x, w, b, axes, eps=1e-5):
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    return y if w is None else y * w.reshape(-1, *(1,) * (x.ndim - 2)) + b.reshape(-1, *(1,) * (x.ndim - 2))


def grouped(x, w, b, groups):
    y = normalised(x.reshape(x.shape[0], groups, -1), None, None, 2).reshape(x.shape)
    return y * w.reshape(-1, *(1,) * (x.ndim - 2)) + b.reshape(-1, *(1,) * (x.ndim - 2))


def bilinear(x, size):
    """Corners not aligned, as torch's default."""
    for axis, out in zip((-2, -1), size, strict=True):
        n = x.shape[axis]
        at = np.maximum((np.arange(out) + 0.5) * n / out - 0.5, 0)
        low = np.minimum(at.astype(int), n - 1)
        rest = np.minimum(at - low, 1).reshape(-1, *(1,) * (-1 - axis))
        x = np.take(x, low, axis) * (1 - rest) + np.take(x, np.minimum(low + 1, n - 1), axis) * rest
    return x


X = al.ones(1, 2, 4, 4)
WIDE_ERROR1 = [raises(lambda: F.max_pool1d(al.ones(1, 2), 5), RuntimeError, "Output size is too small")]
WIDE_ERROR3 = [raises(lambda: F.max_pool3d(al.ones(1, 2, 2, 2), 5), RuntimeError, "Output size is too small")]
PAD_ERROR = [raises(lambda: F.max_pool2d(X, 3, padding=2), RuntimeError, "at most half of effective kernel size")]
AVG_ERROR = [raises(lambda: F.avg_pool2d(X, 2, divisor_override=0), RuntimeError, "divisor must be not zero")]
EMPTY_ERROR = [raises(lambda: F.adaptive_avg_pool2d(al.ones(1, 2, 0, 4), 2), RuntimeError, "non-zero size")]
PLANES_ERROR = [raises(lambda: F.adaptive_max_pool2d(al.ones(4, 4), 2), RuntimeError, "Expected 3D or 4D")]
MODE_ERRORS = [
    raises(lambda: F.interpolate(X), ValueError, "either size or scale_factor should be defined"),
    raises(lambda: F.interpolate(X, 2, 2.0), ValueError, "only one of size or scale_factor"),
    raises(lambda: F.interpolate(X, 2, align_corners=True), ValueError, "align_corners"),
    raises(lambda: F.interpolate(X, 2, mode="linear"), NotImplementedError, "linear mode needs 3D input"),
    raises(lambda: F.interpolate(X, 2, mode="bilinear", antialias=True), NotImplementedError, "antialias"),
]
NORM_ERROR = [raises(lambda: F.batch_norm(al.ones(1, 3), None, None, training=True), ValueError, "Expected more than 1 value per channel")]
GROUP_ERROR = [raises(lambda: F.group_norm(X, 3), RuntimeError, "divisible by num_groups")]
INSTANCE_ERROR = [raises(lambda: F.instance_norm(al.ones(2, 3, 1)), ValueError, "Expected more than 1 spatial element")]

CASES = [
    Case("max_pool1d", lambda x: pooled(x, [fixed(9, 3, 2, 1)], largest), [distinct(2, 3, 9)], fn=lambda x: F.max_pool1d(x, 3, 2, 1), errors=WIDE_ERROR1),
    Case(
        "max_pool2d",
        lambda x: pooled(x, [fixed(7, 3, 2, 1), fixed(8, 2, 1, 0, 2)], largest),
        [distinct(2, 2, 7, 8)],
        fn=lambda x: F.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2)),
        errors=PAD_ERROR,
    ),
    Case(
        "max_pool2d:indices",
        lambda x: positions(x, [fixed(6, 2, 2), fixed(6, 2, 2)]),
        [distinct(2, 1, 6, 6)],
        fn=lambda x: F.max_pool2d(x, 2, return_indices=True)[1],
        grad=False,
    ),
    *(
        Case(
            f"max_pool2d:rows of vectors, {form}",
            lambda x, s=step, reduce=reduce: reduce(x, [fixed(5, 3, s, 1), fixed(37, 3, s, 1)]),
            [distinct(2, 5, 37)],
            fn=lambda x, s=step, k=k: F.max_pool2d(x[None], 3, s, 1, return_indices=True)[k][0],
            grad=False,
        )
        for step in (1, 2)
        for k, form, reduce in ((0, f"step {step}", lambda x, w: pooled(x, w, largest)), (1, f"places, step {step}", positions))
    ),
    Case("max_pool3d", lambda x: pooled(x, [fixed(4, 2, 2)] * 3, largest), [distinct(1, 2, 4, 4, 4)], fn=lambda x: F.max_pool3d(x, 2), errors=WIDE_ERROR3),
    Case("avg_pool1d", lambda x: pooled(x, [fixed(9, 3, 2)], average), [randn(2, 3, 9)], fn=lambda x: F.avg_pool1d(x, 3, 2), errors=AVG_ERROR),
    Case(
        "avg_pool2d",
        lambda x: pooled(x, [fixed(6, 3, 2, 1), fixed(7, 3, 1, 1)], average),
        [randn(2, 2, 6, 7)],
        fn=lambda x: F.avg_pool2d(x, 3, (2, 1), 1, count_include_pad=False),
        errors=AVG_ERROR,
    ),
    Case(
        "avg_pool2d:divisor",
        lambda x: pooled(x, [fixed(5, 2, 1), fixed(5, 2, 1)], lambda v, n: v.sum((-1, -2)) / 3),
        [randn(1, 2, 5, 5)],
        fn=lambda x: F.avg_pool2d(x, 2, 1, divisor_override=3),
    ),
    Case("avg_pool3d", lambda x: pooled(x, [fixed(4, 2, 1)] * 3, average), [randn(1, 2, 4, 4, 4)], fn=lambda x: F.avg_pool3d(x, 2, 1), errors=AVG_ERROR),
    Case("adaptive_avg_pool1d", lambda x: pooled(x, [adaptive(7, 3)], average), [randn(2, 2, 7)], fn=lambda x: F.adaptive_avg_pool1d(x, 3), errors=EMPTY_ERROR),
    Case(
        "adaptive_avg_pool2d",
        lambda x: pooled(x, [adaptive(7, 3), adaptive(5, 5)], average),
        [randn(2, 2, 7, 5)],
        fn=lambda x: F.adaptive_avg_pool2d(x, (3, None)),
        errors=EMPTY_ERROR,
    ),
    Case("adaptive_avg_pool3d", lambda x: pooled(x, [adaptive(4, 3)] * 3, average), [randn(1, 2, 4, 4, 4)], fn=lambda x: F.adaptive_avg_pool3d(x, 3), errors=EMPTY_ERROR),
    Case("adaptive_max_pool1d", lambda x: pooled(x, [adaptive(7, 3)], largest), [distinct(2, 2, 7)], fn=lambda x: F.adaptive_max_pool1d(x, 3), errors=PLANES_ERROR),
    Case("adaptive_max_pool2d", lambda x: pooled(x, [adaptive(7, 3), adaptive(5, 2)], largest), [distinct(2, 2, 7, 5)], fn=lambda x: F.adaptive_max_pool2d(x, (3, 2)), errors=PLANES_ERROR),
    Case("adaptive_max_pool3d", lambda x: pooled(x, [adaptive(4, 3)] * 3, largest), [distinct(1, 2, 4, 4, 4)], fn=lambda x: F.adaptive_max_pool3d(x, 3), errors=PLANES_ERROR),
    Case("interpolate", lambda x: x.repeat(2, -1).repeat(3, -2), [randn(2, 2, 3, 4)], fn=lambda x: F.interpolate(x, scale_factor=(3, 2)), errors=MODE_ERRORS),
    Case("interpolate:bilinear", lambda x: bilinear(x, (7, 3)), [randn(2, 2, 4, 5)], fn=lambda x: F.interpolate(x, (7, 3), mode="bilinear")),
    Case(
        "interpolate:aligned",
        lambda x: np.stack([np.interp(np.linspace(0, 4, 9), np.arange(5), r) for r in x[0]])[None],
        [randn(1, 2, 5)],
        fn=lambda x: F.interpolate(x, 9, mode="linear", align_corners=True),
    ),
    Case(
        "batch_norm",
        lambda x, w, b: normalised(x, w, b, (0, 2, 3)),
        [randn(3, 4, 2, 3), randn(4), randn(4)],
        fn=lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        errors=NORM_ERROR,
        tol=4,  # values are divided by a deviation that is itself rounded
        grad_tol=20,  # the second gradient divides by the third power of deviations below 1
    ),
    Case(
        "batch_norm:rows",
        lambda x, w, b: normalised(x, w, b, 0),
        [randn(9, 5), randn(5), randn(5)],
        fn=lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        tol=4,  # as above
        grad_tol=20,  # as above
    ),
    *(Case(
        f"fractional_max_pool{n}d", lambda x, n=n: pooled(x, [drawn(5 + d, 3, 2) for d in range(n)], largest), [distinct(2, 2, *range(5, 5 + n))],
        fn=lambda x, n=n: getattr(F, f"fractional_max_pool{n}d")(x, 2, 3, _random_samples=al.full((2, 2, n), 0.3, dtype=al.float32, device=x.device)),
        errors=[raises(lambda n=n: getattr(F, f"fractional_max_pool{n}d")(al.ones(1, *(4,) * n), 3, 3), RuntimeError, "must fit")],
    ) for n in (2, 3)),
    Case(
        "batch_norm:eval",
        lambda x, w, b: (x - 0.5) / np.sqrt(2 + 1e-5) * w[:, None] + b[:, None],
        [randn(2, 4, 3), randn(4), randn(4)],
        fn=lambda x, w, b: F.batch_norm(x, al.full((4,), 0.5, dtype=w.dtype, device=w.device), al.full((4,), 2.0, dtype=w.dtype, device=w.device), w, b),
    ),
    Case(
        "group_norm",
        lambda x, w, b: grouped(x, w, b, 2),
        [randn(2, 6, 4), randn(6), randn(6)],
        fn=lambda x, w, b: F.group_norm(x, 2, w, b),
        errors=GROUP_ERROR,
        tol=4,  # as batch_norm
        grad_tol=20,  # as batch_norm
    ),
    Case(
        "instance_norm",
        lambda x: normalised(x, None, None, (2, 3)),
        [away(2, 3, 3, 4)],
        fn=F.instance_norm,
        errors=INSTANCE_ERROR,
        tol=4,  # as batch_norm
        grad_tol=20,  # as batch_norm
    ),
]
