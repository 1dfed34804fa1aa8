"""Parametrizations, and layers without a shape: laws, torch's names in state dicts, and what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import ascendlite as al
from ascendlite import nn
from ascendlite.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval, parametrizations, parametrize, skip_init


def close(a, b, tol=1e-5):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tol, atol=tol)


def one(matrix):
    return al.eye(min(matrix.shape[-2:]), dtype=matrix.dtype).expand(*matrix.shape[:-2], -1, -1)


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x):
        return x.triu()


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def test_a_parametrized_weight_is_computed_from_its_original_and_trains_it():
    layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    assert ["bias", "parametrizations.weight.original"] == list(layer.state_dict())
    close(layer.weight, layer.weight.mT)
    layer(al.ones(2, 3)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    layer.weight = al.full((3, 3), 4.0)
    close(layer.weight, al.full((3, 3), 4.0))
    copied = copy.deepcopy(layer)
    close(copied.weight, layer.weight)
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(layer)


def test_parametrizations_apply_in_order_and_are_cached_inside_cached():
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    before = layer.weight.detach()
    parametrize.register_parametrization(layer, "weight", Doubled())
    close(layer.weight, 2 * before)
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert layer.weight is not layer.weight


@pytest.mark.parametrize("leave", [True, False])
def test_removing_a_parametrization_gives_the_plain_class_back(leave):
    layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Doubled())
    expected = layer.weight.detach() if leave else layer.parametrizations.weight.original.detach().clone()
    parametrize.remove_parametrizations(layer, "weight", leave)
    assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter) and not parametrize.is_parametrized(layer)
    close(layer.weight, expected)


@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm_separates_size_and_direction(dim):
    layer = nn.Linear(5, 3)
    before = layer.weight.detach().clone()
    parametrizations.weight_norm(layer, dim=dim)
    close(layer.weight, before)
    stack = layer.parametrizations.weight
    stack.original1.data = stack.original1.detach() * 7
    close(layer.weight, before)


def test_spectral_norm_makes_the_largest_singular_value_one():
    layer = parametrizations.spectral_norm(nn.Conv2d(4, 6, 3), n_power_iterations=30)
    close(al.linalg.svdvals(layer.weight.flatten(1))[0], al.tensor(1.0), 1e-3)
    layer.eval()
    close(layer.weight, layer.weight)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("options", [{}, {"orthogonal_map": "cayley"}, {"orthogonal_map": "matrix_exp"}, {"orthogonal_map": "householder"},
                                     {"orthogonal_map": "householder", "use_trivialization": False}])
def test_orthogonal_weights_stay_orthogonal_while_they_learn(shape, options):
    layer = parametrizations.orthogonal(nn.Linear(shape[1], shape[0], dtype=al.float64), **options)
    optimizer = al.optim.SGD(layer.parameters(), lr=0.1)
    first = layer.weight.detach()
    for _ in range(3):
        optimizer.zero_grad()
        (layer(al.ones(2, shape[1], dtype=al.float64)) ** 2).sum().backward()
        optimizer.step()
        tall = layer.weight if shape[0] >= shape[1] else layer.weight.mT
        close(tall.mT @ tall, one(tall), 1e-9)
    assert float((layer.weight - first).detach().abs().max()) > 1e-4


@pytest.mark.parametrize(("norm", "names"), [("weight_norm", ["bias", "weight_g", "weight_v"]), ("spectral_norm", ["bias", "weight_orig", "weight_u", "weight_v"])])
def test_the_older_norms_have_torchs_keys_and_come_off_again(norm, names):
    layer = getattr(nn.utils, norm)(nn.Conv1d(3, 4, 2))
    assert names == list(layer.state_dict())
    x = al.randn(2, 3, 5)
    expected = layer.eval()(x)
    expected.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    getattr(nn.utils, f"remove_{norm}")(layer)
    assert ["bias", "weight"] == list(layer.state_dict())
    close(layer(x), expected)


def test_a_convolution_swallows_the_normalisation_after_it():
    conv, bn, x = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), al.randn(2, 3, 5, 5)
    nn.init.uniform_(bn.weight)
    for _ in range(3):
        bn(conv(al.randn(4, 3, 5, 5)))
    close(fuse_conv_bn_eval(conv.eval(), bn.eval())(x), bn(conv(x)))
    linear, norm, y = nn.Linear(3, 4), nn.BatchNorm1d(4), al.randn(5, 3)
    norm(linear(al.randn(8, 3)))
    close(fuse_linear_bn_eval(linear.eval(), norm.eval())(y), norm(linear(y)))


def test_skip_init_makes_a_module_whose_weights_can_be_loaded():
    layer = skip_init(nn.Linear, 3, 4)
    layer.load_state_dict(nn.Linear(3, 4).state_dict())
    assert (4, 3) == layer.weight.shape and layer.weight.device.type == "cpu"


LAZY = [
    (lambda: nn.LazyLinear(4), (2, 3), nn.Linear), (lambda: nn.LazyConv1d(4, 2), (2, 3, 5), nn.Conv1d),
    (lambda: nn.LazyConv2d(4, 3, padding=1, groups=2), (2, 6, 4, 4), nn.Conv2d), (lambda: nn.LazyConv3d(2, 2), (3, 4, 4, 4), nn.Conv3d),
    (lambda: nn.LazyConvTranspose1d(4, 3, 2), (2, 3, 5), nn.ConvTranspose1d), (lambda: nn.LazyConvTranspose2d(4, 3), (2, 3, 4, 4), nn.ConvTranspose2d),
    (lambda: nn.LazyConvTranspose3d(4, 2, bias=False), (2, 3, 3, 3, 3), nn.ConvTranspose3d), (nn.LazyBatchNorm1d, (4, 3), nn.BatchNorm1d),
    (nn.LazyBatchNorm2d, (4, 3, 2, 2), nn.BatchNorm2d), (nn.LazyBatchNorm3d, (4, 3, 2, 2, 2), nn.BatchNorm3d),
    (lambda: nn.LazyInstanceNorm1d(affine=True), (3, 4), nn.InstanceNorm1d), (nn.LazyInstanceNorm2d, (2, 3, 4, 4), nn.InstanceNorm2d),
    (lambda: nn.LazyInstanceNorm3d(track_running_stats=True), (2, 3, 2, 2, 2), nn.InstanceNorm3d),
]


@pytest.mark.parametrize(("make", "shape", "kind"), LAZY, ids=[kind.__name__ for *_, kind in LAZY])
def test_a_lazy_layer_becomes_the_plain_one_at_its_first_batch(make, shape, kind):
    layer, x = make(), al.randn(*shape)
    other, third = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    expected = layer(x)
    assert type(layer) is kind and all(type(p) is nn.Parameter for p in layer.parameters())
    other.load_state_dict(layer.state_dict())
    assert expected.shape == third(x).shape
    close(other.eval()(x), layer.eval()(x))


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: nn.LazyLinear(3).weight.shape, RuntimeError, "call forward"),
    (lambda: nn.Linear(3, 4).load_state_dict(nn.LazyLinear(4).state_dict()), RuntimeError, "uninitialized"),
    (lambda: nn.LazyConv2d(3, 2)(al.ones(3)), RuntimeError, "expected 3D"),
    (lambda: parametrize.register_parametrization(nn.Linear(2, 2), "nothing", Symmetric()), ValueError, "nothing"),
    (lambda: parametrize.register_parametrization(nn.Linear(2, 3), "weight", nn.Flatten(0)), ValueError, "may not change"),
    (lambda: parametrize.remove_parametrizations(nn.Linear(2, 2), "weight"), ValueError, "does not have"),
    (lambda: parametrizations.orthogonal(nn.Linear(2, 2), "bias"), ValueError, "dimensions"),
    (lambda: parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="qr"), ValueError, "cayley"),
    (lambda: nn.utils.remove_weight_norm(nn.Linear(2, 2)), ValueError, "not found"),
    (lambda: fuse_conv_bn_eval(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2)), RuntimeError, "eval"),
])
def test_mistakes_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
