"""Rows of linear algebra at the top level; tests/test_linalg.py has the rest."""

from __future__ import annotations

import numpy as np
import scipy.linalg

import ascendlite as al
from tests.opcase import SINGLE, Case, Input, raises, rand, randn


def _definite(rng, shape, kind):
    a = rng.standard_normal(shape)
    return a @ a.swapaxes(-1, -2) + np.eye(shape[-1])


def _square(rng, shape, kind):
    return rng.standard_normal(shape) + 2 * np.eye(shape[-1])


def _positive(rng, shape, kind):
    return rng.uniform(-0.3, 0.3, shape) + 2 * np.eye(shape[-1])  # strong diagonals: positive determinants


def matrices(name, ref, draw=_square, shape=(2, 3, 3), fn=None, **options):
    wrong = getattr(al, name)
    return Case(name, ref, [Input(shape, draw)], fn=fn, dtypes=SINGLE, tol=50,  # LAPACK's results differ by the condition of the matrix
                errors=[raises(lambda: wrong(al.ones(3)), RuntimeError, "at least 2 dimensions")], **options)


CASES = [
    matrices("det", np.linalg.det),
    matrices("slogdet", lambda a: tuple(np.linalg.slogdet(a))),
    matrices("logdet", lambda a: np.linalg.slogdet(a)[1], draw=_positive),
    matrices("inverse", np.linalg.inv),
    matrices("matrix_exp", scipy.linalg.expm),
    matrices("cholesky", np.linalg.cholesky, draw=_definite, fn=lambda a: al.cholesky((a + a.mT) / 2), layouts=False),
    Case("pinverse", np.linalg.pinv, [randn(4, 3)], dtypes=SINGLE, tol=50,
         errors=[raises(lambda: al.pinverse(al.ones(3)), RuntimeError, "at least 2 dimensions")]),
    matrices("svd", lambda a: np.linalg.svd(a)[1], fn=lambda a: al.svd(a).S, grad2=False),
    matrices("qr", lambda a: np.linalg.qr(a)),
    Case("svd_lowrank", lambda a: np.linalg.svd(a)[1], [randn(4, 3)], fn=lambda a: al.svd_lowrank(a, 3).S, dtypes=SINGLE, tol=50, grad2=False, layouts=False,
         errors=[raises(lambda: al.svd_lowrank(al.ones(4, 3), 4), RuntimeError, "got q=4, niter=2")]),
    Case("pca_lowrank", lambda a: np.linalg.svd(a - a.mean(0), full_matrices=False)[1][:2], [randn(3, 5)], fn=lambda a: al.pca_lowrank(a).S[:2],
         dtypes=SINGLE, tol=50, grad=False, layouts=False, errors=[raises(lambda: al.pca_lowrank(al.ones(3)), RuntimeError, "at least 2 dimensions")]),
    matrices("geqrf", lambda a: tuple(np.swapaxes(x, -1, -2) if x.ndim == 3 else x for x in np.linalg.qr(a, mode="raw")), grad=False),
    matrices("cholesky_inverse", lambda a: np.linalg.inv(np.tril(a) @ np.tril(a).swapaxes(-1, -2))),
    Case("orgqr", lambda a, t: scipy.linalg.lapack.dorgqr(a, t)[0], [randn(4, 3), rand(3)], dtypes=SINGLE, tol=50,
         errors=[raises(lambda: al.orgqr(al.ones(2, 3), al.ones(2)), RuntimeError, "as many rows")]),
    Case("lu_unpack", lambda a: scipy.linalg.lu(a), [Input((3, 3), _square)], fn=lambda a: al.lu_unpack(*al.linalg.lu_factor(a)), dtypes=SINGLE, tol=50,
         errors=[raises(lambda: al.lu_unpack(al.ones(2, 2), al.ones(2)), ValueError, "int32")], grad=False, layouts=False),
    Case("cholesky_solve", lambda b, a: np.linalg.solve(np.tril(a) @ np.tril(a).swapaxes(-1, -2), b), [randn(2, 3, 2), Input((2, 3, 3), _square)],
         dtypes=SINGLE, tol=500,  # the square of the factor's condition
         errors=[raises(lambda: al.cholesky_solve(al.ones(3, 1), al.ones(2, 2)), RuntimeError, "Incompatible shapes")]),
    Case("triangular_solve", lambda b, a: (np.linalg.solve(np.triu(a), b), a), [randn(2, 3, 2), Input((2, 3, 3), _square)], dtypes=SINGLE, tol=50,
         errors=[raises(lambda: al.triangular_solve(al.ones(3, 1), al.ones(2, 2)), RuntimeError, "Incompatible shapes")]),
]
