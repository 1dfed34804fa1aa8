"""Values at the edge: infinities, zero upstream gradients, and sums that one summand dwarfs."""

from __future__ import annotations

import math

import pytest

import ascendlite as al
from ascendlite.nn import functional as F

INF = math.inf


@pytest.mark.parametrize(("values", "expected"), [([-INF, -INF], -INF), ([INF, 1.0], INF), ([INF, -INF], INF), ([1e30, 1e30], 1e30)])
@pytest.mark.parametrize("dim", [0, 1])
def test_logsumexp_of_infinities(values: list[float], expected: float, dim: int) -> None:
    x = al.tensor(values).unsqueeze(1 - dim)
    assert al.logsumexp(x, dim).item() == pytest.approx(expected)


@pytest.mark.parametrize("dim", [0, 1])
def test_log_softmax_of_large_equals_keeps_the_logarithm(dim: int) -> None:
    x = al.full((2, 2), 1e30)
    assert al.log_softmax(x, dim)[0, 0].item() == pytest.approx(-math.log(2))


def test_cross_entropy_of_large_equals_keeps_the_logarithm() -> None:
    assert F.cross_entropy(al.full((1, 2), 1e30), al.tensor([0])).item() == pytest.approx(math.log(2))


def test_xlogy_passes_no_gradient_where_none_arrives() -> None:
    x, y = al.tensor([1.0, 0.0], requires_grad=True), al.tensor([0.0, INF])
    (al.xlogy(x, y) * 0).nan_to_num().backward(al.zeros(2))
    assert x.grad.tolist() == [0.0, 0.0]


def test_the_limits_of_integers_are_taken() -> None:
    assert al.tensor([-128, 127], dtype=al.int8).tolist() == [-128, 127]
    assert al.tensor([255, -1], dtype=al.uint8).tolist() == [255, 255]
    assert al.tensor([2**63 - 1, -(2**63)]).tolist() == [2**63 - 1, -(2**63)]
    assert al.tensor(2.9, dtype=al.int32).item() == 2


def test_ranges_are_sequences() -> None:
    assert al.tensor(range(3)).tolist() == [0, 1, 2]
    assert al.tensor([range(2), (2, 3)]).tolist() == [[0, 1], [2, 3]]


def test_calls_that_had_crashed_are_refused_or_empty() -> None:
    with pytest.raises(TypeError, match="must be Tensor, not None"):
        al.nonzero(None)
    with pytest.raises(TypeError, match="'dtype' must be dtype, not Tensor"):
        al.vector_norm(al.ones(2), dtype=al.tensor([1]))
    assert al.nn.functional.instance_norm(al.empty(3, 0, 2)).shape == (3, 0, 2)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: al.numel(3), TypeError, "numel.*must be Tensor, not int"),
    (lambda: al.is_floating_point(None), TypeError, "is_floating_point.*must be Tensor"),
    (lambda: al.where(0.5, al.ones(1), 0), TypeError, "where.*must be Tensor, not float"),
    (lambda: al.meshgrid(al.ones(2), (1, 2)), TypeError, "meshgrid.*must be Tensor, not int"),
    (lambda: al.ones(2).resize_as_(1), TypeError, "resize_as_.*must be Tensor"),
    (lambda: al.cumulative_trapezoid(al.tensor(1.0)), RuntimeError, "0-d tensor"),
    (lambda: F.nll_loss(al.tensor(1.0), al.tensor(0), al.ones(1)), RuntimeError, "nll_loss: .*0-d tensor"),
    (lambda: F.multilabel_soft_margin_loss(al.tensor(1.0), al.tensor(1.0)), RuntimeError, "last dimension"),
    (lambda: F.bilinear(al.ones(2), al.ones(2), al.ones(2)), RuntimeError, "weight must be"),
])
def test_hostile_calls_are_told_what_is_wrong(call, error, text) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("step", [1, 2])
def test_max_pool_takes_the_first_of_equals_and_the_last_nan(step: int) -> None:
    row = [-INF, -INF, 1.0, 1.0, -INF, math.nan, math.nan, 2.0, 2.0, 2.0] * 4
    y, at = F.max_pool1d(al.tensor([row]), 3, step, 1, return_indices=True)
    for o, (value, place) in enumerate(zip(y[0].tolist(), at[0].tolist(), strict=True)):
        window = [i for i in range(o * step - 1, o * step + 2) if 0 <= i < len(row)]
        nans = [i for i in window if math.isnan(row[i])]
        largest = max((row[i] for i in window if i not in nans), default=-INF)
        assert place == (nans[-1] if nans else next(i for i in window if row[i] == largest))
        assert (math.isnan(value) and nans) or value == largest


@pytest.mark.parametrize("n", [3, 8, 64, 65, 300])
@pytest.mark.parametrize("k", [1, 2, 8, 9])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_is_the_head_of_a_stable_sort_among_equals_infinities_and_nan(n: int, k: int, largest: bool) -> None:
    x = al.randint(-4, 4, (5, n)).float()
    x[1], x[2, 0], x[2, 2], x[3] = -INF, math.nan, INF, math.nan
    values, indices = al.topk(x, min(k, n), largest=largest)
    expected, places = al.sort(x, descending=largest, stable=True)
    assert indices.tolist() == places[:, :k].tolist()
    assert al.equal(values.nan_to_num(9.0), expected[:, :k].nan_to_num(9.0))
