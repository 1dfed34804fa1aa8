"""Rows of indexing, gathering, scattering, and of what tells where elements are."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from tests.opcase import ALL, FLOATS, REAL, Case, away, bools, const, distinct, ints, raises, randn

OUT_OF_BOUNDS = "index 9 is out of bounds for dimension 0 with size 3"
NINE = al.tensor([9])


def put_along(x, index, source, ufunc=None):
    """What scatter on dim 1 does, element by element."""
    y = x.copy()
    for row, (places, values) in enumerate(zip(index, source)):
        for place, value in zip(places, values):
            y[row, place] = value if ufunc is None else ufunc(y[row, place], value)
    return y


def at(x, key, values, ufunc=None):
    """x with values written, or combined in order, at a key."""
    y = x.copy()
    if ufunc is None:
        y[key] = values
    else:
        ufunc.at(y, key, values)
    return y


def reduced(reduce, include_self):
    """What scatter_reduce on dim 1 does."""
    combine = {"sum": sum, "prod": np.prod, "mean": np.mean, "amax": max, "amin": min}[reduce]

    def ref(x, index, source):
        y = x.copy()
        for r in range(x.shape[0]):
            for place in set(index[r]):
                values = list(source[r][index[r] == place]) + ([x[r, place]] if include_self else [])
                y[r, place] = combine(values)
        return y

    return ref


DISTINCT = const([2, 0], "int64")
ROWS = [randn(3, 4), ints(5, high=3), randn(5, 4)]
LINES = [randn(3, 4), ints(3, 6, high=4), randn(3, 6)]

CASES = [
    Case("index", lambda x, i, j: x[i, :, j], [randn(3, 2, 4), ints(5, low=-3, high=3), ints(5, high=4)], dtypes=ALL,
         fn=lambda x, i, j: al.index(x, (i, None, j)), errors=[
             raises(lambda: al.ones(3, 4)[NINE], IndexError, OUT_OF_BOUNDS),
             raises(lambda: al.ones(3)[al.tensor([-4])], IndexError, "index -4 is out of bounds for dimension 0 with size 3"),
             raises(lambda: al.ones(3)[al.tensor([0]), al.tensor([0])], IndexError, "too many indices"),
         ]),
    Case("index:rows", lambda x, i: x[i], [randn(3, 4), ints(2, 3, low=-3, high=3)], fn=lambda x, i: x[i], dtypes=ALL),
    Case("index:columns", lambda x, i: x[:, i], [randn(3, 4), ints(5, high=4)], fn=lambda x, i: x[:, i], dtypes=ALL),
    Case("expand_mask", lambda m: np.nonzero(m), [bools(3, 4)], dtypes=("float32",), grad=False, meta=False,
         errors=[raises(lambda: al.ones(3)[al.tensor([True, False])], IndexError, "shape of the mask")]),
    Case("index_put", lambda x, i, v: at(x, i, v), [randn(3, 4), DISTINCT, randn(2, 4)], dtypes=ALL,
         fn=lambda x, i, v: al.index_put(x, (i,), v), inplace=lambda x, i, v: x.index_put_((i,), v), errors=[
             raises(lambda: al.ones(3).index_put((NINE,), al.ones(1)), IndexError, OUT_OF_BOUNDS),
             raises(lambda: al.ones(3).index_put((NINE,), al.ones(1).long()), RuntimeError, "dtypes match"),
             raises(lambda: al.ones(3).index_put((al.tensor([0, 1]),), al.ones(3)), RuntimeError, "cannot be broadcast"),
         ]),
    Case("index_put:add", lambda x, i, v: at(x, i, v, np.add), ROWS, dtypes=REAL, tol=4,  # sums of a few halves
         fn=lambda x, i, v: al.index_put(x, (i,), v, accumulate=True), inplace=lambda x, i, v: x.index_put_((i,), v, True)),
    Case("index_put_", lambda x, i, v: at(x, i, v), [randn(3, 4), DISTINCT, randn(4)],
         fn=lambda x, i, v: (x * 1).index_put_((i,), v),
         errors=[raises(lambda: al.ones(3).index_put_((NINE,), al.ones(1)), IndexError, OUT_OF_BOUNDS)]),
    Case("index_select", lambda x, i: x[:, i], [randn(3, 4), ints(6, high=4)], dtypes=ALL, out=False,
         fn=lambda x, i: al.index_select(x, 1, i), errors=[
             raises(lambda: al.index_select(al.ones(3), 0, NINE), IndexError, OUT_OF_BOUNDS),
             raises(lambda: al.index_select(al.ones(3), 0, al.tensor([-1])), IndexError, "index -1 is out of bounds"),
             raises(lambda: al.index_select(al.ones(3), 0, al.tensor([[1]])), IndexError, "supposed to be a vector"),
         ]),
    Case("take", lambda x, i: x.ravel()[i], [randn(3, 4), ints(2, 3, low=-12, high=12)], dtypes=ALL,
         errors=[raises(lambda: al.take(al.ones(3), NINE), IndexError, OUT_OF_BOUNDS)]),
    Case("masked_select", lambda x, m: x[m], [randn(3, 4), bools(3, 4)], dtypes=ALL, meta=False,
         errors=[raises(lambda: al.masked_select(al.ones(3), al.ones(3)), RuntimeError, "expected BoolTensor")]),
    Case("index_add", lambda x, i, v: at(x, i, v, np.add), ROWS, dtypes=REAL, tol=4,  # sums of a few halves
         fn=lambda x, i, v: al.index_add(x, 0, i, v), inplace=lambda x, i, v: x.index_add_(0, i, v),
         errors=[
             raises(lambda: al.ones(3).index_add(0, NINE, al.ones(1)), IndexError, OUT_OF_BOUNDS),
             raises(lambda: al.ones(3).index_add(0, NINE, al.ones(2)), RuntimeError, "Number of indices"),
             raises(lambda: al.ones(3).index_add(0, NINE, al.ones(1).long()), RuntimeError, "same dtype"),
         ]),
    Case("index_add:alpha", lambda x, i, v: at(x, i, 2 * v, np.add), ROWS, fn=lambda x, i, v: al.index_add(x, 0, i, v, alpha=2),
         tol=4),  # sums of a few halves
    Case("index_copy", lambda x, i, v: at(x, i, v), [randn(3, 4), DISTINCT, randn(2, 4)], dtypes=ALL,
         fn=lambda x, i, v: al.index_copy(x, 0, i, v), inplace=lambda x, i, v: x.index_copy_(0, i, v),
         errors=[raises(lambda: al.ones(3).index_copy(0, NINE, al.ones(1)), IndexError, OUT_OF_BOUNDS)]),
    Case("index_fill", lambda x, i: at(x, i, 2), [randn(3, 4), DISTINCT], dtypes=REAL,
         fn=lambda x, i: al.index_fill(x, 0, i, 2), inplace=lambda x, i: x.index_fill_(0, i, 2),
         errors=[raises(lambda: al.ones(3).index_fill(0, NINE, 1), IndexError, OUT_OF_BOUNDS)]),
    Case("put", lambda x, i, v: at(x.ravel(), i, v).reshape(3, 4), [randn(3, 4), const([11, -12], "int64"), randn(2)], dtypes=ALL,
         inplace=True, errors=[raises(lambda: al.ones(3).put(NINE, al.ones(2)), IndexError, "same number of elements")]),
    Case("masked_scatter", lambda x, m, v: at(x, m, v.ravel()[:m.sum()]), [randn(3, 4), bools(3, 4), randn(12)], dtypes=ALL,
         meta=False, inplace=True, layouts=False,
         errors=[raises(lambda: al.ones(3).masked_scatter(al.ones(3) > 0, al.ones(2)), RuntimeError, "at least as many")]),

    Case("gather", lambda x, i: np.take_along_axis(x, i, 1), [randn(3, 4), ints(3, 6, high=4)], dtypes=ALL,
         fn=lambda x, i: al.gather(x, 1, i), errors=[
             raises(lambda: al.gather(al.ones(3), 0, NINE), IndexError, OUT_OF_BOUNDS),
             raises(lambda: al.gather(al.ones(3, 3), 0, NINE), RuntimeError, "same number of dimensions"),
             raises(lambda: al.gather(al.ones(3), 0, al.ones(1)), RuntimeError, "Expected dtype int64 for index"),
             raises(lambda: al.gather(al.ones(3, 2), 0, al.zeros(1, 5).long()), RuntimeError, "Size does not match"),
         ]),
    Case("gather:0", lambda x, i: np.take_along_axis(x, i, 0), [randn(3, 4), ints(7, 4, high=3)], fn=lambda x, i: al.gather(x, 0, i)),
    Case("take_along_dim", lambda x, i: np.take_along_axis(x, i, 1), [randn(3, 4), ints(1, 6, high=4)],
         fn=lambda x, i: al.take_along_dim(x, i, 1),
         errors=[raises(lambda: al.take_along_dim(al.ones(3, 2), NINE, 0), RuntimeError, "same number of dimensions")]),
    Case("scatter", put_along, [randn(3, 4), const([[1, 0], [3, 2], [0, 3]], "int64"), randn(3, 2)], dtypes=ALL,
         fn=lambda x, i, v: al.scatter(x, 1, i, v), inplace=lambda x, i, v: x.scatter_(1, i, v), errors=[
             raises(lambda: al.scatter(al.ones(3), 0, NINE, 1.0), IndexError, OUT_OF_BOUNDS),
             raises(lambda: al.scatter(al.ones(3), 0, NINE, al.ones(1).long()), RuntimeError, "equal to src.dtype"),
             raises(lambda: al.scatter(al.ones(3), 0, NINE, al.ones(1), reduce="max"), RuntimeError, "add or multiply"),
         ]),
    Case("scatter:value", lambda x, i: put_along(x, i, np.full(i.shape, 2)), [randn(3, 4), ints(3, 2, high=4)], dtypes=REAL,
         fn=lambda x, i: al.scatter(x, 1, i, 2)),
    Case("scatter_add", lambda *a: put_along(*a, np.add), LINES, dtypes=REAL, tol=4,  # sums of a few halves
         fn=lambda x, i, v: al.scatter_add(x, 1, i, v), inplace=lambda x, i, v: x.scatter_add_(1, i, v),
         errors=[raises(lambda: al.scatter_add(al.ones(3), 0, NINE, al.ones(1)), IndexError, OUT_OF_BOUNDS)]),
    *(Case(f"scatter_reduce:{r} {s}", reduced(r, s), [away(3, 4), ints(3, 6, high=4), away(3, 6)] if r in ("sum", "prod", "mean")
           else [distinct(3, 4), ints(3, 6, high=4), const(np.random.default_rng(0).permutation(18).reshape(3, 6) / 3 - 2.9, grad=True)],
           fn=lambda x, i, v, r=r, s=s: al.scatter_reduce(x, 1, i, v, r, include_self=s), dtypes=FLOATS, tol=6,  # several halves
           errors=[raises(lambda: al.scatter_reduce(al.ones(3), 0, NINE, al.ones(1), "max"), RuntimeError, "must be either sum")])
      for r in ("sum", "prod", "mean", "amax", "amin") for s in (True, False)),

    Case("nonzero", lambda x: np.argwhere(x), [randn(3, 4)], dtypes=ALL, grad=False, meta=False, shapes=[[(0, 3)], [()]],
         errors=[raises(lambda: al.nonzero(al.ones(3, device="meta")), RuntimeError, "meta")]),
    Case("nonzero:tuple", lambda x: np.nonzero(x), [bools(3, 4)], dtypes=("float32",), grad=False, meta=False,
         fn=lambda x: al.nonzero(x, as_tuple=True)),
    Case("argwhere", np.argwhere, [randn(3, 4)], dtypes=ALL, grad=False, meta=False,
         errors=[raises(lambda: al.argwhere(al.ones(3, device="meta")), RuntimeError, "meta")]),
]
