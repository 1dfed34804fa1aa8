"""Special functions against SciPy; first and second gradients against central differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import ascendlite as al
from ascendlite.autograd import gradcheck, gradgradcheck

S = al.special
POINTS = np.array([-30.0, -6.0, -5.0, -4.9, -1.0, -0.2, 0.0, 0.3, 1.0, 3.9, 4.1, 6.0, 25.0])

ROWS = [
    ("ndtr", S.ndtr, scipy.special.ndtr, POINTS),
    ("log_ndtr", S.log_ndtr, scipy.special.log_ndtr, POINTS),
    ("erfcx", S.erfcx, scipy.special.erfcx, POINTS[4:]),
    ("i0e", S.i0e, scipy.special.i0e, POINTS),
    ("i1", S.i1, scipy.special.i1, POINTS[1:-1]),
    ("entr", S.entr, scipy.special.entr, POINTS),
    ("ndtri", S.ndtri, scipy.special.ndtri, np.linspace(0.01, 0.99, 7)),
    ("xlog1py", lambda x: S.xlog1py(x, x), lambda x: scipy.special.xlog1py(x, x), POINTS[5:]),
    ("multigammaln", lambda x: S.multigammaln(x, 3), lambda x: scipy.special.multigammaln(x, 3), np.array([1.5, 2.0, 7.0])),
    ("polygamma 0", lambda x: S.polygamma(0, x), lambda x: scipy.special.polygamma(0, x), np.array([0.5, 2.0, 7.0])),
    ("polygamma 1", lambda x: S.polygamma(1, x), lambda x: scipy.special.polygamma(1, x), np.array([0.5, 2.0, 7.0])),
]


@pytest.mark.parametrize(("name", "fn", "ref", "x"), ROWS, ids=[r[0] for r in ROWS])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_are_scipys(name, fn, ref, x, dtype):
    x = x.astype(dtype)
    tolerance = 1e-11 if dtype == "float64" else 3e-5
    np.testing.assert_allclose(fn(al.tensor(x)).numpy(), ref(x.astype("float64")), rtol=tolerance, atol=tolerance / 100)


@pytest.mark.parametrize("fn", [S.ndtr, S.log_ndtr, S.erfcx, S.entr])
def test_gradients(fn):
    x = al.tensor([0.3, 1.2, 5.5], dtype=al.float64, requires_grad=True)
    assert gradcheck(fn, (x,))
    assert gradgradcheck(fn, (x,))


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: S.polygamma(2, al.ones(1)), ValueError, "beyond the first"),
    (lambda: S.multigammaln(al.ones(1), 0), ValueError, "at least 1"),
    (lambda: S.ndtr(1.0), TypeError, "must be Tensor"),
])
def test_mistakes_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
