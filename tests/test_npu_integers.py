"""Comparisons, logic, bits, choices and arithmetic of every dtype that the vector core has: as on the CPU, in every numerics mode, off the AI CPU."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import numpy as np
import pytest

import ascendlite as al

INTEGERS = ("int32", "int16", "int8", "uint8")
COMPARED = ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor")
Made = Callable[..., al.Tensor]
DIVISIONS: dict[str, Made] = {
    "floor_divide": al.floor_divide, "remainder": al.remainder, "fmod": al.fmod, "trunc_divide": lambda a, b: al.div(a, b, rounding_mode="trunc"),
}  # fmt: skip


def draw(dtype: str, seed: int, n: int = 1003) -> np.ndarray:
    """Numbers of the whole range of a dtype; some are 0, and the first ones are the same for all seeds."""
    rng, same = np.random.default_rng(seed), np.random.default_rng(0)
    if dtype == "bool":
        return rng.integers(0, 2, n).astype(bool)
    info = np.iinfo(dtype)
    x: np.ndarray = rng.integers(info.min, info.max + 1, n, dtype=np.int64).astype(dtype)
    x[:200] = same.integers(info.min, info.max + 1, 200, dtype=np.int64)
    x[150:300:3] = 0
    return x


def check(f: Made, *arrays: np.ndarray) -> None:
    """The same bits as on the CPU, from the vector core alone."""
    expected = f(*(al.tensor(a) for a in arrays)).numpy()
    on_card = [al.tensor(a).npu() for a in arrays]
    with al.npu.profiler.profile() as p:
        y = f(*on_card)
    assert "AI_CPU" not in {t.kind for t in p.tasks}, [t.name for t in p.tasks if t.kind == "AI_CPU"]
    np.testing.assert_array_equal(y.cpu().numpy(), expected)


@pytest.fixture(params=["device", "fp32", "fp64"])
def mode(request: Any) -> Any:
    with al.npu.numerics(request.param):
        yield request.param


@pytest.mark.parametrize("dtype", (*INTEGERS, "bool"))
def test_comparisons_logic_and_choices_are_exact(dtype: str, mode: str) -> None:
    x, y = draw(dtype, 1), draw(dtype, 2)
    for name in COMPARED:
        check(getattr(al, name), x, y)
    check(al.where, draw("bool", 3), x, y)
    check(lambda m, t: t.masked_fill(m, 1), draw("bool", 3), x)
    check(al.logical_not, x)
    check(lambda t: al.full_like(t, 1), x)


@pytest.mark.parametrize("dtype", (*INTEGERS, "bool"))
def test_bits_are_exact(dtype: str) -> None:
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        check(getattr(al, name), draw(dtype, 1), draw(dtype, 2))
    check(al.bitwise_not, draw(dtype, 1))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_arithmetic_wraps_around(dtype: str, mode: str) -> None:
    x, y = draw(dtype, 1), draw(dtype, 2)
    for name in ("add", "sub", "mul", "maximum", "minimum"):
        check(getattr(al, name), x, y)
    check(lambda t: al.clamp(-t.abs() + 3, 1, 50), x)


EDGES = [0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, -(2**32), 2**62, 2**63 - 1, -(2**63), 12345678901234]


def long(seed: int) -> np.ndarray:
    """64-bit numbers: every pair of the edges comes up, then any, then small ones."""
    rng = np.random.default_rng(seed)
    edges = (np.tile if seed % 2 else np.repeat)(np.array(EDGES, np.int64), len(EDGES))
    return np.concatenate([edges, rng.integers(-(2**63), 2**63 - 1, 3001), rng.integers(-9, 9, 500)])


@pytest.mark.parametrize("name", [*COMPARED, "add", "sub", "mul", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"])
def test_64_bit_integers_are_pairs_of_words(name: str) -> None:
    check(getattr(al, name), long(1), long(2))
    if not name.startswith("logical") and name not in ("maximum", "minimum"):  # which take tensors only
        check(lambda t: getattr(al, name)(t, -3000000007), long(1))


def test_64_bit_integers_of_one_operand_and_choices() -> None:
    for f in (al.neg, al.abs, al.relu, al.logical_not, al.bitwise_not, lambda t: t.bool(), lambda t: t.clamp(-5, 2**40), lambda t: t.clamp(min=0),
              lambda t: 7 - t, lambda t: al.where(t < 0, t + 4, 0), lambda t: al.full_like(t, -(2**40)), lambda t: t[:3] * t[3:6]):  # fmt: skip
        check(f, long(1))
    check(al.where, draw("bool", 3, 3670), long(1), long(2))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32"])
def test_bits_with_a_number(dtype: str) -> None:
    for f in (lambda t: t & 7, lambda t: 9 | t, lambda t: t ^ 5):
        check(f, draw(dtype, 1, 367))


@pytest.mark.parametrize("numerics", ["fp32", "fp64"])
def test_64_bit_integers_keep_their_values_in_wide_modes(numerics: str) -> None:
    with al.npu.numerics(numerics):
        x, y = al.tensor(long(1)), al.tensor(long(2))
        np.testing.assert_array_equal((x.npu() * y.npu() + 3).cpu().numpy(), (x * y + 3).numpy())


@pytest.mark.parametrize("name", ["add", "mul", "maximum", "minimum"])
def test_arithmetic_of_bools_is_logic(name: str) -> None:
    check(getattr(al, name), draw("bool", 1), draw("bool", 2))


@pytest.mark.parametrize("bits", [0x7F800001, 0xFFC12345, 0x80000000, 1])
def test_a_choice_keeps_every_bit(bits: int) -> None:
    x = np.full(70, bits, np.uint32).view(np.int32)
    check(al.where, draw("bool", 4, 70), x, -x)
    check(al.where, draw("bool", 4, 140), x.view(np.int16), x.view(np.int16)[::-1].copy())


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64"])
def test_sums_and_counts_of_integers_are_exact(dtype: str) -> None:
    x = (long(1) if dtype == "int64" else draw(dtype, 1, 3670))[:3663].reshape(11, 37, 9)
    for f in (lambda t: t.sum(), lambda t: t.sum((0, 2)), lambda t: t.sum(1, keepdim=True), al.count_nonzero, lambda t: al.count_nonzero(t, 2)):
        check(f, x)


@pytest.mark.parametrize("numerics", ["device", "fp64"])
@pytest.mark.parametrize("name", [*DIVISIONS])
def test_32_bit_integers_are_divided_exactly(name: str, numerics: str) -> None:
    some = np.random.default_rng(3)
    a = some.integers(-(2**31), 2**31, 3000).astype(np.int32)
    b = (some.integers(-(2**31), 2**31, 3000) >> some.integers(0, 31, 3000)).astype(np.int32)
    b[b == 0] = -1
    a[:8] = [-(2**31), -(2**31), 2**31 - 1, 2**31 - 1, 0, 7, -7, 2**31 - 1]
    b[:8] = [-1, 1, 1, -1, 5, -(2**31), 2**31 - 1, 2**31 - 1]
    a[8:900] = b[8:900] * some.integers(-3, 4, 892)  # without a rest
    with al.npu.numerics(numerics):
        check(DIVISIONS[name], a, b)
        for k in (7, -3, 65537):
            check(lambda t: DIVISIONS[name](t, k), a)  # noqa: B023
    with pytest.raises(RuntimeError, match="ZeroDivision"):
        DIVISIONS[name](al.tensor(a).npu(), al.zeros(3000, dtype=al.int32, device="npu"))


@pytest.mark.parametrize("name", [*DIVISIONS])
def test_64_bit_integers_are_divided_exactly(name: str) -> None:
    x, y = long(0), long(1)
    near = np.concatenate([y[-3501:-500] // 3 * 3 + k for k in (-1, 0, 1)])  # quotients whole but for one
    for a, b in ((x, y), (near, np.full_like(near, 3)), (near, np.repeat(y[-3501:-500] // 3, 3)), (y, x)):
        b = np.where(b == 0, 1, b)
        check(DIVISIONS[name], a, b)
    check(lambda t: DIVISIONS[name](t, 7), x)
    check(lambda t: DIVISIONS[name](t, -(2**40)), x)


def pairs(dtype: str, zero: bool) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of numbers of 8 bits, or some of more; the second one may be zero."""
    info = np.iinfo(dtype)
    if info.bits == 8:
        a, b = (x.ravel().astype(dtype) for x in np.meshgrid(np.arange(info.min, info.max + 1), np.arange(info.min, info.max + 1)))
    else:
        a, b = draw(dtype, 1, 9000), draw(dtype, 2, 9000)
        b[:3000] >>= np.random.default_rng(3).integers(0, info.bits - 1, 3000).astype(dtype)
        a[:5], b[:5] = [info.min, info.min, info.max, 1, -1], [-1, info.max, info.min, info.min, -1]
        a[5:2000] = b[5:2000] * (a[5:2000] % 7 - 3)  # without a rest
    return (a, b) if zero else (a[b != 0], b[b != 0])


