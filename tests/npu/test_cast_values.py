"""Cast: every pair and rounding of the card against exact arithmetic on Python's fractions of the neighbouring numbers."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from tests.npu.asm import HELD, Array, as_numpy, head, is_float, through_ub

NONE, RINT, FLOOR, CEIL, ROUND, TRUNC, ODD, HYBRID = range(8)
FIVE = (RINT, FLOOR, CEIL, ROUND, TRUNC)
SIX = (NONE, *FIVE)
PAIRS = [
    *(("float32", "float16", m) for m in (*SIX, ODD)),
    *(("float32", "bfloat16", m) for m in FIVE),
    *(("int16", "float16", m) for m in SIX),
    *(("int32", "float32", m) for m in SIX),
    *(("int64", "float32", m) for m in FIVE),
    *(("float16", "bfloat16", m) for m in FIVE),
    *(("bfloat16", "float16", m) for m in FIVE),
    ("float16", "float32", NONE),
    ("bfloat16", "float32", NONE),
    ("int16", "float32", NONE),
    ("int8", "float16", NONE),
    ("uint8", "float16", NONE),
]
TO_INTEGER = [
    *(("float16", d, m) for d in ("int8", "uint8") for m in SIX),
    *(("float16", d, m) for d in ("int16", "int32") for m in FIVE),
    *(("float32", d, m) for d in ("int16", "int32", "int64") for m in FIVE),
    *(("bfloat16", "int32", m) for m in FIVE),
]
RESIZED = [("int32", "int16"), ("int32", "int64"), ("int64", "int32"), ("int8", "int32"), ("uint8", "uint16"), ("int32", "uint8"), ("uint32", "int16")]


def samples(dtype: str) -> Array:
    rng = np.random.default_rng(0)
    if not is_float(dtype):
        info = np.iinfo(dtype)
        spread = rng.integers(info.min, info.max, 300, dtype=dtype, endpoint=True)
        return np.concatenate([spread >> (i % (info.bits - 1)) for i in range(8)] + [np.array([info.min, info.max, 0, 1], dtype)])
    wide = rng.standard_normal(2000) * 2.0 ** rng.integers(-30, 20, 2000)
    halves = np.arange(-40, 41) / 8.0
    ties = np.concatenate([1 + np.arange(64) * 2.0**-11, 65472 + np.arange(0, 80) * 2.0, 2.0**-24 * (0.25 + np.arange(20) / 4), [2.0**-14 - 2.0**-25]])
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65520, 65519.99, 1e-40, -1e-40, 3e38, 2.0**31, -(2.0**31), 2.0**63]
    with np.errstate(over="ignore"):
        return np.concatenate([wide, halves, ties, -ties, special]).astype(np.float32).astype(as_numpy(dtype))


def grid_neighbours(x: Array, dtype: np.dtype[np.generic]) -> tuple[Array, Array, Array]:
    """Magnitudes below and above |x| in a format, as float64 (the one above the largest is infinite), and whether the lower one's bits are odd."""
    bits = np.arange(1 << 16, dtype=np.uint16)[: 0x7C00 if dtype == np.float16 else 0x7F80]
    grid = bits.view(dtype).astype(np.float64)
    at = np.searchsorted(grid, np.abs(x), side="right") - 1
    above = np.append(grid, np.inf)
    return grid[at], above[at + 1], at % 2 == 1


def rounded(x: Array, to: str, mode: int) -> Array:
    """x (float64, finite) in a 16-bit format as float64, from the definition of the mode."""
    low, high, odd = grid_neighbours(x, as_numpy(to))
    magnitude, negative = np.abs(x), x < 0
    top = 2 * low - grid_neighbours(np.nextafter(low, 0), as_numpy(to))[0]  # what would follow the largest
    middle = (low + np.where(np.isinf(high), top, high)) / 2
    up = {
        RINT: (magnitude > middle) | ((magnitude == middle) & odd), NONE: (magnitude > middle) | ((magnitude == middle) & odd),
        FLOOR: negative, CEIL: ~negative, ROUND: magnitude >= middle, TRUNC: np.zeros(x.shape, bool), ODD: ~odd,
    }[mode]  # fmt: skip
    return np.copysign(np.where(magnitude == low, low, np.where(up, high, low)), x)


def cast(a: Array, source: str, target: str, mode: int, numerics: int = 0) -> Array:
    out = np.zeros(a.size, as_numpy(target))
    got, _ = through_ub("Cast", "cast", [(a, source)], (out, target), [*head(0, a.size), mode], [1.0], mode=numerics)
    return got


