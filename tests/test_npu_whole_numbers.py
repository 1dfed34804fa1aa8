"""Whole numbers on the NPU beyond arithmetic: scans, extremes, elements by index, draws, flips and spread copies: the CPU's bits, from the cores alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite as al
from ascendlite.npu.kernels import passes

INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
SHAPES = [((5, 7), 1), ((70, 300), 1), ((3, 40, 200), 1), ((9, 16), 0), ((2, 3000), 1), ((1, 5003), 1), ((2, 5000, 3), 1), ((70, 129), 0)]


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> al.Tensor:
    """Of the whole range of a dtype; every third one is small, so that equals meet."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return al.tensor(rng.integers(0, 2, shape).astype(bool))
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype=np.int64, endpoint=True)
    x.reshape(-1)[::3] = rng.integers(0, 5, x.reshape(-1)[::3].shape)
    return al.tensor(x.astype(dtype))


def check(f: Callable[..., Any], *operands: Any) -> list[Any]:
    """The same bits from the cores; gives the tasks. operands: tensors, and what else f takes."""
    expected = f(*operands)
    moved = [t.npu() if isinstance(t, al.Tensor) else t for t in operands]
    with al.npu.profiler.profile() as p:
        actual = f(*moved)
    assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
    for a, e in zip(actual, expected, strict=True) if isinstance(expected, tuple) else [(actual, expected)]:
        assert (a.dtype, al.equal(a.cpu(), e)) == (e.dtype, True)
    return [t for t in p.tasks if t.kind != "MEMCPY"]


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "cummax", "cummin"])
@pytest.mark.parametrize(("shape", "dim"), SHAPES, ids=str)
def test_scans_of_64_bit_integers_are_exact(shape: tuple[int, ...], dim: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "LEAST_WHOLE", 0)
    f = getattr(al, name)
    check(lambda x: tuple(f(x, dim)) if name in ("cummax", "cummin") else f(x, dim), numbers(shape, "int64"))


@pytest.mark.parametrize("numerics", ["fp32", "fp64"])
def test_every_numerics_mode_gives_the_same(numerics: str) -> None:
    x = numbers((70, 300), "int16").long()
    calls: list[Callable[[al.Tensor], al.Tensor]] = [
        lambda x: x.cumsum(1), lambda x: x.flip(1), lambda x: x.flip(0), lambda x: x[:, :1].expand(70, 90).contiguous(), lambda x: x.tril(),
        lambda x: x.int().flip(1), lambda x: x.float().flip(0, 1), lambda x: x.half().flip(1), lambda x: x.bfloat16().flip(1),
        lambda x: x.bool().tril(), lambda x: x.argmax(1), lambda x: x.gather(1, x.remainder(300)), lambda x: x.scatter(1, x.remainder(300), x),
    ]  # fmt: skip
    with al.npu.numerics(numerics):
        for f in calls:
            assert al.equal(f(x.npu()).cpu(), f(x))
        for low, dtype in ((-5, al.int64), (-5, al.int32), (0, al.uint8), (-5, al.float32)):
            found = []
            for device in ("cpu", "npu"):
                al.manual_seed(5)
                found.append(al.randint(low, 99, (1000,), dtype=dtype, device=device).cpu())
            assert al.equal(*found)


@pytest.mark.parametrize(("reverse", "exclusive"), [(True, False), (True, True), (False, True)])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_scans_from_the_end_and_without_the_element(name: str, reverse: bool, exclusive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "LEAST_WHOLE", 0)
    for shape, dim in (((5, 70), 1), ((3, 77, 66), 1), ((2, 2100), 1)):
        check(lambda x, d: al.core.OPS[name](x, d, reverse, exclusive), numbers(shape, "int64"), dim)


