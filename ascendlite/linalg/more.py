"""Forms of the solvers that report failure in `info`, solutions over several dims, and matrices of powers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ascendlite.core import Tensor, int32, require_tensor
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.linalg.factors import LinAlgError, check_matrices, delivers
from ascendlite.linalg.solvers import cholesky, inv, solve
from ascendlite.ops.movement import cat, stack


class CholeskyEx(NamedTuple):
    """The factor, and which matrices have none (1; else 0)."""

    L: Tensor
    info: Tensor


class InvEx(NamedTuple):
    """The inverse, and which matrices have none (1; else 0)."""

    inverse: Tensor
    info: Tensor


class SolveEx(NamedTuple):
    """The solution, and which matrices are singular (1; else 0)."""

    result: Tensor
    info: Tensor


def _with_info(run: Callable[..., Tensor], A: Tensor, *others: Tensor, check_errors: bool) -> tuple[Tensor, Tensor]:
    """`run` for the whole batch, or (if that fails and nobody wants the error) one matrix at a time: NaN where it fails."""
    info = A.new_zeros(A.shape[:-2], dtype=int32)
    try:
        return run(A, *others), info
    except LinAlgError:
        if check_errors:
            raise
    batch, parts = tuple(A.shape[:-2]), []
    flags = info.reshape(-1)
    rows = [x.expand(*batch, *x.shape[x.ndim - 2 :]).reshape(-1, *x.shape[x.ndim - 2 :]) for x in (A, *others)]
    for k in range(rows[0].shape[0]):
        try:
            parts.append(run(*(r[k] for r in rows)))
        except LinAlgError:
            flags[k] = 1
            parts.append(rows[-1][k] * math.nan)
    return stack(parts).reshape(*batch, *parts[0].shape), flags.reshape(batch)


@delivers
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: tuple[Tensor, ...] | None = None) -> CholeskyEx:
    """`cholesky` that reports matrices that are not positive definite in `info`; there the factor is NaN."""
    check_matrices("cholesky_ex", A, square=True)
    return CholeskyEx(*_with_info(lambda x: cholesky(x, upper=upper), A, check_errors=check_errors))


@delivers
def inv_ex(A: Tensor, *, check_errors: bool = False, out: tuple[Tensor, ...] | None = None) -> InvEx:
    """`inv` that reports singular matrices in `info`; there the inverse is NaN."""
    check_matrices("inv_ex", A, square=True)
    return InvEx(*_with_info(inv, A, check_errors=check_errors))


@delivers
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: tuple[Tensor, ...] | None = None) -> SolveEx:
    """`solve` that reports singular matrices in `info`; there the solution is NaN."""
    check_matrices("solve_ex", A, square=True)
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    if vector and left:
        x, info = _with_info(solve, A, B.unsqueeze(-1), check_errors=check_errors)
        return SolveEx(x.squeeze(-1), info)
    return SolveEx(*_with_info(lambda a, b: solve(a, b, left=left), A, B, check_errors=check_errors))


@delivers
def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse of A as a map from its last dims to its first `ind`."""
    if ind <= 0:
        raise ArgumentError(f"tensorinv: expected a strictly positive integer for 'ind', got {ind}")
    first, last = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(first) != math.prod(last):
        raise ShapeError(f"tensorinv: expected self to satisfy prod(shape[ind:]) == prod(shape[:ind]), but got {math.prod(last)} != {math.prod(first)}")
    return inv(A.reshape(math.prod(first), math.prod(last))).reshape(*last, *first)


@delivers
def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None, *, out: Tensor | None = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B; `dims` of A are moved to its end first."""
    if dims is not None:
        A = A.movedim(tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    rest = tuple(A.shape[B.ndim :])
    if math.prod(rest) != B.numel() or A.numel() != B.numel() ** 2:
        raise ShapeError(
            f"tensorsolve: expected A to satisfy prod(shape[:B.ndim]) == prod(shape[B.ndim:]), but the shapes are {tuple(A.shape)} and {tuple(B.shape)}"
        )
    return solve(A.reshape(B.numel(), B.numel()), B.reshape(-1)).reshape(rest)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of each element of the last dim."""
    require_tensor("vander", x)
    x = x if x.ndim else x.reshape(1)
    n = x.shape[-1] if N is None else N
    if n <= 1 and N is not None:
        raise ArgumentError(f"vander: N must be greater than 1, got {n}")
    column = x.unsqueeze(-1)
    ones = column.new_ones(column.shape)
    return cat([ones, column.expand(*x.shape, n - 1)], -1).cumprod(-1)