@pytest.mark.parametrize(("source", "target", "mode"), PAIRS)
def test_a_cast_to_a_float_rounds_by_its_mode(source: str, target: str, mode: int) -> None:
    a = samples(source)
    exact = a.astype(np.float64) if source != "int64" else a
    got = cast(a, source, target, mode)
    special = ~np.isfinite(exact)
    np.testing.assert_array_equal(exact[special], got[special].astype(np.float64))
    x = exact[~special]
    if target == "float32":
        nearest = x.astype(np.float32)
        toward = {FLOOR: -np.inf, CEIL: np.inf}.get(mode)
        if source == "int64":
            check_integers_to_float32(x, got[~special], mode)
        elif mode in (NONE, RINT):
            np.testing.assert_array_equal(nearest, got[~special])
        elif toward is not None:
            wrong = nearest > x if mode == FLOOR else nearest < x
            np.testing.assert_array_equal(np.where(wrong, np.nextafter(nearest, np.float32(toward)), nearest), got[~special])
        else:
            assert (np.abs(got[~special].astype(np.float64) - x) <= np.abs(np.spacing(nearest))).all()
        return
    np.testing.assert_array_equal(rounded(x, target, mode), got[~special].astype(np.float64))


def check_integers_to_float32(x: Array, got: Array, mode: int) -> None:
    for exact, value in zip(x.tolist(), got.tolist(), strict=True):
        near = int(value)
        if near == exact:
            continue
        below, above = (int(np.nextafter(np.float32(value), np.float32(s * np.inf))) for s in (-1, 1))
        if mode == FLOOR:
            assert near <= exact < above
        elif mode == CEIL:
            assert below < exact <= near
        elif mode == TRUNC:
            assert abs(near) <= abs(exact) and abs(near - exact) < abs(above - below)
        else:
            assert abs(near - exact) <= min(abs(above - exact), abs(below - exact))


def integral(x: Array, mode: int) -> Array:
    return {NONE: np.rint, RINT: np.rint, FLOOR: np.floor, CEIL: np.ceil, TRUNC: np.trunc,
            ROUND: lambda v: np.copysign(np.floor(np.abs(v) + 0.5), v)}[mode](x)  # fmt: skip


@pytest.mark.parametrize("numerics", (0, 1, 2))
@pytest.mark.parametrize(("source", "target", "mode"), TO_INTEGER)
def test_a_cast_to_an_integer_rounds_and_saturates(source: str, target: str, mode: int, numerics: int) -> None:
    a = samples(source)
    x = np.nan_to_num(a.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
    info = np.iinfo(target)
    want = [min(max(int(v) if np.isfinite(v) else int(np.sign(v)) * 2**70, info.min), info.max) for v in integral(x, mode)]
    np.testing.assert_array_equal(np.array(want, target), cast(a, source, target, mode, numerics))


@pytest.mark.parametrize("mode", FIVE)
def test_a_cast_of_float32_to_itself_makes_it_whole(mode: int) -> None:
    a = samples("float32")
    np.testing.assert_array_equal(integral(a.astype(np.float64), mode).astype(np.float32), cast(a, "float32", "float32", mode))


@pytest.mark.parametrize(("source", "target"), RESIZED)
def test_an_integer_saturates_in_a_narrower_format(source: str, target: str) -> None:
    a = samples(source)
    info = np.iinfo(target)
    want = [min(max(v, info.min), info.max) for v in a.tolist()]
    np.testing.assert_array_equal(np.array(want, target), cast(a, source, target, NONE))


def test_int32_to_float16_takes_the_dequantisation_scale() -> None:
    a = np.array([1, -7, 100000, 2**22], np.int32)
    got, _ = through_ub("Cast", "cast", [(a, "int32")], (np.zeros(4, np.float16), "float16"), [*head(0, 4), NONE], [0.01])
    want = (a.astype(np.float32) * np.float32(0.01)).astype(np.float16)
    np.testing.assert_array_equal(want, got)


@pytest.mark.parametrize("target", ("float8_e4m3fn", "float8_e5m2"))
def test_eight_bit_floats_round_to_nearest_even(target: str) -> None:
    a = np.concatenate([samples("float16").astype(np.float32)[:2100], [100.0, 447.0]]).astype(np.float32)
    a = a[np.abs(a) < 440]
    np.testing.assert_array_equal(a.astype(as_numpy(target)).view(np.uint8), cast(a, "float32", target, RINT).view(np.uint8))
    back = np.arange(256, dtype=np.uint8)
    want = back.view(as_numpy(target)).astype(np.float32)
    np.testing.assert_array_equal(want, cast(back.view(as_numpy(target)), target, "float32", NONE))


def test_hybrid_rounding_of_hifloat8_is_unbiased_for_large_exponents() -> None:
    codes = np.arange(256, dtype=np.uint8)
    grid = cast(codes, "hifloat8", "float32", NONE)
    np.testing.assert_array_equal(codes[~np.isnan(grid)], cast(grid[~np.isnan(grid)], "float32", "hifloat8", HYBRID))
    near_one = np.random.default_rng(1).uniform(-3, 3, 500).astype(np.float32)
    near_one = near_one[np.abs(near_one) > 0.2]
    np.testing.assert_array_equal(cast(near_one, "float32", "hifloat8", ROUND), cast(near_one, "float32", "hifloat8", HYBRID))
    large = np.random.default_rng(2).uniform(256, 384, 20000).astype(np.float32)
    back = cast(cast(large, "float32", "hifloat8", HYBRID), "hifloat8", "float32", NONE)
    assert set(np.unique(back)) == {256.0, 384.0}
    assert abs(float(back.mean()) - float(large.mean())) < 3  # a standard deviation of the mean is 0.4


@pytest.mark.parametrize("mode", FIVE)
def test_four_bit_floats(mode: int) -> None:
    grid = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float64)
    a = np.concatenate([np.linspace(-7, 7, 200), grid, -grid]).astype(ml_dtypes.bfloat16)
    out = np.zeros(a.size // 2, np.uint8)
    packed, _ = through_ub("Cast", "cast", [(a, "bfloat16")], (out, "float4_e2m1"), [*head(0, a.size), mode], [1.0])
    nibbles = np.stack([packed & 15, packed >> 4], 1).reshape(-1)
    got = np.where(nibbles & 8, -1, 1) * grid[nibbles & 7]
    x = a.astype(np.float64)
    at = np.clip(np.searchsorted(grid, np.abs(x), side="right") - 1, 0, 6)
    low, high = grid[at], grid[at + 1]
    middle = (low + high) / 2
    up = {RINT: (np.abs(x) > middle) | ((np.abs(x) == middle) & (at % 2 == 1)), FLOOR: x < 0, CEIL: x > 0, ROUND: np.abs(x) >= middle,
          TRUNC: np.abs(x) < 0}[mode]  # fmt: skip
    want = np.sign(x) * np.where(np.abs(x) >= 6, 6, np.where(np.abs(x) == low, low, np.where(up, high, low)))
    np.testing.assert_array_equal(want, got)


def test_four_bit_integers() -> None:
    a = np.array([-9, -8, -1.5, 0.5, 2.5, 7, 8, 3], np.float16)
    packed, _ = through_ub("Cast", "cast", [(a, "float16")], (np.zeros(4, np.uint8), "int4"), [*head(0, 8), RINT], [1.0])
    got, _ = through_ub("Cast", "cast", [(packed, "int4")], (np.zeros(8, np.float16), "float16"), [*head(0, 8), NONE], [1.0])
    np.testing.assert_array_equal(np.array([-8, -8, -2, 0, 2, 7, 7, 3], np.float16), got)


@pytest.mark.parametrize("numerics", (1, 2))
def test_wide_values_are_not_narrowed(numerics: int) -> None:
    a = np.array([1 / 3, 1e30], np.float32)
    np.testing.assert_array_equal(a.astype(HELD[numerics]), cast(a, "float32", "float16", RINT, numerics))


def test_a_pair_that_the_card_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="no cast from int8 to float32"):
        cast(np.zeros(8, np.int8), "int8", "float32", RINT)


