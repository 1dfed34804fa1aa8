"""Rows of linear algebra at the top level; tests/test_linalg.py has the rest."""

from __future__ import annotations

import numpy as np
import scipy.linalg

import ascendlite as al
from tests.opcase import SINGLE, Case, Input, raises, randn


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
]
