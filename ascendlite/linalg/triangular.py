"""Factors that LAPACK packs into one matrix: LU with pivots, Householder reflections; and what is solved with triangles."""

from __future__ import annotations

import ctypes
import functools
import importlib
import math
import os
from typing import Any, NamedTuple

import numpy as np

from ascendlite.autograd.function import Function, FunctionCtx
from ascendlite.core import Tensor, int32
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.linalg.factors import LinAlgError, Solve, check_matrices, delivers, on_host
from ascendlite.linalg.solvers import solve_triangular
from ascendlite.ops.create import eye
from ascendlite.ops.movement import cat


class LU(NamedTuple):
    """A = P L U."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactor(NamedTuple):
    """L below the diagonal and U above it in one matrix, and the rows that were exchanged, counted from 1."""

    LU: Tensor
    pivots: Tensor


class LUFactorEx(NamedTuple):
    """The same, and where U's diagonal has its first zero, counted from 1 (0: nowhere)."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


@functools.cache
def _getrf(dtype: str) -> Any:
    try:
        package = importlib.import_module("scipy_openblas32")
    except ImportError:
        raise LinAlgError("lu: LAPACK comes from the package scipy-openblas32, which is not installed; install it") from None
    library = ctypes.CDLL(os.path.join(package.get_lib_dir(), package.get_library(fullname=True)))
    return getattr(library, {"float32": "scipy_sgetrf_", "float64": "scipy_dgetrf_"}[dtype])


