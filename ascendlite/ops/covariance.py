"""Covariance and correlation of variables: one variable a row, one observation a column."""

from __future__ import annotations

from ascendlite.core import Tensor, as_tensor, function
from ascendlite.core import bool as bool_
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.matmul import mm


def _readable(t: Tensor) -> bool:
    return t.numel() > 0 and t.device.type != "meta"


def _check_weights(name: str, weights: Tensor, observations: int, floating: bool) -> None:
    if weights.ndim > 1:
        raise ShapeError(f"cov: expected {name} to have one or fewer dimensions but got {weights.ndim}")
    if weights.dtype.is_floating_point is not floating or weights.dtype is bool_:
        kind = "floating point" if floating else "integral"
        raise DTypeError(f"cov: expected {name} to have {kind} dtype but got {weights.dtype}; cast it")
    if weights.numel() != observations:
        raise ShapeError(
            f"cov: expected {name} to have the same numel as there are observations in the input but got "
            f"{weights.numel()} != {observations}"
        )
    if _readable(weights) and bool((weights < 0).any()):
        raise ArgumentError(f"cov: {name} cannot be negative: the least is {weights.min().item()}")


@function(methods=("cov",))
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariance of each pair of rows; `fweights` counts observations, `aweights` weighs them.

    >>> al.cov(al.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.ndim > 2:
        raise ShapeError(f"cov: expected input to have two or fewer dimensions but got {input.ndim}")
    if input.dtype is bool_:
        raise DTypeError("cov: bool dtype is not supported for input; cast it to a number dtype")
    x = input if input.ndim == 2 else input.reshape(1, -1)
    weights: Tensor | None = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None:
            _check_weights(name, given, x.shape[1], name == "aweights")
            weights = given.reshape(-1) if weights is None else weights * given.reshape(-1)
    total = as_tensor(x.shape[1], device=x.device) if weights is None else weights.sum()
    if weights is not None and _readable(weights) and total.item() == 0:
        raise ArgumentError("cov: weights sum to zero, can't be normalized; give a positive weight")
    mean = (x if weights is None else x * weights).sum(1) / total
    off = total - correction
    if weights is not None and aweights is not None and correction != 0:
        off = total - (weights * aweights.reshape(-1)).sum() / total * correction
    x = x - mean.unsqueeze(1)
    products = mm(x, (x if weights is None else (x * weights).to(x.dtype)).t())
    return (products / off.clamp(min=0)).squeeze()


@function(methods=("corrcoef",))
def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlation of each pair of rows, within [-1, 1]."""
    if input.ndim > 2:
        raise ShapeError(f"corrcoef: expected input to have two or fewer dimensions but got {input.ndim}")
    c = cov(input)
    if c.ndim == 0:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1, 1)
