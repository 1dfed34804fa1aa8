"""Special functions with the names of `torch.special`: what the top level has under another name, and compositions of it."""

from __future__ import annotations

import math

from ascendlite.core import FUNCTIONS, Tensor, arange
from ascendlite.errors import ArgumentError
from ascendlite.ops.gamma import _i1, _trigamma

digamma = psi = FUNCTIONS["digamma"]
erf = FUNCTIONS["erf"]
erfc = FUNCTIONS["erfc"]
erfinv = FUNCTIONS["erfinv"]
exp2 = FUNCTIONS["exp2"]
expit = FUNCTIONS["sigmoid"]
expm1 = FUNCTIONS["expm1"]
gammaln = FUNCTIONS["lgamma"]
i0 = FUNCTIONS["i0"]
i1 = _i1
log1p = FUNCTIONS["log1p"]
log_softmax = FUNCTIONS["log_softmax"]
logit = FUNCTIONS["logit"]
logsumexp = FUNCTIONS["logsumexp"]
round = FUNCTIONS["round"]
sinc = FUNCTIONS["sinc"]
softmax = FUNCTIONS["softmax"]
xlogy = FUNCTIONS["xlogy"]

_where = FUNCTIONS["where"]


def _tensor(op: str, x: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    return x


def entr(input: Tensor) -> Tensor:
    """-x log(x): 0 at 0, -inf below it.

    >>> al.special.entr(al.tensor([0.0, 1.0, -1.0]))
    tensor([0., 0., -inf])
    """
    y = 0.0 - xlogy(_tensor("entr", input), input)
    result: Tensor = _where(input < 0, -math.inf, y)
    return result


def xlog1py(input: Tensor, other: Tensor) -> Tensor:
    """x log(1 + y): 0 where x is 0, unless y is NaN."""
    zero = _tensor("xlog1py", input) == 0
    y = _where(zero & ~FUNCTIONS["isnan"](other), 0.0, other)
    result: Tensor = input * log1p(y)
    return result


def ndtr(input: Tensor) -> Tensor:
    """The area under the normal density up to x."""
    result: Tensor = 0.5 * erfc(-_tensor("ndtr", input) * math.sqrt(0.5))
    return result


def log_ndtr(input: Tensor) -> Tensor:
    """The logarithm of `ndtr`; below -5 by the continued fraction of Mills' ratio (Abramowitz and Stegun, 26.2.14, 60 levels)."""
    x = _tensor("log_ndtr", input)
    far = x < -5.0
    t = _where(far, -x, 5.0)
    ratio = t
    for k in range(60, 0, -1):
        ratio = t + k / ratio
    tail = -0.5 * t * t - 0.5 * math.log(2 * math.pi) - ratio.log()
    middle = (0.5 * erfc(_where(far | (x > 0), 0.0, -x) * math.sqrt(0.5))).log()
    above = log1p(-0.5 * erfc(_where(x > 0, x, 0.0) * math.sqrt(0.5)))
    result: Tensor = _where(far, tail, _where(x > 0, above, middle))
    return result


def ndtri(input: Tensor) -> Tensor:
    """The point up to which the normal density has the area x."""
    result: Tensor = math.sqrt(2) * erfinv(2 * _tensor("ndtri", input) - 1)
    return result


def erfcx(input: Tensor) -> Tensor:
    """exp(x^2) erfc(x), also where erfc(x) is too small for its dtype: sqrt(2/pi) times Mills' ratio at sqrt(2) x."""
    x = _tensor("erfcx", input)
    far = x > 4.0
    t = _where(far, x, 4.0) * math.sqrt(2)
    ratio = t
    for k in range(60, 0, -1):
        ratio = t + k / ratio
    near = _where(far, 0.0, x)
    result: Tensor = _where(far, math.sqrt(2 / math.pi) / ratio, (near * near).exp() * erfc(near))
    return result


def i0e(input: Tensor) -> Tensor:
    """exp(-|x|) i0(x), for |x| up to where i0 overflows (88 in float32, 709 in float64)."""
    result: Tensor = (-_tensor("i0e", input).abs()).exp() * i0(input)
    return result


def multigammaln(a: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p, for a > (p - 1) / 2.

    >>> al.special.multigammaln(al.tensor(1.0), 1)
    tensor(0.)
    """
    if p < 1:
        raise ArgumentError(f"multigammaln: p is {p}; it must be at least 1")
    steps = arange(p, dtype=_tensor("multigammaln", a).dtype, device=a.device)
    result: Tensor = gammaln(a.unsqueeze(-1) - steps * 0.5).sum(-1) + 0.25 * p * (p - 1) * math.log(math.pi)
    return result


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma; n is 0 or 1."""
    if n not in (0, 1):
        raise ArgumentError(f"polygamma: n is {n}; derivatives of digamma beyond the first have no kernel")
    result: Tensor = (digamma if n == 0 else _trigamma)(_tensor("polygamma", input))
    return result
