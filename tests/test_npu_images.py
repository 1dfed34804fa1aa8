"""Convolutions, norms over channels, pools and resampling on the NPU: as on the CPU, in every numerics mode, off the AI CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite as al
import ascendlite.nn.functional as F

Layer = Callable[..., al.Tensor]
TOLERANCE = {"float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}  # of the largest number: sums of some hundred terms


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
    "a long line": (lambda x, w: al.conv1d(x, w, padding=2, stride=3), ((2, 5, 700), (6, 5, 5))),
    "volumes": (lambda x, w: al.conv3d(x, w, padding=1, stride=2), ((1, 3, 5, 6, 7), (4, 3, 3, 2, 2))),
    "more channels than a tile": (lambda x, w: al.conv2d(x, w, padding=4), ((1, 3, 20, 40), (130, 3, 5, 5))),
    "more zeros than the filter": (lambda x, w: al.conv2d(x, w, padding=3), ((1, 3, 5, 6), (4, 3, 2, 1))),
    "transposed": (lambda x, w, b: al.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1), ((2, 3, 5, 6), (3, 4, 3, 3), (4,))),
    "transposed, beyond the filter": (lambda x, w: al.conv_transpose2d(x, w, stride=3, output_padding=2, groups=2), ((2, 4, 5, 6), (4, 2, 1, 1))),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_and_their_gradients(name: str, mode: str) -> None:
    f, shapes = CONVOLUTIONS[name]
    check(f, *shapes)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_convolutions_of_short_floats(dtype: str) -> None:
    for name in ("plain", "groups", "a long line", "transposed"):
        f, shapes = CONVOLUTIONS[name]
        check(f, *shapes, dtype=dtype)


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
