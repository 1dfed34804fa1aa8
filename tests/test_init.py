"""Initialisers: the moments and bounds torch's have, exact ones exactly, and their complaints."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ascendlite as al
from ascendlite.nn import init

SHAPE = (200, 50, 3)  # fan_in 150, fan_out 600


def filled(name: str, *args: object, shape: tuple[int, ...] = SHAPE, **kwargs: object) -> np.ndarray:
    al.manual_seed(1)
    tensor = al.empty(shape)
    assert getattr(init, name)(tensor, *args, **kwargs) is tensor
    return tensor.numpy()


# name, arguments, mean, standard deviation, largest absolute value (None: no bound)
DISTRIBUTIONS = [
    ("uniform_", (-1.0, 3.0), 1.0, 4 / math.sqrt(12), 3.0),
    ("normal_", (2.0, 0.5), 2.0, 0.5, None),
    ("xavier_uniform_", (2.0,), 0.0, 2 * math.sqrt(2 / 750), 2 * math.sqrt(6 / 750)),
    ("xavier_normal_", (), 0.0, math.sqrt(2 / 750), None),
    ("kaiming_uniform_", (math.sqrt(5),), 0.0, 1 / math.sqrt(3 * 150), 1 / math.sqrt(150)),
    ("kaiming_normal_", (0, "fan_out", "relu"), 0.0, math.sqrt(2 / 600), None),
    # standard deviation of a normal cut at 1 sigma: 0.5396
    ("trunc_normal_", (0.0, 2.0, -2.0, 2.0), 0.0, 2 * 0.5396, 2.0),
]


@pytest.mark.parametrize(("name", "args", "mean", "std", "bound"), DISTRIBUTIONS)
def test_values_have_the_right_moments(name, args, mean, std, bound) -> None:
    values = filled(name, *args)
    assert mean == pytest.approx(values.mean(), abs=4 * std / math.sqrt(values.size))
    assert std == pytest.approx(values.std(), rel=0.02)
    if bound is not None:
        assert np.abs(values).max() <= bound * (1 + 1e-6)


def test_a_generator_repeats_its_draw() -> None:
    draws = []
    for _ in range(2):
        generator = al.Generator()
        generator.manual_seed(3)
        draws.append(init.normal_(al.empty(5), generator=generator).tolist())
    assert draws[0] == draws[1]


def test_constants_are_exact() -> None:
    assert {2.5} == set(filled("constant_", 2.5).ravel().tolist())
    assert {1.0} == set(filled("ones_").ravel().tolist())
    assert {0.0} == set(filled("zeros_").ravel().tolist())
    np.testing.assert_array_equal(np.eye(3, 5), filled("eye_", shape=(3, 5)))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (4, 2, 3)])
def test_orthogonal_rows_or_columns_are_orthonormal_times_the_gain(shape: tuple[int, ...]) -> None:
    matrix = filled("orthogonal_", 2.0, shape=shape).reshape(shape[0], -1)
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


def test_dirac_passes_channels_through_in_each_group() -> None:
    weight = filled("dirac_", 2, shape=(4, 2, 3))
    assert 4.0 == weight.sum()
    assert [1.0] * 4 == [weight[0, 0, 1], weight[1, 1, 1], weight[2, 0, 1], weight[3, 1, 1]]


def test_sparse_zeroes_a_fraction_of_every_column() -> None:
    matrix = filled("sparse_", 0.3, shape=(10, 7))
    assert [3] * 7 == (matrix == 0).sum(0).tolist()


def test_initialising_leaves_no_trace_in_the_graph() -> None:
    weight = al.nn.Parameter(al.empty(3, 3))
    init.xavier_normal_(weight)
    assert weight.is_leaf
    assert weight.requires_grad


GAINS = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


@pytest.mark.parametrize("name", GAINS)
def test_gains_are_torchs(name: str) -> None:
    assert GAINS[name] == init.calculate_gain(name)


def test_the_gain_of_leaky_relu_depends_on_its_slope() -> None:
    assert math.sqrt(2 / (1 + 0.01**2)) == init.calculate_gain("leaky_relu")
    assert math.sqrt(2 / 1.25) == init.calculate_gain("leaky_relu", 0.5)


MISTAKES = [
    (lambda: init.calculate_gain("sin"), "unsupported nonlinearity 'sin'"),
    (lambda: init.calculate_gain("leaky_relu", True), "negative_slope True not a valid number"),
    (lambda: init.kaiming_uniform_(al.empty(3)), r"fewer than 2 dimensions \(shape \(3,\)\)"),
    (lambda: init.kaiming_normal_(al.empty(3, 3), mode="fan"), "mode 'fan' not supported"),
    (lambda: init.eye_(al.empty(3)), "only tensors with 2 dimensions"),
    (lambda: init.dirac_(al.empty(3, 3)), "3, 4, or 5 dimensions"),
    (lambda: init.dirac_(al.empty(3, 3, 3), 2), "size 3 must be divisible by groups 2"),
    (lambda: init.orthogonal_(al.empty(3)), "2 or more dimensions"),
    (lambda: init.sparse_(al.empty(3), 0.1), "only tensors with 2 dimensions"),
]


@pytest.mark.parametrize(("mistake", "text"), MISTAKES)
def test_mistakes_are_named(mistake, text) -> None:
    with pytest.raises(ValueError, match=text):
        mistake()
