"""Filling tensors in place with random numbers. Called under grad mode, the old value's gradient is cut."""

from __future__ import annotations

from ascendlite.core import Generator, Tensor, function
from ascendlite.errors import ArgumentError
from ascendlite.ops.draw import BERNOULLI, chance_of
from ascendlite.ops.random import (
    EXPONENTIAL,
    INTEGERS,
    NORMAL,
    TRUNC_NORMAL,
    UNIFORM,
    drawn,
    float_only,
    integer_limits,
    like_of,
    range_of,
)


@function(methods=("uniform_",))
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


@function(methods=("normal_",))
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers."""
    if std < 0:
        raise ArgumentError(f"normal_: expects std >= 0.0, but found std {std}")
    return self.copy_(
        drawn(NORMAL, like_of(float_only(self, "normal_"), None, None), generator, float(mean), float(std))
    )


@function(methods=("exponential_",))
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of rate lambd."""
    if lambd <= 0:
        raise ArgumentError(f"exponential_: expects lambda > 0.0, but found lambda={lambd}")
    return self.copy_(
        drawn(EXPONENTIAL, like_of(float_only(self, "exponential_"), None, None), generator, float(lambd))
    )


@function(methods=("bernoulli_",))
def bernoulli_(self: Tensor, p: Tensor | float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones with probability p, else zeros."""
    chances = (
        p.detach().expand(self.shape).contiguous() if isinstance(p, Tensor) else chance_of(p, "bernoulli_")
    )
    return self.copy_(drawn(BERNOULLI, like_of(self, None, None), generator, inputs=(chances,)))


@function(methods=("random_",))
def random_(
    self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Fill with integers in [from_, to); one bound: in [0, bound); none: all that the dtype holds."""
    if from_ is None:
        from_, to = 0, integer_limits(self.dtype)[1] + 1
    elif to is None:
        from_, to = 0, from_
    return self.copy_(
        drawn(INTEGERS, like_of(self, None, None), generator, *range_of(from_, to, self.dtype, "random_"))
    )


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with normal numbers of [a, b] only, as `torch.nn.init.trunc_normal_`."""
    new = like_of(float_only(tensor, "trunc_normal_"), None, None)
    return tensor.copy_(drawn(TRUNC_NORMAL, new, generator, float(mean), float(std), float(a), float(b)))
