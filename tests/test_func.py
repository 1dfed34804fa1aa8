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


def test_gradients_of_nests_are_nests() -> None:
    params = {"w": al.tensor([1.0, 2.0]), "b": [al.tensor(3.0)]}

    def loss(p: dict, x: al.Tensor) -> al.Tensor:
        return (p["w"] * x).sum() * p["b"][0]

    slope, value = al.func.grad_and_value(loss)(params, al.tensor([5.0, 7.0]))
    assert (value.item(), slope["w"].tolist(), slope["b"][0].item()) == (57.0, [15.0, 21.0], 19.0)
    with pytest.raises(TypeError, match="argument 0 must be Tensor or a nest of them, not int"):
        al.func.grad(loss)({"w": 1}, al.ones(2))


def test_gradients_of_each_sample_are_those_of_the_samples() -> None:
    layer, x = al.nn.Linear(3, 2), al.randn(4, 3)
    params = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(p: dict, sample: al.Tensor) -> al.Tensor:
        return al.func.functional_call(layer, p, (sample.unsqueeze(0),)).square().sum()

    each = al.func.vmap(al.func.grad(loss), in_dims=(None, 0))(params, x)
    for k in range(4):
        layer.zero_grad()
        layer(x[k : k + 1]).square().sum().backward()
        assert al.allclose(each["weight"][k], layer.weight.grad) and al.allclose(each["bias"][k], layer.bias.grad)


def test_what_a_function_returns_beside_its_result_comes_last() -> None:
    x = al.tensor([1.0, 2.0])
    square = lambda x: (x * x, "aux")
    y, pull, aux = al.func.vjp(square, x, has_aux=True)
    assert (y.tolist(), pull(al.ones(2))[0].tolist(), aux) == ([1.0, 4.0], [2.0, 4.0], "aux")
    y, slope, aux = al.func.jvp(square, (x,), (al.ones(2),), has_aux=True)
    assert (y.tolist(), slope.tolist(), aux) == ([1.0, 4.0], [2.0, 4.0], "aux")
    rows, aux = al.func.jacrev(square, has_aux=True)(x)
    assert (rows.tolist(), aux) == ([[2.0, 0.0], [0.0, 4.0]], "aux")


def test_derivatives_by_several_arguments_are_tuples() -> None:
    product = lambda a, b: a * b
    by_a, by_b = al.func.jacrev(product, argnums=(0, 1))(al.tensor(2.0), al.tensor(3.0))
    assert (by_a.item(), by_b.item()) == (3.0, 2.0)
    second = al.func.hessian(lambda a, b: a * a * b, argnums=(0, 1))(al.tensor(2.0), al.tensor(3.0))
    assert [[t.item() for t in row] for row in second] == [[6.0, 4.0], [4.0, 0.0]]


def test_a_linearized_function_runs_once() -> None:
    calls: list[int] = []

    def f(tree: dict) -> dict:
        calls.append(1)
        return {"y": tree["a"].sin() * tree["b"], "z": al.ones(2)}

    a, b = al.tensor([0.3, 0.7]), al.tensor([2.0, 5.0])
    y, slope = al.func.linearize(f, {"a": a, "b": b})
    for da, db in ((al.ones(2), al.zeros(2)), (al.zeros(2), al.ones(2))):
        found = slope({"a": da, "b": db})
        assert al.allclose(found["y"], a.cos() * b * da + a.sin() * db) and found["z"].tolist() == [0.0, 0.0]
    assert (al.allclose(y["y"], a.sin() * b), len(calls), y["y"].requires_grad) == (True, 1, False)
    with pytest.raises(RuntimeError, match=r"tangents of shapes \[\(3,\)\] for primals of \[\(2,\), \(2,\)\]"):
        slope(al.ones(3))


def test_a_shared_weight_is_replaced_under_all_its_names() -> None:
    net = al.nn.Sequential(al.nn.Linear(1, 1, bias=False), al.nn.Linear(1, 1, bias=False))
    net[1].weight = net[0].weight
    own, x, two = net[0].weight.item(), al.ones(1, 1), {"0.weight": al.full((1, 1), 2.0)}
    assert al.func.functional_call(net, two, x).item() == 4.0
    assert al.func.functional_call(net, two, x, tie_weights=False).item() == pytest.approx(2 * own)
    assert al.func.functional_call(net, ({"0.weight": al.ones(1, 1)}, two), (x,)).item() == 4.0  # the last dict counts
    assert net[0].weight is net[1].weight and net[0].weight.item() == own
    with pytest.raises(RuntimeError, match=r"strict, but \['1.weight'\] of the module are not given"):
        al.func.functional_call(net, two, x, tie_weights=False, strict=True)


def test_vmap_maps_nests_and_stacks_each_result_where_asked() -> None:
    x = al.arange(6.0).reshape(2, 3)
    total, twice = al.func.vmap(lambda d, k: (d["a"] + k, d["b"][0] * 2), in_dims=({"a": 0, "b": None}, None), out_dims=(1, 0))({"a": x, "b": [al.ones(1)]}, 1.0)
    assert total.tolist() == (x + 1).T.tolist() and twice.tolist() == [[2.0], [2.0]]
