"""Margins between classes and distances between rows, against loops."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al
from ascendlite import nn
from ascendlite.nn import functional as F

X = np.random.default_rng(0).standard_normal((4, 5))
LABELS = np.array([1, 0, 4, 2])
SETS = np.array([[1, 3, -1, 0, 0], [0, -1, 2, 2, 2], [4, 3, 2, 1, 0], [-1, 0, 0, 0, 0]])


def multi_margin(x, labels, p, margin, weight):
    return np.array([
        sum(weight[y] * max(0, margin - row[y] + row[j]) ** p for j in range(len(row)) if j != y) / len(row)
        for row, y in zip(x, labels)
    ])


def multilabel_margin(x, sets):
    losses = []
    for row, labels in zip(x, sets):
        chosen = list(labels[: list(labels).index(-1)] if -1 in labels else labels)
        rest = [j for j in range(len(row)) if j not in chosen]
        losses.append(sum(max(0, 1 - row[y] + row[j]) for y in chosen for j in rest) / len(row))
    return np.array(losses)


@pytest.mark.parametrize(("p", "margin"), [(1, 1.0), (2, 0.7)])
def test_multi_margin_loss(p, margin):
    weight = np.arange(1.0, 6.0)
    loss = nn.MultiMarginLoss(p, margin, al.tensor(weight), reduction="none")
    np.testing.assert_allclose(loss(al.tensor(X), al.tensor(LABELS)).numpy(), multi_margin(X, LABELS, p, margin, weight), rtol=1e-12)


def test_multilabel_margin_loss():
    loss = nn.MultiLabelMarginLoss(reduction="sum")
    np.testing.assert_allclose(loss(al.tensor(X), al.tensor(SETS)).numpy(), multilabel_margin(X, SETS).sum(), rtol=1e-12)


def test_gradients_of_the_margins():
    x = al.tensor(X, requires_grad=True)
    assert al.autograd.gradcheck(lambda x: F.multi_margin_loss(x, al.tensor(LABELS), 2), (x,))
    assert al.autograd.gradcheck(lambda x: F.multilabel_margin_loss(x, al.tensor(SETS)), (x,))
    assert al.autograd.gradcheck(lambda x: F.pdist(x, 3.0), (x,))


def test_a_triplet_loss_with_the_plain_distance_is_the_triplet_loss():
    a, p, n = (al.randn(3, 4) for _ in range(3))
    mine = nn.TripletMarginWithDistanceLoss(swap=True)(a, p, n)
    assert mine.item() == pytest.approx(F.triplet_margin_loss(a, p, n, swap=True).item())
    assert F.triplet_margin_with_distance_loss(a, a, a, distance_function=lambda x, y: (x - y).abs().sum(-1)).item() == 1.0


def test_pdist_lists_the_pairs_in_order():
    np.testing.assert_allclose(F.pdist(al.tensor([[0.0], [1.0], [3.0]])).numpy(), [1, 3, 2])


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda: F.multi_margin_loss(al.ones(2, 3), al.ones(2).long(), p=3), ValueError, "only p == 1 and p == 2"),
    (lambda: F.multi_margin_loss(al.ones(2, 3), al.ones(3).long()), RuntimeError, "inconsistent target size"),
    (lambda: F.multi_margin_loss(al.ones(2, 3), al.ones(2).long(), weight=al.ones(2)), ValueError, "weight must be one-dim"),
    (lambda: F.multilabel_margin_loss(al.ones(2, 3), al.ones(2).long()), RuntimeError, "inconsistent target size"),
    (lambda: F.multilabel_margin_loss(al.ones(3), al.ones(3).long(), reduction="all"), ValueError, "is not a valid value"),
    (lambda: F.triplet_margin_loss(al.ones(2), al.ones(2), al.ones(2), margin=-1.0), ValueError, "must be greater than 0"),
    (lambda: F.triplet_margin_with_distance_loss(al.ones(2), al.ones(2), al.ones(2), margin=0), ValueError, "must be greater"),
    (lambda: F.pdist(al.ones(2)), RuntimeError, "only supports 2D"),
])
def test_what_the_margins_refuse(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_upsample_is_interpolate():
    x = al.randn(1, 1, 3, 3)
    assert al.equal(F.upsample(x, scale_factor=2), F.upsample_nearest(x, 6))
    assert al.equal(F.upsample_bilinear(x, 5), F.interpolate(x, 5, mode="bilinear", align_corners=True))


def test_unpooling_puts_the_maxima_back():
    x = al.tensor([[[[1.0, 2.0], [4.0, 3.0]]]])
    y, places = F.max_pool2d(x, 2, return_indices=True)
    assert nn.MaxUnpool2d(2)(y, places).tolist() == [[[[0.0, 0.0], [4.0, 0.0]]]]


@pytest.mark.parametrize(("name", "args"), [
    ("relu", ()), ("selu", ()), ("elu", (0.5,)), ("celu", (0.5,)), ("leaky_relu", (0.2,)), ("hardtanh", (-0.5, 0.5)),
    ("threshold", (0.1, -1.0)), ("rrelu", (0.1, 0.3)),
])
def test_the_name_with_an_underscore_writes_into_its_input(name, args):
    x = al.tensor(X)
    expected = getattr(F, name)(x, *args)
    y = getattr(F, name + "_")(x, *args)
    assert y is x and al.equal(expected, x)
