"""Linear algebra: values against NumPy and SciPy, gradients against central differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import ascendlite as al
from ascendlite.autograd import gradcheck, gradgradcheck

L = al.linalg


def matrices(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def square(n: int = 3, batch: tuple[int, ...] = (2,)) -> np.ndarray:
    return matrices(*batch, n, n) + 2 * np.eye(n)


def definite(n: int = 3) -> np.ndarray:
    a = matrices(2, n, n)
    return a @ a.swapaxes(-1, -2) + np.eye(n)


def leaf(x: np.ndarray) -> al.Tensor:
    return al.tensor(x, requires_grad=True)


VALUES = [
    ("inv", L.inv, np.linalg.inv, square()),
    ("det", L.det, np.linalg.det, square()),
    ("cholesky", L.cholesky, np.linalg.cholesky, definite()),
    ("pinv", L.pinv, np.linalg.pinv, matrices(2, 4, 3)),
    ("pinv, wide", L.pinv, np.linalg.pinv, matrices(2, 4)),
    ("matrix_exp", L.matrix_exp, scipy.linalg.expm, 3 * square()),
    ("svdvals", L.svdvals, lambda a: np.linalg.svd(a, compute_uv=False), matrices(2, 4, 3)),
    ("eigvalsh", L.eigvalsh, np.linalg.eigvalsh, definite()),
    ("matrix_rank", L.matrix_rank, np.linalg.matrix_rank, np.ones((2, 3, 3))),
    ("matrix_power", lambda a: L.matrix_power(a, -2), lambda a: np.linalg.matrix_power(a, -2), square()),
    ("slogdet", lambda a: L.slogdet(a).logabsdet, lambda a: np.linalg.slogdet(a)[1], square()),
    *[(f"norm {o}", lambda a, o=o: L.matrix_norm(a, o), lambda a, o=o: np.linalg.norm(a, o, (-2, -1)), matrices(2, 4, 3))
      for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)],
    *[(f"cond {p}", lambda a, p=p: L.cond(a, p), lambda a, p=p: np.array([np.linalg.cond(m, p) for m in a]), square())
      for p in (None, 2, -2, 1, "fro")],
]


@pytest.mark.parametrize(("name", "fn", "ref", "x"), VALUES, ids=[v[0] for v in VALUES])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_are_numpys(name, fn, ref, x, dtype):
    y = fn(al.tensor(x.astype(dtype)))
    tolerance = 1e-9 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(y.numpy(), ref(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3), (0, 3), (2, 3, 0)])
def test_factors_multiply_to_the_matrix(shape):
    a = matrices(*shape)
    x = al.tensor(a)
    u, s, vh = L.svd(x, full_matrices=False)
    np.testing.assert_allclose(((u * s.unsqueeze(-2)) @ vh).numpy(), a, atol=1e-12)
    for mode in ("reduced", "complete"):
        q, r = L.qr(x, mode)
        np.testing.assert_allclose((q @ r).numpy(), a, atol=1e-12)
        np.testing.assert_allclose((q.mT @ q).numpy(), np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], q.shape[-1], q.shape[-1])), atol=1e-12)
    u, s, vh = L.svd(x)
    assert (u.shape[-1], vh.shape[-2]) == (shape[-2], shape[-1])


def test_eigenvectors_diagonalize():
    a = definite()
    w, v = L.eigh(al.tensor(a))
    np.testing.assert_allclose((v @ (w.unsqueeze(-1) * v.mT)).numpy(), a, atol=1e-12)


def test_solutions_solve():
    a, b, v = square(), matrices(2, 3, 2, seed=1), matrices(3, seed=2)
    x, y = al.tensor(a), al.tensor(b)
    np.testing.assert_allclose(L.solve(x, y).numpy(), np.linalg.solve(a, b), atol=1e-12)
    np.testing.assert_allclose(L.solve(x[0], al.tensor(v)).numpy(), np.linalg.solve(a[0], v), atol=1e-12)
    np.testing.assert_allclose((L.solve(x, y.mT, left=False) @ x).numpy(), b.swapaxes(-1, -2), atol=1e-12)
    for upper in (False, True):
        for unit in (False, True):
            expected = scipy.linalg.solve_triangular(a[0], b[0], lower=not upper, unit_diagonal=unit)
            got = L.solve_triangular(x[0], y[0], upper=upper, unitriangular=unit)
            np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
    tall, right = matrices(5, 3), matrices(5, 2, seed=3)
    expected, residuals, rank, _ = np.linalg.lstsq(tall, right)
    got = L.lstsq(al.tensor(tall), al.tensor(right), driver="gelsd")
    np.testing.assert_allclose(got.solution.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(got.residuals.numpy(), residuals, atol=1e-12)
    assert int(got.rank) == rank
    out = al.empty(0, dtype=al.float64), al.empty(0, dtype=al.float64), al.empty(0, dtype=al.int64), al.empty(0, dtype=al.float64)
    L.lstsq(al.tensor(tall), al.tensor(right), out=out)
    assert [tuple(t.shape) for t in out] == [(3, 2), (0,), (), (0,)] and al.equal(out[0], got.solution)
    rest = [L.matrix_rank(al.tensor(np.diag([9.0, 1.0, 0.1])), **k).item() for k in ({"atol": 0.5}, {"rtol": 0.5}, {"hermitian": True})]
    assert rest == [2, 1, 3]
    assert L.matrix_norm(al.zeros(0, 0), 1).item() == L.norm(al.zeros(0, 0), 2).item() == 0
    q, r = al.empty(0, dtype=al.float64), al.empty(0, dtype=al.float64)
    assert L.qr(al.tensor(tall), out=(q, r)).Q is q
    np.testing.assert_allclose((q @ r).numpy(), tall, atol=1e-12)


def test_multi_dot_is_the_product():
    parts = [matrices(2, 5), matrices(5, 3, seed=1), matrices(3, 7, seed=2), matrices(7, seed=3)]
    np.testing.assert_allclose(L.multi_dot([al.tensor(p) for p in parts]).numpy(), np.linalg.multi_dot(parts), atol=1e-12)


def symmetrized(fn):
    return lambda a: fn((a + a.mT) / 2)


def absolute(q: al.Tensor) -> al.Tensor:
    return q * q.detach().sign()  # without the sign that a factorization is free to choose


SMOOTH = [
    ("inv", L.inv, square()),
    ("det", L.det, square()),
    ("slogdet", lambda a: L.slogdet(a).logabsdet, square()),
    ("cholesky", symmetrized(L.cholesky), definite()),
    ("cholesky, upper", symmetrized(lambda a: L.cholesky(a, upper=True)), definite()),
    ("eigvalsh", symmetrized(L.eigvalsh), definite()),
    ("eigh", symmetrized(lambda a: absolute(L.eigh(a).eigenvectors)), definite()),
    ("svdvals", L.svdvals, matrices(2, 4, 3)),
    ("svd, tall", lambda a: absolute(L.svd(a, full_matrices=False).U), matrices(4, 3)),
    ("svd, full", lambda a: absolute(L.svd(a).U[:, :3]), matrices(4, 3)),
    ("pinv, of rank 2", lambda a: L.pinv(a @ a.mT), matrices(4, 2)),
    ("qr, wide", lambda a: L.qr(a).R, matrices(3, 5)),
    ("svd, wide", lambda a: absolute(L.svd(a, full_matrices=False).Vh), matrices(3, 4)),
    ("qr", lambda a: L.qr(a).R, matrices(4, 3)),
    ("qr, q", lambda a: L.qr(a).Q, matrices(2, 3, 3)),
    ("pinv", L.pinv, matrices(4, 3)),
    ("matrix_exp", L.matrix_exp, square()),
    ("norm nuc", lambda a: L.matrix_norm(a, "nuc"), matrices(4, 3)),
    ("norm 2", lambda a: L.matrix_norm(a, 2), matrices(4, 3)),
    ("cond", L.cond, square()),
]


@pytest.mark.parametrize(("name", "fn", "x"), SMOOTH, ids=[s[0] for s in SMOOTH])
def test_gradients_are_those_of_central_differences(name, fn, x):
    assert gradcheck(fn, (leaf(x),))
    assert gradgradcheck(fn, (leaf(x),))


def test_systems_have_gradients_of_both_sides():
    a, b = leaf(square()), leaf(matrices(2, 3, 2, seed=1))
    assert gradcheck(L.solve, (a, b))
    assert gradgradcheck(L.solve, (a, b))
    assert gradcheck(lambda a, b: L.solve_triangular(a, b, upper=True), (a, b))
    assert gradcheck(lambda a, b: L.lstsq(a, b).solution, (leaf(matrices(5, 3)), leaf(matrices(5, 2, seed=1))))


def test_a_singular_matrix_has_a_determinant_with_a_gradient():
    x = al.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=al.float64, requires_grad=True)
    L.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[4.0, -2.0], [-2.0, 1.0]], atol=1e-12)


def test_meta_knows_the_shapes():
    x = al.empty(2, 4, 3, device="meta")
    assert [t.shape for t in L.svd(x, full_matrices=False)] == [(2, 4, 3), (2, 3), (2, 3, 3)]
    assert [t.shape for t in L.qr(x)] == [(2, 4, 3), (2, 3, 3)]
    assert L.inv(al.empty(2, 3, 3, device="meta")).shape == (2, 3, 3)


WRONG = [
    (lambda: L.inv(al.zeros(2, 2)), L.LinAlgError, "inv: Singular matrix"),
    (lambda: L.inv(al.ones(2, 3)), al.errors.ShapeError, "square matrices, but they are 2 by 3"),
    (lambda: L.inv(al.ones(3)), al.errors.ShapeError, "at least 2 dimensions"),
    (lambda: L.inv(al.ones(2, 2, dtype=al.bfloat16)), al.errors.DTypeError, "inv: not implemented for dtype bfloat16"),
    (lambda: L.inv([[1.0]]), TypeError, "must be Tensor, not list"),
    (lambda: L.cholesky(-al.eye(2)), L.LinAlgError, "cholesky: .*positive definite"),
    (lambda: L.solve(al.eye(2), al.ones(3)), al.errors.ShapeError, "Incompatible shapes"),
    (lambda: L.solve(al.eye(2), al.ones(2, dtype=al.float64)), al.errors.DTypeError, "same dtype"),
    (lambda: L.qr(al.eye(2), "half"), al.errors.ArgumentError, "use 'reduced'"),
    (lambda: L.lstsq(al.eye(2), al.eye(2), driver="best"), al.errors.ArgumentError, "gels, gelsy"),
    (lambda: L.matrix_norm(al.eye(2), 3), al.errors.ArgumentError, "Order 3 not supported"),
    (lambda: L.norm(al.ones(2), "fro", 0), al.errors.ArgumentError, "give two dims"),
    (lambda: L.multi_dot([al.eye(2)]), al.errors.ArgumentError, "at least 2"),
    (lambda: L.eigh(al.eye(2), "X"), al.errors.ArgumentError, "use 'L' or 'U'"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_mistakes_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_one_matrix_has_results_without_a_batch():
    x = al.tensor(square(batch=()))
    assert L.det(x).shape == L.slogdet(x).sign.shape == L.matrix_rank(x).shape == L.cond(x).shape == ()
    assert L.inv(x).shape == (3, 3)


@pytest.mark.parametrize("shape", [(4, 4), (2, 5, 3), (3, 5), (0, 3), (2, 0, 0)])
def test_lu_multiplies_back_and_has_gradients(shape):
    x = leaf(matrices(*shape))
    p, lower, upper = L.lu(x)
    np.testing.assert_allclose((p @ lower @ upper).detach().numpy(), x.detach().numpy(), atol=1e-12)
    assert bool((lower.triu(1) == 0).all()) and bool((upper.tril(-1) == 0).all())
    if x.numel():
        assert gradcheck(lambda a: L.lu(a)[1:], (x,)) and gradgradcheck(lambda a: L.lu(a)[1:], (x,))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
def test_lu_solve_solves(left, adjoint):
    a, b = al.tensor(square()), al.tensor(matrices(2, 3, 2) if left else matrices(2, 2, 3))
    x = L.lu_solve(*L.lu_factor(a), b, left=left, adjoint=adjoint)
    a = a.mT if adjoint else a
    np.testing.assert_allclose((a @ x if left else x @ a).numpy(), b.numpy(), atol=1e-12)


def test_reflections_make_the_q_of_qr():
    a = leaf(matrices(2, 5, 3))
    packed, tau = al.geqrf(a)
    q = L.householder_product(packed, tau)
    np.testing.assert_allclose((q @ packed[..., :3, :].triu()).numpy(), a.detach().numpy(), atol=1e-12)
    assert gradcheck(L.householder_product, (leaf(matrices(4, 2)), leaf(matrices(2))))


@pytest.mark.parametrize(("run", "matrix"), [(L.cholesky_ex, definite()), (L.inv_ex, square()), (lambda a: L.solve_ex(a, a), square())])
def test_failures_are_reported_matrix_by_matrix(run, matrix):
    matrix = matrix.copy()
    matrix[1] = 0
    result, info = run(al.tensor(matrix))
    assert [0, 1] == info.tolist()
    assert [False, True] == result.isnan().any(-1).any(-1).tolist()


def test_tensors_are_solved_as_numpy_does():
    a, b = matrices(2, 3, 3, 2), matrices(2, 3)
    np.testing.assert_allclose(L.tensorsolve(al.tensor(a), al.tensor(b)).numpy(), np.linalg.tensorsolve(a, b))
    np.testing.assert_allclose(L.tensorinv(al.tensor(a)).numpy(), np.linalg.tensorinv(a))
    np.testing.assert_allclose(L.vander(al.tensor(b), N=4).numpy()[0], np.vander(b[0], 4, increasing=True))


def test_solutions_and_inverses_come_from_cholesky_factors():
    a, b = definite(), matrices(2, 3, 2)
    for upper in (False, True):
        factor = al.linalg.cholesky(al.tensor(a), upper=upper)
        np.testing.assert_allclose(al.cholesky_inverse(factor, upper).numpy(), np.linalg.inv(a), rtol=1e-9)
        np.testing.assert_allclose(al.cholesky_solve(al.tensor(b), factor, upper).numpy(), np.linalg.solve(a, b), rtol=1e-9)
    np.testing.assert_allclose(al.triangular_solve(al.tensor(b), al.tensor(a))[0].numpy(), np.linalg.solve(np.triu(a), b))


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: L.lu_factor(al.zeros(2, 2)), RuntimeError, "zero"), (lambda: L.lu(al.ones(2, 2), pivot=False), ValueError, "pivot"),
    (lambda: L.lu_solve(al.ones(2, 2), al.ones(2, dtype=al.int32), al.ones(3, 1)), RuntimeError, "incompatible"),
    (lambda: al.lu_unpack(al.ones(2, 2), al.ones(2)), ValueError, "int32"), (lambda: L.tensorinv(al.ones(2, 2), 0), ValueError, "positive"),
    (lambda: L.householder_product(al.ones(2, 3), al.ones(2)), RuntimeError, "rows"), (lambda: L.vander(1.0), TypeError, "must be Tensor"),
    (lambda: al.eig(al.ones(2, 2)), AttributeError, "numpy.linalg.eig"), (lambda: L.eigvals(al.ones(2, 2)), AttributeError, "eigvalsh"),
])
def test_what_linalg_refuses_says_what_to_do(call, error, text):
    with pytest.raises(error, match=text):
        call()
