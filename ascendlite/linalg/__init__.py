"""Linear algebra with the names of `torch.linalg`: float32 and float64 matrices, real numbers only; on the NPU, tasks of its AI CPU."""

from typing import Any

from ascendlite.absent import absent as _absent
from ascendlite.linalg.factors import LinAlgError
from ascendlite.linalg.more import cholesky_ex, inv_ex, solve_ex, tensorinv, tensorsolve, vander
from ascendlite.linalg.norms import cond, cross, diagonal, matmul, matrix_norm, matrix_power, norm, vecdot, vector_norm
from ascendlite.linalg.solvers import (
    cholesky, det, eigh, eigvalsh, inv, lstsq, matrix_exp, matrix_rank, multi_dot, pinv, qr, slogdet, solve, solve_triangular, svd, svdvals,
)
from ascendlite.linalg.triangular import householder_product, lu, lu_factor, lu_factor_ex, lu_solve

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh", "householder_product", "inv",
    "inv_ex", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank",
    "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve",
    "vander", "vecdot", "vector_norm",
]


def __getattr__(name: str) -> Any:
    raise _absent("linalg", name)