@pytest.mark.parametrize("dtype", [*INTEGERS[2:], "bool"])
def test_scans_of_narrow_integers(dtype: str) -> None:
    x = numbers((70, 300), dtype)
    check(lambda x: x.cumsum(1), x)
    if dtype != "bool":
        check(lambda x: tuple(x.cummax(1)), x)
        check(lambda x: tuple(x.cummin(0)), x)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_extremes_and_their_places(dtype: str) -> None:
    x = numbers((37, 70, 3), dtype)
    for dim in range(3):
        check(lambda x, d: (*x.max(d), *x.min(d), x.argmax(d)), x, dim)
    check(lambda x: x.argmin(), x)


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool"])
def test_elements_by_index_triangles_and_spread_copies(dtype: str) -> None:
    x = numbers((37, 70, 3), dtype)
    for dim in range(3):
        index = al.tensor(np.random.default_rng(dim).integers(0, x.shape[dim], (11, 13, 2)))
        check(al.gather, x, dim, index)
        check(al.scatter, x, dim, index, 1)
        check(al.scatter, x, dim, index, numbers((12, 14, 3), dtype, 1))
        if dtype in ("int32", "int16", "int8"):
            check(al.scatter_add, x, dim, index, numbers((12, 14, 3), dtype, 1))
    for diagonal in (-2, 0, 1):
        check(lambda x, k: (x.tril(k), x.triu(k)), x, diagonal)
    for shape, to in (((), (4, 5)), ((5, 1), (5, 7)), ((300, 1), (300, 1001)), ((3, 1, 5, 1), (3, 4, 5, 6)), ((1,), (70000,)), ((2000, 1), (2000, 3))):
        check(lambda x, to: x.expand(to).contiguous(), numbers(shape, dtype), to)


def test_what_is_scattered_twice_keeps_the_last_value() -> None:
    x, index = al.zeros(40, 9, dtype=al.int64), al.tensor(np.random.default_rng(0).integers(0, 3, (40, 9)))
    check(lambda x, i, v: x.scatter(1, i, v), x, index, numbers((40, 9), "int64"))


def test_one_hot() -> None:
    check(lambda t: al.nn.functional.one_hot(t, 11), al.arange(90).reshape(9, 10) % 11)
    told = al.npu.estimate(lambda t: al.nn.functional.one_hot(t, 1000), al.empty(65536, dtype=al.int64, device="meta"), chip="910b2")
    moved = 65536 * 1000 * 8 * 4  # bytes: zeros, and a copy of them
    assert told.device_us < 1.5 * moved / 1.6e12 * 1e6


FLIPPED = [(5,), (7, 9), (64, 100), (3, 4, 5), (2, 9000), (300, 4), (5000, 6), (2, 3, 4, 5), (3, 4099), (1, 1)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "uint8"])
@pytest.mark.parametrize("shape", FLIPPED, ids=str)
def test_flips(shape: tuple[int, ...], dtype: str) -> None:
    x = al.arange(int(np.prod(shape))).reshape(shape).to(getattr(al, dtype))
    for n in range(1, len(shape) + 1):
        for dims in itertools.combinations(range(len(shape)), n):
            tasks = check(al.flip, x, dims)
            if dtype != "uint8" and shape not in ((5000, 6), (3, 4099)):
                assert len(tasks) == 1


def test_a_flip_costs_what_a_copy_costs() -> None:
    x = al.empty(4096, 4096, device="meta")
    for dims in ((0,), (1,), (0, 1)):
        assert al.npu.estimate(al.flip, x, dims, chip="910b2").device_us < 1.2 * 2 * x.nbytes / 1.6e12 * 1e6


@pytest.mark.parametrize("dtype", [*INTEGERS, "float32"])
@pytest.mark.parametrize("first", [0, 5, 32, 77])
def test_draws_of_whole_numbers(dtype: str, first: int) -> None:
    ranges = [(0, 100), (0, 2), (3, 90), (-5, 7), (-(1 << 31), (1 << 31) - 1), (0, (1 << 32) - 1), (0, 65536), (-(1 << 40), 77777 - (1 << 40))]
    for low, high in ranges[: {"int64": 8, "int32": 7, "int16": 4, "int8": 4, "uint8": 3, "float32": 4}[dtype]]:
        if dtype == "int32" and high > 1 << 31:
            continue
        found = []
        for device in ("cpu", "npu"):
            al.manual_seed(7)
            al.randint(0, 5, (first,), device=device)
            with al.npu.profiler.profile() as p:
                found.append(al.randint(low, high, (3, 1001), dtype=getattr(al, dtype), device=device).cpu())
        assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
        assert al.equal(*found)


def test_64_bit_words_of_philox_are_those_of_the_cpu() -> None:
    for high in (1 << 40, 1 << 62):  # AI CPU: wider ranges take both words whole
        found = []
        for device in ("cpu", "npu"):
            al.manual_seed(3)
            found.append(al.randint(high, (100,), device=device).cpu())
        assert al.equal(*found)
