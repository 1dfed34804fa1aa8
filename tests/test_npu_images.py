"""Convolutions, norms over channels, pools, resampling and losses on the NPU: as on the CPU, in every numerics mode, off the AI CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite as al
import ascendlite.nn.functional as F

Layer = Callable[..., al.Tensor]
TOLERANCE = {"float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}  # of the largest number: sums of some hundred terms


def spatial(f: Callable[[al.Tensor], Any]) -> Layer:
    """A pool that may give places, too: they count as further results."""

    def layer(x: al.Tensor) -> al.Tensor:
        y = f(x)
        return y if isinstance(y, al.Tensor) else al.cat([y[0], y[1].to(y[0].dtype)])

    return layer


def gradients(f: Layer, arrays: tuple[np.ndarray, ...], dtype: str, device: str) -> list[np.ndarray]:
    """The result and the gradients of all inputs, for a fixed gradient of the result."""
    inputs = [al.tensor(a).to(getattr(al, dtype)).to(device).requires_grad_() for a in arrays]
    with al.npu.profiler.profile() as p:
        y = f(*inputs)
        g = np.random.default_rng(9).standard_normal(y.shape).astype(np.float32)
        y.backward(al.tensor(g).to(y.dtype).to(device))
    assert "AI_CPU" not in {t.kind for t in p.tasks}, [t.name for t in p.tasks if t.kind == "AI_CPU"]
    return [t.detach().cpu().float().numpy() for t in (y, *(x.grad for x in inputs if x.grad is not None))]


def check(f: Layer, *shapes: tuple[int, ...], dtype: str = "float32") -> None:
    rng = np.random.default_rng(3)
    arrays = tuple(rng.standard_normal(s).astype(np.float32) for s in shapes)
    expected, actual = (gradients(f, arrays, dtype, device) for device in ("cpu", "npu"))
    for a, b in zip(expected, actual, strict=True):
        np.testing.assert_allclose(b, a, 0, TOLERANCE[dtype] * max(1.0, np.abs(a).max()))


@pytest.fixture(params=["device", "fp32", "fp64"])
def mode(request: Any) -> Any:
    with al.npu.numerics(request.param):
        yield request.param


CONVOLUTIONS: dict[str, tuple[Layer, tuple[tuple[int, ...], ...]]] = {
    "plain": (lambda x, w, b: al.conv2d(x, w, b, padding=1), ((2, 3, 9, 10), (4, 3, 3, 3), (4,))),
    "strided, over two blocks of channels": (lambda x, w: al.conv2d(x, w, stride=2), ((2, 20, 9, 10), (5, 20, 3, 2))),
    "groups": (lambda x, w: al.conv2d(x, w, groups=4, padding=1, dilation=2), ((1, 4, 12, 11), (8, 1, 3, 3))),
    "each channel alone": (lambda x, w: al.conv2d(x, w, groups=40, padding=1, stride=2), ((1, 40, 6, 5), (40, 1, 3, 3))),
    "five channels alone": (lambda x, w: al.conv2d(x, w, groups=5), ((2, 5, 6, 5), (5, 1, 3, 2))),
    "a long line": (lambda x, w: al.conv1d(x, w, padding=2, stride=3), ((2, 5, 700), (6, 5, 5))),
    "volumes": (lambda x, w: al.conv3d(x, w, padding=1, stride=2), ((1, 3, 5, 6, 7), (4, 3, 3, 2, 2))),
    "more channels than a tile": (lambda x, w: al.conv2d(x, w, padding=4), ((1, 3, 20, 40), (130, 3, 5, 5))),
    "more zeros than the filter": (lambda x, w: al.conv2d(x, w, padding=3), ((1, 3, 5, 6), (4, 3, 2, 1))),
    "transposed": (lambda x, w, b: al.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1), ((2, 3, 5, 6), (3, 4, 3, 3), (4,))),
    "transposed, beyond the filter": (lambda x, w: al.conv_transpose2d(x, w, stride=3, output_padding=2, groups=2), ((2, 4, 5, 6), (4, 2, 1, 1))),
    "single pixels": (lambda x, w: al.conv2d(x, w), ((3, 20, 5, 7), (18, 20, 1, 1))),
    "groups of some channels": (lambda x, w: al.conv2d(x, w, groups=3, padding=1), ((2, 15, 6, 6), (12, 5, 3, 3))),
    "a long filter": (lambda x, w: al.conv2d(x, w, padding=(3, 10)), ((1, 20, 9, 50), (40, 20, 7, 21))),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_and_their_gradients(name: str, mode: str) -> None:
    f, shapes = CONVOLUTIONS[name]
    check(f, *shapes)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_convolutions_of_short_floats(dtype: str, name: str) -> None:
    f, shapes = CONVOLUTIONS[name]
    check(f, *shapes, dtype=dtype)


@pytest.mark.parametrize("name", ["strided, over two blocks of channels", "groups of some channels", "volumes"])
def test_filters_of_short_floats_have_their_gradient_in_every_mode(name: str, mode: str) -> None:
    f, shapes = CONVOLUTIONS[name]
    check(f, *shapes, dtype="float16")


def test_a_filter_s_gradient_reads_the_image_s_columns_once() -> None:
    """Not once a position of the filter."""
    x, w = (al.empty(*s, dtype=al.float16, device="meta", requires_grad=True) for s in ((8, 32, 14, 14), (32, 1, 3, 3)))
    told = al.npu.estimate(lambda x, w: al.conv2d(x, w, padding=1, groups=32).sum().backward(), x, w)
    assert told.by_name()["conv_weight"][0] == 1
    assert "matmul" not in told.by_name()


def test_filters_of_single_pixels_are_a_product() -> None:
    x, w = (al.empty(*s, dtype=al.float16, device="meta") for s in ((8, 64, 14, 14), (32, 64, 1, 1)))
    assert ["matmul"] == [row.name for row in al.npu.estimate(al.conv2d, x, w).rows]


NORMS: dict[str, tuple[Layer, tuple[int, ...]]] = {
    "batch": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), (3, 6, 7, 9)),
    "batch of vectors": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), (30, 6)),
    "batch, planes longer than UB": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), (2, 6, 130, 150)),
    "group": (lambda x, w, b: F.group_norm(x, 2, w, b), (3, 6, 7, 5)),
    "instance": (lambda x, w, b: F.instance_norm(x, None, None, w, b), (3, 6, 7, 5)),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_over_channels(name: str, mode: str) -> None:
    f, shape = NORMS[name]
    check(f, shape, (6,), (6,))


POOLS: dict[str, tuple[Layer, tuple[int, ...]]] = {
    "largest": (lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True), (2, 5, 13, 14)),
    "largest of a line, dilated": (lambda x: F.max_pool1d(x, 3, 1, 1, 2, return_indices=True), (2, 70, 31)),
    "largest of a volume": (lambda x: F.max_pool3d(x, 2, return_indices=True), (1, 3, 6, 5, 7)),
    "largest, planes longer than UB": (lambda x: F.max_pool2d(x, 3, 2, 1), (1, 3, 112, 112)),
    "largest, adaptive": (lambda x: F.adaptive_max_pool2d(x, (3, 6), return_indices=True), (2, 3, 8, 4)),
    "mean": (lambda x: F.avg_pool2d(x, 3, 2, 1), (2, 5, 13, 14)),
    "mean of what is inside": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 5, 12, 14)),
    "sum over a divisor": (lambda x: F.avg_pool2d(x, 3, 1, 1, divisor_override=5), (70, 5, 12, 14)),
    "mean, adaptive": (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), (2, 3, 8, 9)),
    "mean of all": (lambda x: F.adaptive_avg_pool2d(x, 1), (2, 3, 28, 29)),
    "nearest": (lambda x: F.interpolate(x, size=(5, 13)), (2, 3, 8, 7)),
    "nearest, exact": (lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"), (2, 3, 6, 7)),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), (2, 3, 6, 7)),
    "bilinear, corners aligned": (lambda x: F.interpolate(x, size=(5, 13), mode="bilinear", align_corners=True), (2, 3, 8, 7)),
    "bicubic": (lambda x: F.interpolate(x, size=(5, 13), mode="bicubic"), (2, 3, 8, 7)),
    "trilinear": (lambda x: F.interpolate(x, scale_factor=(1.5, 2, 0.7), mode="trilinear"), (2, 3, 4, 3, 8)),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_and_resampling(name: str, mode: str) -> None:
    f, shape = POOLS[name]
    check(spatial(f), shape)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_pools_of_short_floats(dtype: str) -> None:
    for name in ("largest", "mean", "bilinear"):
        f, shape = POOLS[name]
        check(spatial(f), shape, dtype=dtype)


LOSSES: dict[str, Layer] = {
    "nll_loss": lambda x, t: F.nll_loss(x, (t[:, 0] * 2).abs().long()),
    "nll_loss, weighted": lambda x, t: F.nll_loss(x, (t[:, 0] * 2).abs().long(), t[0].detach().abs(), ignore_index=1),
    "cross_entropy": lambda x, t: F.cross_entropy(x, (t[:, 0] * 2).abs().long()),
    "kl_div": lambda x, t: F.kl_div(x, t.detach().sigmoid()),
    "kl_div of logarithms": lambda x, t: F.kl_div(x, t, log_target=True),
    "binary_cross_entropy": lambda x, t: F.binary_cross_entropy(x.sigmoid(), t.sigmoid()),
    "binary_cross_entropy_with_logits": lambda x, t: F.binary_cross_entropy_with_logits(x, t.sigmoid(), pos_weight=t[0].detach().abs()),
    "smooth_l1_loss": F.smooth_l1_loss, "huber_loss": F.huber_loss, "mse_loss": F.mse_loss, "l1_loss": F.l1_loss,
    "cosine_similarity": F.cosine_similarity, "clamp": lambda x, t: (x.clamp(-0.5, 0.5) + t.clamp(min=0.1)).sum(),
    "pad": lambda x, t: F.pad(x, (1, -2, 3, 4), value=2.0),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, mode: str) -> None:
    check(LOSSES[name], (40, 11), (40, 11))


def test_the_largest_of_ties_is_the_first_and_of_nans_the_last() -> None:
    x = al.tensor([[[0.0, 2.0, 2.0, 1.0], [float("nan"), 1.0, float("nan"), -1.0]]]).reshape(1, 2, 4)
    values, places = F.max_pool1d(x.npu(), 4, return_indices=True)
    np.testing.assert_array_equal(values.cpu().numpy(), [[[2.0], [np.nan]]])
    np.testing.assert_array_equal(places.cpu().numpy(), [[[1], [2]]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_of_short_floats(dtype: str) -> None:
    for name in ("nll_loss, weighted", "cross_entropy", "smooth_l1_loss", "binary_cross_entropy_with_logits", "pad"):
        check(LOSSES[name], (40, 11), (40, 11), dtype=dtype)
