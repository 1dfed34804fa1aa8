"""Outputs that the caches can't hold are stored past them: the values are those of small outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ascendlite as al
from ascendlite.nn import functional as F

SIZE = (36 << 20) // 4 + 13  # floats; some more than 32 MiB, the largest common last-level cache of one core complex


@pytest.mark.parametrize("start", [0, 1, 7])
def test_a_large_result_has_the_bits_of_its_parts(start: int) -> None:
    x = al.arange(SIZE, dtype=al.float32).sub_(SIZE / 3)
    y = x.flip(0)
    out = al.zeros(SIZE)
    al.mul(x[start:], y[start:], out=out[start:])
    expected = x.numpy()[start:] * y.numpy()[start:]
    np.testing.assert_array_equal(expected, out.numpy()[start:])
    assert out.numpy()[:start].tolist() == [0.0] * start


def test_a_large_tensor_is_changed_in_place() -> None:
    x = al.arange(SIZE, dtype=al.float32)
    x.mul_(2.0).add_(x)
    np.testing.assert_array_equal(np.arange(SIZE, dtype=np.float32) * 4, x.numpy())


def test_large_and_small_activations_agree() -> None:
    x = al.linspace(-9, 9, SIZE)
    whole = al.nn.functional.gelu(x)
    for at in (0, SIZE // 2 + 3, SIZE - 999):
        np.testing.assert_array_equal(al.nn.functional.gelu(x[at : at + 999]).numpy(), whole[at : at + 999].numpy())


ROWS, WIDTH = 2300, 4099  # 36 MiB of floats, in rows that begin anywhere in a cache line
FEW = 5


def _with_gradient(fn: Callable[[al.Tensor], al.Tensor], x: al.Tensor, g: al.Tensor) -> tuple[np.ndarray, np.ndarray]:
    x = x.detach().requires_grad_()
    y = fn(x)
    y.backward(g)
    return y.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: F.softmax(x, -1),
        lambda x: F.log_softmax(x, -1),
        lambda x: F.layer_norm(x, (WIDTH,), al.linspace(0.5, 2, WIDTH), al.linspace(-1, 1, WIDTH)),
        lambda x: F.rms_norm(x, (WIDTH,)),
        F.gelu,
        F.silu,
    ],
    ids=["softmax", "log_softmax", "layer_norm", "rms_norm", "gelu", "silu"],
)
def test_rows_of_a_large_result_are_those_of_a_small_one(fn: Callable[[al.Tensor], al.Tensor]) -> None:
    al.manual_seed(0)
    x, g = al.randn(ROWS, WIDTH), al.randn(ROWS, WIDTH)
    y, dx = _with_gradient(fn, x, g)
    for at in (0, ROWS // 2 + 1, ROWS - FEW):
        few, few_dx = _with_gradient(fn, x[at : at + FEW].clone(), g[at : at + FEW].clone())
        np.testing.assert_array_equal(few, y[at : at + FEW])
        np.testing.assert_array_equal(few_dx, dx[at : at + FEW])


def test_the_gradient_of_many_logits_is_that_of_few() -> None:
    al.manual_seed(1)
    x, target = al.randn(ROWS, WIDTH), al.randint(0, WIDTH, (ROWS,))
    target[1] = -100
    loss = lambda rows: lambda x: F.cross_entropy(x, target[rows], label_smoothing=0.1, reduction="sum")
    _, dx = _with_gradient(loss(slice(0, ROWS)), x, al.tensor(1.0))
    _, few = _with_gradient(loss(slice(0, FEW)), x[:FEW].clone(), al.tensor(1.0))
    np.testing.assert_array_equal(few, dx[:FEW])


def test_the_gradient_of_a_large_table_is_zero_but_for_its_tokens() -> None:
    ids, width = [7, 0, 12_299, 7], 771
    table = al.zeros(12_300, width, requires_grad=True)
    g = al.arange(len(ids) * width, dtype=al.float32).view(len(ids), width)
    F.embedding(al.tensor(ids), table).backward(g)
    expected = np.zeros((12_300, width), np.float32)
    np.add.at(expected, ids, g.numpy())
    np.testing.assert_array_equal(expected, table.grad.numpy())
