"""Rows of the random ops: laws that every draw obeys. Their statistics are in test_random_ops."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from tests.opcase import FLOATS, Case, const, raises, rand, randn


def within(low, high, shape=None):
    """The law that values are in [low, high) and not all alike."""

    def law(y, *inputs):
        assert shape is None or y.shape == shape
        assert (low <= y).all()
        assert (y < high).all()
        assert np.unique(y).size > 1

    return law


def permutation(y):
    assert sorted(y) == list(range(40))


def dropped(y, x):
    kept = y != 0
    assert 0 < kept.mean() < 1
    np.testing.assert_allclose(y[kept], x[kept] * 2, rtol=1e-2)


def drawn(name, fn, law, wrong, match, error=RuntimeError):
    """A row of a function that has no tensor inputs."""
    return Case(name, None, [], fn=fn, law=law, dtypes=("float32",), grad=False, meta=False, layouts=False,
                errors=[raises(wrong, error, match)])


def like(name, law, wrong, match, **options):
    return Case(name, None, [randn(8, 50)], law=law, grad=False, layouts=False, errors=[raises(wrong, RuntimeError, match)], **options)


INTEGERS = al.ones(2, dtype=al.int64)

CASES = [
    drawn("rand", lambda: al.rand(8, 50), within(0, 1, (8, 50)), lambda: al.rand(2, dtype=al.int64), "use a float dtype"),
    drawn("randn", lambda: al.randn((8, 50)), within(-9, 9, (8, 50)), lambda: al.randn(2, dtype=al.int64), "use a float dtype"),
    drawn("randint", lambda: al.randint(3, 9, (8, 50)), within(3, 9, (8, 50)), lambda: al.randint(3, 3, (2,)), "from=3 >= to=3"),
    drawn("randperm", lambda: al.randperm(40), permutation, lambda: al.randperm(-1), "non-negative, got -1"),
    drawn("normal", lambda: al.normal(2.0, 0.1, (8, 50)), within(1, 3, (8, 50)), lambda: al.normal(0.0, -1.0, (2,)),
          "std >= 0.0"),
    like("rand_like", within(0, 1, (8, 50)), lambda: al.rand_like(INTEGERS), "use a float dtype"),
    like("randn_like", within(-9, 9, (8, 50)), lambda: al.randn_like(INTEGERS), "use a float dtype"),
    like("randint_like", within(-2, 9, (8, 50)), lambda: al.randint_like(INTEGERS, 0), "from=0 >= to=0", args=(-2, 9)),
    Case("bernoulli", None, [rand(8, 50)], law=within(0, 2, (8, 50)), grad=False, layouts=False, method=False,
         errors=[raises(lambda: al.bernoulli(al.tensor([2.0])), RuntimeError, r"in \[0, 1\]: got 2")]),
    Case("poisson", None, [rand(8, 50)], law=within(0, 40, (8, 50)), dtypes=FLOATS, grad=False, layouts=False, method=False,
         errors=[raises(lambda: al.poisson(al.tensor([-1.0])), RuntimeError, "invalid Poisson rate, expected rates from 0 to 1e9: got -1")]),
    Case("multinomial", None, [rand(8, 5, low=0.1)], law=within(0, 5, (8, 3)), args=(3,), grad=False, layouts=False, meta=False, method=False,
         dtypes=FLOATS, errors=[
             raises(lambda: al.multinomial(al.zeros(3), 1), RuntimeError, "sum of probabilities <= 0"),
             raises(lambda: al.multinomial(al.ones(3), 4), RuntimeError, "without replacement: 4 of 3"),
             raises(lambda: al.multinomial(al.tensor([-1.0, 1.0]), 1), RuntimeError, "element < 0"),
         ]),
    Case("dropout", None, [const(np.full((8, 50), 1.5))], law=dropped, args=(0.5, True), grad=False, layouts=False,
         errors=[raises(lambda: al.dropout(al.ones(3), 1.5), ValueError, "between 0 and 1, but got 1.5")]),
]
