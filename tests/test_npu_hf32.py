"""HF32: float32 operands of the cube rounded to 10 bits of mantissa, against a rounding of NumPy's; the switches of torch.npu; the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import ascendlite as al
from ascendlite.nn.functional import linear


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    yield
    al.npu.matmul.allow_hf32, al.npu.conv.allow_hf32 = False, False


def drawn(*shape: int, seed: int) -> al.Tensor:
    return al.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def hf32(x: al.Tensor) -> al.Tensor:
    """To nearest, ties to even: 13 of the 23 bits go."""
    bits = x.numpy().view(np.uint32).astype(np.uint64)
    bits = bits + 0xFFF + (bits >> 13 & 1) & ~np.uint64(0x1FFF)
    return al.tensor(bits.astype(np.uint32).view(np.float32))


Rule = Callable[[al.Tensor, al.Tensor, al.Tensor], al.Tensor]
CASES: dict[str, tuple[str, Rule, tuple[tuple[int, ...], ...]]] = {
    "matmul": ("matmul", lambda x, w, b: x @ w, ((40, 70), (70, 33), (1,))),
    "mv": ("matmul", lambda x, w, b: x @ w, ((40, 70), (70,), (1,))),
    "linear": ("matmul", linear, ((40, 70), (33, 70), (33,))),
    "conv2d": ("conv", lambda x, w, b: al.conv2d(x, w, b, padding=1), ((2, 6, 9, 10), (7, 6, 3, 3), (7,))),
    "conv_transpose2d": ("conv", lambda x, w, b: al.conv_transpose2d(x, w, b, stride=2), ((2, 6, 9, 10), (6, 7, 3, 3), (7,))),
}


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_operands_are_rounded_and_sums_are_not(name: str, allow: bool) -> None:
    family, rule, shapes = CASES[name]
    getattr(al.npu, family).allow_hf32 = allow
    x, w, b = (drawn(*s, seed=i) for i, s in enumerate(shapes))
    actual = rule(x.npu(), w.npu(), b.npu()).cpu().numpy()
    expected = rule(*((hf32(t) if allow else t).double() for t in (x, w)), b.double()).numpy()
    np.testing.assert_allclose(actual, expected, 3e-6, 3e-6 * np.abs(expected).max())


def test_gradients_follow_their_family() -> None:
    x, w = drawn(2, 6, 9, 10, seed=0), drawn(7, 6, 3, 3, seed=1)
    found = []
    for device, allow in (("cpu", True), ("npu", False), ("npu", True)):
        al.npu.conv.allow_hf32 = allow
        operands = [t.to(device).requires_grad_() for t in (x, w)]
        y = al.conv2d(*operands)
        found.append([g.cpu().numpy() for g in al.autograd.grad(y, operands, y.detach())])
    for exact, full, cut in zip(*found, strict=True):
        scale = np.abs(exact).max()
        assert np.abs(full - exact).max() < 2e-6 * scale
        assert 2e-5 * scale < np.abs(cut - exact).max() < 2e-3 * scale


def test_float32_is_not_cut_unless_asked_and_only_bools_are_taken() -> None:
    assert (al.npu.matmul.allow_hf32, al.npu.conv.allow_hf32) == (False, False)
    with pytest.raises(TypeError, match=r"npu.matmul.allow_hf32: must be True or False, not int"):
        al.npu.matmul.allow_hf32 = 1  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        al.npu.matmul.allow_hf = True  # type: ignore[attr-defined]


def test_wide_modes_and_halves_are_left_alone() -> None:
    x, w = drawn(40, 70, seed=0), drawn(70, 33, seed=1)
    al.npu.matmul.allow_hf32 = True
    with al.npu.numerics("fp64"):
        np.testing.assert_allclose((x.npu() @ w.npu()).cpu().numpy(), x.double().numpy() @ w.double().numpy(), 1e-6, 1e-6)
    half = (x.half().npu() @ w.half().npu()).cpu().numpy()
    al.npu.matmul.allow_hf32 = False
    np.testing.assert_array_equal(half, (x.half().npu() @ w.half().npu()).cpu().numpy())


def test_the_cube_takes_half_the_cycles() -> None:
    x, w = (al.empty(s, device="meta") for s in ((2048, 2048), (2048, 2048)))
    full = al.npu.estimate(al.matmul, x, w, chip="910b2")
    al.npu.matmul.allow_hf32 = True
    cut = al.npu.estimate(al.matmul, x, w, chip="910b2")
    assert 0.5 <= cut.rows[0].cycles["aic.M"] / full.rows[0].cycles["aic.M"] < 0.53
    assert cut.device_us < 0.9 * full.device_us
