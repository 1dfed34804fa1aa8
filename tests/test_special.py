"""Special functions against SciPy; first and second gradients against central differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special

import ascendlite as al
from ascendlite.autograd import gradcheck, gradgradcheck

S = al.special
POLYNOMIALS = {
    "chebyshev_polynomial_t": scipy.special.eval_chebyt, "chebyshev_polynomial_u": scipy.special.eval_chebyu,
    "shifted_chebyshev_polynomial_t": scipy.special.eval_sh_chebyt, "shifted_chebyshev_polynomial_u": scipy.special.eval_sh_chebyu,
    "hermite_polynomial_h": scipy.special.eval_hermite, "hermite_polynomial_he": scipy.special.eval_hermitenorm,
    "laguerre_polynomial_l": scipy.special.eval_laguerre, "legendre_polynomial_p": scipy.special.eval_legendre,
}
BESSEL = {
    "bessel_j0": scipy.special.j0, "bessel_j1": scipy.special.j1, "bessel_y0": scipy.special.y0, "bessel_y1": scipy.special.y1,
    "modified_bessel_k0": scipy.special.k0, "modified_bessel_k1": scipy.special.k1, "scaled_modified_bessel_k0": scipy.special.k0e,
    "scaled_modified_bessel_k1": scipy.special.k1e, "spherical_bessel_j0": lambda x: np.sinc(x / np.pi),
    "airy_ai": lambda x: scipy.special.airy(x)[0],
}
POINTS = np.array([-30.0, -6.0, -5.0, -4.9, -1.0, -0.2, 0.0, 0.3, 1.0, 3.9, 4.1, 6.0, 25.0])
FAR = np.array([*POINTS, -100.0, 800.0, 1e4, 1e30])

ROWS = [
    ("ndtr", S.ndtr, scipy.special.ndtr, POINTS),
    ("log_ndtr", S.log_ndtr, scipy.special.log_ndtr, POINTS),
    ("erfcx", S.erfcx, scipy.special.erfcx, POINTS[4:]),
    ("i0e", S.i0e, scipy.special.i0e, FAR),
    ("i1", S.i1, scipy.special.i1, POINTS[1:-1]),
    ("entr", S.entr, scipy.special.entr, POINTS),
    ("ndtri", S.ndtri, scipy.special.ndtri, np.linspace(0.01, 0.99, 7)),
    ("xlog1py", lambda x: S.xlog1py(x, x), lambda x: scipy.special.xlog1py(x, x), POINTS[5:]),
    ("multigammaln", lambda x: S.multigammaln(x, 3), lambda x: scipy.special.multigammaln(x, 3), np.array([1.5, 2.0, 7.0])),
    ("i1e", S.i1e, scipy.special.i1e, FAR),
    *((name, getattr(S, name), ref, np.array([1e-9, 0.05, 0.099, 0.101, 0.3, 1.0, 1.99, 2.0, 5.0, 7.9, 25.0, 90.0, 800.0])) for name, ref in BESSEL.items()),
    *((name, getattr(S, name), BESSEL[name], np.array([-30.0, -8.1, -7.9, -3.0, -0.1, 0.0])) for name in ("bessel_j0", "bessel_j1", "spherical_bessel_j0", "airy_ai")),
    ("zeta", lambda x: S.zeta(x, 2.5), lambda x: scipy.special.zeta(x, 2.5), np.array([1.01, 2.0, 7.5, 40.0])),
    ("polygamma 0", lambda x: S.polygamma(0, x), lambda x: scipy.special.polygamma(0, x), np.array([0.5, 2.0, 7.0])),
    ("polygamma 1", lambda x: S.polygamma(1, x), lambda x: scipy.special.polygamma(1, x), np.array([0.5, 2.0, 7.0])),
]


@pytest.mark.parametrize(("name", "fn", "ref", "x"), ROWS, ids=[r[0] for r in ROWS])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_are_scipys(name, fn, ref, x, dtype):
    x = x.astype(dtype)
    tolerance = 1e-11 if dtype == "float64" else 3e-5
    np.testing.assert_allclose(fn(al.tensor(x)).numpy(), ref(x.astype("float64")), rtol=tolerance, atol=tolerance / 100)


@pytest.mark.parametrize("fn", [S.ndtr, S.log_ndtr, S.erfcx, S.entr, S.i0e, S.i1e, *(getattr(S, name) for name in BESSEL if name != "airy_ai")])
def test_gradients(fn):
    x = al.tensor([0.3, 1.2, 5.5], dtype=al.float64, requires_grad=True)
    assert gradcheck(fn, (x,))
    assert gradgradcheck(fn, (x,))


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_are_scipys(name):
    x, n = np.linspace(-1.5, 2.0, 15)[:, None], np.arange(12.0)
    found = getattr(S, name)(al.tensor(x), al.tensor(n))
    np.testing.assert_allclose(found.numpy(), POLYNOMIALS[name](n.astype(int), x), rtol=1e-9, atol=1e-9)
    assert [0.0, found[3, 4].item()] == getattr(S, name)(x[3, 0], al.tensor([-1.0, 4.7], dtype=al.float64)).tolist()


def test_chebyshev_polynomials_of_the_third_and_fourth_kind_are_ratios_of_waves():
    angle, n = np.linspace(0.1, 3.0, 9)[:, None], np.arange(12.0)
    x = al.tensor(np.cos(angle))
    for name, wave in (("v", np.cos), ("w", np.sin)):
        expected = wave((n + 0.5) * angle) / wave(angle / 2)
        np.testing.assert_allclose(getattr(S, f"chebyshev_polynomial_{name}")(x, al.tensor(n)).numpy(), expected, rtol=1e-9, atol=1e-9)
        shifted = getattr(S, f"shifted_chebyshev_polynomial_{name}")((x + 1) / 2, al.tensor(n))
        np.testing.assert_allclose(shifted.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: S.polygamma(-1, al.ones(1)), ValueError, "negative n"),
    (lambda: S.airy_ai(al.ones(1, requires_grad=True)).backward(), RuntimeError, "not implemented"),
    (lambda: S.bessel_j9, AttributeError, "no attribute"),
    (lambda: S.multigammaln(al.ones(1), 0), ValueError, "greater than or equal to 1"),
    (lambda: S.ndtr(1.0), TypeError, "must be Tensor"),
])
def test_mistakes_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_incomplete_gamma_functions_hold_for_every_size():
    rng = np.random.default_rng(0)
    a = 10 ** rng.uniform(-3, 5, 2000)
    x = a * 10 ** rng.normal(0, 0.2, 2000)
    for fn, ref in ((S.gammainc, scipy.special.gammainc), (S.gammaincc, scipy.special.gammaincc)):
        np.testing.assert_allclose(fn(al.tensor(a), al.tensor(x)).numpy(), ref(a, x), rtol=1e-8, atol=1e-12)
    far = S.gammainc(al.tensor(33056330.454490058, dtype=al.float64), al.tensor(33022733.9909614, dtype=al.float64))
    np.testing.assert_allclose(float(far), 2.52780580308247224e-9, rtol=1e-7)  # integrated with mpmath; SciPy 1.17 gives 2.23e-9
    edges = [(0, 0), (0, 1), (1, 0), (np.inf, 1), (1, np.inf), (np.inf, np.inf), (-1, 1), (1, -1), (np.nan, 1)]
    a, x = np.array(edges).T
    np.testing.assert_array_equal(S.gammainc(al.tensor(a), al.tensor(x)).numpy(), [np.nan, 1, 0, 0, 1, np.nan, np.nan, np.nan, np.nan])


def test_zeta_below_zero_continues_the_sum():
    q = np.array([-1.5, -2.3, -7.7, -0.2, -1e9 - 0.5, -3.0])
    direct = [sum((v + k) ** -4.0 for k in range(12)) + scipy.special.zeta(4, v + 12) for v in q[:4]]
    np.testing.assert_allclose(S.zeta(al.tensor(4.0, dtype=al.float64), al.tensor(q)).numpy()[:4], direct, rtol=1e-12)
    assert np.isinf(S.zeta(al.tensor(4.0, dtype=al.float64), al.tensor(q)).numpy()[5])


@pytest.mark.parametrize("x", [-1e-30, 1e-30, -1e-9, -2.0 - 1e-9, -0.3])
def test_digamma_has_its_poles_in_reach(x: float) -> None:
    ours = al.tensor([x], dtype=al.float64, requires_grad=True)
    value = al.digamma(ours)
    (slope,) = al.autograd.grad(value.sum(), ours)
    np.testing.assert_allclose(value.item(), scipy.special.digamma(x), rtol=1e-12)
    steps = [x + k for k in range(math.floor(-x) + 1)] if x < 0 else []  # the recurrence, up to a positive argument
    exact = sum(t**-2 for t in steps) + scipy.special.zeta(2, x + len(steps))
    np.testing.assert_allclose(slope.item(), exact, rtol=1e-6)


def test_xlog1py_has_a_slope_where_x_is_0() -> None:
    x = al.zeros(5, dtype=al.float64, requires_grad=True)
    y = al.tensor([1.0, -1.0, -2.0, np.inf, np.nan], dtype=al.float64)
    value = S.xlog1py(x, y)
    (slope,) = al.autograd.grad(value.sum(), x)
    np.testing.assert_array_equal(value.detach().numpy(), [0.0, 0.0, 0.0, 0.0, np.nan])
    np.testing.assert_array_equal(slope.numpy(), [np.log(2.0), 0.0, 0.0, 0.0, np.nan])


@pytest.mark.parametrize("dtype, rtol", [(al.float64, 1e-14), (al.float32, 1e-7)])
def test_ndtri_reaches_into_the_tail(dtype: al.dtype, rtol: float) -> None:
    p = al.tensor([0.0, 1e-300, 1e-30, 1e-5, 0.3, 0.5, 0.7, 1 - 1e-6, 1.0, -0.1, 1.5], dtype=dtype)
    np.testing.assert_allclose(S.ndtri(p).double().numpy(), scipy.special.ndtri(p.double().numpy()), rtol=rtol, atol=1e-15)


def slopes(f, points: list[float], dtype: al.dtype = al.float64) -> list[float]:
    x = al.tensor(points, dtype=dtype, requires_grad=True)
    (slope,) = al.autograd.grad(f(x).sum(), x)
    return slope.tolist()


@pytest.mark.parametrize("dtype", [al.float32, al.float64, al.bfloat16])
def test_slopes_at_the_edge_of_the_domain_are_infinite(dtype: al.dtype) -> None:
    assert slopes(al.logit, [0.0, 1.0, -0.0], dtype) == [np.inf, np.inf, -np.inf]
    assert slopes(S.entr, [0.0, -0.0], dtype) == [np.inf, np.inf]
    assert S.entr(al.tensor([0.0, 1.0, -1.0], dtype=dtype)).tolist() == [0.0, 0.0, -np.inf]
    assert slopes(S.erfcx, [-np.inf, -100.0], dtype) == [-np.inf, -np.inf]


def test_slopes_outside_the_domain_are_nan_and_an_angle_has_none() -> None:
    assert np.isnan(slopes(al.logit, [-1.0, 2.0, np.nan])).all()
    assert np.isnan(slopes(lambda x: al.logit(x, 0.1), [np.nan])).all()
    assert slopes(lambda x: al.logit(x, 0.1), [-1.0, 2.0, 0.5]) == [0.0, 0.0, 4.0]
    assert np.isnan(slopes(S.entr, [-1.0, -np.inf])).all()
    assert S.entr(al.tensor([-1.0, -np.inf])).tolist() == [-np.inf, -np.inf]
    assert slopes(al.angle, [np.nan, -1.0, 1.0]) == [0.0, 0.0, 0.0]


def test_logit_is_exact_also_near_its_ends() -> None:
    x = np.array([1e-300, 1e-10, 0.25, 0.5, 0.75, 1 - 1e-10])
    np.testing.assert_allclose(al.logit(al.tensor(x)).numpy(), scipy.special.logit(x), rtol=1e-12, atol=1e-15)
    assert al.logit(al.tensor([1, 0], dtype=al.uint8)).tolist() == [np.inf, -np.inf]


def test_the_slope_of_sinc_is_exact_near_0() -> None:
    x = np.array([0.0, 1e-6, 1e-3, 0.0159, 0.016, 0.3])
    a = np.longdouble(np.float32(x)) * np.longdouble(np.pi)
    series = -np.pi * (a / 3 - a**3 / 30 + a**5 / 840 - a**7 / 45360 + a**9 / 3991680)
    np.testing.assert_allclose(slopes(al.sinc, x.tolist(), al.float32), series.astype(np.float64), rtol=3e-4)


@pytest.mark.parametrize("name", ["smooth_l1_loss", "huber_loss"])
def test_a_nan_is_seen_in_the_slope_of_a_robust_loss(name: str) -> None:
    loss = getattr(al.nn.functional, name)
    np.testing.assert_array_equal(slopes(lambda x: loss(x, al.zeros_like(x), reduction="sum"), [np.nan, 3.0, -3.0, 0.5]), [np.nan, 1.0, -1.0, 0.5])


def test_zeros_have_no_sign_where_none_is_due() -> None:
    assert math.copysign(1, al.nn.functional.logsigmoid(al.tensor(np.inf)).item()) == 1
    assert S.ndtri(al.tensor(0.5)).item() == 0


@pytest.mark.parametrize(("fn", "rtol"), [(al.tanh, 3e-7), (al.erf, 3e-7), (al.nn.functional.gelu, 2e-6), (al.exp, 2e-7)])
def test_a_function_made_of_pieces_fits_at_every_joint(fn, rtol: float) -> None:
    x = np.linspace(-10, 10, 400_001, dtype=np.float32)
    x = x[abs(x) < 5.6] if fn is al.nn.functional.gelu else x  # further out the square of x is no longer exact enough
    np.testing.assert_allclose(fn(al.tensor(x)).numpy(), fn(al.tensor(x.astype(np.float64))).numpy(), rtol=rtol)
