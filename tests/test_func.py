"""Derivatives of functions: Jacobians, Hessians and their products against NumPy, and functions of functions."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al
from ascendlite.autograd import functional

X = np.array([0.5, -1.0, 2.0])
A = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]])


def curve(x: al.Tensor) -> al.Tensor:
    return al.tensor(A) @ (x * x)


def bowl(x: al.Tensor) -> al.Tensor:
    return (x**3).sum() + x[0] * x[1]


HESSIAN = np.diag(6 * X) + np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])


def close(got, expected):
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_jacobians_and_products():
    x, v, w = al.tensor(X), al.tensor([1.0, 2.0, -1.0], dtype=al.float64), al.tensor([1.0, -2.0], dtype=al.float64)
    jacobian = A * (2 * X)
    close(functional.jacobian(curve, x), jacobian)
    close(al.func.jacrev(curve)(x), jacobian)
    close(functional.jvp(curve, x, v)[1], jacobian @ v.numpy())
    close(al.func.jvp(curve, (x,), (v,))[1], jacobian @ v.numpy())
    close(functional.vjp(curve, x, w)[1], w.numpy() @ jacobian)
    close(al.func.vjp(curve, x)[1](w)[0], w.numpy() @ jacobian)


def test_hessians_and_products():
    x, v = al.tensor(X), al.tensor([1.0, 2.0, -1.0], dtype=al.float64)
    close(functional.hessian(bowl, x), HESSIAN)
    close(al.func.hessian(bowl)(x), HESSIAN)
    close(functional.hvp(bowl, x, v)[1], HESSIAN @ v.numpy())
    close(functional.vhp(bowl, x, v)[1], v.numpy() @ HESSIAN)


def test_several_inputs_and_outputs_keep_their_structure():
    x, y = al.tensor([1.0, 2.0]), al.tensor([3.0])
    found = functional.jacobian(lambda a, b: (a * b, b * 2), (x, y))
    assert [[tuple(t.shape) for t in row] for row in found] == [[(2, 2), (2, 1)], [(1, 2), (1, 1)]]
    close(found[1][0], np.zeros((1, 2)))
    with pytest.raises(al.errors.GradError, match="independent"):
        functional.jacobian(lambda a, b: b * 2, (x, y), strict=True)


def test_gradients_nest():
    third = al.func.grad(al.func.grad(al.func.grad(lambda x: x**4)))
    assert third(al.tensor(2.0)).item() == 48.0
    slope, (value, note) = al.func.grad_and_value(lambda x: ((x * x).sum(), "note"), has_aux=True)(al.tensor([1.0, 2.0]))
    assert (slope.tolist(), value.item(), note) == ([2.0, 4.0], 5.0, "note")
    assert [g.tolist() for g in al.func.grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(al.tensor([2.0]), al.tensor([3.0]))] == [[3.0], [2.0]]


def test_vmap_maps_over_slices():
    a, b = al.arange(6.0).reshape(3, 2), al.ones(2)
    assert al.vmap(lambda x, y: (x * y).sum(), in_dims=(0, None))(a, b).tolist() == [1.0, 5.0, 9.0]
    assert al.vmap(lambda x: {"twice": x * 2}, out_dims=1)(a)["twice"].shape == (2, 3)
    per_example = al.func.vmap(al.func.grad(lambda x: (x * x).sum()))(a)
    assert per_example.tolist() == (a * 2).tolist()


def test_a_module_runs_with_other_parameters_and_keeps_its_own():
    layer = al.nn.Linear(2, 1, bias=False)
    own = layer.weight
    out = al.func.functional_call(layer, {"weight": al.tensor([[1.0, 2.0]])}, al.tensor([[3.0, 4.0]]))
    assert out.tolist() == [[11.0]]
    assert layer.weight is own


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: al.func.grad(lambda x: x)(al.ones(2)), al.errors.ShapeError, "one element"),
    (lambda: al.func.grad(lambda x: x)(1.0), TypeError, "must be Tensor"),
    (lambda: functional.hessian(lambda x: x, al.ones(2)), al.errors.ShapeError, "one element"),
    (lambda: functional.vjp(lambda x: x, al.ones(2)), al.errors.ShapeError, "left out"),
    (lambda: functional.jvp(lambda x: x, al.ones(2), al.ones(3)), al.errors.ShapeError, "are expected"),
    (lambda: al.vmap(lambda x, y: x)(al.ones(2), al.ones(3)), al.errors.ArgumentError, "one size"),
    (lambda: al.vmap(lambda x: x, in_dims=3)(al.ones(2)), al.errors.ArgumentError, "in_dims is 3 for argument 0, of shape"),
    (lambda: al.vmap(lambda x: x)(2.0), al.errors.ArgumentError, "of type float"),
    (lambda: al.vmap(lambda x: x, in_dims=None)(al.ones(2)), al.errors.ArgumentError, "no argument"),
    (lambda: al.func.functional_call(al.nn.Linear(1, 1), {"wheight": al.ones(1)}, al.ones(1)), al.errors.ArgumentError, "wheight"),
])
def test_mistakes_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
