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


def test_a_sequential_is_repeated() -> None:
    layers = nn.Sequential(nn.ReLU(), nn.Tanh())
    assert [type(m).__name__ for m in layers * 2] == ["ReLU", "Tanh"] * 2 == [type(m).__name__ for m in 2 * layers]
    layers *= 3
    assert len(layers) == 6
    with pytest.raises(ValueError, match="non-positive"):
        layers * 0


def test_pruned_weights_stay_zero_and_keep_torchs_keys() -> None:
    prune = nn.utils.prune
    layer = nn.Linear(4, 3)
    weight = layer.weight
    prune.l1_unstructured(layer, "weight", 0.5)
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_mask"] and layer.weight_orig is weight
    kept = weight.detach().abs().reshape(-1).sort(descending=True).indices[:6]
    assert sorted(kept.tolist()) == layer.weight_mask.reshape(-1).nonzero().reshape(-1).tolist()
    layer(al.ones(1, 4)).sum().backward()
    assert al.equal(weight.grad == 0, layer.weight_mask == 0)
    prune.ln_structured(layer, "weight", 1, n=2, dim=0)
    assert isinstance(next(iter(layer._hook_table.forward_pre.values())).function, prune.PruningContainer)
    assert (layer.weight_mask.sum(1) == 0).sum() >= 1 and prune.is_pruned(layer)
    zeros = layer.weight_mask == 0
    prune.remove(layer, "weight")
    assert layer.weight is weight and bool((layer.weight[zeros] == 0).all()) and not prune.is_pruned(layer)
    both = nn.Linear(4, 3), nn.Linear(4, 3)
    prune.global_unstructured([(m, "weight") for m in both], prune.L1Unstructured, amount=10)
    assert sum(int((m.weight == 0).sum()) for m in both) == 10
    with pytest.raises(ValueError, match="has to be pruned"):
        prune.remove(layer, "weight")


def test_gradients_of_a_convolution_as_functions() -> None:
    x, w = al.randn(2, 3, 6, 5, dtype=al.float64).requires_grad_(), al.randn(4, 3, 3, 2, dtype=al.float64).requires_grad_()
    y = nn.functional.conv2d(x, w, None, 2, 1)
    g = al.randn_like(y)
    y.backward(g)
    assert al.equal(nn.grad.conv2d_input(x.shape, w, g, 2, 1), x.grad)
    assert al.equal(nn.grad.conv2d_weight(x, w.shape, g, 2, 1), w.grad)
