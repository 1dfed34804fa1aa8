"""Rows of `ascendlite.special` beyond the ops that the package itself shows, against SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

import ascendlite as al
from tests.opcase import SINGLE, Case, positive, raises

S = al.special


def row(name: str, ref: Callable[..., Any], low: float = 0.3, high: float = 3.0, **options: Any) -> Case:
    """A function of one tensor whose numbers lie between low and high."""
    fn = getattr(S, name)
    refused = [raises(lambda: fn("x"), TypeError, "Tensor|tensor|number|str")]
    given = {"dtypes": SINGLE, "tol": 8.0, "grad_tol": 10.0, "grad2": False, "errors": refused, **options}
    return Case(f"special.{name}", ref, [positive(3, 4, low=low, high=high)], fn=fn, **given)


def order(name: str, ref: Callable[..., Any]) -> Case:
    """A polynomial of order 4."""
    fn = getattr(S, name)
    return Case(f"special.{name}", lambda x: ref(4, x), [positive(3, 4, low=-0.9, high=0.9)], fn=lambda x: fn(x, 4), dtypes=SINGLE, tol=8.0,
                grad=False, errors=[raises(lambda: fn("x", 4), TypeError, "Tensor|tensor|number|str")])


CASES = [
    row("entr", sc.entr), row("erfcx", sc.erfcx), row("expit", sc.expit, -3.0), row("gammaln", sc.gammaln, grad_tol=40.0), row("psi", sc.psi, 2.0),
    row("i0e", sc.i0e, -3.0), row("i1", sc.i1, -3.0), row("i1e", sc.i1e, -3.0), row("ndtr", sc.ndtr, -3.0), row("log_ndtr", sc.log_ndtr, -3.0),
    row("ndtri", sc.ndtri, 0.05, 0.95),
    *(row(name, ref, grad=False) for name, ref in {
        "bessel_j0": sc.j0, "bessel_j1": sc.j1, "bessel_y0": sc.y0, "bessel_y1": sc.y1, "modified_bessel_i0": sc.i0, "modified_bessel_i1": sc.i1,
        "modified_bessel_k0": sc.k0, "modified_bessel_k1": sc.k1, "scaled_modified_bessel_k0": sc.k0e, "scaled_modified_bessel_k1": sc.k1e,
        "spherical_bessel_j0": lambda x: np.sinc(x / np.pi), "airy_ai": lambda x: sc.airy(x)[0],
    }.items()),
    *(order(name, ref) for name, ref in {
        "chebyshev_polynomial_t": sc.eval_chebyt, "chebyshev_polynomial_u": sc.eval_chebyu, "hermite_polynomial_h": sc.eval_hermite,
        "hermite_polynomial_he": sc.eval_hermitenorm, "laguerre_polynomial_l": sc.eval_laguerre, "legendre_polynomial_p": sc.eval_legendre,
        "shifted_chebyshev_polynomial_t": sc.eval_sh_chebyt, "shifted_chebyshev_polynomial_u": sc.eval_sh_chebyu,
    }.items()),
    Case("special.gammainc", sc.gammainc, [positive(3, 4), positive(3, 4)], fn=S.gammainc, dtypes=SINGLE, tol=20.0, grad=False,
         errors=[raises(lambda: S.gammainc("x", al.ones(1)), TypeError, "Tensor|tensor|number|str")]),
    Case("special.gammaincc", sc.gammaincc, [positive(3, 4), positive(3, 4)], fn=S.gammaincc, dtypes=SINGLE, tol=20.0, grad=False,
         errors=[raises(lambda: S.gammaincc("x", al.ones(1)), TypeError, "Tensor|tensor|number|str")]),
    Case("special.zeta", sc.zeta, [positive(3, 4, low=1.5), positive(3, 4)], fn=S.zeta, dtypes=SINGLE, tol=20.0, grad=False,
         errors=[raises(lambda: S.zeta("x", al.ones(1)), TypeError, "Tensor|tensor|number|str")]),
    Case("special.xlog1py", sc.xlog1py, [positive(3, 4), positive(3, 4)], fn=S.xlog1py, dtypes=SINGLE, tol=4.0,
         errors=[raises(lambda: S.xlog1py("x", "y"), TypeError, "Tensor|tensor|number|str")]),
    Case("special.multigammaln", lambda x: sc.multigammaln(x, 3), [positive(3, 4, low=1.5)], fn=lambda x: S.multigammaln(x, 3), dtypes=SINGLE,
         tol=20.0, grad=False, errors=[raises(lambda: S.multigammaln(al.ones(1), 0), RuntimeError, "multigammaln|mvlgamma")]),
]
