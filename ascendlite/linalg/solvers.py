"""Determinants, inverses, linear systems and functions of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ascendlite.autograd.function import Function, FunctionCtx
from ascendlite.core import FUNCTIONS, Tensor, broadcast_shapes
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.linalg.factors import (
    QR,
    SVD,
    Cholesky,
    Eigh,
    EighFunction,
    Inverse,
    QRFunction,
    Solve,
    SVDFunction,
    check_matrices,
    delivers,
    on_host,
)
from ascendlite.ops.create import eye
from ascendlite.ops.movement import cat

Limit = Tensor | float | None


class SlogDet(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


class LstSq(NamedTuple):
    """The solution of a least squares problem, the sums of squared residuals, the ranks, and the singular values of A."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


# What `lstsq` gives beside the solution, as LAPACK's drivers do: the residuals, the rank, the singular values.
DRIVERS = {"gels": (True, False, False), "gelsy": (False, True, False), "gelsd": (True, True, True), "gelss": (True, True, True)}


def _refuse_driver(op: str, driver: object) -> None:
    if driver is not None:
        raise ArgumentError(f"{op}: driver={driver!r} names a solver of CUDA, in torch, too; leave it out")


@delivers
def svd(A: Tensor, full_matrices: bool = True, *, driver: None = None, out: tuple[Tensor, ...] | None = None) -> SVD:
    """A = U diag(S) Vh of each matrix; `full_matrices=False` gives the first min(m, n) columns and rows.

    The gradient is of these: the others are not unique.

    >>> al.linalg.svd(al.tensor([[3.0, 0.0], [0.0, 4.0]]), full_matrices=False).S
    tensor([4., 3.])
    """
    _refuse_driver("svd", driver)
    check_matrices("svd", A)
    return SVD(*SVDFunction.apply(A, full_matrices))


@delivers
def svdvals(A: Tensor, *, driver: None = None, out: Tensor | None = None) -> Tensor:
    """The singular values of each matrix, from large to small."""
    _refuse_driver("svdvals", driver)
    check_matrices("svdvals", A)
    return SVD(*SVDFunction.apply(A, False)).S


@delivers
def qr(A: Tensor, mode: str = "reduced", *, out: tuple[Tensor, ...] | None = None) -> QR:
    """A = Q R of each matrix: reduced, complete, or R alone (mode "r", Q is empty)."""
    check_matrices("qr", A)
    *batch, m, n = A.shape
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr: mode is {mode!r}; use 'reduced', 'complete' or 'r'")
    if mode != "r" and m < n:  # the first m columns decide on Q
        q, r = QRFunction.apply(A[..., :m])
        return QR(q, cat([r, q.mT @ A[..., m:]], -1))
    if mode == "reduced" or (mode == "complete" and m == n):
        return QR(*QRFunction.apply(A))
    if A.requires_grad:
        raise ArgumentError(f"qr: mode {mode!r} has no gradient; use 'reduced'")
    if mode == "r":
        (r,) = on_host("qr", lambda x: np.linalg.qr(x, mode="r"), ((*batch, min(m, n), n),), A)
        return QR(A.new_empty(0), r)
    return QR(*on_host("qr", lambda x: tuple(np.linalg.qr(x, mode="complete")), ((*batch, m, m), (*batch, m, n)), A))


@delivers
def cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """The lower triangular L with A = L L^T (or its transpose) of symmetric positive definite matrices; reads the lower triangle.

    >>> al.linalg.cholesky(al.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    check_matrices("cholesky", A, square=True)
    lower = Cholesky.apply(A)
    result: Tensor = lower.mT if upper else lower
    return result


@delivers
def eigh(A: Tensor, UPLO: str = "L", *, out: tuple[Tensor, ...] | None = None) -> Eigh:
    """Eigenvalues, from small to large, and eigenvectors of symmetric matrices; reads one triangle."""
    check_matrices("eigh", A, square=True)
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"eigh: UPLO is {UPLO!r}; use 'L' or 'U'")
    return Eigh(*EighFunction.apply(A if UPLO.upper() == "L" else A.mT))


@delivers
def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of symmetric matrices, from small to large."""
    return eigh(A, UPLO).eigenvalues


