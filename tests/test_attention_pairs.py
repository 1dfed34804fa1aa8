"""Attention of bfloat16 by pairs, emulated where the machine lacks the instruction: against float64, and the laws of its results."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import ascendlite as al
from tests.opcase import TOLERANCE

attend = al.nn.functional.scaled_dot_product_attention
NAMES = ("y", "gradient of q", "gradient of k", "gradient of v")


@pytest.fixture(autouse=True)
def pairs() -> Iterator[None]:
    al.backends.set_gemm("pairs")
    yield
    al.backends.set_gemm("auto")


def inputs(seed: int, B: int, H: int, G: int, L: int, S: int, E: int, V: int) -> list[al.Tensor]:
    """q, k, v and the gradient of the result, in bfloat16; q has rows of odd pitch, k and v heads inside rows."""
    rng = np.random.default_rng(seed)
    q, k, v, g = (
        al.tensor(rng.standard_normal(shape)).to(al.bfloat16) for shape in ((B, H, L, E + 1), (B, S, G, E), (B, S, G, V), (B, H, L, V))
    )
    return [q[..., 1:], k.transpose(1, 2), v.transpose(1, 2), g]


def results(q: al.Tensor, k: al.Tensor, v: al.Tensor, g: al.Tensor, **options: object) -> list[np.ndarray]:
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    y = attend(*leaves, enable_gqa=True, **options)  # type: ignore[arg-type]
    return [t.detach().double().numpy() for t in (y, *al.autograd.grad(y, leaves, g))]


def check(expected: list[np.ndarray], got: list[np.ndarray], where: str = "") -> None:
    """Within the table's tolerance, against the greatest of the results; where all of them are zero, against terms that cancel."""
    rtol, atol = TOLERANCE["bfloat16"]
    for name, want, y in zip(NAMES, expected, got, strict=True):
        np.testing.assert_allclose(y, want, rtol, atol * np.abs(want).max() + 1e-6, err_msg=f"{name} {where}")


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "size",
    [(2, 4, 2, 57, 131, 64, 64), (1, 2, 2, 130, 257, 31, 5), (2, 3, 1, 1, 129, 16, 33), (1, 2, 2, 3, 1, 1, 1), (1, 1, 1, 300, 300, 72, 16), (2, 2, 2, 33, 140, 16, 32), (2, 8, 2, 1, 130, 32, 16), (1, 4, 2, 3, 70, 64, 16)],
    ids=str,
)
def test_results_are_those_of_float64(size: tuple[int, ...], causal: bool) -> None:
    made = inputs(1, *size)
    expected = results(*(t.double() for t in made), is_causal=causal)
    check(expected, results(*made, is_causal=causal))


def test_masks_windows_and_sinks_are_kept() -> None:
    made = inputs(2, 2, 4, 2, 90, 140, 32, 48)
    rng = np.random.default_rng(3)
    for options in (
        {"attn_mask": al.tensor(rng.random((2, 1, 90, 140)) < 0.7)},
        {"is_causal": True, "window": 9},
        {"sinks": al.tensor(rng.standard_normal(4)).float()},
    ):
        expected = results(*(t.double() for t in made), **{k: x.double() if k == "sinks" else x for k, x in options.items()})
        check(expected, results(*made, **options), f"with {options}")


def test_a_nan_stays_in_its_block_of_queries() -> None:
    q, k, v, g = inputs(4, 1, 1, 1, 70, 70, 16, 16)
    v[0, 0, 69] = float("nan")  # the last key is seen by the last query only
    y, *_ = results(q, k, v, g, is_causal=True)
    assert np.isnan(y[0, 0, 69]).all()
    assert np.isfinite(y[0, 0, :48]).all()  # of another block of queries


@pytest.mark.parametrize(("heads", "kv_heads"), [(3, 3), (2, 1)])
def test_the_number_of_threads_does_not_change_a_bit(heads: int, kv_heads: int) -> None:
    made = inputs(5, 2 if kv_heads > 1 else 1, heads, kv_heads, 301, 301, 24, 24)
    before = al.get_num_threads()
    try:
        al.set_num_threads(1)
        alone = results(*made, is_causal=True)
        al.set_num_threads(3)
        for name, one, many in zip(NAMES, alone, results(*made, is_causal=True), strict=True):
            np.testing.assert_array_equal(one, many, err_msg=name)
    finally:
        al.set_num_threads(before)


def test_weights_are_rounded_to_bfloat16() -> None:
    q = al.zeros(1, 1, 1, 16, dtype=al.bfloat16)
    k = al.zeros(1, 1, 2, 16, dtype=al.bfloat16)
    q[..., 0], k[0, 0, 1, 0] = 4.0, -1.0
    v = al.tensor([[[[0.0] * 16, [1.0] * 16]]]).to(al.bfloat16)
    weight = al.tensor(np.exp(-1.0)).to(al.bfloat16).double().item()  # 4 * -1 / sqrt(16), against the greatest
    expected = al.tensor(weight / (1 + np.exp(-1.0))).to(al.bfloat16)
    assert attend(q, k, v)[0, 0, 0, 0].item() == expected.item()