@pytest.mark.parametrize("dtype", ["int16", "int8", "uint8"])
@pytest.mark.parametrize("name", [*DIVISIONS])
def test_short_integers_are_divided_exactly(name: str, dtype: str, mode: str) -> None:
    a, b = pairs(dtype, zero=False)
    check(DIVISIONS[name], a, b)
    for k in (7, 255, 256) if dtype == "uint8" else (7, -3, 32767):
        if np.array(k).astype(dtype):
            check(lambda t: DIVISIONS[name](t, k), a)  # noqa: B023
    check(lambda t: DIVISIONS[name](100, t) if name in ("remainder", "floor_divide") else DIVISIONS[name](t * 0 + 100, t), b)
    with pytest.raises(RuntimeError, match="ZeroDivision"):
        DIVISIONS[name](al.tensor(a).npu(), al.zeros(len(a), dtype=getattr(al, dtype), device="npu"))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_powers_of_integers_wrap_around(dtype: str, mode: str) -> None:
    a, b = pairs(dtype, zero=True)
    a[::3] %= 5
    check(lambda x, y: x**y, a, b)
    check(lambda y: al.pow(3, y), b)
    for k in (0, 1, 2, 3, 10, 31):
        check(lambda x: x**k, a)  # noqa: B023


def test_powers_of_64_bit_integers_wrap_around() -> None:
    for k in (0, 1, 2, 3, 7, 63, 2**40 + 1):
        check(lambda x: x**k, long(0))  # noqa: B023