@delivers
def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of each square matrix.

    >>> al.linalg.inv(al.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    result: Tensor = Inverse.apply("inv", check_matrices("inv", A, square=True))
    return result


@delivers
def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """X with A X = B (`left=False`: X A = B). B is a vector when it has one dim, or one a matrix less than A.

    >>> al.linalg.solve(al.tensor([[2.0, 0.0], [0.0, 4.0]]), al.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    check_matrices("solve", A, square=True)
    if not isinstance(B, Tensor):
        raise TypeError(f"solve(): argument 'B' must be Tensor, not {type(B).__name__}")
    if A.dtype != B.dtype:
        raise DTypeError(f"solve: Expected A and B to have the same dtype, but found {A.dtype.name} and {B.dtype.name}")
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    if not left:
        if vector:
            raise ShapeError("solve: left=False needs a matrix B; got a vector")
        return solve(A.mT, B.mT).mT
    b = B.unsqueeze(-1) if vector else B
    if b.ndim < 2 or b.shape[-2] != A.shape[-1]:
        raise ShapeError(f"solve: Incompatible shapes of A and B for the equation AX = B: {tuple(A.shape)} and {tuple(B.shape)}")
    batch = broadcast_shapes(A.shape[:-2], b.shape[:-2])
    x = Solve.apply("solve", A.expand(*batch, *A.shape[-2:]), b.expand(*batch, *b.shape[-2:]))
    result: Tensor = x.squeeze(-1) if vector else x
    return result


@delivers
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Tensor | None = None) -> Tensor:
    """X with A X = B, where only one triangle of A counts (and, with `unitriangular`, ones on its diagonal)."""
    check_matrices("solve_triangular", A, square=True)
    triangle = A.triu(1 if unitriangular else 0) if upper else A.tril(-1 if unitriangular else 0)
    if unitriangular:
        triangle = triangle + eye(A.shape[-1], dtype=A.dtype, device=A.device)
    return solve(triangle, B, left=left)


class SlogDetFunction(Function):
    """log |det A|: dA = g A^-T."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor) -> tuple[Tensor, Tensor]:
        batch = tuple(a.shape[:-2])
        sign, value = on_host("slogdet", lambda x: tuple(np.linalg.slogdet(x)), (batch, batch), a)
        ctx.save_for_backward(a)
        ctx.mark_non_differentiable(sign)
        return sign, value

    @staticmethod
    def backward(ctx: FunctionCtx, _: Any, g: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        assert a is not None
        result: Tensor = g.unsqueeze(-1).unsqueeze(-1) * Inverse.apply("slogdet", a).mT
        return result


class DetFunction(Function):
    """det A = det(U) det(V) prod s: dA = g times the cofactors, which singular matrices have too."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor) -> Tensor:
        (y,) = on_host("det", np.linalg.det, (tuple(a.shape[:-2]),), a)
        ctx.save_for_backward(a)
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        assert a is not None
        return g.unsqueeze(-1).unsqueeze(-1) * cofactors(a)


def cofactors(a: Tensor) -> Tensor:
    """The matrix of cofactors: det(A) A^-T where A can be inverted."""
    if a.device.type != "meta" and bool((det(a.detach()) != 0).all()):
        result: Tensor = det(a).unsqueeze(-1).unsqueeze(-1) * Inverse.apply("det", a).mT
        return result
    u, s, vh = SVDFunction.apply(a, False)
    n = s.shape[-1]
    others = FUNCTIONS["where"](eye(n, dtype=a.dtype, device=a.device) != 0, 1.0, s.unsqueeze(-2).expand(*s.shape, n)).prod(-1)
    orientation = (det(u.detach()) * det(vh.detach())).unsqueeze(-1).unsqueeze(-1)
    result = orientation * ((u * others.unsqueeze(-2)) @ vh)
    return result


@delivers
def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinant of each square matrix.

    >>> al.linalg.det(al.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    result: Tensor = DetFunction.apply(check_matrices("det", A, square=True))
    return result


@delivers
def slogdet(A: Tensor, *, out: tuple[Tensor, ...] | None = None) -> SlogDet:
    """Sign and logarithm of the absolute value of each determinant; -inf where it is zero."""
    return SlogDet(*SlogDetFunction.apply(check_matrices("slogdet", A, square=True)))


class PseudoInverse(Function):
    """Y = A^+, of constant rank: dA = -Y^T dY Y^T + (1 - A Y) dY^T Y Y^T + Y^T Y dY^T (1 - Y A) (Golub and Pereyra, 1973)."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor, atol: Limit, rtol: Limit, hermitian: bool) -> Tensor:
        if hermitian:
            s, u = EighFunction.apply(a)
            vh = u.mT
        else:
            u, s, vh = SVDFunction.apply(a, False)
        small = _small(s.abs(), a, atol, rtol)
        inverse = FUNCTIONS["where"](small, 0.0, 1 / FUNCTIONS["where"](small, 1.0, s))
        y: Tensor = (vh.mT * inverse.unsqueeze(-2)) @ u.mT
        ctx.save_for_backward(a, y)
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> tuple[Any, ...]:
        a, y = ctx.saved_tensors
        assert a is not None and y is not None
        yt, gt = y.mT, g.mT
        outside = gt - a @ (y @ gt)  # (1 - A Y) dY^T
        inside = gt - (gt @ y) @ a  # dY^T (1 - Y A)
        return outside @ (y @ yt) + (yt @ y) @ inside - yt @ g @ yt, None, None, None


@delivers
def pinv(A: Tensor, *, atol: Limit = None, rtol: Limit = None, hermitian: bool = False, out: Tensor | None = None) -> Tensor:
    """The Moore-Penrose inverse of each matrix; singular values up to atol, and rtol times the largest, count as zero.

    `hermitian`: A is symmetric, and only its lower triangle is read.
    """
    result: Tensor = PseudoInverse.apply(check_matrices("pinv", A, square=hermitian), atol, rtol, hermitian)
    return result


def _small(s: Tensor, a: Tensor, atol: Limit, rtol: Limit) -> Tensor:
    """Which of the singular values count as zero: those up to max(atol, rtol * the largest); rtol's default is 0 beside an atol."""
    if not s.shape[-1]:
        return s > 0
    if rtol is None:
        rtol = max(a.shape[-2:]) * float(np.finfo(a.dtype.name).eps)
        rtol = rtol if atol is None else FUNCTIONS["where"](atol > 0, 0.0, rtol) if isinstance(atol, Tensor) else 0.0 if atol > 0 else rtol
    low, part = (x.unsqueeze(-1) if isinstance(x, Tensor) else x for x in (0.0 if atol is None else atol, rtol))
    return (s <= part * s.amax(-1, keepdim=True)) | (s <= low)


@delivers
def matrix_rank(A: Tensor, *, atol: Limit = None, rtol: Limit = None, hermitian: bool = False, out: Tensor | None = None) -> Tensor:
    """How many singular values of each matrix are above atol, and above rtol times the largest (`hermitian`: A is symmetric)."""
    check_matrices("matrix_rank", A, square=hermitian)
    s = (eigvalsh(A).abs() if hermitian else svdvals(A)).detach()
    return _small(s, A, atol, rtol).logical_not().sum(-1)


@delivers
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None, out: tuple[Tensor, ...] | None = None) -> LstSq:
    """The X that makes |A X - B| smallest, of least norm where there are several; through `pinv`, so it has a gradient.

    The driver says what else is given, as torch's: residuals ("gels", of full rank), the rank ("gelsy", the default), or both and
    the singular values ("gelsd", "gelss"); what is not, is empty.
    """
    check_matrices("lstsq", A)
    if driver is not None and driver not in DRIVERS:
        raise ArgumentError(f"lstsq: parameter `driver` should be one of ({', '.join(DRIVERS)}), not {driver!r}")
    with_residuals, with_rank, with_values = DRIVERS[driver or "gelsy"]
    vector = B.ndim == A.ndim - 1
    b = B.unsqueeze(-1) if vector else B
    if b.ndim < 2 or b.shape[-2] != A.shape[-2]:
        raise ShapeError(f"lstsq: A.shape[-2] should match B's rows, but the shapes are {tuple(A.shape)} and {tuple(B.shape)}")
    x, rank = pinv(A, rtol=rcond) @ b, matrix_rank(A, rtol=rcond)
    full = with_residuals and A.shape[-2] > A.shape[-1] and A.device.type != "meta" and bool((rank == A.shape[-1]).all())
    residuals = ((A @ x - b) ** 2).sum(-2) if full else A.new_empty(0)
    none = A.new_empty(0)
    values = svdvals(A).detach() if with_values else none
    return LstSq(x.squeeze(-1) if vector else x, residuals, rank if with_rank else none.long(), values)


# Numerators of the Pade approximant of order 13 of exp: N. Higham, "The scaling and squaring method for the matrix exponential
# revisited" (2005), table 2.3; theta_13 is the largest norm that it may be used for.
PADE_13 = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0, 10559470521600.0,
           670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0)
