"""Sequences of recurrent cells: the op's own gradient against the one made of single ops, which is differentiable again."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al
from ascendlite.ops.rnn import MODES, sequence


def drawn(mode: str, dtype: al.DType = al.float64, T: int = 4, B: int = 3, I: int = 2, H: int = 5) -> list[al.Tensor]:
    rng = np.random.default_rng(0)
    G = MODES[mode][1] * H
    shapes = [(T, B, I), *[(B, H)] * (1 + (mode == "LSTM")), (G, I), (G, H), (G,), (G,)]
    return [al.tensor(rng.standard_normal(s) * 0.5, dtype=dtype).requires_grad_() for s in shapes]


def run(mode: str, inputs: list[al.Tensor], reverse: bool = False) -> tuple[al.Tensor, tuple[al.Tensor, ...]]:
    x, *rest = inputs
    states = 1 + (mode == "LSTM")
    return sequence(mode, x, tuple(rest[:states]), *rest[states:], reverse=reverse)


def loss(mode: str, inputs: list[al.Tensor], reverse: bool) -> al.Tensor:
    out, last = run(mode, inputs, reverse)
    return (out * out).sum() + sum(((s * s * s).sum() for s in last), start=al.zeros((), dtype=out.dtype))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_the_kernel_s_gradient_equals_that_of_single_ops(mode: str, reverse: bool) -> None:
    inputs = drawn(mode)
    value = loss(mode, inputs, reverse)
    single = al.autograd.grad(value, inputs, create_graph=True)
    fused = al.autograd.grad(value, inputs)
    for a, b in zip(single, fused, strict=True):
        np.testing.assert_allclose(b.numpy(), a.detach().numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_first_and_second_gradients_equal_central_differences(mode: str) -> None:
    inputs = drawn(mode, T=2, B=1, I=1, H=2)
    assert al.autograd.gradcheck(lambda *a: run(mode, list(a))[0], tuple(inputs))
    if mode != "RNN_RELU":  # its second derivative is zero but at the kink
        assert al.autograd.gradgradcheck(lambda *a: run(mode, list(a))[0], tuple(inputs))


def test_a_reversed_sequence_is_the_sequence_of_the_flipped_input() -> None:
    inputs = drawn("GRU")
    backwards, _ = run("GRU", inputs, reverse=True)
    flipped, _ = run("GRU", [inputs[0].flip(0), *inputs[1:]])
    np.testing.assert_array_equal(flipped.flip(0).detach().numpy(), backwards.detach().numpy())


def test_halves_are_computed_in_float32() -> None:
    low = drawn("LSTM", al.bfloat16)
    out, _ = run("LSTM", low)
    exact, _ = run("LSTM", [t.detach().float() for t in low])
    assert out.dtype == al.bfloat16
    np.testing.assert_allclose(out.detach().float().numpy(), exact.numpy(), rtol=2e-2, atol=2e-2)


def test_states_and_weights_that_do_not_fit_are_refused() -> None:
    x, h, _, *weights = drawn("LSTM")
    with pytest.raises(RuntimeError, match="expected 2 states, got 1"):
        sequence("LSTM", x, (h,), *weights)
    with pytest.raises(RuntimeError, match="state 1 should have shape"):
        sequence("LSTM", x, (h, h[:1]), *weights)
    with pytest.raises(RuntimeError, match="unknown mode 'CNN'"):
        sequence("CNN", x, (h,), *weights)


def test_the_last_cell_alone_has_a_gradient() -> None:
    net, x = al.nn.LSTM(3, 4), al.randn(5, 2, 3, requires_grad=True)
    y, (_, c) = net(x)
    (alone,) = al.autograd.grad(c.sum(), x, retain_graph=True)
    (beside,) = al.autograd.grad(c.sum() + 0 * y.sum(), x)
    assert alone.abs().max().item() > 0
    assert al.equal(alone, beside)
