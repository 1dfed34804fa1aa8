"""What vector instructions compute, against NumPy: every format, the count and mask forms, strides, saturation, wide modes."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from tests.npu.asm import HELD, Array, as_numpy, head, itemsize, through_ub

SATURATE, LOW_PRECISION = 1, 2
FLOATS = ("float16", "float32")
N = 77  # neither whole blocks nor whole repeats


def values(dtype: str, n: int = N, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if "float" in dtype:
        return rng.standard_normal(n).astype(np.float32).astype(as_numpy(dtype))
    info = np.iinfo(as_numpy(dtype))
    return rng.integers(max(info.min, -100), min(info.max, 100), n).astype(as_numpy(dtype))


def in_float(f: Callable[..., Array]) -> Callable[..., Array]:
    """f of 16-bit floats in float32, rounded once."""

    def run(*inputs: Array) -> Array:
        if inputs[0].dtype.itemsize == 2 and inputs[0].dtype.kind in "fV":
            return f(*(x.astype(np.float32) for x in inputs)).astype(inputs[0].dtype)
        return f(*inputs)

    return run


BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum, "min": np.minimum,
    "add_relu": lambda a, b: np.maximum(a + b, 0), "sub_relu": lambda a, b: np.maximum(a - b, 0),
}  # fmt: skip
INTEGER = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "max": np.maximum, "min": np.minimum, "and": np.bitwise_and, "or": np.bitwise_or}


@pytest.mark.parametrize("dtype", ("float16", "bfloat16", "float32"))
@pytest.mark.parametrize("meaning", BINARY)
def test_a_binary_operation_rounds_once(meaning: str, dtype: str) -> None:
    a, b = values(dtype), values(dtype, seed=1)
    got, _ = through_ub("Op", meaning, [(a, dtype), (b, dtype)], (np.zeros_like(a), dtype), head(0, N))
    np.testing.assert_array_equal(in_float(BINARY[meaning])(a, b), got)


@pytest.mark.parametrize("dtype", ("int16", "int32", "uint16", "uint32"))
@pytest.mark.parametrize("meaning", INTEGER)
def test_integers_wrap(meaning: str, dtype: str) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(2)
    a, b = (rng.integers(info.min, info.max, N, dtype=dtype) for _ in range(2))
    got, _ = through_ub("Op", meaning, [(a, dtype), (b, dtype)], (np.zeros_like(a), dtype), head(0, N))
    np.testing.assert_array_equal(INTEGER[meaning](a, b), got)


UNARY = {"exp": np.exp, "ln": np.log, "abs": np.abs, "rec": lambda x: 1 / x, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
         "relu": lambda x: np.maximum(x, 0)}  # fmt: skip


@pytest.mark.parametrize("mode", (0, 1, 2))
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("meaning", UNARY)
def test_a_function_is_within_two_units(meaning: str, dtype: str, mode: int) -> None:
    a = values(dtype) if meaning in ("abs", "relu", "exp") else np.abs(values(dtype)) + np.array(0.01, as_numpy(dtype))
    got, _ = through_ub("Op", meaning, [(a, dtype)], (np.zeros_like(a), dtype), head(0, N), mode=mode)
    want = UNARY[meaning](a.astype(np.float64))
    held = as_numpy(dtype) if mode == 0 else np.dtype(HELD[mode])
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=2.5 * float(np.finfo(held).eps))


SCALAR = {"adds": np.add, "muls": np.multiply, "maxs": np.maximum, "mins": np.minimum, "leaky_relu": lambda x, s: np.where(x >= 0, x, x * s)}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("meaning", SCALAR)
def test_a_scalar_is_rounded_to_the_format(meaning: str, dtype: str) -> None:
    a, scalar = values(dtype), 0.3
    got, _ = through_ub("Op", meaning, [(a, dtype)], (np.zeros_like(a), dtype), head(0, N), [scalar])
    np.testing.assert_array_equal(in_float(SCALAR[meaning])(a, np.full_like(a, scalar)), got)


@pytest.mark.parametrize(("meaning", "dtype", "by", "want"), [("shl", "int32", 3, np.left_shift), ("shr", "int16", 2, np.right_shift), ("shr", "uint32", 5, np.right_shift)])
def test_shifts(meaning: str, dtype: str, by: int, want: Callable[..., Array]) -> None:
    info = np.iinfo(dtype)
    a = np.random.default_rng(3).integers(info.min, info.max, N, dtype=dtype)
    got, _ = through_ub("Shift", meaning, [(a, dtype)], (np.zeros_like(a), dtype), head(0, N, scalar=by))
    np.testing.assert_array_equal(want(a, as_numpy(dtype).type(by)), got)


def test_fused_forms_read_the_destination() -> None:
    d, a, b = (values("float32", seed=s) for s in range(3))
    exact = (a.astype(np.float64) * b + d).astype(np.float32)
    got, _ = through_ub("MulAddDst", "mul_add_dst", [(a, "float32"), (b, "float32")], (d.copy(), "float32"), head(0, N))
    np.testing.assert_array_equal(exact, got)
    got, _ = through_ub("FusedMulAddRelu", "fused_mul_add_relu", [(a, "float32"), (b, "float32")], (d.copy(), "float32"), head(0, N))
    np.testing.assert_array_equal(np.maximum((a.astype(np.float64) * d + b).astype(np.float32), 0), got)
    half = a.astype(np.float16)
    got, _ = through_ub("Axpy", "axpy", [(half, "float16")], (d.copy(), "float32"), head(0, N), [0.5])
    np.testing.assert_array_equal((half.astype(np.float64) * 0.5 + d).astype(np.float32), got)


@pytest.mark.parametrize("mode", (0, 1, 2))
@pytest.mark.parametrize("dtype", ("float16", "float32", "int32"))
def test_lanes_off_the_mask_keep_the_destination(dtype: str, mode: int) -> None:
    lanes = 256 // itemsize(dtype)
    n = 3 * lanes
    a, b, d = values(dtype, n), values(dtype, n, 1), values(dtype, n, 2)
    active = np.random.default_rng(4).random(lanes) < 0.4
    bits = sum(1 << i for i in range(lanes) if active[i])
    low, high = (int(np.uint64(x).astype(np.int64)) for x in (bits % 2**64, bits >> 64))
    got, _ = through_ub("Add", "add", [(a, dtype), (b, dtype)], (d, dtype), head(2, low, high, 3), mode=mode)
    kept = np.where(np.tile(active, 3), a.astype(got.dtype) + b.astype(got.dtype), d.astype(got.dtype))
    np.testing.assert_array_equal(kept, got)


@pytest.mark.parametrize("mode", (0, 2))
def test_blocks_and_repeats_stride(mode: int) -> None:
    """Four rows of 100 lanes each: dst dense, src0 with a gap between blocks, src1 one block for all (block stride 0)."""
    rows = 4
    a, b, d = values("float32", rows * 8 * 16), values("float32", 8 * rows, 1), np.zeros(rows * 64, np.float32)
    got, _ = through_ub("Sub", "sub", [(a, "float32"), (b, "float32")], (d, "float32"), head(1, 60, 0, rows, (1, 2, 0), (8, 16, 1)), mode=mode)
    want = np.zeros((rows, 64), got.dtype)
    blocks = a.reshape(rows, 8, 2, 8)[:, :, 0].reshape(rows, 64).astype(got.dtype)
    want[:, :60] = (blocks - np.tile(b.reshape(rows, 8), (1, 8)).astype(got.dtype))[:, :60]
    np.testing.assert_array_equal(want.reshape(-1), got)


def test_a_sum_over_repeats_runs_in_order() -> None:
    a, d = values("float32", 64 * 4), np.zeros(64, np.float32)
    got, _ = through_ub("Add", "add", [(d.copy(), "float32"), (a, "float32")], (d, "float32"), head(1, 64, 0, 4, (1, 1, 1), (0, 0, 8)))
    np.testing.assert_array_equal(a.reshape(4, 64)[3], got)  # src0 is another buffer: the last repeat wins


@pytest.mark.parametrize(("count", "repeat"), [(0, 1), (8, 0)])
def test_nothing_to_do_changes_nothing(count: int, repeat: int) -> None:
    a, d = values("float32"), values("float32", seed=5)
    got, _ = through_ub("Add", "add", [(a, "float32"), (a, "float32")], (d.copy(), "float32"), head(int(repeat == 0), count, 0, repeat))
    np.testing.assert_array_equal(d, got)


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_saturation_holds_results_finite(dtype: str) -> None:
    largest = float(ml_dtypes.finfo(as_numpy(dtype)).max)
    a = np.array([largest, -largest, np.nan, 1, np.inf], np.float32).astype(as_numpy(dtype))
    d = np.zeros_like(a)
    got, overflow = through_ub("Add", "add", [(a, dtype), (a, dtype)], (d, dtype), head(0, 5), options=SATURATE)
    np.testing.assert_array_equal(np.array([largest, -largest, 0, 2, largest], np.float32), got.astype(np.float32))
    assert overflow
    _, overflow = through_ub("Add", "add", [(a[3:4], dtype), (a[3:4], dtype)], (d[:1], dtype), head(0, 1), options=SATURATE)
    assert not overflow
    got, overflow = through_ub("Add", "add", [(a, dtype), (a, dtype)], (d, dtype), head(0, 5))
    assert np.isinf(got.astype(np.float32)).sum() == 3 and not overflow


@pytest.mark.parametrize("meaning", ("rec", "rsqrt"))
def test_low_precision_is_wrong_by_two_per_mille_at_most(meaning: str) -> None:
    a = np.abs(values("float32", 1000)) + np.float32(0.1)
    got, _ = through_ub("Rec", meaning, [(a, "float32")], (np.zeros_like(a), "float32"), head(0, 1000), options=LOW_PRECISION)
    error = np.abs(got / UNARY[meaning](a.astype(np.float64)) - 1)
    assert 2**-12 < error.max() <= 2**-9


def test_duplicate_and_copy() -> None:
    d = np.zeros(40, np.float16)
    got, _ = through_ub("Duplicate", "duplicate", [], (d, "float16"), head(0, 40), [0.1])
    np.testing.assert_array_equal(np.full(40, 0.1, np.float16), got)
    a = values("float16", 256)
    got, _ = through_ub("Copy", "vector_copy", [(a, "float16")], (np.zeros(256, np.float16), "float16"), head(1, 100, 0, 2))
    want = np.where(np.arange(256) % 128 < 100, a, np.float16(0))
    np.testing.assert_array_equal(want, got)
