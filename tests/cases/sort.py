"""Rows of sorting, searching, counting, and of sequences made from a formula."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from tests.opcase import ALL, REAL, Case, const, distinct, ints, raises, randn

RANGE = "Dimension out of range"
SORTED = const(np.sort(np.random.default_rng(0).standard_normal((3, 9)), -1).round(1))


def ranked(x, dim=-1, descending=False):
    """Stable order, as NumPy has it; of negated values when descending."""
    key = -x.astype(np.float64) if descending else x
    order = np.argsort(key, dim, kind="stable")
    return np.take_along_axis(x, order, dim), order


def first(x, k, dim=-1, largest=True):
    values, order = ranked(x, dim, largest)
    return values.take(range(k), dim), order.take(range(k), dim)


def places(lines, values, side):
    return np.stack([np.searchsorted(a, v, side) for a, v in zip(lines, values)])


def made(name, fn, ref, error, match, wrong):
    """A row of a function without tensor inputs."""
    return Case(name, lambda: ref(), [], fn=fn, dtypes=("float32",), grad=False, meta=False, layouts=False,
                errors=[raises(wrong, error, match)])


CASES = [
    Case("sort", ranked, [distinct(3, 5)], dtypes=ALL, shapes=[[(0,)], [(2, 0)]], large=[(300, 257)],
         errors=[raises(lambda: al.sort(al.ones(2), 3), IndexError, RANGE)]),
    Case("sort:0", lambda x: ranked(x, 0, True), [distinct(7, 3)], fn=lambda x: al.sort(x, 0, descending=True), dtypes=ALL),
    Case("sort:long", ranked, [distinct(3000)], dtypes=ALL, grad=False),
    Case("argsort", lambda x: ranked(x, 0, True)[1], [distinct(5, 3)], args=(0, True), dtypes=ALL, grad=False,
         errors=[raises(lambda: al.argsort(al.ones(2), 3), IndexError, RANGE)]),
    Case("msort", lambda x: np.sort(x, 0), [distinct(5, 3)], out=True,
         errors=[raises(lambda: al.msort(3), TypeError, "must be Tensor, not int")]),
    Case("topk", lambda x: first(x, 2), [distinct(3, 5)], args=(2,), dtypes=REAL, large=[(300, 257)], errors=[
        raises(lambda: al.topk(al.ones(3), 4), RuntimeError, "k is 4, the size of dim 0 is 3"),
        raises(lambda: al.topk(al.ones(3), 1, 2), IndexError, RANGE),
    ]),
    Case("topk:smallest", lambda x: first(x, 4, 0, False), [distinct(5, 3)], fn=lambda x: al.topk(x, 4, 0, largest=False)),
    Case("kthvalue", lambda x: tuple(v[:, 1] for v in ranked(x)), [distinct(3, 5)], args=(2,), dtypes=REAL, errors=[
        raises(lambda: al.kthvalue(al.ones(3), 4), RuntimeError, "k is 4, the size is 3"),
        raises(lambda: al.kthvalue(al.ones(3), 0), RuntimeError, "k is 0"),
    ]),
    Case("unique", lambda x: np.unique(x, return_inverse=True, return_counts=True), [ints(12, high=5)], meta=False, grad=False,
         fn=lambda x: al.unique(x, return_inverse=True, return_counts=True), dtypes=("float32",),
         errors=[raises(lambda: al.unique(al.ones(3), dim=2), IndexError, RANGE)]),
    Case("unique:rows", lambda x: np.unique(x, axis=0), [ints(12, 2, high=2)], meta=False, grad=False,
         fn=lambda x: al.unique(x, dim=0), dtypes=("float32",)),
    Case("unique_consecutive", lambda x: x[np.append(True, x[1:] != x[:-1])], [ints(30, high=2)], meta=False, grad=False,
         dtypes=("float32",), errors=[raises(lambda: al.unique_consecutive(al.ones(3), dim=2), IndexError, RANGE)]),
    Case("searchsorted", lambda a, v: places(a, v, "left"), [SORTED, randn(3, 4)], grad=False, dtypes=("float32", "float64"),
         errors=[
             raises(lambda: al.searchsorted(al.ones(2, 3), al.ones(3, 1)), RuntimeError, "first N-1 dimensions"),
             raises(lambda: al.searchsorted(al.ones(3), 1.0, side="up"), RuntimeError, "'left' or 'right' but got up"),
         ]),
    Case("searchsorted:right", lambda a, v: places(a, v, "right"), [const([[1, 1, 2, 5]], "int64"), ints(1, 9)], grad=False,
         fn=lambda a, v: al.searchsorted(a, v, right=True), dtypes=("float32",)),
    Case("bucketize", lambda v, a: np.searchsorted(a, v), [randn(3, 4), const([-1.0, 0.0, 0.5])], grad=False,
         dtypes=("float32", "float64"), errors=[raises(lambda: al.bucketize(1.0, al.ones(2, 2)), RuntimeError, "1 dimension")]),
    Case("isin", lambda x, t: np.isin(x, t), [ints(3, 4, high=6), ints(3, high=6)], grad=False, dtypes=("float32",),
         errors=[raises(lambda: al.isin(1, 2), RuntimeError, "must be a tensor")]),
    Case("bincount", lambda x: np.bincount(x, minlength=8), [ints(40, high=6)], fn=lambda x: al.bincount(x, minlength=8),
         grad=False, meta=False, dtypes=("float32",), errors=[
             raises(lambda: al.bincount(al.tensor([-1])), RuntimeError, "non-negative"),
             raises(lambda: al.bincount(al.ones(2)), RuntimeError, "1-d non-negative integral"),
         ]),
    Case("bincount:weights", lambda x, w: np.bincount(x, w, 6), [ints(40, high=6), randn(40)], grad=False, meta=False,
         fn=lambda x, w: al.bincount(x, w, 6), dtypes=("float32", "float64"), tol=20),  # sums of forty
    Case("histc", lambda x: np.histogram(x, 7, (-2, 2))[0], [randn(60)], args=(7, -2, 2), grad=False,
         dtypes=("float32", "float64"), errors=[
             raises(lambda: al.histc(al.ones(3), 0), RuntimeError, "bins must be > 0"),
             raises(lambda: al.histc(al.ones(3), 3, 2, 1), RuntimeError, "max must be larger than min"),
         ]),
    made("linspace", lambda: al.linspace(-1, 2, 7), lambda: np.linspace(-1, 2, 7), RuntimeError, "non-negative: got -1",
         lambda: al.linspace(0, 1, -1)),
    made("linspace:int", lambda: al.linspace(0, 10, 5, dtype=al.int64), lambda: np.array([0, 2, 5, 7, 10]), TypeError, "must be int",
         lambda: al.linspace(0, 1, 2.5)),
    made("logspace", lambda: al.logspace(-1, 2, 7, base=2), lambda: np.logspace(-1, 2, 7, base=2), RuntimeError,
         "non-negative: got -1", lambda: al.logspace(0, 1, -1)),
    made("eye", lambda: al.eye(3, 4), lambda: np.eye(3, 4), RuntimeError, "n must be greater or equal to 0, got -1",
         lambda: al.eye(-1)),
    made("tril_indices", lambda: al.tril_indices(3, 4, 1), lambda: np.stack(np.tril_indices(3, 1, 4)), RuntimeError,
         "row must be greater or equal to 0", lambda: al.tril_indices(-1, 2)),
    made("triu_indices", lambda: al.triu_indices(5, 4, -2), lambda: np.stack(np.triu_indices(5, -2, 4)), RuntimeError,
         "integer dtype", lambda: al.triu_indices(1, 2, dtype=al.float32)),
]
