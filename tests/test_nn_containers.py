"""Containers of modules and parameters, and the tools of nn.utils."""

from __future__ import annotations

import pytest

import ascendlite as al
from ascendlite import nn


def test_sequential_is_a_list_of_modules() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert (3, 1) == (len(model), model[-1].out_features)
    assert ["0", "1"] == list(model[:2]._modules)
    model.insert(1, nn.Tanh())
    assert ["Linear", "Tanh", "ReLU", "Linear"] == [type(m).__name__ for m in model]
    del model[1]
    assert isinstance(model.pop(1), nn.ReLU)
    model[1] = nn.Identity()
    assert ["0", "1"] == list(model._modules)
    named = nn.Sequential({"in": nn.Linear(2, 3), "out": nn.Linear(3, 1)})
    assert "in.weight" in named.state_dict()
    assert (4, 1) == named(al.ones(4, 2)).shape


def test_module_dict_is_a_dict_of_modules() -> None:
    modules = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    modules["c"] = nn.Sigmoid()
    assert ["a", "b", "c"] == list(modules)
    assert "b" in modules
    assert isinstance(modules.pop("a"), nn.ReLU)
    assert 2 == len(modules)


def test_parameter_containers_register_parameters() -> None:
    values = nn.ParameterList([al.ones(2), nn.Parameter(al.zeros(3)), "text"])
    assert ["0", "1"] == [name for name, _ in values.named_parameters()]
    values[0] = al.zeros(5)
    assert (5,) == values[0].shape
    assert "(0): Parameter containing:" in repr(values)
    named = nn.ParameterDict({"w": al.ones(2)})
    named["b"] = nn.Parameter(al.zeros(1))
    assert ["w", "b"] == list(named.state_dict()) == list(named)
    named.pop("w")
    assert ["b"] == list(named.state_dict())


# utils


def with_grads() -> list[nn.Parameter]:
    params = [nn.Parameter(al.zeros(2)), nn.Parameter(al.zeros(1)), nn.Parameter(al.zeros(1))]
    params[0].grad, params[1].grad = al.tensor([3.0, 0.0]), al.tensor([4.0])
    return params


def test_gradients_are_clipped_by_their_total_norm() -> None:
    params = with_grads()
    assert 5.0 == pytest.approx(nn.utils.clip_grad_norm_(params, 1.0).item())
    assert 1.0 == pytest.approx(nn.utils.get_total_norm([p.grad for p in params[:2]]).item(), rel=1e-5)
    assert 4.0 == nn.utils.clip_grad_norm_(with_grads(), 100.0, norm_type=float("inf")).item()


def test_a_small_gradient_is_left_alone() -> None:
    params = with_grads()
    nn.utils.clip_grad_norm_(params, 10.0)
    assert [3.0, 0.0] == params[0].grad.tolist()


def test_a_norm_that_is_not_finite_can_be_an_error() -> None:
    params = with_grads()
    params[1].grad = al.tensor([float("inf")])
    with pytest.raises(RuntimeError, match=r"non-finite \(inf\)"):
        nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)


def test_gradients_are_clipped_by_value() -> None:
    params = with_grads()
    nn.utils.clip_grad_value_(params, 3.5)
    assert ([3.0, 0.0], [3.5]) == (params[0].grad.tolist(), params[1].grad.tolist())


def test_parameters_become_a_vector_and_come_back() -> None:
    layer = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert (9,) == vector.shape
    nn.utils.vector_to_parameters(al.arange(9, dtype=al.float32), layer.parameters())
    assert [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] == layer.weight.tolist()
    assert [6.0, 7.0, 8.0] == layer.bias.tolist()
