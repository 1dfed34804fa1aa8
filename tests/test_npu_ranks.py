"""sort, topk and kthvalue on the NPU: the CPU's order, ties and NaN included, from the vector core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite as al

rng = np.random.default_rng(0)
CALLS: dict[str, Callable[[al.Tensor], Any]] = {
    "sort": lambda x: x.sort(1), "falling": lambda x: x.sort(0, descending=True), "topk": lambda x: x.topk(5, 1),
    "smallest": lambda x: x.topk(3, 1, largest=False), "kthvalue": lambda x: x.kthvalue(4, 1),
}  # fmt: skip


def check(call: Callable[[al.Tensor], Any], x: al.Tensor) -> None:
    with al.npu.profiler.profile() as p:
        actual = call(x.npu())
    assert {"sort", "topk"} & {t.name for t in p.tasks if t.kind == "AI_VECTOR_CORE"}
    for a, e in zip(actual, call(x), strict=True):
        np.testing.assert_array_equal(a.cpu().float().numpy(), e.float().numpy())


@pytest.mark.parametrize("shape", [(7, 9), (301, 32), (40, 200), (3, 2000)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", CALLS)
def test_the_order_is_that_of_the_cpu(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    x = al.tensor(rng.integers(-40, 40, shape).astype(np.float32)).to(getattr(al, dtype))  # many are equal
    check(CALLS[name], x)


@pytest.mark.parametrize(("shape", "k", "largest"), [((3, 5000), 50, True), ((40003,), 7, False), ((2, 3000), 512, False)])
def test_the_first_of_long_rows(shape: tuple[int, ...], k: int, largest: bool) -> None:
    x = rng.integers(-90, 90, shape).astype(np.float32)
    x.reshape(-1)[[5, 70]] = np.nan
    check(lambda t: t.topk(k, -1, largest), al.tensor(x))
    check(lambda t: t.kthvalue(k, -1), al.tensor(x))


@pytest.mark.parametrize("numerics", ["device", "fp32", "fp64"])
def test_special_numbers_have_their_places(numerics: str) -> None:
    x = al.tensor([[float("nan"), 1.0, -float("inf"), float("inf"), -0.0, 0.0, float("nan"), -float("inf"), 3.0]] * 2)
    with al.npu.numerics(numerics):
        for call in CALLS.values():
            check(call, x)


@pytest.mark.parametrize("numerics", ["device", "fp32", "fp64"])
@pytest.mark.parametrize(("shape", "dtype"), [((1, 20001), "float32"), ((3, 5000), "bfloat16"), ((2, 2049), "float16")])
def test_long_rows_are_sorted_as_on_the_cpu(numerics: str, shape: tuple[int, ...], dtype: str) -> None:
    x = rng.integers(-900, 900, shape).astype(np.float32)
    x.reshape(-1)[[0, 5, 700, 2048]] = np.nan, np.inf, np.nan, -np.inf
    t = al.tensor(x).to(getattr(al, dtype))
    with al.npu.numerics(numerics):
        for falling in (False, True):
            check(lambda v: v.sort(-1, descending=falling), t)  # noqa: B023
            check(lambda v: v.topk(1100, -1, falling), t)  # noqa: B023
        check(lambda v: v.kthvalue(1900, -1), t)


@pytest.mark.parametrize("numerics", ["device", "fp64"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_integers_are_sorted_by_all_their_bits(dtype: str, numerics: str) -> None:
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, (2, 5000), dtype=dtype, endpoint=True)
    x[:, :900], x[0, 77] = rng.integers(0, 5, (2, 900)), limits.min
    with al.npu.numerics(numerics):
        for part in (al.tensor(x), al.tensor(x[:, :300])):
            for call in (lambda t: t.sort(1, stable=True), lambda t: t.topk(9, 1), lambda t: t.kthvalue(200, 1)):
                check_integers(call, part, numerics == "device")


def check_integers(call: Callable[[al.Tensor], Any], x: al.Tensor, by_kernels: bool) -> None:
    with al.npu.profiler.profile() as p:
        actual = call(x.npu())
    slow = {t.name for t in p.tasks if t.kind == "AI_CPU"}
    assert not by_kernels or slow <= ({"copy"} if x.itemsize == 1 else set()), slow  # 8 bits are cast to by the AI CPU
    for a, e in zip(actual, call(x), strict=True):
        np.testing.assert_array_equal(a.cpu().numpy(), e.numpy())