def _factored(a: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    *batch, m, n = a.shape
    packed = np.array(np.swapaxes(a, -1, -2), order="C")  # LAPACK reads columns
    pivots, infos = np.zeros((*batch, min(m, n)), np.int32), np.zeros(batch, np.int32)
    run, sizes = _getrf(a.dtype.name), [ctypes.byref(ctypes.c_int(k)) for k in (m, n, max(m, 1))]
    for place in np.ndindex(*batch) if a.size else ():
        info = ctypes.c_int(0)
        run(sizes[0], sizes[1], packed[place].ctypes.data_as(ctypes.c_void_p), sizes[2], pivots[place].ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(info))
        infos[place] = info.value
    return np.ascontiguousarray(np.swapaxes(packed, -1, -2)), pivots, infos


class LUFunction(Function):
    """A = P L U in packed form: the real case of F. de Hoog, R. Anderssen and M. Lukas, "Differentiation of matrix functionals using
    triangular factorization" (2011), by blocks where the matrix is not square."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *batch, m, n = a.shape
        shapes = (tuple(a.shape), (*batch, min(m, n)), tuple(batch))
        packed, pivots, info = on_host("lu_factor", _factored, shapes, a, dtypes=(a.dtype, int32, int32))
        ctx.save_for_backward(packed, pivots)
        ctx.mark_non_differentiable(pivots, info)
        return packed, pivots, info

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor, _: Any, __: Any) -> Tensor:
        packed, pivots = ctx.saved_tensors
        assert packed is not None and pivots is not None
        p, lower, upper = unpack(packed, pivots)
        k = min(packed.shape[-2:])
        gl, gu = g.tril(-1)[..., :k], g.triu()[..., :k, :]
        l1, l2, u1, u2 = lower[..., :k, :], lower[..., k:, :], upper[..., :k], upper[..., k:]
        phi = (l1.mT @ gl[..., :k, :] - gu[..., k:] @ u2.mT).tril(-1) + (gu[..., :k] @ u1.mT - l2.mT @ gl[..., k:, :]).triu()
        middle = Solve.apply("lu", l1.mT, phi)
        corner = Solve.apply("lu", u1, middle.mT).mT
        if packed.shape[-1] > k:
            whole = cat([corner, Solve.apply("lu", l1.mT, gu[..., k:])], -1)
        else:
            whole = cat([corner, Solve.apply("lu", u1, gl[..., k:, :].mT).mT], -2)
        result: Tensor = p @ whole
        return result


@delivers
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: tuple[Tensor, ...] | None = None) -> LUFactorEx:
    """`lu_factor` that reports singular matrices in `info`, and raises only with `check_errors`."""
    if not pivot:
        raise ArgumentError("lu_factor: LU without pivoting is not implemented on the CPU; pass pivot=True")
    result = LUFactorEx(*LUFunction.apply(check_matrices("lu_factor", A)))
    if check_errors:
        _refuse("lu_factor", result.info, "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero")
    return result


def _refuse(op: str, info: Tensor, text: str) -> None:
    if info.device.type != "meta" and bool((info != 0).any()):
        first = int(info.reshape(-1)[info.reshape(-1) != 0][0])
        raise LinAlgError(f"{op}: {text.format(first)}; regularize the matrix")


@delivers
def lu_factor(A: Tensor, *, pivot: bool = True, out: tuple[Tensor, ...] | None = None) -> LUFactor:
    """LU factors of each matrix, packed, for `lu_solve`; a zero on U's diagonal is an error."""
    packed, pivots, _ = lu_factor_ex(A, pivot=pivot, check_errors=True)
    return LUFactor(packed, pivots)


@delivers
def lu(A: Tensor, *, pivot: bool = True, out: tuple[Tensor, ...] | None = None) -> LU:
    """P, L and U of each matrix.

    >>> al.linalg.lu(al.tensor([[1.0, 2.0], [2.0, 2.0]])).U
    tensor([[2., 2.],
            [0., 1.]])
    """
    packed, pivots, _ = lu_factor_ex(A, pivot=pivot)
    return LU(*unpack(packed, pivots))


def unpack(packed: Tensor, pivots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U out of what `lu_factor` gave."""
    check_matrices("lu_unpack", packed)
    m, n = packed.shape[-2:]
    k = min(m, n)
    if tuple(pivots.shape) != (*packed.shape[:-2], k):
        raise ShapeError(f"lu_unpack: LU of shape {tuple(packed.shape)} has pivots of shape {(*packed.shape[:-2], k)}, got {tuple(pivots.shape)}")
    lower = packed[..., :k].tril(-1) + eye(m, k, dtype=packed.dtype, device=packed.device)
    return permutation(pivots, m, packed), lower, packed[..., :k, :].triu()


def permutation(pivots: Tensor, m: int, like: Tensor) -> Tensor:
    """The permutation matrices that exchange rows as the pivots say."""
    if pivots.dtype != int32:
        raise ArgumentError(f"lu_unpack: LU_pivots is expected to be a contiguous tensor of int32 dtype, got {pivots.dtype}")

    def run(given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rows = given.reshape(math.prod(given.shape[:-1]), given.shape[-1])
        order = np.tile(np.arange(m), (rows.shape[0], 1))
        for line, exchanges in zip(order, rows, strict=True):
            for i, j in enumerate(exchanges):
                if not 1 <= j <= m:
                    raise ArgumentError(f"lu_unpack: pivot {j} is not in [1, {m}]; pass what lu_factor gave")
                line[i], line[j - 1] = line[j - 1], line[i]
        return np.eye(m)[order].swapaxes(-1, -2).reshape(*given.shape[:-1], m, m)

    (p,) = on_host("lu_unpack", run, ((*pivots.shape[:-1], m, m),), pivots, dtypes=(like.dtype,))
    return p


@delivers
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False, out: Tensor | None = None) -> Tensor:
    """X with A X = B (`left=False`: X A = B; `adjoint`: with A^T) from what `lu_factor(A)` gave."""
    check_matrices("lu_solve", LU, square=True)
    if not left:
        return lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT
    if B.ndim < 2 or B.shape[-2] != LU.shape[-1]:
        raise ShapeError(f"lu_solve: incompatible shapes of LU and B: {tuple(LU.shape)} and {tuple(B.shape)}")
    p, lower, upper = unpack(LU, pivots)
    if adjoint:
        y = solve_triangular(lower.mT, solve_triangular(upper.mT, B, upper=False), upper=True, unitriangular=True)
        return p @ y
    return solve_triangular(upper, solve_triangular(lower, p.mT @ B, upper=False, unitriangular=True), upper=True)


def geqrf(A: Tensor) -> tuple[Tensor, Tensor]:
    """R in and above the diagonal, the Householder vectors below it, and their factors tau."""
    check_matrices("geqrf", A)
    *batch, m, n = A.shape
    shapes = ((*batch, m, n), (*batch, min(m, n)))

    def run(x: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        h, tau = np.linalg.qr(x, mode="raw")
        return np.swapaxes(h, -1, -2), tau

    packed, tau = on_host("geqrf", run, shapes, A)
    return packed, tau


@delivers
def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first columns of the product of the reflections 1 - tau v v^T, v from below the diagonal of A's columns."""
    check_matrices("householder_product", A)
    *batch, m, n = A.shape
    k = tau.shape[-1] if tau.ndim else 0
    if m < n or k > n or tuple(tau.shape[:-1]) != tuple(batch):
        raise ShapeError(
            f"householder_product: A of shape {tuple(A.shape)} needs as many rows as columns, and tau of shape {tuple(tau.shape)} the same "
            "batch and at most one factor a column"
        )
    one = eye(m, n, dtype=A.dtype, device=A.device)
    vectors = A.tril(-1) + one
    result = one.expand(*batch, m, n)
    for i in reversed(range(k)):
        v = vectors[..., i : i + 1]
        result = result - tau[..., i : i + 1].unsqueeze(-1) * (v @ (v.mT @ result))
    return result
