"""Whole powers of square matrices, by repeated squaring."""

from __future__ import annotations

from ascendlite.core import Tensor, deliver, function
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.create import eye


@function(methods=("matrix_power",))
def matrix_power(input: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """The n-th power, n >= 0, of each matrix of a batch.

    >>> al.matrix_power(al.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    if input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        raise ShapeError(
            f"matrix_power: input must be batches of square matrices, but its shape is {tuple(input.shape)}"
        )
    if n < 0:
        raise ArgumentError(f"matrix_power: n is {n}, and a negative power needs an inverse; use n >= 0")
    if n == 0:
        one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
        return deliver(one.expand(input.shape).clone(), out)
    power: Tensor | None = None
    base = input
    while n:
        if n & 1:
            power = base if power is None else power @ base
        n >>= 1
        base = base @ base if n else base
    assert power is not None, n
    return deliver(power.clone() if power is input else power, out)
