"""Linear algebra with the names of `torch.linalg`: float32 and float64 matrices in host memory, real numbers only."""

from ascendlite.linalg.factors import LinAlgError
from ascendlite.linalg.norms import cond, cross, diagonal, matmul, matrix_norm, matrix_power, norm, vecdot, vector_norm
from ascendlite.linalg.solvers import (
    cholesky, det, eigh, eigvalsh, inv, lstsq, matrix_exp, matrix_rank, multi_dot, pinv, qr, slogdet, solve, solve_triangular, svd, svdvals,
)

__all__ = [
    "LinAlgError", "cholesky", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "lstsq", "matmul", "matrix_exp", "matrix_norm",
    "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd", "svdvals", "vecdot",
    "vector_norm",
]
