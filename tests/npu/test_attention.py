"""The attention kernels: values and gradients in every numerics mode against the formula, whatever the tiles, and what the device does with them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ascendlite as al
import ascendlite.npu as npu
from ascendlite.npu import programs
from ascendlite.npu.kernels import attention
from ascendlite.npu.kernels.attention import Case
from ascendlite.npu.kernels.flash_plan import Lie, Problem, Tiles
from tests.cases.attention import reference

SHAPES = {
    "tails": ((1, 3, 77, 40), (1, 3, 150, 40), (1, 3, 150, 24)),
    "groups": ((2, 6, 70, 16), (2, 2, 70, 16), (2, 2, 70, 16)),
    "wide": ((1, 2, 40, 256), (1, 2, 50, 256), (1, 2, 50, 256)),
}
OPTIONS: dict[str, dict[str, Any]] = {"plain": {}, "causal": {"is_causal": True}, "window": {"is_causal": True, "window": 33}}
TOLERANCE = {"device": 2e-5, "fp32": 2e-5, "fp64": 1e-6}  # what is read back is float32


@pytest.fixture(params=["device", "fp32", "fp64"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    with npu.numerics(request.param):
        yield request.param


def draw(name: str, dtype: str = "float32") -> list[al.Tensor]:
    rng = np.random.default_rng(3)
    return [al.tensor(rng.standard_normal(s).astype(np.float32)).to(getattr(al, dtype)) for s in SHAPES[name]]


def expected(x: list[al.Tensor], **options: Any) -> np.ndarray:
    q, k, v = (t.double().numpy() for t in x)
    return np.asarray(reference(q, k, v, causal=options.get("is_causal", False), window=options.get("window")))


def on_device(x: list[al.Tensor], **options: Any) -> al.Tensor:
    groups = x[0].shape[1] != x[1].shape[1]
    return al.nn.functional.scaled_dot_product_attention(*(t.npu() for t in x), enable_gqa=groups, **options)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_numerics_mode_gives_the_formula(mode: str, shape: str, options: str) -> None:
    x = draw(shape)
    y = on_device(x, **OPTIONS[options])
    np.testing.assert_allclose(y.cpu().double().numpy(), expected(x, **OPTIONS[options]), atol=TOLERANCE[mode])


@pytest.mark.parametrize("dtype, tolerance", [("float16", 2e-3), ("bfloat16", 1.6e-2)])
@pytest.mark.parametrize("shape", SHAPES)
def test_narrow_formats_stay_near_the_formula(shape: str, dtype: str, tolerance: float) -> None:
    x = draw(shape, dtype)
    y = on_device(x, is_causal=True)
    np.testing.assert_allclose(y.cpu().double().numpy(), expected(x, is_causal=True), atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_the_cpu(shape: str) -> None:
    grads = []
    for device in ("cpu", "npu"):
        x = [t.to(device).requires_grad_() for t in draw(shape)]
        y = al.nn.functional.scaled_dot_product_attention(*x, is_causal=True, enable_gqa=True)
        y.backward(al.ones_like(y) * 0.1 + y.detach())
        grads.append([t.grad.cpu().numpy() for t in x])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(b, a, atol=5e-5, rtol=1e-4)


def problem(L: int, S: int, causal: bool) -> Problem:
    lie = [Lie(3 * n * 40, n * 40, 40) for n in (L, S, S)]
    return Problem(1, 3, 3, L, S, 40, 40, causal, 0, 40**-0.5, *lie)


@pytest.mark.parametrize("tiles", [Tiles(16, 64, 64), Tiles(32, 128, 64), Tiles(64, 64, 32), Tiles(128, 64, 16), Tiles(64, 256, 128)])
def test_the_result_does_not_depend_on_the_tiles(tiles: Tiles, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    x = [al.tensor(rng.standard_normal((1, 3, n, 40)).astype(np.float32)) for n in (170, 200, 200)]
    monkeypatch.setattr(attention, "best_tiles", lambda case, chip: tiles)
    y = on_device(x, is_causal=True)
    np.testing.assert_allclose(y.cpu().double().numpy(), expected(x, is_causal=True), atol=2e-6)


def test_the_clock_chooses_the_tiles_once() -> None:
    case = Case("flash", problem(300, 300, True), "float16", "", False)
    before = attention.best_tiles.cache_info().misses
    chosen = [attention.best_tiles(case, npu.chips.load("910b2")) for _ in range(3)]
    assert chosen[0] is not None
    assert attention.best_tiles.cache_info().misses == before + 1
    assert len(set(chosen)) == 1


def test_a_query_that_sees_nothing_gives_zeros_and_no_gradient() -> None:
    x = [t.npu().requires_grad_() for t in draw("tails")]
    mask = al.zeros(77, 150, dtype=al.bool)
    mask[5:] = True
    y = al.nn.functional.scaled_dot_product_attention(*x, attn_mask=mask.npu())
    y.backward(al.ones_like(y))
    assert float(y[:, :, :5].abs().max().item()) == 0.0
    gradient = x[0].grad
    assert gradient is not None
    assert float(gradient[:, :, :5].abs().max().item()) == 0.0
    assert all(math.isfinite(float(t.grad.sum().item())) for t in x if t.grad is not None)


def test_the_largest_scores_do_not_overflow() -> None:
    x = [t * 100 for t in draw("tails")]
    y = on_device(x)
    np.testing.assert_allclose(y.cpu().double().numpy(), expected(x), atol=2e-2)


def test_one_kernel_runs_forward_and_three_backward() -> None:
    with npu.profiler.profile() as p:
        x = [t.npu().half().requires_grad_() for t in draw("groups")]
        y = al.nn.functional.scaled_dot_product_attention(*x, is_causal=True, enable_gqa=True)
        y.backward(y.detach())
    tasks = [(t.name, t.kind) for t in p.tasks if t.name.startswith("attention")]
    assert tasks == [("attention", "MIX_AIC"), ("attention_delta", "AI_VECTOR_CORE"), *[("attention_backward", "MIX_AIC")] * 2]


def test_the_bytes_are_the_same_for_any_number_of_threads() -> None:
    results = []
    for threads in (1, 2):
        before = al.get_num_threads()
        al.set_num_threads(threads)
        x = [t.npu().requires_grad_() for t in draw("groups")]
        y = al.nn.functional.scaled_dot_product_attention(*x, is_causal=True, enable_gqa=True)
        y.backward(y.detach())
        al.set_num_threads(before)
        results.append([y.detach().cpu().numpy(), *(t.grad.cpu().numpy() for t in x)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_timed_is_launched_without_another_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    real = programs.trace
    monkeypatch.setattr(programs, "trace", lambda function, *rest: traced.append(function.__name__) or real(function, *rest))
    q, k, v = (al.rand(1, 3, 211, 48, dtype=al.float16, device="npu").requires_grad_() for _ in range(3))
    al.nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    assert {"flash", "flash_dq", "flash_dkv"} <= set(traced)
    assert all(traced.count(name) <= attention._CANDIDATES for name in ("flash", "flash_dq", "flash_dkv"))
