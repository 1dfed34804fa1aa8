"""What linear algebra has at the top level and as methods; the work is in `ascendlite.linalg`."""

from __future__ import annotations

import math
from typing import Any

from ascendlite.core import Tensor, function
from ascendlite.ops.compare import where


def _linalg() -> Any:
    from ascendlite import linalg  # above this layer, and not needed before the first call

    return linalg


@function(methods=("det",))
def det(input: Tensor) -> Tensor:
    """The determinant of each square matrix."""
    return _linalg().det(input)


@function(methods=("slogdet",))
def slogdet(input: Tensor) -> tuple[Tensor, Tensor]:
    """Sign and logarithm of the absolute value of each determinant."""
    return _linalg().slogdet(input)


@function(methods=("logdet",))
def logdet(input: Tensor) -> Tensor:
    """The logarithm of each determinant: NaN where it is negative, -inf where it is zero."""
    sign, value = _linalg().slogdet(input)
    return where(sign < 0, math.nan, value)


@function(methods=("inverse",))
def inverse(input: Tensor) -> Tensor:
    """The inverse of each square matrix.

    >>> al.inverse(al.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return _linalg().inv(input)


@function(methods=("pinverse",))
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The Moore-Penrose inverse of each matrix; singular values up to rcond times the largest count as zero."""
    return _linalg().pinv(input, rtol=rcond)


@function(methods=("matrix_exp",))
def matrix_exp(input: Tensor) -> Tensor:
    """e to the power of each square matrix."""
    return _linalg().matrix_exp(input)


@function(methods=("cholesky",))
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The triangular factor of each symmetric positive definite matrix."""
    return _linalg().cholesky(input, upper=upper)
