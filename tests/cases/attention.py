"""Rows of attention and rotary positions."""

from __future__ import annotations

import functools

import numpy as np

import ascendlite as al
from tests.opcase import Case, bools, const, raises, randn


def reference(q, k, v, mask=None, sinks=None, causal=False, window=None, scale=None):
    """The formula, with a query that sees nothing giving zeros."""
    group = q.shape[-3] // k.shape[-3] if q.ndim > 2 else 1
    if group > 1:
        k, v = np.repeat(k, group, -3), np.repeat(v, group, -3)
    s = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    i, j = np.arange(s.shape[-2])[:, None], np.arange(s.shape[-1])
    seen = np.ones(s.shape, bool)
    if mask is not None and mask.dtype == bool:
        seen = seen & mask
    elif mask is not None:
        s = s + mask
    if causal:
        seen = seen & (j <= i)
    if window:
        seen = seen & (j > i - window)
    s = np.where(seen, s, -np.inf)
    top = np.max(s, -1, keepdims=True, initial=-1e30)
    if sinks is not None:
        top = np.maximum(top, sinks[:, None, None])
    p = np.exp(s - top)
    total = p.sum(-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sinks[:, None, None] - top)
    return np.where(total > 0, p / np.where(total > 0, total, 1), 0) @ v


def sdpa(*tensors, **options):
    """The function under test, found when it is called."""
    return al.nn.functional.scaled_dot_product_attention(*tensors, **options)


def _sinks(q, k, v, s, **options):
    return sdpa(q, k, v, sinks=s, **options)


def _rope(x, cos, sin, interleaved=False, inverse=False):
    n = cos.shape[-1]
    sin = -sin if inverse else sin
    y = x.copy()
    a, b = (x[..., 0 : 2 * n : 2], x[..., 1 : 2 * n : 2]) if interleaved else (x[..., :n], x[..., n : 2 * n])
    left, right = a * cos - b * sin, b * cos + a * sin
    if interleaved:
        y[..., 0 : 2 * n : 2], y[..., 1 : 2 * n : 2] = left, right
    else:
        y[..., :n], y[..., n : 2 * n] = left, right
    return y


def _tables(positions, dim):
    angles = np.arange(positions)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    return np.cos(angles), np.sin(angles)


_QKV = [randn(2, 4, 5, 6), randn(2, 4, 7, 6), randn(2, 4, 7, 3)]
_GROUPED = [randn(1, 4, 5, 6), randn(1, 2, 7, 6), randn(1, 2, 7, 3)]
_LARGE = [(1, 2, 150, 16), (1, 2, 200, 16), (1, 2, 200, 24)]
_COS, _SIN = (const(t.tolist()) for t in _tables(5, 4))
_NAME = "scaled_dot_product_attention"
_TURN = {
    "errors": [
        raises(
            lambda: al.rope(al.ones(2, 3), al.ones(2, 2), al.ones(2, 2)),
            RuntimeError,
            r"turn 4 elements a row",
        ),
        raises(
            lambda: al.rope(al.ones(2, 4), al.ones(3, 2), al.ones(3, 2)), RuntimeError, "do not broadcast"
        ),
        raises(lambda: al.rope(al.ones(2, 4), al.ones(2, 2), al.ones(2, 1)), RuntimeError, "must be alike"),
    ]
}

