"""Convolutions by Winograd's form against sums of taps in float64: values, gradients of both orders, edges, what is not finite.

The form is for float32; `MANY` shapes go that way on every instruction set, which the first test makes sure of.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ascendlite as al
from ascendlite.nn import functional as F
from tests.cases.conv import conv, conv_transpose

# (N, C, O, H, W, padding): odd sizes, channels that are no whole vectors or blocks, blocks of several images and parts of one
MANY = [
    (4, 16, 16, 4, 4, (1, 1)),
    (2, 17, 35, 7, 9, (1, 1)),
    (1, 33, 16, 6, 131, (0, 0)),
    (2, 70, 20, 13, 8, (2, 0)),
    (9, 16, 130, 6, 5, (1, 1)),
    (5, 24, 16, 6, 4, (4, 1)),
    (1, 18, 19, 90, 37, (1, 1)),
]
ROUNDING = 2.0**-24


def shapes_of(case: tuple) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    N, C, O, H, W, (ph, pw) = case
    return (N, C, H, W), (O, C, 3, 3), (N, O, H + 2 * ph - 2, W + 2 * pw - 2)


def example(case: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, w, bias and the gradient of y, in float32's numbers."""
    rng = np.random.default_rng(sum(case[:5]))
    x, w, g = (rng.standard_normal(s).astype(np.float32) for s in shapes_of(case))
    return x, w, rng.standard_normal(w.shape[0]).astype(np.float32), g


def results(x: np.ndarray, w: np.ndarray, b: np.ndarray, g: np.ndarray, padding: tuple[int, int]) -> list[np.ndarray]:
    """y, and the gradients of x and w."""
    tx, tw, tb = (al.tensor(a).requires_grad_() for a in (x, w, b))
    y = F.conv2d(tx, tw, tb, padding=padding)
    y.backward(al.tensor(g))
    return [y.detach().numpy(), tx.grad.numpy(), tw.grad.numpy()]


def weight_gradient(x: np.ndarray, g: np.ndarray, padding: tuple[int, int]) -> np.ndarray:
    """Sums of x under each tap times g: a convolution in which images are the channels."""
    return conv(x.swapaxes(0, 1).astype(float), g.swapaxes(0, 1).astype(float), None, padding=padding).swapaxes(0, 1)


@pytest.fixture
def direct() -> Iterator[None]:
    before = al.backends.get_convolution()
    al.backends.set_convolution("direct")
    yield
    al.backends.set_convolution(before)


@pytest.mark.parametrize("case", MANY)
def test_both_forms_round_differently_and_little(case: tuple) -> None:
    arrays, padding = example(case), case[5]
    one = results(*arrays, padding)
    before = al.backends.get_convolution()
    al.backends.set_convolution("direct")
    other = results(*arrays, padding)
    al.backends.set_convolution(before)
    for a, b in zip(one, other, strict=True):
        assert (a != b).any(), "this shape should go by Winograd's form"
        np.testing.assert_allclose(a, b, rtol=0, atol=4e-6 * np.abs(b).max())


@pytest.mark.parametrize("case", MANY)
def test_values_and_gradients_equal_sums_of_taps_in_float64(case: tuple) -> None:
    x, w, b, g = example(case)
    padding = case[5]
    wide = [a.astype(float) for a in (x, w, b, g)]
    expected = [conv(*wide[:3], padding=padding), conv_transpose(wide[3], wide[1], padding=padding), weight_gradient(x, g, padding)]
    for got, exact in zip(results(x, w, b, g, padding), expected, strict=True):
        np.testing.assert_allclose(got, exact, rtol=0, atol=2e-6 * np.abs(exact).max())


@pytest.mark.parametrize("case", MANY)
def test_the_documented_bound_holds_where_neighbours_are_huge(case: tuple) -> None:
    x, w, _, _ = example(case)
    x[..., ::5, :] *= 1e6  # rows that some outputs of a tile read, and others do not
    y = F.conv2d(al.tensor(x), al.tensor(w), padding=case[5]).numpy()
    exact = conv(x.astype(float), w.astype(float), padding=case[5])
    largest = np.abs(np.pad(x, [(0, 0), (0, 0), *((p, p) for p in case[5])])).max(1, keepdims=True)
    largest = np.lib.stride_tricks.sliding_window_view(largest, (3, 3), (2, 3)).max((-1, -2))  # of what an output reads
    bound = 16 * (case[1] + 12) * ROUNDING * largest * np.abs(w).sum((1, 2, 3)).reshape(-1, 1, 1)
    assert (np.abs(y - exact) <= bound).all()


