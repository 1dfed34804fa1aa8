"""The `linalg` extension of the array API standard (2024.12), for real matrices: `eig` and `eigvals` are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import ascendlite as _al
from ascendlite.core import FUNCTIONS as _F
from ascendlite.core import DType, Tensor
from ascendlite.linalg import cholesky as _cholesky
from ascendlite.linalg import cross, det, diagonal, eigvalsh, inv, matrix_power, slogdet, svdvals
from ascendlite.linalg import eigh as _eigh
from ascendlite.linalg import matrix_norm as _matrix_norm
from ascendlite.linalg import matrix_rank as _rank
from ascendlite.linalg import pinv as _pinv
from ascendlite.linalg import qr as _qr
from ascendlite.linalg import solve as _solve
from ascendlite.linalg import svd as _svd
from ascendlite.linalg import vector_norm as _vector_norm

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]


class EighResult(NamedTuple):
    """Eigenvalues, from small to large, and the vectors in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    """x = U diag(S) Vh."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The triangular factor of symmetric positive definite matrices."""
    return _cholesky(x, upper=upper)


def eigh(x: Tensor, /) -> EighResult:
    """Eigenvalues and eigenvectors of symmetric matrices."""
    return EighResult(*_eigh(x))


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition of matrices."""
    return SVDResult(*_svd(x, full_matrices))


def qr(x: Tensor, /, *, mode: str = "reduced") -> Any:
    """Orthogonal and upper triangular factors."""
    return _qr(x, mode)


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The y with x1 y = x2: of one vector if x2 has one dim, else of matrices."""
    if x2.ndim == 1:
        return _solve(x1, x2.unsqueeze(-1)).squeeze(-1)
    batch = _al.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    return _solve(x1.expand(*batch, *x1.shape[-2:]), x2.expand(*batch, *x2.shape[-2:]))


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: float | str | None = "fro") -> Tensor:
    """Norms of matrices."""
    return _matrix_norm(x, "fro" if ord is None else ord, keepdim=keepdims)


def matrix_rank(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """How many singular values are above rtol times the largest."""
    return _rank(x, rtol=rtol)


def pinv(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """The Moore-Penrose inverse."""
    return _pinv(x, rtol=rtol)


def vector_norm(x: Tensor, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """Norms of the vectors along axes."""
    return _vector_norm(x, ord, axis if axis is None or isinstance(axis, int) else tuple(axis), keepdims)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """All products of the elements of two vectors."""
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"outer: both must have one dim: the shapes are {tuple(x1.shape)} and {tuple(x2.shape)}")
    return x1.unsqueeze(1) * x2


def trace(x: Tensor, /, *, offset: int = 0, dtype: DType | None = None) -> Tensor:
    """The sums of diagonals."""
    return _F["sum"](x.diagonal(offset, -2, -1), dim=-1, dtype=dtype)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """Rows and columns of matrices exchanged."""
    return x.mT


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The product of matrices."""
    return _F["matmul"](x1, x2)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """A product summed over axes."""
    return _F["tensordot"](x1, x2, axes)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Products of vectors along an axis."""
    return _F["sum"](x1 * x2, dim=axis)
