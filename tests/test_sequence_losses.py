"""CTC against the sum over all alignments, bags of embeddings against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ascendlite as al
import ascendlite.nn.functional as F
from ascendlite.autograd import gradcheck


def collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    return [k for k, _ in itertools.groupby(path) if k != blank]


def brute_force(logs: np.ndarray, target: list[int], blank: int) -> float:
    T, C = logs.shape
    total = sum(np.exp(sum(logs[t, k] for t, k in enumerate(p))) for p in itertools.product(range(C), repeat=T) if collapsed(p, blank) == target)
    return -np.log(total) if total else np.inf


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("target", [[], [1], [1, 1], [1, 3], [3, 1, 3], [1, 1, 1]])
def test_ctc_sums_over_all_alignments(target, blank):
    x = np.random.default_rng(0).standard_normal((5, 4))
    logs = al.tensor(x).log_softmax(1)
    loss = F.ctc_loss(logs.unsqueeze(1), al.tensor([[*target, 0, 0, 0]]), [5], [len(target)], blank, "none")
    assert loss.item() == pytest.approx(brute_force(logs.numpy(), target, blank))


def test_ctc_of_a_ragged_batch_and_its_gradient():
    x = al.tensor(np.random.default_rng(1).standard_normal((5, 3, 4)), requires_grad=True)
    steps, lengths, targets = [5, 3, 4], [2, 1, 0], al.tensor([1, 2, 3])
    losses = F.ctc_loss(x.log_softmax(2), targets, steps, lengths, reduction="none")
    for k, target in enumerate([[1, 2], [3], []]):
        assert losses[k].item() == pytest.approx(brute_force(x.detach()[: steps[k], k].log_softmax(1).numpy(), target, 0))
    assert gradcheck(lambda x: F.ctc_loss(x.log_softmax(2), targets, steps, lengths), (x,))


def test_ctc_of_an_impossible_target_is_infinite_or_zero():
    x = al.zeros(2, 1, 3, requires_grad=True)
    args = (x.log_softmax(2), al.tensor([[1, 1, 2]]), [2], [3])
    assert F.ctc_loss(*args).item() == float("inf")
    loss = al.nn.CTCLoss(zero_infinity=True)(*args)
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.isnan().any()


@pytest.mark.parametrize("padding", [None, 4])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_are_reduced_each_for_itself(mode, padding):
    weight = np.random.default_rng(2).standard_normal((6, 3))
    ids, starts = [1, 2, 4, 5, 4, 3, 2, 0], [0, 3, 3, 6]
    bags = [[i for i in ids[a:b] if i != padding] for a, b in zip(starts, [3, 3, 6, 8], strict=True)]
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    expected = np.stack([reduce(weight[b], 0) if b else np.zeros(3) for b in bags])
    got = F.embedding_bag(al.tensor(ids), al.tensor(weight), al.tensor(starts), mode=mode, padding_idx=padding)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
    if padding is None:  # the row of padding has no gradient, whatever central differences say
        assert gradcheck(lambda w: F.embedding_bag(al.tensor(ids), w, al.tensor(starts), mode=mode), (al.tensor(weight, requires_grad=True),))


def test_a_bag_layer_takes_rows_and_weights():
    layer = al.nn.EmbeddingBag(4, 2, mode="sum", include_last_offset=True)
    ids = al.tensor([[0, 1], [2, 2]])
    w = al.tensor([[0.5, 2.0], [1.0, -1.0]])
    expected = (layer.weight[ids] * w.unsqueeze(-1)).sum(1)
    assert al.allclose(layer(ids, per_sample_weights=w), expected)
    assert layer(al.tensor([0, 1, 2]), al.tensor([0, 1, 3])).shape == (2, 2)


@pytest.mark.parametrize(("call", "text"), [
    (lambda: F.ctc_loss(al.zeros(2, 1, 3), al.tensor([[1]]), [3], [1]), "input_lengths must be 1 numbers from 0 to 2"),
    (lambda: F.ctc_loss(al.zeros(2, 1, 3), al.tensor([[1]]), [2], [1], blank=3), "blank must be in label range"),
    (lambda: F.ctc_loss(al.zeros(2), al.tensor([[1]]), [2], [1]), r"must be \(T, B, C\)"),
    (lambda: F.embedding_bag(al.tensor([0]), al.ones(2, 2)), "1D offsets"),
    (lambda: F.embedding_bag(al.tensor([0, 1]), al.ones(2, 2), al.tensor([1])), "must start at 0"),
    (lambda: F.embedding_bag(al.tensor([[0]]), al.ones(2, 2), mode="median"), "one of sum, mean or max"),
])
def test_mistakes_are_named(call, text):
    with pytest.raises(RuntimeError, match=text):
        call()
