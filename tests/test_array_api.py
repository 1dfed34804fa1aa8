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
    "numbers": lambda xp, a, b, n: [xp.maximum(a, 0), xp.pow(2, a), xp.remainder(a, 2.0), xp.less(a, 1), xp.nextafter(a, b), xp.roll(a, 1, axis=(0, 1))],
    "no axes": lambda xp, a, b, n: [xp.sum(n, axis=()), xp.max(a, axis=()), xp.any(a, axis=()), xp.mean(a, axis=()), xp.any(n, axis=0)],
    "linalg": lambda xp, a, b, n: [xp.linalg.det(a @ b.T), xp.linalg.solve(a @ b.T, a[:, 0]), xp.linalg.matrix_norm(a, keepdims=True), xp.linalg.trace(a, offset=1),
                                   xp.linalg.vector_norm(a, axis=1, ord=3), xp.linalg.outer(a[0], b[0]), xp.linalg.svd(a).S, xp.linalg.cholesky(a @ a.T),
                                   xp.linalg.eigh(a @ a.T).eigenvalues, xp.linalg.matrix_rank(a), xp.linalg.pinv(a), xp.linalg.cross(a, b)],
    "special": lambda xp, a, b, n: [xp.sign(a * xp.inf), xp.sign(a * xp.nan), xp.isin(n, n[:1]), xp.take(n, n - 2)],
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


def test_types_are_asked_as_the_standard_says():
    x = al.ones(2, dtype=al.float64)
    assert xp.finfo(x).bits == 64 and xp.iinfo(al.int8).max == 127 and xp.can_cast(al.int8, al.int16) and not xp.can_cast(x, al.float32)
    assert xp.result_type(al.int8, al.uint8) is al.int16 and xp.result_type(al.float32, 1, x) is al.float64 and xp.result_type(al.int8, 1.5) is al.float32
    with pytest.raises(TypeError, match="at least one of x1 and x2"):
        xp.add(1, 2)
    with pytest.raises(ValueError, match="0-d"):
        xp.nonzero(al.tensor(1))


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