CASES = [
    Case(
        _NAME,
        reference,
        _QKV,
        large=_LARGE,
        shapes=[[(0, 4, 5, 6), (0, 4, 7, 6), (0, 4, 7, 3)], [(1, 1, 0, 6), (1, 1, 7, 6), (1, 1, 7, 3)]],
        errors=[
            raises(
                lambda: sdpa(al.ones(2, 3, 4), al.ones(2, 3, 5), al.ones(2, 3, 4)),
                RuntimeError,
                r"query \(2, 3, 4\), key \(2, 3, 5\)",
            ),
            raises(
                lambda: sdpa(al.ones(3, 4), al.ones(3, 4), al.ones(3, 4), al.ones(3, 3), is_causal=True),
                RuntimeError,
                "is_causal=True",
            ),
            raises(
                lambda: sdpa(al.ones(3, 4), al.ones(3, 4), al.ones(3, 4), al.ones(2, 2)),
                RuntimeError,
                "does not broadcast",
            ),
            raises(
                lambda: sdpa(al.ones(3, 4), al.ones(3, 4), al.ones(3, 4).double()), RuntimeError, "same dtype"
            ),
            raises(
                lambda: sdpa(al.ones(2, 3, 4), al.ones(1, 3, 4), al.ones(1, 3, 4), window=0),
                RuntimeError,
                "at least 1",
            ),
            raises(
                lambda: sdpa(al.ones(1, 4, 3, 4), al.ones(1, 2, 3, 4), al.ones(1, 2, 3, 4)),
                RuntimeError,
                "enable_gqa=True",
            ),
        ],
    ),
    Case(
        f"{_NAME}:causal",
        functools.partial(reference, causal=True),
        _QKV,
        fn=lambda *x: sdpa(*x, is_causal=True),
        large=_LARGE,
    ),
    Case(
        f"{_NAME}:keys that no query sees",
        functools.partial(reference, causal=True),
        [randn(1, 2, 3, 16), randn(1, 2, 5, 16), randn(1, 2, 5, 16)],
        fn=lambda *x: sdpa(*x, is_causal=True),
        large=[(1, 2, 33, 16), (1, 2, 200, 16), (1, 2, 200, 32)],
    ),
    Case(
        f"{_NAME}:scale", functools.partial(reference, scale=-0.7), _QKV, fn=lambda *x: sdpa(*x, scale=-0.7)
    ),
    Case(f"{_NAME}:bool mask", reference, [*_QKV, bools(2, 1, 5, 7)], fn=lambda *x: sdpa(*x)),
    Case(f"{_NAME}:mask", reference, [*_QKV, randn(5, 7)], fn=lambda *x: sdpa(*x)),
    Case(f"{_NAME}:groups", reference, _GROUPED, fn=lambda *x: sdpa(*x, enable_gqa=True)),
    Case(
        f"{_NAME}:window",
        functools.partial(reference, causal=True, window=2),
        _QKV,
        fn=lambda *x: sdpa(*x, is_causal=True, window=2),
    ),
    Case(
        f"{_NAME}:empty window",
        functools.partial(reference, window=1),
        [randn(1, 2, 6, 4), randn(1, 2, 3, 4), randn(1, 2, 3, 4)],
        fn=lambda *x: sdpa(*x, window=1),
    ),
    Case(
        f"{_NAME}:sinks",
        lambda q, k, v, s: reference(q, k, v, sinks=s, causal=True),
        [*_QKV, randn(4)],
        fn=functools.partial(_sinks, is_causal=True),
    ),
    Case(f"{_NAME}:3-d", reference, [randn(2, 5, 6), randn(2, 7, 6), randn(2, 7, 3)], fn=lambda *x: sdpa(*x)),
    Case(f"{_NAME}:2-d", reference, [randn(5, 6), randn(7, 6), randn(7, 3)], fn=lambda *x: sdpa(*x)),
    Case(
        f"{_NAME}:5-d",
        reference,
        [randn(2, 1, 2, 5, 4), randn(2, 1, 2, 3, 4), randn(2, 1, 2, 3, 4)],
        fn=lambda *x: sdpa(*x),
    ),
    Case("rope", _rope, [randn(2, 3, 5, 4), _COS, _SIN], **_TURN),
    Case(
        "rope:partial",
        functools.partial(_rope, inverse=True),
        [randn(3, 5, 7), _COS, _SIN],
        fn=lambda x, c, s: al.rope(x, c, s, inverse=True),
    ),
    Case(
        "rope:interleaved",
        functools.partial(_rope, interleaved=True),
        [randn(3, 5, 6), _COS, _SIN],
        fn=lambda x, c, s: al.rope(x, c, s, interleaved=True),
    ),
    Case(
        "rope_tables",
        lambda x: _tables(4, 6),
        [randn(2)],
        fn=lambda x: al.rope_tables(4, 6),
        grad=False,
        dtypes=("float32",),
        out_dtype="float32",
        meta=False,
        layouts=False,
        errors=[raises(lambda: al.rope_tables(4, 5), RuntimeError, "dim is 5")],
    ),
]
