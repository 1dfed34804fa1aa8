"""Integrals and polynomials of samples along one dim."""

from __future__ import annotations

from ascendlite.core import Tensor, arange, function, int64, normalize_dim
from ascendlite.core import bool as bool_
from ascendlite.errors import ArgumentError, DTypeError, ShapeError


def _steps(y: Tensor, x: Tensor, dim: int) -> Tensor:
    """The distances between the places x, in a shape that broadcasts to all pairs of neighbours in y."""
    if x.ndim == 1:
        if x.shape[0] != y.shape[dim]:
            raise ShapeError(
                "trapezoid: There must be one `x` value for each sample point: "
                f"x has {x.shape[0]}, dim {dim} of y has {y.shape[dim]}"
            )
        x = x.reshape([-1 if d == dim else 1 for d in range(y.ndim)])
    elif x.ndim < y.ndim:
        x = x.reshape((1,) * (y.ndim - x.ndim) + x.shape)
    n = x.shape[dim]
    return x.narrow(dim, 1, n - 1) - x.narrow(dim, 0, n - 1)


@function()
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral along a dim by the trapezoidal rule, of samples at places x or dx apart.

    >>> al.trapezoid(al.tensor([1.0, 5.0, 10.0]))
    tensor(10.5000)
    """
    dim = normalize_dim(dim, y.ndim)
    if y.dtype is bool_ or (x is not None and x.dtype is bool_):
        raise DTypeError("trapezoid: received a bool input, but bool is not supported; cast it")
    n = y.shape[dim] if y.ndim else 1
    if n == 0:
        return y.new_zeros(tuple(s for d, s in enumerate(y.shape) if d != dim))
    if x is None:
        total = y.sum(dim) if y.dtype.is_floating_point else y.sum(dim).to(y.dtype)
        ends = (y.select(dim, 0) + y.select(dim, -1)) if y.ndim else y + y
        return (total - ends * 0.5) * dx
    pairs = y.narrow(dim, 0, n - 1) + y.narrow(dim, 1, n - 1)
    return (_steps(y, x, dim) * pairs).sum(dim) / 2.0


function("trapz")(trapezoid)


@function()
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of powers of a vector, one element a row; powers fall from N - 1 unless increasing."""
    if x.ndim != 1:
        raise ShapeError(f"vander: x must be a one-dimensional tensor, but got {x.ndim} dims")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise ArgumentError(f"vander: N must be non-negative, but got {n}")
    powers = arange(n, dtype=int64, device=x.device)
    base = x.to(int64) if x.dtype is bool_ else x
    return base.unsqueeze(1) ** (powers if increasing else n - 1 - powers).to(base.dtype)