def test_half_widths_share_a_repeat() -> None:
    """float32 -> float16: 64 lanes a repeat; the destination advances by 4 blocks."""
    a = samples("float32")[:192]
    got, _ = through_ub("Cast", "cast", [(a, "float32")], (np.zeros(192, np.float16), "float16"), [*head(1, 50, 0, 3, reps=(4, 8, 0)), RINT], [1.0])
    with np.errstate(over="ignore"):
        want = a.reshape(3, 64).astype(np.float16)
    want[:, 50:] = 0
    np.testing.assert_array_equal(want.reshape(-1), got)


@npu.kernel
def to_int4(x: Any, y: Any, count: int) -> None:
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    a, b = ub.Alloc(npu.f16, (count + 15) // 16 * 16), ub.Alloc(npu.i4x2, (count + 63) // 64 * 32)
    ac.DataCopyPad(a, ac.GlobalTensor(x), count)
    ac.SetFlag(ac.HardEvent.MTE2_V, 0)
    ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
    ac.Cast(b, a, "CAST_RINT", count)
    ac.SetFlag(ac.HardEvent.V_MTE3, 0)
    ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
    ac.DataCopyPad(ac.GlobalTensor(y), b.ReinterpretCast(npu.u8), (count + 1) // 2)


@pytest.mark.parametrize("count", [256, 33])
def test_four_bit_numbers_take_half_a_byte_in_the_check_too(count: int) -> None:
    x, y = (np.arange(count) % 16 - 8).astype(np.float16), np.zeros((count + 1) // 2, np.uint8)
    assert to_int4[1].check(x, y, count).clean
    written = re.search(r"b\[(\d+), (\d+)\) i4x2", to_int4[1].dump(x, y, count))
    assert written and int(written[2]) - int(written[1]) == (count + 1) // 2
    to_int4[1](x, y, count)
    nibbles = np.stack([y & 15, y >> 4], 1).reshape(-1)[:count].astype(np.int8)
    assert np.array_equal(np.where(nibbles > 7, nibbles - 16, nibbles), x.astype(np.int8))
