"""Rows of the matrix products."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from tests.opcase import INTEGERS, REAL, SINGLE, Case, const, raises, randn


def _grouped_rows(a, b, offs):
    y = np.zeros((a.shape[0], b.shape[2]))
    start = 0
    for g, end in enumerate(offs):
        y[start:end] = a[start:end] @ b[g]
        start = end
    return y


def _grouped_cols(a, b, offs):
    return _grouped_rows(b.T, a.transpose(0, 2, 1), offs).T


def _grouped_sum(a, b, offs):
    starts = [0, *offs[:-1]]
    return np.stack([a[:, s:e] @ b[s:e] for s, e in zip(starts, offs, strict=True)])


_OFFS = const([2, 2, 5], "int32")
_LONG = 4.0  # sums of many rounded products: the error grows with the length

CASES = [
    Case(
        "matmul",
        np.matmul,
        [randn(3, 4), randn(4, 5)],
        dtypes=REAL,
        out=True,
        shapes=[[(0, 4), (4, 5)], [(3, 0), (0, 5)], [(1, 1), (1, 1)]],
        large=[(200, 150), (150, 170)],
        tol=_LONG,
        errors=[
            raises(
                lambda: al.ones(2, 3) @ al.ones(2, 3),
                RuntimeError,
                r"\(2, 3\) and \(2, 3\) cannot be multiplied",
            ),
            raises(
                lambda: al.ones(2, 3) @ al.ones(3, 2).double(), RuntimeError, "float32 and ascendlite.float64"
            ),
            raises(lambda: al.matmul(al.tensor(1.0), al.ones(2)), RuntimeError, "at least 1 dim"),
            raises(lambda: al.ones(2, 2, 3) @ al.ones(3, 3, 2), RuntimeError, "do not broadcast"),
        ],
    ),
    Case(
        "matmul:batched",
        np.matmul,
        [randn(2, 1, 3, 4), randn(3, 4, 2)],
        fn=al.matmul,
        dtypes=REAL,
        large=[(8, 1, 40, 50), (9, 50, 30)],
        tol=_LONG,
    ),
    Case(
        "matmul:shared right",
        np.matmul,
        [randn(2, 3, 4), randn(4, 2)],
        fn=al.matmul,
        large=[(9, 40, 60), (60, 50)],
        tol=_LONG,
    ),
    Case("matmul:shared left", np.matmul, [randn(3, 4), randn(2, 4, 2)], fn=al.matmul),
    Case("matmul:row", np.matmul, [randn(4), randn(2, 4, 3)], fn=al.matmul),
    Case(
        "matmul:column",
        np.matmul,
        [randn(2, 3, 4), randn(4)],
        fn=al.matmul,
        large=[(3, 700, 500), (500,)],
        tol=_LONG,
    ),
    Case("matmul:vectors", np.dot, [randn(5), randn(5)], fn=al.matmul),
    Case(
        "mm",
        np.matmul,
        [randn(3, 4), randn(4, 5)],
        dtypes=REAL,
        out=True,
        errors=[
            raises(
                lambda: al.mm(al.ones(2, 3, 4), al.ones(4, 2)), RuntimeError, "mm: input must be a 2-D tensor"
            )
        ],
    ),
    Case(
        "bmm",
        np.matmul,
        [randn(2, 3, 4), randn(2, 4, 5)],
        dtypes=REAL,
        out=True,
        shapes=[[(0, 3, 4), (0, 4, 5)]],
        errors=[raises(lambda: al.bmm(al.ones(2, 3, 4), al.ones(1, 4, 3)), RuntimeError, "batches differ")],
    ),
    Case(
        "mv",
        np.matmul,
        [randn(3, 4), randn(4)],
        dtypes=REAL,
        out=True,
        errors=[raises(lambda: al.mv(al.ones(2, 3), al.ones(2)), RuntimeError, "cannot be multiplied")],
    ),
    Case(
        "dot",
        np.dot,
        [randn(5), randn(5)],
        dtypes=REAL,
        out=True,
        shapes=[[(0,), (0,)], [(1,), (1,)]],
        large=[(70001,), (70001,)],
        tol=64.0,
        errors=[raises(lambda: al.dot(al.ones(2), al.ones(3)), RuntimeError, r"\(2,\) and \(3,\)")],
    ),
    Case(
        "vdot",
        np.dot,
        [randn(5), randn(5)],
        out=True,
        errors=[raises(lambda: al.vdot(al.ones(2), al.ones(3)), RuntimeError, r"\(2,\) and \(3,\)")],
    ),
    Case(
        "inner",
        np.inner,
        [randn(2, 3, 4), randn(5, 4)],
        out=True,
        errors=[raises(lambda: al.inner(al.ones(2), al.ones(2, 3)), RuntimeError, "last dims")],
    ),
    Case(
        "outer",
        np.outer,
        [randn(3), randn(4)],
        dtypes=REAL,
        out=True,
        shapes=[[(0,), (4,)]],
        errors=[
            raises(
                lambda: al.outer(al.ones(2, 2), al.ones(3)), RuntimeError, "outer: input must be a 1-D tensor"
            )
        ],
    ),
    Case(
        "ger",
        np.outer,
        [randn(3), randn(4)],
        out=True,
        errors=[raises(lambda: al.ger(al.ones(2, 2), al.ones(3)), RuntimeError, "must be a 1-D tensor")],
    ),
    Case(
        "linear",
        lambda x, w, b: x @ w.T + b,
        [randn(2, 3, 4), randn(5, 4), randn(5)],
        shapes=[[(0, 4), (5, 4), (5,)], [(4,), (5, 4), (5,)]],
        large=[(3, 100, 130), (90, 130), (90,)],
        tol=_LONG,
        errors=[
            raises(
                lambda: al.nn.functional.linear(al.ones(2, 3), al.ones(4, 5)),
                RuntimeError,
                r"\(2, 3\) and weight of shape \(4, 5\)",
            ),
            raises(
                lambda: al.nn.functional.linear(al.ones(2, 3), al.ones(4, 3), al.ones(3)),
                RuntimeError,
                r"it must be \(4,\)",
            ),
        ],
    ),
    Case(
        "linear:no bias",
        lambda x, w: x @ w.T,
        [randn(2, 3, 4), randn(5, 4)],
        fn=lambda x, w: al.nn.functional.linear(x, w),
    ),
    Case(
        "addmm",
        lambda c, a, b: 0.5 * c + 2 * (a @ b),
        [randn(5), randn(3, 4), randn(4, 5)],
        dtypes=SINGLE,
        fn=lambda c, a, b: al.addmm(c, a, b, beta=0.5, alpha=2.0),
        large=[(80,), (70, 300), (300, 80)],
        tol=4 * _LONG,
        errors=[
            raises(
                lambda: al.addmm(al.ones(2), al.ones(2, 3), al.ones(3, 4)), RuntimeError, "does not broadcast"
            ),
        ],
    ),
    Case(
        "addmm:plain",
        lambda c, a, b: c + a @ b,
        [randn(3, 5), randn(3, 4), randn(4, 5)],
        fn=al.addmm,
        dtypes=REAL,
        inplace=al.Tensor.addmm_,
    ),
    Case(
        "addmm:integers",
        lambda c, a, b: 3 * c + 2 * (a @ b),
        [randn(3, 5), randn(3, 4), randn(4, 5)],
        fn=lambda c, a, b: al.addmm(c, a, b, beta=3, alpha=2),
        dtypes=INTEGERS,
        grad=False,
        errors=[raises(lambda: al.mm(al.ones(2, 2) > 0, al.ones(2, 2) > 0), NotImplementedError, "matmul: not implemented for dtype bool")],
    ),
    Case(
        "addmm:beta 0",
        lambda c, a, b: 2 * (a @ b),
        [randn(3, 5, grad=False), randn(3, 4), randn(4, 5)],
        fn=lambda c, a, b: al.addmm(c, a, b, beta=0, alpha=2),
    ),
    Case(
        "addmv",
        lambda c, a, b: 0.5 * c + 2 * (a @ b),
        [randn(3), randn(3, 4), randn(4)],
        fn=lambda c, a, b: al.addmv(c, a, b, beta=0.5, alpha=2.0),
        dtypes=SINGLE,
        errors=[
            raises(
                lambda: al.addmv(al.ones(2), al.ones(2, 3), al.ones(2)), RuntimeError, "cannot be multiplied"
            )
        ],
    ),
    Case(
        "addr",
        lambda c, a, b: 0.5 * c + 2 * np.outer(a, b),
        [randn(3, 4), randn(3), randn(4)],
        fn=lambda c, a, b: al.addr(c, a, b, beta=0.5, alpha=2.0),
        dtypes=SINGLE,
        errors=[
            raises(
                lambda: al.addr(al.ones(2), al.ones(2, 3), al.ones(2)),
                RuntimeError,
                "vec1 must be a 1-D tensor",
            )
        ],
    ),
    Case(
        "baddbmm",
        lambda c, a, b: 0.5 * c + 2 * (a @ b),
        [randn(2, 1, 5), randn(2, 3, 4), randn(2, 4, 5)],
        dtypes=SINGLE,
        fn=lambda c, a, b: al.baddbmm(c, a, b, beta=0.5, alpha=2.0),
        errors=[
            raises(
                lambda: al.baddbmm(al.ones(2), al.ones(2, 3, 4), al.ones(3, 4, 2)),
                RuntimeError,
                "batches differ",
            )
        ],
    ),
    Case(
        "addbmm",
        lambda c, a, b: c + (a @ b).sum(0),
        [randn(3, 5), randn(2, 3, 4), randn(2, 4, 5)],
        fn=lambda c, a, b: al.addbmm(c, a, b),
        tol=2.0,
        errors=[
            raises(
                lambda: al.addbmm(al.ones(2), al.ones(2, 3, 4), al.ones(3, 4, 2)), RuntimeError, "do not fit"
            )
        ],
    ),
    Case(
        "einsum",
        lambda a, b: np.einsum("bij,bjk->bik", a, b),
        [randn(2, 3, 4), randn(2, 4, 5)],
        fn=lambda a, b: al.einsum("bij,bjk->bik", a, b),
        dtypes=REAL,
        errors=[
            raises(lambda: al.einsum("ij,jk", al.ones(2, 3)), RuntimeError, "2 operands"),
            raises(lambda: al.einsum("ij,jk", al.ones(2, 3), al.ones(4, 5)), RuntimeError, "subscript j"),
            raises(lambda: al.einsum("ij->ik", al.ones(2, 3)), RuntimeError, "output subscript k"),
            raises(lambda: al.einsum("ijk", al.ones(2, 3)), RuntimeError, "names 3 dims"),
        ],
    ),
    Case(
        "einsum:three",
        lambda a, b, c: np.einsum("ij,jk,kl->li", a, b, c),
        [randn(2, 3), randn(3, 4), randn(4, 5)],
        fn=lambda *x: al.einsum("ij,jk,kl->li", *x),
    ),
    Case(
        "einsum:diagonal",
        lambda a: np.einsum("iij->ji", a),
        [randn(3, 3, 2)],
        fn=lambda a: al.einsum("iij->ji", a),
    ),
    Case(
        "einsum:sum",
        lambda a, b: np.einsum("ij,ik->j", a, b),
        [randn(3, 4), randn(3, 2)],
        fn=lambda a, b: al.einsum("ij,ik->j", a, b),
    ),
    Case(
        "einsum:ellipsis",
        lambda a, b: np.einsum("...ij,...jk->...ik", a, b),
        [randn(2, 1, 3, 4), randn(3, 4, 2)],
        fn=lambda a, b: al.einsum("...ij,...jk", a, b),
    ),
    Case(
        "einsum:elementwise",
        lambda a, b: np.einsum("ij,ij->ij", a, b),
        [randn(3, 4), randn(3, 4)],
        fn=lambda a, b: al.einsum("ij,ij->ij", a, b),
    ),
    Case(
        "einsum:sublists",
        lambda a, b: np.einsum("ij,jk->ki", a, b),
        [randn(3, 4), randn(4, 2)],
        fn=lambda a, b: al.einsum(a, [0, 1], b, [1, 2], [2, 0]),
    ),
    Case(
        "tensordot",
        lambda a, b: np.tensordot(a, b, 2),
        [randn(2, 3, 4), randn(3, 4, 5)],
        fn=lambda a, b: al.tensordot(a, b, 2),
        dtypes=REAL,
        tol=2.0,
        errors=[
            raises(
                lambda: al.tensordot(al.ones(2, 3), al.ones(2, 3), 1),
                RuntimeError,
                "contracted dims need to match",
            ),
            raises(
                lambda: al.tensordot(al.ones(2, 3), al.ones(2, 3), ([0], [0, 1])), RuntimeError, "same length"
            ),
        ],
    ),
    Case(
        "tensordot:lists",
        lambda a, b: np.tensordot(a, b, ([0, 2], [1, 0])),
        [randn(2, 3, 4), randn(4, 2, 5)],
        fn=lambda a, b: al.tensordot(a, b, ([0, 2], [1, 0])),
        tol=2.0,
    ),
    Case(
        "grouped_mm",
        _grouped_rows,
        [randn(6, 3), randn(3, 3, 4), _OFFS],
        fn=lambda a, b, o: al.grouped_mm(a, b, offs=o),
        layouts=False,
        errors=[
            raises(lambda: al.grouped_mm(al.ones(4, 2), al.ones(1, 2, 3)), RuntimeError, "offs is required"),
            raises(
                lambda: al.grouped_mm(al.ones(4, 2), al.ones(1, 2, 3), offs=al.tensor([5])),
                RuntimeError,
                r"offs\[0\] is 5",
            ),
            raises(
                lambda: al.grouped_mm(al.ones(4, 2), al.ones(2, 2, 3), offs=al.tensor([3])),
                RuntimeError,
                "for 1 groups",
            ),
            raises(
                lambda: al.grouped_mm(al.ones(4, 2), al.ones(1, 2, 3), offs=al.tensor([1.0])),
                RuntimeError,
                "int32 or int64",
            ),
        ],
    ),
    Case(
        "grouped_mm:columns",
        _grouped_cols,
        [randn(3, 2, 4), randn(4, 6), _OFFS],
        fn=lambda a, b, o: al.grouped_mm(a, b, offs=o),
        layouts=False,
    ),
    Case(
        "grouped_mm:summed",
        _grouped_sum,
        [randn(2, 5), randn(5, 3), _OFFS],
        fn=lambda a, b, o: al.grouped_mm(a, b, offs=o),
        layouts=False,
    ),
    Case("grouped_mm:bmm", np.matmul, [randn(2, 3, 4), randn(2, 4, 5)], fn=lambda a, b: al.grouped_mm(a, b)),
]
