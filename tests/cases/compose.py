"""Rows of functions made of other ops, and of gamma functions, divisors and parts of floats."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import linalg, special
from scipy.spatial import distance

import ascendlite as al
from tests.opcase import ALL, INTEGERS, REAL, SINGLE, Case, away, binary, const, distinct, ints, positive, raises, rand, randn, unary

PAIR = [randn(3, 4), randn(3, 4)]
NOT_A_TENSOR = raises(lambda: al.lgamma([1.0]), TypeError, "must be Tensor")


def _trapezoids(y, x=None, dx=1.0):
    width = dx if x is None else np.diff(x)
    return np.cumsum((y[..., 1:] + y[..., :-1]) * width / 2, -1)


def _replace_diagonal(x, src):
    y = x.copy()
    np.fill_diagonal(y[:, 1:], src)
    return y


def _index_reduce(reduce, fold, start):
    def ref(x, index, source):
        y = x.astype(np.float64).copy()
        for place in set(index.tolist()):
            y[place] = fold([x[place], *source[index == place]] if start else source[index == place])
        return y

    return Case(f"index_reduce:{reduce}" + ("" if start else ",apart"), ref, [randn(5, 3), const([0, 2, 2, 4], "int64"), randn(4, 3)],
                fn=lambda x, i, s: al.index_reduce(x, 0, i, s, reduce, include_self=start), dtypes=SINGLE, layouts=False, grad2=False)


CASES = [
    # gamma and Bessel functions
    unary("lgamma", special.gammaln, away(3, 4, kinks=(-2, -1, 0, 1, 2)), dtypes=SINGLE, errors=[NOT_A_TENSOR]),
    unary("digamma", special.digamma, positive(3, 4), dtypes=SINGLE,
          errors=[raises(lambda: al.digamma([1.0]), TypeError, "must be Tensor")]),
    unary("i0", special.i0, randn(3, 4, scale=3.0), errors=[raises(lambda: al.i0([1.0]), TypeError, "must be Tensor")]),
    Case("i0:large", special.i0, [rand(50, low=20, high=90)], dtypes=("float64",), grad=False, tol=10.0),  # i0(90) is 1e37
    *(Case(f"polygamma:{n}", lambda x, n=n: special.polygamma(n, x), [positive(3, 4)], fn=lambda x, n=n: al.polygamma(n, x), dtypes=SINGLE, tol=5.0,
           grad_tol=10.0,  # the fourth derivative of digamma is large
           errors=[raises(lambda: al.polygamma(-1, al.ones(2)), ValueError, "negative n"), raises(lambda: al.polygamma(al.ones(1), 1), TypeError, "int")])
      for n in (0, 1, 2, 3)),
    Case("mvlgamma", lambda x: special.multigammaln(2.0, 3) + 0 * x if x.shape == () else np.vectorize(lambda v: special.multigammaln(v, 3))(x),
         [positive(3, 4, low=1.5, high=5.0)], args=(3,), dtypes=SINGLE, inplace=lambda x: x.mvlgamma_(3), out=True, tol=5.0,
         errors=[raises(lambda: al.mvlgamma(al.ones(2), 0), ValueError, "greater than or equal to 1")]),
    *(binary(name, ref, positive(3, 4), positive(3, 4), dtypes=SINGLE, grad=False, tol=20.0)  # exp(a log x - x) in float32
      for name, ref in (("igamma", special.gammainc), ("igammac", special.gammaincc))),
    *(Case(f"{name}:x", lambda x, ref=ref: ref(1.7, x), [positive(3, 4)], fn=lambda x, name=name: getattr(al, name)(al.tensor(1.7, dtype=x.dtype), x),
           dtypes=("float64",)) for name, ref in (("igamma", special.gammainc), ("igammac", special.gammaincc))),
    # divisors
    *(binary(name, ref, dtypes=INTEGERS, grad=False,
             errors=[raises(lambda name=name: getattr(al, name)(al.ones(2), al.ones(2)), RuntimeError, "not implemented for dtype float32")])
      for name, ref in (("gcd", np.gcd), ("lcm", np.lcm))),
    # parts of floats
    Case("frexp", np.frexp, [away(3, 4)], dtypes=SINGLE, grad=False,
         errors=[raises(lambda: al.frexp(al.tensor([1])), RuntimeError, "only supports floating-point")]),
    Case("ldexp", lambda x, n: np.ldexp(x, n), [randn(3, 4), ints(3, 4, low=-4, high=5)], dtypes=SINGLE, inplace=True,
         errors=[raises(lambda: al.ldexp(al.ones(2), al.ones(3)), RuntimeError, "must match the size")]),
    unary("deg2rad", np.deg2rad, errors=[raises(lambda: al.deg2rad("x"), TypeError, "multiply")]),
    Case("heaviside", np.heaviside, [randn(3, 4), randn(3, 4)], dtypes=REAL, grad=False, inplace=True, out=True,
         errors=[raises(lambda: al.heaviside(al.ones(2), al.tensor([1])), RuntimeError, "different dtypes")]),
    Case("isreal", np.isreal, [randn(3, 4)], dtypes=ALL, grad=False, out_dtype="bool",
         errors=[raises(lambda: al.isreal([1.0]), TypeError, "list")]),
    # differences
    Case("diff", lambda x: np.diff(x), [randn(3, 5)], dtypes=REAL, out=True, shapes=[[(3, 1)], [(2, 0)]], errors=[
        raises(lambda: al.diff(al.tensor(1.0)), RuntimeError, "at least one-dimensional"),
        raises(lambda: al.diff(al.ones(3), -1), RuntimeError, "order must be non-negative"),
        raises(lambda: al.diff(al.ones(3), 1, 0, al.ones(1, 3)), RuntimeError, "same dimension as input"),
    ]),
    Case("diff:bools", lambda x: np.diff(x, axis=0), [randn(4, 3)], fn=lambda x: al.diff(x, dim=0), dtypes=("bool",), grad=False),
    Case("diff:widened", lambda x, a, b: np.diff(x, 2, 0, a, b), [randn(3, 4), randn(2, 4), randn(1, 4)],
         fn=lambda x, a, b: al.diff(x, 2, 0, a, b)),
    Case("gradient", lambda x: tuple(np.gradient(x)), [randn(4, 5)], dtypes=SINGLE, errors=[
        raises(lambda: al.gradient(al.ones(1)), RuntimeError, r"at least edge_order\+1 = 2"),
        raises(lambda: al.gradient(al.ones(4), edge_order=3), RuntimeError, "edge_order=1 and edge_order=2"),
        raises(lambda: al.gradient(al.ones(4), spacing=[1, 2]), RuntimeError, "list of length 1"),
        raises(lambda: al.gradient(al.ones(4), spacing=(al.ones(3),)), RuntimeError, "1-d tensor of 4 elements"),
    ]),
    *(Case(f"gradient:order {order}", lambda x, p, order=order: np.gradient(x, p, axis=1, edge_order=order),
           [randn(3, 5), const([0.0, 1.0, 1.5, 3.0, 7.0])], dtypes=SINGLE, layouts=False,
           fn=lambda x, p, order=order: al.gradient(x, spacing=(p,), dim=1, edge_order=order)[0]) for order in (1, 2)),
    Case("gradient:steps", lambda x: np.gradient(x, 0.5, axis=0, edge_order=2), [randn(4, 3)], dtypes=SINGLE,
         fn=lambda x: al.gradient(x, spacing=0.5, dim=0, edge_order=2)[0]),
    Case("cumulative_trapezoid", _trapezoids, [randn(3, 5)], errors=[
        raises(lambda: al.cumulative_trapezoid(al.ones(4), al.ones(3)), RuntimeError, "one `x` value for each"),
        raises(lambda: al.cumulative_trapezoid(al.tensor([True])), RuntimeError, "bool input"),
    ]),
    Case("cumulative_trapezoid:places", _trapezoids, [randn(3, 5), randn(5)]),
    # covariance
    Case("cov", np.cov, [randn(3, 6)], dtypes=SINGLE, errors=[
        raises(lambda: al.cov(al.ones(1, 1, 1)), RuntimeError, "two or fewer dimensions"),
        raises(lambda: al.cov(al.ones(3), fweights=al.ones(3)), RuntimeError, "integral dtype"),
        raises(lambda: al.cov(al.ones(3), fweights=al.tensor([1])), RuntimeError, "1 != 3"),
        raises(lambda: al.cov(al.ones(2), aweights=al.tensor([-1.0, 1.0])), RuntimeError, "cannot be negative"),
        raises(lambda: al.cov(al.ones(2), aweights=al.zeros(2)), RuntimeError, "sum to zero"),
    ]),
    Case("cov:weights", lambda x, w, n: np.cov(x, fweights=n, aweights=w), [randn(3, 4), positive(4), const([1, 2, 1, 3], "int64")],
         fn=lambda x, w, n: al.cov(x, fweights=n, aweights=w), dtypes=SINGLE, layouts=False),
    Case("corrcoef", np.corrcoef, [randn(3, 6)], dtypes=SINGLE, grad2=False,
         errors=[raises(lambda: al.corrcoef(al.ones(1, 1, 1)), RuntimeError, "two or fewer dimensions")]),
    # distances
    Case("dist", lambda a, b: np.linalg.norm((a - b).ravel()), PAIR,
         errors=[raises(lambda: al.dist(al.ones(2), al.ones(3)), RuntimeError, "must match the size")]),
    *(Case("cdist" + ("" if p == 2 else f":{p}"), lambda a, b, p=p: distance.cdist(a, b, "minkowski", p=p), [randn(3, 5), randn(4, 5)],
           fn=lambda a, b, p=p: al.cdist(a, b, p), dtypes=SINGLE, grad2=p == 2, errors=[
               raises(lambda: al.cdist(al.ones(2, 3), al.ones(2, 4)), RuntimeError, "same number of columns"),
               raises(lambda: al.cdist(al.ones(2), al.ones(2, 2)), RuntimeError, "at least two dimensions"),
               raises(lambda: al.cdist(al.ones(2, 2), al.ones(2, 2), -1), RuntimeError, "non-negative p"),
               raises(lambda: al.cdist(al.ones(2, 2), al.ones(2, 2), compute_mode="x"), ValueError, "x is not a valid value"),
           ]) for p in (2, 1, 3)),
    Case("cdist:0", lambda a, b: (a[:, None] != b[None]).sum(-1), [distinct(3, 2), distinct(4, 2)], fn=lambda a, b: al.cdist(a, b, 0), dtypes=SINGLE,
         grad2=False),
    # products and arrangements
    Case("kron", np.kron, [randn(2, 3), randn(4, 2)], dtypes=REAL, out=True, shapes=[[(2,), (3, 1, 2)], [(), (2,)]],
         errors=[raises(lambda: al.kron(al.ones(2), 1), TypeError, "must be Tensor, not int")]),
    Case("cross", np.cross, [randn(4, 3), randn(4, 3)], dtypes=REAL, out=True, errors=[
        raises(lambda: al.cross(al.ones(2, 3), al.ones(3)), RuntimeError, "same number of dimensions: got 2 and 1"),
        raises(lambda: al.cross(al.ones(2), al.ones(2)), RuntimeError, "no dimension of size 3"),
        raises(lambda: al.cross(al.ones(3, 2), al.ones(3, 2), 1), RuntimeError, "must have length 3"),
    ]),
    Case("block_diag", lambda a, b: linalg.block_diag(a, b), [randn(2, 3), randn(1, 2)], dtypes=ALL,
         errors=[raises(lambda: al.block_diag(al.ones(1, 1, 1)), RuntimeError, "Input 0 has 3 dimensions")]),
    Case("combinations", lambda x: np.array(list(itertools.combinations(x, 3))), [randn(5)], args=(3,), dtypes=REAL, meta=False, errors=[
        raises(lambda: al.combinations(al.ones(2, 2)), RuntimeError, "Expect a 1D vector"),
        raises(lambda: al.combinations(al.ones(2), -1), RuntimeError, "non-negative number"),
    ]),
    Case("combinations:again", lambda x: np.array(list(itertools.combinations_with_replacement(x, 2))), [randn(4)], meta=False,
         fn=lambda x: al.combinations(x, with_replacement=True)),
    Case("histogram", lambda x: np.histogram(x, 5), [randn(40)], args=(5,), dtypes=SINGLE, grad=False, meta=False, out_dtype=None, errors=[
        raises(lambda: al.histogram(al.tensor([1]), 3), RuntimeError, "not implemented for"),
        raises(lambda: al.histogram(al.ones(2), 0), RuntimeError, "bins must be > 0: got 0"),
        raises(lambda: al.histogram(al.ones(2), 2, range=(1, 0)), RuntimeError, "max must not be less than min"),
        raises(lambda: al.histogram(al.ones(2), 2, weight=al.ones(3)), RuntimeError, "same shape as input"),
        raises(lambda: al.histogram(al.ones(2), al.ones(2, 2)), RuntimeError, "one-dimensional tensor of edges"),
    ]),
    Case("histogram:edges", lambda x, e, w: np.histogram(x, e, weights=w, density=True), [randn(40), const([-1.0, 0.0, 0.5, 2.0]), positive(40)],
         fn=lambda x, e, w: al.histogram(x, e, weight=w, density=True), dtypes=SINGLE, grad=False, meta=False),
    # pieces
    Case("constant_pad_nd", lambda x: np.pad(x, ((0, 0), (1, 2)), constant_values=3), [randn(3, 4)], args=((1, 2), 3), dtypes=REAL,
         errors=[raises(lambda: al.constant_pad_nd(al.ones(2), (1, 2, 3)), RuntimeError, "divisible by 2")]),
    Case("hsplit", lambda x: tuple(np.hsplit(x, 2)), [randn(3, 4)], args=(2,), dtypes=ALL, errors=[
        raises(lambda: al.hsplit(al.tensor(1.0), 2), RuntimeError, "at least 1 dimension,"),
        raises(lambda: al.hsplit(al.ones(3), 2), RuntimeError, "not divisible by the split_size 2"),
    ]),
    Case("dsplit", lambda x: tuple(np.dsplit(x, [1, 3])), [randn(2, 3, 4)], args=([1, 3],), dtypes=ALL,
         errors=[raises(lambda: al.dsplit(al.ones(2, 2), 2), RuntimeError, "at least 3 dimensions")]),
    Case("diagonal_scatter", _replace_diagonal, [randn(4, 4), randn(3)], args=(1,), dtypes=ALL, layouts=False,
         errors=[raises(lambda: al.diagonal_scatter(al.ones(2, 2), al.ones(3)), RuntimeError, r"src size = \[3\]")]),
    Case("fill", lambda x: np.full_like(x, 2), [randn(3, 4)], args=(2,), dtypes=REAL, grad2=False,
         errors=[raises(lambda: al.fill(al.ones(2), al.ones(2)), RuntimeError, "0-dimension")]),
    Case("empty_permuted", None, [], fn=lambda: al.empty_permuted((2, 3), (1, 0)), law=lambda y: None, dtypes=("float32",), grad=False,
         meta=False, layouts=False, errors=[raises(lambda: al.empty_permuted((2, 3), (0, 0)), RuntimeError, "permutation of the 2 dims")]),
    # reductions into places
    *(_index_reduce(name, fold, start) for start in (True, False)
      for name, fold in (("prod", lambda v: np.prod(v, 0)), ("mean", lambda v: np.mean(v, 0)), ("amax", lambda v: np.max(v, 0)),
                         ("amin", lambda v: np.min(v, 0)))),
    Case("index_reduce", lambda x, i, s: np.maximum(x, s[i]), [distinct(3, 2), const([0, 1, 2], "int64"), distinct(3, 2)], layouts=False, grad=False,
         fn=lambda x, i, s: al.index_reduce(x, 0, i, s, "amax"), dtypes=SINGLE, errors=[
             raises(lambda: al.ones(3).index_reduce(0, al.tensor([0]), al.ones(1), "sum"), RuntimeError, "must be one of prod, mean, amax, amin"),
             raises(lambda: al.ones(3).index_reduce(0, al.tensor([0]), al.ones(2), "prod"), RuntimeError, r"expected \[1\]"),
             raises(lambda: al.ones(3).index_reduce(0, al.tensor([3]), al.ones(1), "prod"), IndexError, "index 3 is out of bounds"),
         ]),
]
