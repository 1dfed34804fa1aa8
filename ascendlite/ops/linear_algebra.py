"""What linear algebra has at the top level and as methods; the work is in `ascendlite.linalg`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ascendlite.core import Tensor, deliver, function, require_tensor
from ascendlite.errors import ArgumentError
from ascendlite.ops.compare import where
from ascendlite.ops.random import randn


def _linalg() -> Any:
    from ascendlite import linalg  # above this layer, and not needed before the first call

    return linalg


@function(methods=("det",))
def det(input: Tensor) -> Tensor:
    """The determinant of each square matrix."""
    return _linalg().det(input)


@function(methods=("slogdet",))
def slogdet(input: Tensor, *, out: tuple[Tensor, ...] | None = None) -> tuple[Tensor, Tensor]:
    """Sign and logarithm of the absolute value of each determinant."""
    return deliver(_linalg().slogdet(input), out)


@function(methods=("logdet",))
def logdet(input: Tensor) -> Tensor:
    """The logarithm of each determinant: NaN where it is negative, -inf where it is zero."""
    sign, value = _linalg().slogdet(input)
    return where(sign < 0, math.nan, value)


@function(methods=("inverse",))
def inverse(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of each square matrix.

    >>> al.inverse(al.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return deliver(_linalg().inv(input), out)


@function(methods=("pinverse",))
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The Moore-Penrose inverse of each matrix; singular values up to rcond times the largest count as zero."""
    return _linalg().pinv(input, rtol=rcond)


@function(methods=("matrix_exp",))
def matrix_exp(input: Tensor) -> Tensor:
    """e to the power of each square matrix."""
    return _linalg().matrix_exp(input)


@function(methods=("cholesky",))
def cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The triangular factor of each symmetric positive definite matrix."""
    return deliver(_linalg().cholesky(input, upper=upper), out)


class TopSVD(NamedTuple):
    """A = U diag(S) V^T."""

    U: Tensor
    S: Tensor
    V: Tensor


class GeQRF(NamedTuple):
    """R and the Householder vectors in one matrix, and the factors tau."""

    a: Tensor
    tau: Tensor


class LUUnpack(NamedTuple):
    """P, L and U."""

    P: Tensor
    L: Tensor
    U: Tensor


class TriangularSolve(NamedTuple):
    """The solution, and a copy of the matrix."""

    solution: Tensor
    cloned_coefficient: Tensor


@function(methods=("svd",))
def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: tuple[Tensor, ...] | None = None) -> TopSVD:
    """U, S and V (not its transpose: that is linalg.svd) of each matrix; `some`: only the columns that count."""
    if not compute_uv:
        values = _linalg().svdvals(input)
        m, n = input.shape[-2:]
        return deliver(TopSVD(input.new_zeros((*input.shape[:-1], m)), values, input.new_zeros((*input.shape[:-2], n, n))), out)
    u, s, vh = _linalg().svd(input, full_matrices=not some)
    return deliver(TopSVD(u, s, vh.mT), out)


@function()
def svd_lowrank(A: Tensor, q: int = 6, niter: int = 2, M: Tensor | None = None) -> TopSVD:
    """The q largest singular values of A (less M), and their vectors, from q random directions.

    Randomized subspace iteration (Halko, Martinsson and Tropp, 2011, algorithms 4.4 and 5.1); `niter` more passes sharpen it.
    """
    require_tensor("svd_lowrank", A)
    if A.ndim < 2 or not 0 <= q <= min(A.shape[-2:]) or niter < 0:
        raise ArgumentError(f"svd_lowrank: q must be in 0 .. min(m, n) and niter not negative for A of shape {tuple(A.shape)}: got q={q}, niter={niter}")
    A = A if M is None else A - M.broadcast_to(A.shape)
    wide = A.shape[-2] < A.shape[-1]
    A = A.mT if wide else A
    basis = _linalg().qr(A @ randn(A.shape[-1], q, dtype=A.dtype, device=A.device))[0]
    for _ in range(niter):
        basis = _linalg().qr(A @ _linalg().qr(A.mT @ basis)[0])[0]
    u, s, vh = _linalg().svd(basis.mT @ A, full_matrices=False)
    u, v = basis @ u, vh.mT
    return TopSVD(v, s, u) if wide else TopSVD(u, s, v)


@function()
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> TopSVD:
    """`svd_lowrank` of the rows of A about their mean (`center=False`: about 0): V are the principal directions."""
    require_tensor("pca_lowrank", A)
    if A.ndim < 2:
        raise ArgumentError(f"pca_lowrank: A must have at least 2 dimensions, got shape {tuple(A.shape)}")
    q = min(6, *A.shape[-2:]) if q is None else q
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)


@function(methods=("qr",))
def qr(input: Tensor, some: bool = True, *, out: tuple[Tensor, ...] | None = None) -> tuple[Tensor, Tensor]:
    """Q and R of each matrix; `some=False`: a square Q."""
    return deliver(_linalg().qr(input, "reduced" if some else "complete"), out)


@function(methods=("geqrf",))
def geqrf(input: Tensor, *, out: tuple[Tensor, ...] | None = None) -> GeQRF:
    """R in and above the diagonal, the Householder vectors below it, and their factors tau."""
    return deliver(GeQRF(*_linalg().triangular.geqrf(input)), out)


@function(methods=("orgqr",))
def orgqr(input: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The Q that `geqrf` found."""
    return deliver(_linalg().householder_product(input, tau), out)


@function()
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *, out: tuple[Tensor, ...] | None = None) -> LUUnpack:
    """P, L and U out of what linalg.lu_factor gave; what is not asked for is empty."""
    p, lower, upper = _linalg().triangular.unpack(LU_data, LU_pivots)
    none = LU_data.new_empty(0)
    return deliver(LUUnpack(p if unpack_pivots else none, *((lower, upper) if unpack_data else (none, none))), out)


@function(methods=("cholesky_solve",))
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """X with A X = input, where L is the Cholesky factor of A."""
    solve = _linalg().solve_triangular
    lower = L.mT if upper else L
    return deliver(solve(lower.mT, solve(lower, input, upper=False), upper=True), out)


@function(methods=("cholesky_inverse",))
def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The inverse of the matrix whose Cholesky factor is L."""
    inverse = _linalg().inv(L.triu() if upper else L.tril())
    return deliver(inverse @ inverse.mT if upper else inverse.mT @ inverse, out)


@function(methods=("triangular_solve",))
def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *, out: tuple[Tensor, ...] | None = None
) -> TriangularSolve:
    """X with A X = b (or A^T X = b) for triangular A, and a copy of A; linalg.solve_triangular is the newer form."""
    matrix = A.mT if transpose else A
    x = _linalg().solve_triangular(matrix, b, upper=upper != transpose, unitriangular=unitriangular)
    return deliver(TriangularSolve(x, A.clone()), out)
