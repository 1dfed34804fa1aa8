"""Activations and their gradients on the vector core: as on the CPU, in every numerics mode, at edges, off the AI CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import ascendlite as al

F = al.nn.functional
EDGES = (0.0, -0.0, 1e-5, -1e-5, 3.0, -3.0, 6.0, 15.9, 20.0, -20.0, 88.0, -88.0, 104.0, -104.0, 1e30, -1e30, np.inf, -np.inf, np.nan)
X = np.concatenate([np.random.default_rng(0).standard_normal(1001) * 4, EDGES]).astype(np.float32)
CALLS: dict[str, Callable[[al.Tensor], al.Tensor]] = {
    "elu": F.elu, "celu": lambda x: F.celu(x, 0.7), "selu": F.selu, "softplus": F.softplus, "softplus_beta": lambda x: F.softplus(x, 2.0, 5.0),
    "mish": F.mish, "leaky_relu": lambda x: F.leaky_relu(x, 0.1), "hardtanh": F.hardtanh, "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid,
    "relu6": F.relu6, "threshold": lambda x: F.threshold(x, 0.3, -1.0), "logsigmoid": F.logsigmoid, "swiglu": lambda x: al.swiglu(x, x.flip(0)),
    "softsign": F.softsign, "prelu": lambda x: F.prelu(x, al.tensor([0.2], device=x.device, dtype=x.dtype)),
}  # fmt: skip
CLOSE = {al.float32: 3e-6, al.float16: 2e-3, al.bfloat16: 1.6e-2}


@pytest.fixture(params=["device", "fp32", "fp64"])
def _numerics(request: pytest.FixtureRequest) -> Iterator[None]:
    with al.npu.numerics(request.param):
        yield


def _results(call: Callable[[al.Tensor], al.Tensor], x: al.Tensor) -> tuple[al.Tensor, al.Tensor]:
    """What a call gives, and the gradient of its sum."""
    x = x.requires_grad_()
    y = call(x)
    return y.detach(), al.autograd.grad(y, x, al.ones_like(y))[0]


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", CALLS)
def test_activations_give_what_the_cpu_gives(name: str, dtype: al.dtype, _numerics: None) -> None:
    x = al.tensor(X).to(dtype)
    with al.npu.profiler.profile() as p:
        actual = _results(CALLS[name], x.npu())
    assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
    for a, e in zip(actual, _results(CALLS[name], x), strict=True):
        np.testing.assert_allclose(a.float().cpu().numpy(), e.float().numpy(), CLOSE[dtype], CLOSE[dtype] / 10)


@pytest.mark.parametrize("n, count, iterations", [(4, 130, 20), (2, 7, 3), (1, 5, 4), (6, 33, 5)])
def test_sinkhorn_gives_what_the_cpu_gives(n: int, count: int, iterations: int, _numerics: None) -> None:
    x = al.tensor(np.random.default_rng(n).standard_normal((count, n, n)).astype(np.float32) * 2)
    actual, expected = (_results(lambda t: al.nn.functional.sinkhorn(t, iterations).square(), t) for t in (x.npu(), x))
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a.cpu().numpy(), e.numpy(), 1e-5, 1e-6)


@pytest.mark.parametrize("dim", [0, 1])
def test_softmax_of_other_dims_is_off_the_ai_cpu(dim: int, _numerics: None) -> None:
    x = al.tensor(X[:990].reshape(10, 9, 11)).nan_to_num(0.0)
    for call in (al.softmax, al.log_softmax):
        with al.npu.profiler.profile() as p:
            actual = _results(lambda t, call=call: call(t, dim).cos(), x.npu())
        assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
        for a, e in zip(actual, _results(lambda t, call=call: call(t, dim).cos(), x), strict=True):
            np.testing.assert_allclose(a.cpu().numpy(), e.numpy(), 1e-5, 1e-6)


@pytest.mark.parametrize("name, function", [("sin", math.sin), ("cos", math.cos), ("erfc", math.erfc)])
def test_every_half_gives_the_half_that_is_nearest_to_the_value(name: str, function: Callable[[float], float]) -> None:
    """To 3 % of half an ulp."""
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    x = x[np.isfinite(x)]
    expected = np.array([function(float(v)) for v in x])
    actual = getattr(al, name)(al.tensor(x).npu()).cpu().numpy().astype(np.float64)
    np.testing.assert_allclose(actual, expected, 1.03 * 2**-11, 1.03 * 2**-25)
    assert np.array_equal(np.signbit(actual[x == 0]), np.signbit(expected[x == 0]))


@pytest.mark.parametrize("name", ["sin", "cos", "erfc"])
def test_halves_that_are_no_numbers_or_endless_give_what_the_cpu_gives(name: str) -> None:
    x = al.tensor([np.inf, -np.inf, np.nan], dtype=al.float16)
    np.testing.assert_array_equal(getattr(al, name)(x.npu()).cpu().numpy(), getattr(al, name)(x).numpy())
