"""Bessel functions of orders 0 and 1, Airy's function and orthogonal polynomials: names of `torch.special`."""

from __future__ import annotations

from typing import NoReturn

from ascendlite.core import FLOAT, Op, Tensor, pointwise
from ascendlite.errors import GradError
from ascendlite.ops.compare import where
from ascendlite.ops.pointwise import cos

# Derivatives: DLMF 10.6.2 (J, Y), 10.29.2 (K), and those of e^x K.
bessel_j0 = pointwise("bessel_j0", FLOAT, vjp=(lambda g, _y, x: -g * bessel_j1(x),), public=False)
bessel_j1 = pointwise("bessel_j1", FLOAT, vjp=(lambda g, y, x: g * where(x == 0, 0.5, bessel_j0(x) - y / x),), public=False)
bessel_y0 = pointwise("bessel_y0", FLOAT, vjp=(lambda g, _y, x: -g * bessel_y1(x),), public=False)
bessel_y1 = pointwise("bessel_y1", FLOAT, vjp=(lambda g, y, x: g * (bessel_y0(x) - y / x),), public=False)
modified_bessel_k0 = pointwise("modified_bessel_k0", FLOAT, vjp=(lambda g, _y, x: -g * modified_bessel_k1(x),), public=False)
modified_bessel_k1 = pointwise(
    "modified_bessel_k1", FLOAT, vjp=(lambda g, y, x: -g * (modified_bessel_k0(x) + y / x),), public=False
)
scaled_modified_bessel_k0 = pointwise(
    "scaled_modified_bessel_k0", FLOAT, vjp=(lambda g, y, x: g * (y - scaled_modified_bessel_k1(x)),), public=False
)
scaled_modified_bessel_k1 = pointwise(
    "scaled_modified_bessel_k1", FLOAT, vjp=(lambda g, y, x: g * (y - scaled_modified_bessel_k0(x) - y / x),), public=False
)
spherical_bessel_j0 = pointwise(
    "spherical_bessel_j0", FLOAT, vjp=(lambda g, y, x: g * where(x == 0, 0.0, (cos(x) - y) / x),), public=False
)


def _no_rule(op: str) -> NoReturn:
    raise GradError(f"the derivative of {op} is not implemented, as in torch; detach the input, or write an autograd.Function")


def _without_rule(name: str, inputs: int) -> Op:
    def rule(g: Tensor) -> NoReturn:
        _no_rule(name)

    return pointwise(name, FLOAT, vjp=(rule,) * inputs, inputs=inputs, public=False)


airy_ai = _without_rule("airy_ai", 1)
# Of argument x and degree n, either of them a tensor; n is truncated to an integer, and what is below 0 gives 0.
POLYNOMIALS = {
    name: _without_rule(name, 2)
    for name in (
        *(f"{kind}chebyshev_polynomial_{letter}" for kind in ("", "shifted_") for letter in "tuvw"),
        "hermite_polynomial_h",
        "hermite_polynomial_he",
        "laguerre_polynomial_l",
        "legendre_polynomial_p",
    )
}
