"""Second gradients where the first does not depend on the values: zeros, as in torch, and not "unused"."""

import pytest

import ascendlite as al
from ascendlite.errors import GradError

F = al.nn.functional
STEPS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, al.tensor(0.25)),
    "threshold": lambda x: F.threshold(x, 0.1, 2.0),
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "hardsigmoid": F.hardsigmoid,
    "abs": al.abs,
    "max_pool": lambda x: F.max_pool2d(x, 2),
    "avg_pool": lambda x: F.avg_pool2d(x, 2),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, 2),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 2),
    "nll_loss": lambda x: F.nll_loss(x, al.zeros(1, 4, 4, dtype=al.int64)),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("leaf", [True, False])
def test_the_gradient_of_a_step_has_a_gradient_of_zeros(name, leaf):
    start = al.randn(1, 2, 4, 4, generator=al.Generator().manual_seed(3)).requires_grad_()
    x = start if leaf else start * 2
    (first,) = al.autograd.grad(STEPS[name](x).sum(), x, create_graph=True)
    (second,) = al.autograd.grad(first.sum(), x)
    assert second.shape == x.shape and not second.any()


def test_a_held_gradient_still_leads_to_where_it_came_from():
    x = al.tensor([[[1.0, 3.0, 2.0, 0.5]]], requires_grad=True)
    w = al.tensor(2.0, requires_grad=True)
    (first,) = al.autograd.grad((F.max_pool1d(x, 2) * w).sum(), x, create_graph=True)
    (by_w,) = al.autograd.grad(first.sum(), w)
    assert by_w.item() == 2.0  # one maximum in each of two windows


def test_a_linear_gradient_is_not_held():
    x = al.ones(3, requires_grad=True)
    (first,) = al.autograd.grad((x * 2).sum(), x, create_graph=True)
    with pytest.raises(GradError):
        first.sum().backward()


def test_the_gradient_of_a_batch_norms_bias_depends_on_nothing():
    x, w = al.randn(3, 2, 5, requires_grad=True), al.ones(2, requires_grad=True)
    b = al.zeros(2, requires_grad=True)
    (first,) = al.autograd.grad(F.batch_norm(x, None, None, w, b, training=True).sum(), b, create_graph=True)
    assert al.autograd.grad(first.sum(), (x, w, b), allow_unused=True) == (None, None, None)
