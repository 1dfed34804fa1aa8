"""The array API namespace agrees with NumPy's, and generic code runs on tensors."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al
from ascendlite.interop import array_api as xp

A = np.array([[3.0, -1.0, 2.0], [0.5, 4.0, -2.0]])
B = np.array([[1.0, 2.0, -3.0], [2.0, 0.25, 5.0]])
N = np.array([3, 1, 2, 3, 1, 1])

# Each row is run on both namespaces.
CALLS = {
    "unary": lambda xp, a, b, n: [getattr(xp, f)(xp.abs(a) + 1) for f in ("exp", "log", "sqrt", "sin", "tanh", "floor", "acosh", "square")],
    "binary": lambda xp, a, b, n: [xp.add(a, b), xp.atan2(a, b), xp.hypot(a, b), xp.maximum(a, b), xp.pow(xp.abs(a), b), xp.less(a, b)],
    "clip": lambda xp, a, b, n: xp.clip(a, -1, 2),
    "signbit": lambda xp, a, b, n: xp.signbit(a),
    "where": lambda xp, a, b, n: xp.where(a > b, a, b),
    "sum": lambda xp, a, b, n: [xp.sum(a), xp.sum(a, axis=0), xp.sum(a, axis=(0, 1), keepdims=True)],
    "statistics": lambda xp, a, b, n: [f(a, axis=1) for f in (xp.mean, xp.max, xp.min, xp.prod, xp.std, xp.var)],
    "correction": lambda xp, a, b, n: xp.var(a, axis=0, correction=1),
    "any all": lambda xp, a, b, n: [xp.any(a > 3, axis=0), xp.all(a > -5), xp.count_nonzero(a > 0, axis=1)],
    "cumulative": lambda xp, a, b, n: [xp.cumulative_sum(a, axis=1), xp.cumulative_sum(n, include_initial=True)],
    "shapes": lambda xp, a, b, n: [xp.concat([a, b], axis=1), xp.concat([a, b], axis=None), xp.stack([a, b], axis=1), xp.expand_dims(a, axis=1),
                                   xp.permute_dims(a, (1, 0)), xp.matrix_transpose(a), xp.flip(a, axis=1), xp.flip(a), xp.roll(a, 1, axis=1),
                                   xp.tile(a, (2, 1)), xp.repeat(n, 2), xp.moveaxis(a, 0, 1), xp.reshape(a, (3, 2)), xp.broadcast_to(n, (2, 6))],
    "sort": lambda xp, a, b, n: [xp.sort(a, axis=0), xp.argsort(a), xp.sort(n, descending=True) if xp is not np else -np.sort(-n)],
    "search": lambda xp, a, b, n: [xp.argmax(a), xp.argmin(a, axis=1), *xp.nonzero(a > 1), xp.searchsorted(xp.sort(n), n)],
    "take": lambda xp, a, b, n: [xp.take(n, n), xp.take(a, n - 1, axis=1), xp.take_along_axis(a, xp.argsort(a), axis=1)],
    "unique": lambda xp, a, b, n: [xp.sort(xp.unique_values(n)), *xp.unique_counts(n), *xp.unique_inverse(n), *xp.unique_all(n)],
    "products": lambda xp, a, b, n: [xp.matmul(a, xp.matrix_transpose(b)), xp.vecdot(a, b), xp.tensordot(a, b, axes=2)],
    "creation": lambda xp, a, b, n: [xp.eye(2, 3, k=1), xp.eye(3, k=-1), xp.arange(5), xp.arange(1, 7, 2), xp.full((2,), 3.0), xp.zeros((2, 2)),
                                     xp.tril(a), xp.triu(a, k=1), *xp.meshgrid(n, n[:2])],
    "diff": lambda xp, a, b, n: [xp.diff(a, axis=0), xp.diff(n, n=2), xp.diff(n, prepend=n[:1])],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_results_are_numpys(name):
    expected = CALLS[name](np, A, B, N)
    results = CALLS[name](xp, *map(al.from_numpy, (A, B, N)))
    if not isinstance(expected, (list, tuple)):
        expected, results = [expected], [results]
    assert len(expected) == len(results)
    for want, got in zip(expected, results, strict=True):
        assert tuple(got.shape) == want.shape
        np.testing.assert_allclose(np.asarray(got.to(al.float64)), want.astype(np.float64), rtol=2e-6)


def test_generic_code_finds_the_namespace_by_the_tensor():
    def softmax(x, axis):
        xp = x.__array_namespace__(api_version="2024.12")
        shifted = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
        return shifted / xp.sum(shifted, axis=axis, keepdims=True)

    x = al.from_numpy(A).requires_grad_()
    assert al.allclose(softmax(x, 1), al.softmax(x, 1))
    with pytest.raises(ValueError, match="1999"):
        x.__array_namespace__(api_version="1999")


def test_the_namespace_says_what_it_has():
    info = xp.__array_namespace_info__()
    assert info.dtypes(kind="real floating") == {"float32": al.float32, "float64": al.float64}
    assert info.default_dtypes()["indexing"] is al.int64
    assert xp.isdtype(al.bfloat16, "real floating")
    assert not xp.isdtype(al.bool, ("integral", al.float32))


def test_asarray_shares_memory_unless_told_otherwise():
    x = al.ones(2)
    assert xp.asarray(x) is x
    assert xp.asarray(x, copy=True) is not x
    array = np.zeros(2)
    xp.asarray(array)[0] = 1
    assert array[0] == 1
    with pytest.raises(ValueError, match="copy=False"):
        xp.asarray([1, 2], copy=False)
