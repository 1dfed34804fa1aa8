"""Dropout. No mask is kept: the gradient draws the same Philox numbers again."""

from __future__ import annotations

from ascendlite.core import Generator, Op, Tensor, function, next_philox
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.draw import bernoulli
from ascendlite.ops.random import float_only

_ALPHA = 1.7580993408473766  # selu's alpha times its scale


_dropout = Op(
    "dropout",
    inputs=1,
    infer=lambda x, p, seed, offset: x,
    vjp=(lambda g, y, _x, p, seed, offset: _dropout(g, p, seed, offset),),
)


def _check(p: float, op: str) -> None:
    if not 0 <= p <= 1:
        raise ArgumentError(f"{op}: dropout probability has to be between 0 and 1, but got {p}")


def _finish(result: Tensor, input: Tensor, inplace: bool) -> Tensor:
    return input.copy_(result) if inplace else result


@function()
def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Zero elements with probability p and scale the others by 1 / (1 - p); nothing when not training."""
    _check(p, "dropout")
    if not training or p == 0 or input.numel() == 0:
        return input
    float_only(input, "dropout")
    seed, offset = next_philox(generator, input.numel())
    return _finish(_dropout(input, float(p), seed, offset), input, inplace)


def _mask(input: Tensor, shape: tuple[int, ...], p: float, generator: Generator | None) -> Tensor:
    """One where an element (or channel) is kept."""
    return bernoulli(input.new_empty(shape), 1 - p, generator=generator)


def feature_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Zero whole channels (dim 1) with probability p and scale the others by 1 / (1 - p)."""
    _check(p, "feature_dropout")
    if input.ndim < 2:
        raise ShapeError(
            f"feature_dropout: Feature dropout requires at least 2 dimensions in the input: got {input.ndim}"
        )
    if not training or p == 0 or input.numel() == 0:
        return input
    mask = _mask(input, (*input.shape[:2], *(1,) * (input.ndim - 2)), p, generator)
    return _finish(input * (mask / (1 - p) if p < 1 else mask), input, inplace)


def alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    by_feature: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Dropout to the saturation value of selu, which keeps mean and variance."""
    _check(p, "alpha_dropout")
    if not training or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return _finish(input * 0, input, inplace)
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2)) if by_feature else input.shape
    mask = _mask(input, shape, p, generator)
    a = ((1 - p) * (1 + p * _ALPHA**2)) ** -0.5
    return _finish(input * (mask * a) + ((mask - 1) * (_ALPHA * a) + _ALPHA * a * p), input, inplace)
