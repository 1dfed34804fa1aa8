"""Running sums, products and extremes on the NPU: the CPU's results from the vector core, whole and in parts, in every numerics mode."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al

NAMES = ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
# short and long rows, columns, parts of equal length, a length without a good divisor
SHAPES = [((5, 7), 1), ((70, 300), 1), ((3, 40, 200), 1), ((9, 16), 0), ((2, 3000), 1), ((1, 5003), 1), ((2, 5000, 3), 1)]


def numbers(shape: tuple[int, ...], name: str) -> al.Tensor:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if name in ("cummax", "cummin"):
        x = np.round(x * 4)  # many are equal
        x.reshape(-1)[len(x.reshape(-1)) // 2] = np.nan
    return al.tensor(1 + 0.1 * x if name == "cumprod" else x)


def compare(name: str, x: al.Tensor, dim: int, tolerance: float) -> None:
    with al.npu.profiler.profile() as p:
        actual = getattr(al, name)(x.npu(), dim)
    assert {t.name for t in p.tasks if t.kind == "AI_CPU"} <= {"copy"}
    expected = getattr(al, name)(x, dim)
    for a, e in zip(actual, expected, strict=True) if isinstance(actual, tuple) else [(actual, expected)]:
        want = e.float().numpy()
        most = max(1.0, float(np.nanmax(np.abs(want))))
        np.testing.assert_allclose(a.cpu().float().numpy(), want, tolerance, tolerance * most)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_scans_give_what_the_cpu_gives(shape: tuple[int, ...], dim: int, name: str) -> None:
    compare(name, numbers(shape, name), dim, 2e-5)


@pytest.mark.parametrize("numerics", ["device", "fp32", "fp64"])
@pytest.mark.parametrize("name", NAMES)
def test_every_numerics_mode_and_narrow_formats(name: str, numerics: str) -> None:
    with al.npu.numerics(numerics):
        for shape, dim in (((66, 130), 1), ((2, 40, 70), 1)):
            compare(name, numbers(shape, name).half(), dim, 4e-3)


def test_infinities_and_nan_pass_through_a_running_logarithm() -> None:
    inf = float("inf")
    x = al.tensor([[-inf, -inf, 1.0, -inf, 2.0], [1.0, inf, 2.0, -inf, inf], [0.0, float("nan"), 1.0, inf, 2.0]])
    np.testing.assert_allclose(x.npu().logcumsumexp(1).cpu().numpy(), x.logcumsumexp(1).numpy(), 1e-6)


def test_the_gradient_runs_backward() -> None:
    x = numbers((3, 2500), "cumsum")
    grads = []
    for place in ("cpu", "npu"):
        t = x.to(place).detach().requires_grad_()
        (t.cumsum(1) * x.to(place)).sum().backward()
        grads.append(t.grad.cpu().numpy())
    np.testing.assert_allclose(grads[1], grads[0], 2e-5, 2e-3)
