"""Random numbers on the NPU: the CPU's, drawn by the vector core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ascendlite as al

Made = Callable[[str, "al.dtype"], al.Tensor]
SAME: dict[str, Made] = {
    "uniform": lambda device, dtype: al.rand(1003, dtype=dtype, device=device),
    "narrow uniform": lambda device, dtype: al.empty(70, 9, dtype=dtype, device=device).uniform_(-2.5, 3.0),
    "bernoulli": lambda device, dtype: al.zeros(999, dtype=dtype, device=device).bernoulli_(0.3),
    "likely bernoulli": lambda device, dtype: al.zeros(999, dtype=dtype, device=device).bernoulli_(0.8),
    "even bernoulli": lambda device, dtype: al.zeros(999, dtype=dtype, device=device).bernoulli_(0.5),
    "sure bernoulli": lambda device, dtype: al.zeros(99, dtype=dtype, device=device).bernoulli_(1.0),
    "never bernoulli": lambda device, dtype: al.zeros(99, dtype=dtype, device=device).bernoulli_(0.0),
    "chances": lambda device, dtype: al.bernoulli((al.arange(500, dtype=dtype) / 500).to(device)),
    "dropout": lambda device, dtype: al.dropout(al.ones(77, 31, dtype=dtype, device=device), 0.4),
    "much dropout": lambda device, dtype: al.dropout(al.ones(77, 31, dtype=dtype, device=device), 0.9),
    "hardly any dropout": lambda device, dtype: al.dropout(al.ones(77, 31, dtype=dtype, device=device), 1e-9),
    "normal": lambda device, dtype: al.randn(5000, dtype=dtype, device=device),
    "scaled normal": lambda device, dtype: al.empty(33, dtype=dtype, device=device).normal_(3.0, 0.5),
    "exponential": lambda device, dtype: al.empty(900, dtype=dtype, device=device).exponential_(2.0),
}


def drawn(make: Made, device: str, dtype: str, before: int) -> np.ndarray:
    """What is drawn after `before` numbers of the same seed."""
    al.manual_seed(1234567890123)
    if before:
        al.rand(before, device="cpu")
    return make(device, getattr(al, dtype)).cpu().float().numpy()


@pytest.mark.parametrize("before", [0, 5, 40])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", SAME)
def test_the_numbers_are_those_of_the_cpu(name: str, dtype: str, before: int) -> None:
    make = SAME[name]
    expected = drawn(make, "cpu", dtype, before)
    with al.npu.profiler.profile() as p:
        actual = drawn(make, "npu", dtype, before)
    assert name.split()[-1].replace("chances", "bernoulli") in {t.name for t in p.tasks if t.kind == "AI_VECTOR_CORE"}
    np.testing.assert_array_equal(actual, expected)


def test_normal_numbers_have_the_same_bits_on_both_devices() -> None:
    """A million of them."""
    al.manual_seed(7)
    expected = al.randn(1 << 20).numpy()
    al.manual_seed(7)
    np.testing.assert_array_equal(al.randn(1 << 20, device="npu").cpu().numpy().view(np.int32), expected.view(np.int32))


def test_the_gradient_of_dropout_draws_the_same_mask() -> None:
    x = al.ones(3000, device="npu", requires_grad=True)
    y = al.dropout(x, 0.25)
    y.sum().backward()
    assert al.equal(x.grad, y)


@pytest.mark.parametrize("numerics", ["fp32", "fp64"])
def test_wide_numerics_draw_the_same_words(numerics: str) -> None:
    expected = [drawn(make, "cpu", "float32", 7) for make in (SAME["dropout"], SAME["normal"])]
    with al.npu.numerics(numerics):
        actual = [drawn(make, "npu", "float32", 7) for make in (SAME["dropout"], SAME["normal"])]
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, 2e-6, 2e-6)
