"""softmax and normalisation over rows, and embeddings, against NumPy and SciPy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import special

import ascendlite as al
from ascendlite.core import FUNCTIONS
from tests.opcase import SINGLE, Case, ints, raises, randn

_F = SimpleNamespace(**FUNCTIONS)


def _layer_norm(x: Any, weight: Any = 1.0, bias: Any = 0.0, axis: Any = -1) -> Any:
    mean, var = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def _rms_norm(x: Any, weight: Any = 1.0) -> Any:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight


def _no_dim(name: str, fn: Any) -> Any:
    return raises(lambda: fn(al.ones(2), 5), IndexError, "out of range")


CASES = [
    Case("softmax", lambda x: special.softmax(x, 1), [randn(3, 4)], args=(1,), shapes=[[(0, 4)]], large=[(300, 257)],
         errors=[_no_dim("softmax", al.softmax)]),
    Case("softmax:first", lambda x: special.softmax(x, 0), [randn(6, 5)], args=(0,), large=[(257, 300)]),
    Case("softmax:far", lambda x: special.softmax(x, -1), [randn(3, 4, scale=200.0)], args=(-1,), dtypes=SINGLE, grad=False),
    Case("log_softmax", lambda x: special.log_softmax(x, 1), [randn(3, 4)], args=(1,), large=[(300, 257)],
         errors=[_no_dim("log_softmax", al.log_softmax)]),
    Case("log_softmax:middle", lambda x: special.log_softmax(x, 1), [randn(3, 4, 5)], args=(1,)),
    Case("softmin", lambda x: special.softmax(-x, 1), [randn(3, 4)], args=(1,), errors=[_no_dim("softmin", _F.softmin)]),
    Case("layer_norm", _layer_norm, [randn(3, 8), randn(8), randn(8)], fn=lambda x, w, b: _F.layer_norm(x, (8,), w, b),
         errors=[raises(lambda: _F.layer_norm(al.ones(2, 3), (4,)), RuntimeError, "layer_norm: given normalized_shape")], tol=2.0),
    Case("layer_norm:plain", _layer_norm, [randn(5, 33)], fn=lambda x: _F.layer_norm(x, (33,)), tol=2.0),  # two roundings more
    Case("layer_norm:dims", lambda x: _layer_norm(x, axis=(1, 2)), [randn(3, 4, 5)], fn=lambda x: _F.layer_norm(x, (4, 5)), tol=2.0),
    Case("rms_norm", _rms_norm, [randn(3, 8), randn(8)], fn=lambda x, w: _F.rms_norm(x, (8,), w, 1e-5),
         errors=[raises(lambda: _F.rms_norm(al.ones(2, 3), (4,)), RuntimeError, "rms_norm: given normalized_shape")], tol=2.0),
    Case("embedding", lambda i, w: w[i], [ints(3, 5, high=7), randn(7, 4)], fn=_F.embedding,
         errors=[raises(lambda: _F.embedding(al.tensor([9]), al.ones(3, 2)), IndexError, "index out of range in self")], grad2=False),
    Case("embedding:padding", lambda i, w: w[i], [ints(3, 5, high=7), randn(7, 4)], grad=False, dtypes=SINGLE,
         fn=lambda i, w: _F.embedding(i, w, padding_idx=2)),
    Case("one_hot", lambda i: np.eye(6, dtype=np.int64)[i], [ints(3, 4, high=6)], fn=lambda i: _F.one_hot(i, 6), dtypes=("float32",),
         grad=False, out_dtype="int64",
         errors=[raises(lambda: _F.one_hot(al.tensor([3]), 2), RuntimeError, "Class values must be smaller than num_classes")]),
    Case("normalize", lambda x: x / np.sqrt((x * x).sum(1, keepdims=True)), [randn(3, 4)], fn=_F.normalize,
         errors=[_no_dim("normalize", lambda x, d: _F.normalize(x, 2.0, d))]),
    Case("cosine_similarity", lambda a, b: (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)), [randn(3, 4), randn(3, 4)],
         errors=[raises(lambda: al.cosine_similarity(al.ones(2, 2), al.ones(2, 2), 4), IndexError, "out of range")], tol=2.0),
]