THETA_13 = 5.371920351148152


def matrix_exp(A: Tensor) -> Tensor:
    """e to the power of each square matrix, by scaling and squaring of a Pade approximant."""
    if A.dtype.is_floating_point and A.itemsize == 2:
        wide: Tensor = matrix_exp(A.float())
        return wide.to(A.dtype)
    check_matrices("matrix_exp", A, square=True)
    if not A.numel():
        return A.clone()
    norm = 0.0 if A.device.type == "meta" else float(A.detach().abs().sum(-2).max())
    squarings = max(0, math.ceil(math.log2(norm / THETA_13))) if norm > THETA_13 and math.isfinite(norm) else 0
    x = A * (0.5 ** squarings)
    one = eye(A.shape[-1], dtype=A.dtype, device=A.device)
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    c = PADE_13
    odd = x @ (x6 @ (c[13] * x6 + c[11] * x4 + c[9] * x2) + c[7] * x6 + c[5] * x4 + c[3] * x2 + c[1] * one)
    even = x6 @ (c[12] * x6 + c[10] * x4 + c[8] * x2) + c[6] * x6 + c[4] * x4 + c[2] * x2 + c[0] * one
    result: Tensor = Solve.apply("matrix_exp", even - odd, even + odd)
    for _ in range(squarings):
        result = result @ result
    return result


@delivers
def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """The product of several matrices (the first and the last may be vectors), in the order that costs least."""
    if len(tensors) < 2:
        raise ArgumentError(f"multi_dot: expected at least 2 tensors but got {len(tensors)}")
    parts = list(tensors)
    while len(parts) > 2:  # where the inner dim is largest, the product removes most
        k = max(range(len(parts) - 1), key=lambda i: parts[i].shape[-1])
        parts[k : k + 2] = [parts[k] @ parts[k + 1]]
    return parts[0] @ parts[1]
