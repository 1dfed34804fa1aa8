"""Special functions with the names of `torch.special`: what the top level has under another name, and compositions of it."""

from __future__ import annotations

import math
from typing import Any

from ascendlite.absent import absent as _absent
from ascendlite.core import FUNCTIONS, Tensor, deliver, get_default_dtype
from ascendlite.ops import bessel as _bessel
from ascendlite.ops.gamma import _i0e, _i1, _i1e, _ndtri
from ascendlite.ops.gamma import zeta as zeta

digamma = psi = FUNCTIONS["digamma"]
erf = FUNCTIONS["erf"]
erfc = FUNCTIONS["erfc"]
erfinv = FUNCTIONS["erfinv"]
exp2 = FUNCTIONS["exp2"]
expit = FUNCTIONS["sigmoid"]
expm1 = FUNCTIONS["expm1"]
gammainc = FUNCTIONS["igamma"]
gammaincc = FUNCTIONS["igammac"]
gammaln = FUNCTIONS["lgamma"]
i0 = FUNCTIONS["i0"]
i1 = _i1
modified_bessel_i0, modified_bessel_i1 = i0, i1
airy_ai = _bessel.airy_ai
bessel_j0, bessel_j1, bessel_y0, bessel_y1 = _bessel.bessel_j0, _bessel.bessel_j1, _bessel.bessel_y0, _bessel.bessel_y1
modified_bessel_k0, modified_bessel_k1 = _bessel.modified_bessel_k0, _bessel.modified_bessel_k1
scaled_modified_bessel_k0, scaled_modified_bessel_k1 = _bessel.scaled_modified_bessel_k0, _bessel.scaled_modified_bessel_k1
spherical_bessel_j0 = _bessel.spherical_bessel_j0
log1p = FUNCTIONS["log1p"]
log_softmax = FUNCTIONS["log_softmax"]
logit = FUNCTIONS["logit"]
logsumexp = FUNCTIONS["logsumexp"]
multigammaln = FUNCTIONS["mvlgamma"]
polygamma = FUNCTIONS["polygamma"]
round = FUNCTIONS["round"]
sinc = FUNCTIONS["sinc"]
softmax = FUNCTIONS["softmax"]
xlogy = FUNCTIONS["xlogy"]

_where = FUNCTIONS["where"]


def _float(op: str, x: Tensor | float) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    return x if x.dtype.is_floating_point else x.to(get_default_dtype())


def entr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-x log(x): 0 at 0, -inf below it.

    >>> al.special.entr(al.tensor([0.0, 1.0, -1.0]))
    tensor([0., 0., -inf])
    """
    x = _float("entr", input)
    zero = x == 0
    at_zero = _where(zero, x + 0.0, 1.0).sqrt()  # 0 with a slope of inf, as entr has it there
    below = _where(x < 0, x.clamp(max=0).exp() * 0.0, 1.0).log()  # -inf below 0, with a slope of NaN
    result: Tensor = deliver(_where(x < 0, below, _where(zero, at_zero, 0.0 - xlogy(x, _where(zero, 1.0, x)))), out)
    return result


def xlog1py(input: Tensor | float, other: Tensor | float, *, out: Tensor | None = None) -> Tensor:
    """x log(1 + y), of which one may be a number: 0 where x is 0, unless y is NaN."""
    if not isinstance(other, Tensor):
        other = _float("xlog1py", input).new_full((), other)
    elif not isinstance(input, Tensor):
        input = _float("xlog1py", other).new_full((), input)
    zero = _float("xlog1py", input) == 0
    y = _where(zero & ((other <= -1) | (other == math.inf)), 0.0, other)  # else 0 * log(1 + y) is 0 by itself, and has its slope
    result: Tensor = deliver(input * log1p(y), out)
    return result


def ndtr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The area under the normal density up to x."""
    result: Tensor = deliver(0.5 * erfc(-_float("ndtr", input) * math.sqrt(0.5)), out)
    return result


def log_ndtr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of `ndtr`; below -5 by the continued fraction of Mills' ratio (Abramowitz and Stegun, 26.2.14, 60 levels)."""
    x = _float("log_ndtr", input)
    far = x < -5.0
    t = _where(far, -x, 5.0)
    ratio = t
    for k in range(60, 0, -1):
        ratio = t + k / ratio
    tail = -0.5 * t * t - 0.5 * math.log(2 * math.pi) - ratio.log()
    middle = (0.5 * erfc(_where(far | (x > 0), 0.0, -x) * math.sqrt(0.5))).log()
    above = log1p(-0.5 * erfc(_where(x > 0, x, 0.0) * math.sqrt(0.5)))
    result: Tensor = deliver(_where(far, tail, _where(x > 0, above, middle)), out)
    return result


def ndtri(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The point up to which the normal density has the area x."""
    result: Tensor = deliver(_ndtri(_float("ndtri", input)), out)
    return result


def erfcx(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(x^2) erfc(x), also where erfc(x) is too small for its dtype: sqrt(2/pi) times Mills' ratio at sqrt(2) x."""
    x = _float("erfcx", input)
    far = x > 4.0
    t = _where(far, x, 4.0) * math.sqrt(2)
    ratio = t
    for k in range(60, 0, -1):
        ratio = t + k / ratio
    near = _where(far, 0.0, x)
    result: Tensor = deliver(_where(far, math.sqrt(2 / math.pi) / ratio, (near * near).exp() * erfc(near.clamp(min=-6))), out)  # 2 below -6
    return result


def i0e(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(-|x|) i0(x), also where i0 overflows."""
    result: Tensor = deliver(_i0e(_float("i0e", input)), out)
    return result


def i1e(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(-|x|) i1(x), also where i1 overflows."""
    result: Tensor = deliver(_i1e(_float("i1e", input)), out)
    return result


globals().update(_bessel.POLYNOMIALS)


def __getattr__(name: str) -> Any:
    raise _absent("special", name)
