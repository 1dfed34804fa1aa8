"""Filling tensors in place with random numbers. Called under grad mode, the old value's gradient is cut."""

from __future__ import annotations

from ascendlite.core import Generator, Tensor, add_method
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


for _fill in (uniform_, normal_, exponential_, bernoulli_, random_):
    add_method(_fill.__name__, _fill)
