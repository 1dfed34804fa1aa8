"""Rows of attention over chosen rows."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from tests.opcase import SINGLE, Case, const, raises, randn


def _weights(q, table, index, sinks):
    B, T, H, D = q.shape
    p = np.zeros((B, T, H, index.shape[2]))
    for b, t, h in np.ndindex(B, T, H):
        picks = index[b % index.shape[0], t].astype(int)
        e = np.exp(np.where(picks >= 0, table[b, np.maximum(picks, 0)] @ q[b, t, h] * D**-0.5, -np.inf))
        total = e.sum() + (0 if sinks is None else np.exp(sinks[h]))
        p[b, t, h] = e / total if total else 0
    return p


def reference(q, rows, index, entries=None, sinks=None):
    """The formula, place by place."""
    table = rows if entries is None else np.concatenate([rows, entries], 1)
    y = np.zeros(q.shape)
    p = _weights(q, table, index, sinks)
    for b, t in np.ndindex(*q.shape[:2]):
        y[b, t] = p[b, t] @ table[b, np.maximum(index[b % index.shape[0], t].astype(int), 0)]
    return y


def call(q, rows, index, entries=None, sinks=None):
    """The function under test, found when it is called."""
    return al.nn.functional.sparse_attention(q, rows, index, entries=entries, sinks=sinks)


def mass(q, rows, index, sinks=None):
    """The function under test, found when it is called."""
    return al.nn.functional.sparse_attention_mass(q, rows, index, sinks=sinks)


_Q, _ROWS, _ENTRIES, _SINKS = randn(2, 3, 2, 4), randn(2, 5, 4), randn(2, 3, 4), randn(2)
_ALIKE = const([[[0, -1, 1], [4, 1, 2], [-1, -1, -1]]], "int64")
_EACH = const([[[0, -1, 1, 7], [4, 1, 2, 5], [-1, -1, 6, -1]], [[3, 3, -1, 0], [2, -1, -1, -1], [-1, 1, 0, 7]]], "int32")
_MANY = np.random.default_rng(0).integers(-5, 16, (2, 3, 11)).tolist()
_X = al.ones(1, 2, 1, 4)
_ERRORS = [
    raises(lambda: call(_X, al.ones(1, 3, 5), al.zeros(1, 2, 1, dtype=al.int64)), RuntimeError, r"rows are ascendlite.float32 of shape \(1, 3, 5\)"),
    raises(lambda: call(_X, al.ones(1, 3, 4), al.zeros(1, 3, 1, dtype=al.int64)), RuntimeError, r"index has the shape \(1, 3, 1\)"),
    raises(lambda: call(_X, al.ones(1, 3, 4), al.zeros(1, 2, 1)), TypeError, "int32 or int64"),
    raises(lambda: call(_X, al.ones(1, 3, 4), al.zeros(1, 2, 1, dtype=al.int64), sinks=al.ones(2)), RuntimeError, "for 1 heads"),
]

CASES = [
    Case("sparse_attention", reference, [_Q, _ROWS, _ALIKE], fn=call, errors=_ERRORS),
    Case("sparse_attention:entries and sinks", reference, [_Q, _ROWS, _EACH, _ENTRIES, _SINKS], fn=call),
    Case("sparse_attention:many heads", reference, [randn(2, 3, 20, 13), randn(2, 9, 13), const(_MANY, "int64"), randn(2, 7, 13), randn(20)], fn=call),
    Case(
        "sparse_attention_mass", lambda q, rows, index, sinks: _weights(q, rows, index, sinks).sum(2), [_Q, _ROWS, _ALIKE, _SINKS], fn=mass,
        grad=False, dtypes=SINGLE,
        errors=[raises(lambda: mass(_X, al.ones(3, 4), al.zeros(1, 2, 1, dtype=al.int64)), RuntimeError, r"\(B, T, H, D\)")],
    ),
]  # fmt: skip
