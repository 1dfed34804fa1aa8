"""Rows of Sinkhorn's normalisation."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from tests.opcase import SINGLE, Case, raises, randn


def reference(x, iterations=20, eps=1e-6):
    """The formula, step by step."""
    e = np.exp(x - x.max(-1, keepdims=True))
    a = e / e.sum(-1, keepdims=True) + eps
    for step in range(2 * iterations - 1):
        a = a / (a.sum(-1 if step % 2 else -2, keepdims=True) + eps)
    return a


def call(x, iterations=20, eps=1e-6):
    """The function under test, found when it is called."""
    return al.nn.functional.sinkhorn(x, iterations, eps)


_ERRORS = [
    raises(lambda: call(al.zeros(2, 3)), RuntimeError, r"input has the shape \(2, 3\)"),
    raises(lambda: call(al.zeros(17, 17)), RuntimeError, "n from 1 to 16"),
    raises(lambda: call(al.zeros(2, 2, dtype=al.float16)), TypeError, "use float32 or float64"),
    raises(lambda: call(al.zeros(2, 2), 0), ValueError, "iterations is 0"),
]

CASES = [
    Case("sinkhorn", reference, [randn(3, 7, 4, 4)], fn=call, dtypes=SINGLE, errors=_ERRORS),
    Case("sinkhorn:few", lambda x: reference(x, 3, 0.01), [randn(37, 2, 2)], fn=lambda x: call(x, 3, 0.01), dtypes=SINGLE),
    Case("sinkhorn:once", lambda x: reference(x, 1), [randn(5, 5)], fn=lambda x: call(x, 1), dtypes=SINGLE),
    Case("sinkhorn:nothing", reference, [randn(0, 4, 4)], fn=call, dtypes=SINGLE),
]
