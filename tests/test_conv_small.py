"""Convolutions with a road of their own: planes with few pixels, as products of pixels, chunk by chunk; depthwise ones, plane by plane."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ascendlite as al
from ascendlite.nn import functional as F
from tests.cases.conv import conv_transpose

IMAGES = 90  # more than one chunk: a chunk holds 2,048 pixels, an image 25 or 36


def gradients(x: al.Tensor, w: al.Tensor, g: al.Tensor) -> list[np.ndarray]:
    x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
    y = F.conv2d(x, w, padding=1, stride=-(-x.shape[-1] // g.shape[-1]), groups=x.shape[1] // w.shape[1])
    y.backward(g)
    return [y.detach().numpy(), x.grad.numpy(), w.grad.numpy()]


def example() -> tuple[al.Tensor, al.Tensor, al.Tensor]:
    al.manual_seed(3)
    return al.randn(IMAGES, 128, 5, 5), al.randn(32, 128, 3, 3), al.randn(IMAGES, 32, 5, 5)


def strided() -> tuple[al.Tensor, al.Tensor, al.Tensor]:
    al.manual_seed(5)
    return al.randn(IMAGES, 18, 6, 6), al.randn(35, 18, 3, 3), al.randn(IMAGES, 35, 3, 3)


@pytest.mark.parametrize("make", [example, strided])
def test_an_image_does_not_depend_on_the_images_beside_it(make: Callable[[], tuple[al.Tensor, al.Tensor, al.Tensor]]) -> None:
    x, w, g = make()
    y, dx, dw = gradients(x, w, g)
    total = np.zeros(dw.shape)
    for i in range(IMAGES):
        y1, dx1, dw1 = gradients(x[i : i + 1], w, g[i : i + 1])
        np.testing.assert_array_equal(y1[0], y[i])
        np.testing.assert_array_equal(dx1[0], dx[i])
        total += dw1
    np.testing.assert_allclose(dw, total, atol=1e-3)  # sums of 1,000 products of normal numbers


def test_a_strided_gradient_of_a_larger_plane_equals_sums_of_taps() -> None:
    al.manual_seed(6)
    x, w, g = al.randn(3, 16, 46, 43), al.randn(17, 16, 3, 3), al.randn(3, 17, 23, 22)
    expected = conv_transpose(g.double().numpy(), w.double().numpy(), stride=2, padding=1, output_padding=(1, 0))
    np.testing.assert_allclose(gradients(x, w, g)[1], expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def depthwise() -> tuple[al.Tensor, al.Tensor, al.Tensor]:
    al.manual_seed(4)
    return al.randn(5, 6, 9, 21), al.randn(6, 1, 3, 3), al.randn(5, 6, 9, 21)


@pytest.mark.parametrize("make", [example, strided, depthwise])
def test_the_number_of_threads_does_not_change_a_bit(make: Callable[[], tuple[al.Tensor, al.Tensor, al.Tensor]]) -> None:
    before = al.get_num_threads()
    try:
        al.set_num_threads(1)
        alone = gradients(*make())
        al.set_num_threads(3)
        for one, many in zip(alone, gradients(*make()), strict=True):
            np.testing.assert_array_equal(one, many)
    finally:
        al.set_num_threads(before)


def test_what_is_infinite_reaches_only_the_taps_that_read_it() -> None:
    x, w, g = depthwise()
    x[0, 0, 4, 0] = float("inf")  # the first column: no output of another row and no tap to its right reads it
    g[0, 0, 3] = g[0, 0, 5] = 0.0
    y, _, dw = gradients(x, w, g)
    assert np.isinf(y).sum() + np.isnan(y).sum() == 6  # rows 3 to 5, columns 0 and 1
    assert np.isfinite(dw[1:]).all()
    assert np.isfinite(dw[0, 0, 1, 2])  # the tap to the right reads from column 1 on