def test_second_gradients_equal_those_of_float64() -> None:
    def second(dtype: al.dtype) -> list[np.ndarray]:
        x, w, _, g = (al.tensor(a).to(dtype).requires_grad_() for a in example(MANY[1]))
        y = F.conv2d(x, w, padding=1)
        first = al.autograd.grad((y * g).sum(), [x, w], create_graph=True)
        return [t.double().numpy() for t in al.autograd.grad((first[0] ** 2).sum() + (first[1] ** 3).sum(), [x, w, g])]

    for got, exact in zip(second(al.float32), second(al.float64), strict=True):
        np.testing.assert_allclose(got, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    before = al.get_num_threads()
    try:
        for case in MANY:
            al.set_num_threads(1)
            alone = results(*example(case), case[5])
            al.set_num_threads(3)
            for one, many in zip(alone, results(*example(case), case[5]), strict=True):
                np.testing.assert_array_equal(one, many)
    finally:
        al.set_num_threads(before)


@pytest.mark.parametrize("case", [c for c in MANY if c[0] > 1])
def test_an_image_does_not_depend_on_the_images_beside_it(case: tuple) -> None:
    x, w, b, g = example(case)
    y, dx, _ = results(x, w, b, g, case[5])
    for i in range(case[0]):
        y1, dx1, _ = results(x[i : i + 1], w, b, g[i : i + 1], case[5])
        np.testing.assert_array_equal(y1[0], y[i])
        np.testing.assert_array_equal(dx1[0], dx[i])


def test_layouts_and_unbatched_inputs_are_not_seen() -> None:
    x, w, b, g = example(MANY[1])
    y = results(x, w, b, g, (1, 1))[0]
    last = al.tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(F.conv2d(last, al.tensor(w), al.tensor(b), padding=1).numpy(), y)
    np.testing.assert_array_equal(F.conv2d(al.tensor(x)[1], al.tensor(w), al.tensor(b), padding=1).numpy(), y[1])
    assert F.conv2d(al.empty(0, 17, 7, 9), al.tensor(w), padding=1).shape == (0, 35, 7, 9)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_what_is_not_finite_stays_where_direct_sums_have_it(value: float) -> None:
    x, w, b, g = example(MANY[0])
    x[1, 3, 2, :2] = value
    w *= 0.01  # twice 3e38 overflows in a transformed tile, not in the sums
    g *= 0.01  # where two such terms cancel, 1e-4 of the rest is their rounding
    y, dx, dw = results(x, w, b, g, (1, 1))
    with np.errstate(invalid="ignore", over="ignore"):
        wide = [a.astype(float) for a in (x, w, b, g)]
        exact = conv(*wide[:3], padding=1).astype(np.float32)
        exact_dw = weight_gradient(x, g, (1, 1)).astype(np.float32)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(exact))
    np.testing.assert_allclose(y, exact, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dw, exact_dw, rtol=1e-4, atol=1e-5)
    assert np.isfinite(dx).all()
    g[2, 5, 3, :2] = value
    with np.errstate(invalid="ignore", over="ignore"):
        exact = conv_transpose(g.astype(float), w.astype(float), padding=1).astype(np.float32)
    np.testing.assert_allclose(results(x, w, b, g, (1, 1))[1], exact, rtol=1e-4, atol=1e-5)


def test_a_weight_that_is_not_finite_reaches_its_channel_alone() -> None:
    x, w, b, g = example(MANY[1])
    w[4, 2, 1, 1] = np.inf
    y = results(x, w, b, g, (1, 1))[0]
    assert np.isinf(y[:, 4]).all()
    assert np.isfinite(np.delete(y, 4, 1)).all()


@pytest.mark.usefixtures("direct")
def test_direct_sums_can_be_asked_for() -> None:
    assert al.backends.get_convolution() == "direct"
    x, w, b, g = example(MANY[1])
    one = np.zeros_like(w)
    one[:, :, 1, 1] = w[:, :, 1, 1]  # direct sums of one tap are those of a 1x1 convolution, to the bit of a short sum
    y = results(x, one, b, g, (1, 1))[0]
    np.testing.assert_allclose(y, F.conv2d(al.tensor(x), al.tensor(w[:, :, 1:2, 1:2]), al.tensor(b)).numpy(), rtol=0, atol=1e-5)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="convolution: 'fft' is unknown; choose 'auto' or 'direct'"):
        al.backends.set_convolution("fft")


@pytest.mark.parametrize("name", [n for n in al.backends.built_instruction_sets() if n in al.backends.supported_instruction_sets()])
def test_every_instruction_set_passes(name: str) -> None:
    if name == al.backends.instruction_set:
        pytest.skip("this process runs it")
    here = Path(__file__)
    done = subprocess.run([sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(here), "-k", "float64 or finite or bound"],
                          env={**os.environ, "ASCENDLITE_INSTRUCTION_SET": name}, capture_output=True, text=True, cwd=here.parent.parent, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