@pytest.mark.parametrize("to", INTEGERS)
def test_casts_to_shorter_integers_keep_the_low_bits(to: str, mode: str) -> None:
    for dtype in (*INTEGERS, *(["int64"] if mode == "device" else [])):
        x = draw(dtype, 5) if dtype != "int64" else long(5)
        np.testing.assert_array_equal(al.tensor(x).to(getattr(al, to)).numpy(), x.astype(to))
        check(lambda t: t.to(getattr(al, to)), x)
    reach = min(np.iinfo(to).max, 1 << 20)
    halves = np.random.default_rng(1).uniform(-reach - 1 if to != "uint8" else 0, reach, 999)
    for dtype in ("float32", *(["float16"] if reach < 1 << 15 else [])):
        check(lambda t: t.to(getattr(al, to)), halves.astype(dtype))


@pytest.mark.parametrize("dtype", ("int64", "int32", "int16", "int8", "uint8", "bool"))
def test_extremes_of_integers_are_exact(dtype: str) -> None:
    x = (long(3)[:2001] if dtype == "int64" else draw(dtype, 4, 2001)).reshape(3, 23, 29)
    for name in ("amax", "amin"):
        for dims in ((0,), (1, 2), (0, 1, 2), (2,)):
            check(methodcaller(name, dims), x)
