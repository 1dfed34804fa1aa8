"""Filling tensors in place with random numbers. Called under grad mode, the old value's gradient is cut."""

from __future__ import annotations

import math

from ascendlite.core import Generator, Tensor, add_method, float32
from ascendlite.errors import ArgumentError
from ascendlite.ops.draw import BERNOULLI, chance_of
from ascendlite.ops.random import (
    EXPONENTIAL,
    INTEGERS,
    NORMAL,
    UNIFORM,
    drawn,
    exact_integers,
    float_only,
    like_of,
    range_of,
)


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with uniform numbers in [from_, to)."""
    if from_ > to:
        raise ArgumentError(
            f"uniform_: expects to return a [from, to) range, but found from={from_} > to={to}"
        )
    return self.copy_(
        drawn(UNIFORM, like_of(float_only(self, "uniform_"), None, None), generator, float(from_), float(to))
    )


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers."""
    if std < 0:
        raise ArgumentError(f"normal_: expects std >= 0.0, but found std {std}")
    return self.copy_(
        drawn(NORMAL, like_of(float_only(self, "normal_"), None, None), generator, float(mean), float(std))
    )


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of rate lambd."""
    if lambd <= 0:
        raise ArgumentError(f"exponential_: expects lambda > 0.0, but found lambda={lambd}")
    return self.copy_(
        drawn(EXPONENTIAL, like_of(float_only(self, "exponential_"), None, None), generator, float(lambd))
    )


def bernoulli_(self: Tensor, p: Tensor | float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones with probability p, else zeros."""
    chances = (
        p.detach().expand(self.shape).contiguous() if isinstance(p, Tensor) else chance_of(p, "bernoulli_", self)
    )
    return self.copy_(drawn(BERNOULLI, like_of(self, None, None), generator, inputs=(chances,)))


def random_(
    self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Fill with integers in [from_, to); one bound: in [0, bound); none: all that the dtype holds."""
    if from_ is None:
        from_, to = 0, exact_integers(self.dtype)[1] + 1
    elif to is None:
        from_, to = 0, from_
    return self.copy_(
        drawn(INTEGERS, like_of(self, None, None), generator, *range_of(from_, to, self.dtype, "random_"))
    )


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with e to the power of normal numbers."""
    if std <= 0:
        raise ArgumentError(f"log_normal_: expects std > 0.0, but found std={std}")
    return self.copy_(drawn(NORMAL, like_of(float_only(self, "log_normal_"), None, None), generator, float(mean), float(std)).exp())


def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of the Cauchy distribution."""
    if sigma <= 0:
        raise ArgumentError(f"cauchy_: expects sigma > 0.0, but found sigma={sigma}")
    angles = drawn(UNIFORM, like_of(float_only(self, "cauchy_"), None, None), generator, -0.5, 0.5) * math.pi
    return self.copy_(angles.tan() * sigma + median)


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with how many trials of success probability p it takes until the first success."""
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_: expects p to be in (0, 1), but got p={p}")
    like = like_of(self, None if self.dtype.is_floating_point else float32, None)
    return self.copy_((drawn(EXPONENTIAL, like, generator, -math.log1p(-p))).ceil().clamp(min=1))


for _fill in (uniform_, normal_, exponential_, bernoulli_, random_, log_normal_, cauchy_, geometric_):
    add_method(_fill.__name__, _fill)
