"""Packed sequences: the same as one sequence at a time, in both directions, and back."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al
from ascendlite.nn.utils import rnn

LENGTHS = [2, 5, 1, 5, 3]


def sequences(seed: int = 0) -> list[al.Tensor]:
    rng = np.random.default_rng(seed)
    return [al.tensor(rng.standard_normal((n, 3)), requires_grad=True) for n in LENGTHS]


def close(a: al.Tensor, b: al.Tensor) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_back(side):
    parts = sequences()
    padded = rnn.pad_sequence(parts, batch_first=True, padding_value=7.0, padding_side=side)
    assert padded.shape == (5, 5, 3)
    assert (padded[2, 1 if side == "right" else 0] == 7).all()
    if side == "right":
        for got, want in zip(rnn.unpad_sequence(padded, al.tensor(LENGTHS), batch_first=True), parts, strict=True):
            close(got, want)


def test_packing_and_back():
    parts = sequences()
    packed = rnn.pack_sequence(parts, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [5, 4, 3, 2, 2]
    padded, lengths = rnn.pad_packed_sequence(packed, padding_value=-1.0, total_length=6)
    assert lengths.tolist() == LENGTHS
    assert padded.shape == (6, 5, 3)
    assert (padded[5] == -1).all()
    for got, want in zip(rnn.unpack_sequence(packed), parts, strict=True):
        close(got, want)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_packed_batch_runs_as_each_of_its_sequences(kind, bidirectional):
    al.manual_seed(0)
    net = getattr(al.nn, kind)(3, 4, num_layers=2, bidirectional=bidirectional, dtype=al.float64)
    start = al.randn(2 * (1 + bidirectional), 5, 4, dtype=al.float64)
    hx = (start, start * 0.5) if kind == "LSTM" else start
    parts, twins = sequences(), sequences()
    out, last = net(rnn.pack_sequence(parts, enforce_sorted=False), hx)
    for k, got in enumerate(rnn.unpack_sequence(out)):
        alone = tuple(h[:, k : k + 1] for h in hx) if kind == "LSTM" else hx[:, k : k + 1]
        want, state = net(twins[k].unsqueeze(1), alone)
        close(got, want.squeeze(1))
        for a, b in zip(last if kind == "LSTM" else (last,), state if kind == "LSTM" else (state,), strict=True):
            close(a[:, k : k + 1], b)
        want.square().sum().backward()
    out.data.square().sum().backward()
    for a, b in zip(parts, twins, strict=True):
        close(a.grad, b.grad)


@pytest.mark.parametrize(("call", "text"), [
    (lambda: rnn.pad_sequence([]), "empty list"),
    (lambda: rnn.pad_sequence([al.ones(1, 2), al.ones(1, 3)]), "trailing dimensions"),
    (lambda: rnn.pad_sequence([al.ones(1)], padding_side="top"), "use 'left' or 'right'"),
    (lambda: rnn.pack_padded_sequence(al.ones(3, 2), [1, 3]), "sorted in decreasing order"),
    (lambda: rnn.pack_padded_sequence(al.ones(3, 2), [3, 0]), "from 1 to 3"),
    (lambda: rnn.pack_padded_sequence(al.ones(3, 2), [3]), "one length for each sequence"),
    (lambda: rnn.pad_packed_sequence(rnn.pack_sequence([al.ones(3)]), total_length=2), "total_length 2"),
])
def test_mistakes_are_named(call, text):
    with pytest.raises(RuntimeError, match=text):
        call()
