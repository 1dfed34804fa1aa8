"""Norms and condition numbers, and what else `linalg` has of products and diagonals."""

from __future__ import annotations

import math

from ascendlite.core import FUNCTIONS, DType, Tensor
from ascendlite.errors import ArgumentError
from ascendlite.linalg.factors import check_matrices, delivers
from ascendlite.linalg.solvers import inv, svdvals

Dims = int | tuple[int, ...] | None


@delivers
def vector_norm(x: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """The norm of order `ord` of the vectors along dims."""
    result: Tensor = FUNCTIONS["vector_norm"](x, ord, dim, keepdim, dtype=dtype)
    return result


def _extreme(values: Tensor, ord: float) -> Tensor:
    """The largest (0 of none), or the smallest for a negative order."""
    if ord < 0:
        return values.amin(-1)
    return values.amax(-1) if values.shape[-1] else values.sum(-1)


def _by_sums(x: Tensor, ord: float) -> Tensor:
    return _extreme(x.abs().sum(-2 if abs(ord) == 1 else -1), ord)


def _by_singular_values(x: Tensor, ord: float) -> Tensor:
    return _extreme(svdvals(x), ord)


MATRIX_NORMS = {
    "fro": lambda x, ord: FUNCTIONS["vector_norm"](x, 2, (-2, -1)),
    "nuc": lambda x, ord: svdvals(x).sum(-1),
    1: _by_sums, -1: _by_sums, math.inf: _by_sums, -math.inf: _by_sums, 2: _by_singular_values, -2: _by_singular_values,
}


@delivers
def matrix_norm(A: Tensor, ord: float | str = "fro", dim: tuple[int, int] = (-2, -1), keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """The norm of the matrices over two dims: "fro", "nuc", 1, 2, inf, or the smallest of these for -1, -2, -inf.

    >>> al.linalg.matrix_norm(al.tensor([[3.0, 0.0], [0.0, 4.0]]), "nuc")
    tensor(7.)
    """
    if ord in ("nuc", 2, -2) or not isinstance(A, Tensor) or A.ndim < 2 or not A.dtype.is_floating_point:
        check_matrices("matrix_norm", A)
    if ord not in MATRIX_NORMS:
        raise ArgumentError(f"matrix_norm: Order {ord} not supported; known: {', '.join(map(str, MATRIX_NORMS))}")
    rows, columns = (d % A.ndim for d in dim)
    if rows == columns:
        raise ArgumentError(f"matrix_norm: dims must be different, got {dim}")
    x = A if dtype is None else A.to(dtype)
    result: Tensor = MATRIX_NORMS[ord](x.movedim((rows, columns), (-2, -1)), ord)  # type: ignore[no-untyped-call]
    for d in sorted((rows, columns)) if keepdim else ():
        result = result.unsqueeze(d)
    return result


@delivers
def norm(A: Tensor, ord: float | str | None = None, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """A vector norm (one dim, or no `ord`), or a matrix norm (two dims, or a matrix with an `ord`).

    >>> al.linalg.norm(al.tensor([3.0, 4.0]))
    tensor(5.)
    """
    dims = (dim,) if isinstance(dim, int) else dim
    if ord is None or (dims is not None and len(dims) == 1) or (dims is None and A.ndim == 1):
        if isinstance(ord, str):
            raise ArgumentError(f"norm: order {ord!r} is of matrices; give two dims")
        return vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype)
    if (dims is None and A.ndim != 2) or (dims is not None and len(dims) != 2):
        raise ArgumentError(f"norm: with ord {ord!r}, dim must name 1 or 2 dims or the input must have 1 or 2; dim is {dim}, shape {tuple(A.shape)}")
    return matrix_norm(A, ord, dims or (-2, -1), keepdim, dtype=dtype)  # type: ignore[arg-type]


@delivers
def cond(A: Tensor, p: float | str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The condition number: the norm of A times that of its inverse; in order 2, the ratio of the extreme singular values."""
    check_matrices("cond", A)
    if p in (None, 2, -2):
        s = svdvals(A)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    assert p is not None
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


@delivers
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Dot products of the vectors along a dim, broadcast."""
    return (x * y).sum(dim)


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Cross products of the vectors of three along a dim."""
    result: Tensor = FUNCTIONS["cross"](input, other, dim, out=out)
    return result


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonal of two dims, by default the last."""
    return A.diagonal(offset, dim1, dim2)


@delivers
def matrix_power(A: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """The n-th power of each square matrix; negative powers are of the inverse."""
    result: Tensor = FUNCTIONS["matrix_power"](inv(A) if n < 0 else A, abs(n))
    return result


@delivers
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The same as `ascendlite.matmul`."""
    return input @ other
