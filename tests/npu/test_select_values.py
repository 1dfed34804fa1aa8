"""Comparisons, selections, reductions, gathers, sorts and what else moves within UB, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al
from tests.npu.asm import GM, HELD, UB, WRITE, Array, Asm, as_numpy, head, itemsize, narrow, through_ub, widen

MODES = (0, 1, 2)
COMPARE = (np.less, np.greater, np.equal, np.less_equal, np.greater_equal, np.not_equal)
SUM, MAX, MIN = range(3)


def bits_of(flags: Array) -> Array:
    return np.packbits(flags, bitorder="little")


def numbers(dtype: str, n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-9, 9, n).astype(as_numpy(dtype))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", range(6))
@pytest.mark.parametrize("dtype", ("float16", "float32", "int32", "uint16"))
def test_compare_packs_bits(dtype: str, op: int, mode: int) -> None:
    a, b = (np.abs(numbers(dtype, 200, s)) if dtype[0] == "u" else numbers(dtype, 200, s) for s in (0, 1))
    got, _ = through_ub("Compare", "compare", [(a, dtype), (b, dtype)], (np.zeros(25, np.uint8), "uint8"), [*head(0, 200), op], mode=mode)
    np.testing.assert_array_equal(bits_of(COMPARE[op](a, b)), got)
    got, _ = through_ub("CompareScalar", "compare_scalar", [(a, dtype)], (np.zeros(25, np.uint8), "uint8"), [*head(0, 200), op], [3.0], mode=mode)
    np.testing.assert_array_equal(bits_of(COMPARE[op](a, 3)), got)


def test_repeats_of_a_comparison_follow_each_other() -> None:
    a, b = numbers("float32", 3 * 64), numbers("float32", 3 * 64, 1)
    d = np.full(24, 255, np.uint8)
    got, _ = through_ub("Compare", "compare", [(a, "float32"), (b, "float32")], (d, "uint8"), [*head(1, 21, 0, 3), 0])
    want = np.ones((3, 64), bool)
    want[:, :21] = (a < b).reshape(3, 64)[:, :21]
    np.testing.assert_array_equal(bits_of(want.reshape(-1)), got)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ("float16", "float32"))
@pytest.mark.parametrize("select_mode", (0, 1, 2))
def test_select_reads_bits(select_mode: int, dtype: str, mode: int) -> None:
    lanes = 256 // itemsize(dtype)
    n = 3 * lanes
    flags = np.random.default_rng(3).random(n) < 0.5
    a, b = numbers(dtype, n), numbers(dtype, n, 1)
    inputs = [(bits_of(flags), "uint8"), (a, dtype), (b, dtype)][: 2 if select_mode == 1 else 3]
    got, _ = through_ub("Select", "select", inputs, (np.zeros(n, as_numpy(dtype)), dtype), [*head(1, lanes, 0, 3), select_mode], [-5.0], mode=mode)
    used = np.tile(flags[:lanes], 3) if select_mode == 0 else flags
    np.testing.assert_array_equal(np.where(used, a, -5 if select_mode == 1 else b), got)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ("int16", "int32", "float16", "float32"))
def test_arithmetic_progressions(dtype: str, mode: int) -> None:
    whole = dtype.startswith("int")
    args = [*head(0, 100, scalar=5 if whole else None), int(whole), 3 if whole else 0]
    got, _ = through_ub("CreateVecIndex", "arange", [], (np.zeros(100, dtype), dtype), args, [5.0, 3.0], mode=mode)
    np.testing.assert_array_equal(5 + 3 * np.arange(100), got)


def test_philox_gives_the_words_of_the_library() -> None:
    n, offset = 1000, 37
    got, _ = through_ub("Philox", "philox", [], (np.zeros(n, np.uint32), "uint32"), [*head(0, n), 42, offset, 0])
    al.manual_seed(42)
    unit = al.rand(n + offset).numpy()[offset:]  # 24 bits of each word
    np.testing.assert_array_equal(unit, (got >> 8).astype(np.float32) * np.float32(2.0**-24))


def tree_sum(x: Array) -> Array:
    x = np.pad(x, (0, (1 << (x.size - 1).bit_length()) - x.size))
    while x.size > 1:
        x = x[0::2] + x[1::2]
    return x[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ("float16", "float32"))
def test_a_repeat_is_summed_as_a_tree_of_neighbours(dtype: str, mode: int) -> None:
    lanes = 256 // itemsize(dtype)
    a = np.random.default_rng(0).standard_normal(4 * lanes).astype(dtype)
    got, _ = through_ub("ReduceRepeatSum", "reduce_repeat", [(a, dtype)], (np.zeros(8, dtype), dtype), [*head(1, lanes - 3, 0, 4, reps=(2, 8, 0)), SUM, 2], mode=mode)
    held = a if mode == 0 else a.astype(HELD[mode])
    np.testing.assert_array_equal([tree_sum(r[: lanes - 3]) for r in held.reshape(4, lanes)], got[::2])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", (MAX, MIN))
@pytest.mark.parametrize("order", range(4))
def test_the_extreme_of_a_repeat_and_its_first_lane(order: int, op: int, mode: int) -> None:
    a = numbers("float32", 3 * 64)
    rows = a.reshape(3, 64)
    at = rows.argmax(1) if op == MAX else rows.argmin(1)
    asm = Asm()
    d = widen(np.zeros(6, np.float32), "float32", mode)
    x = widen(a, "float32", mode)
    td, tx = asm.tensor(24), asm.tensor(a.nbytes)
    asm.copy(asm.region(UB, "float32", 1024, a.nbytes, WRITE), asm.region(GM, "float32", 0, a.nbytes, tensor=tx), a.nbytes)
    asm.op("Reduce", "reduce_repeat", [asm.region(UB, "float32", 0, 24, WRITE), asm.region(UB, "float32", 1024, a.nbytes)], [*head(1, 64, 0, 3, reps=(1, 8, 0)), op, order])
    asm.copy(asm.region(GM, "float32", 0, 24, WRITE, tensor=td), asm.region(UB, "float32", 0, 24), 24)
    asm.run([d, x], mode=mode)
    values, indices = (narrow(d, t, mode, (6,)) for t in ("float32", "uint32"))
    best = rows[np.arange(3), at]
    columns = {0: (values[0::2], indices[1::2]), 1: (values[1::2], indices[0::2]), 2: (values[:3], at), 3: (best, indices[:3])}[order]
    np.testing.assert_array_equal(best, columns[0])
    np.testing.assert_array_equal(at, columns[1])


def test_masked_lanes_take_no_part_in_a_reduction() -> None:
    a = np.arange(64, dtype=np.float32) + 1
    for op, want in ((SUM, 2 + 4), (MAX, 4), (MIN, 2)):
        got, _ = through_ub("Reduce", "reduce_repeat", [(a, "float32")], (np.zeros(1, np.float32), "float32"), [*head(2, 0b1010, 0, 1), op, 2])
        assert got[0] == want


@pytest.mark.parametrize("dtype", ("float16", "float32"))
def test_blocks_and_pairs_are_reduced(dtype: str) -> None:
    per_block = 32 // itemsize(dtype)
    lanes = 8 * per_block
    a = np.random.default_rng(1).standard_normal(2 * lanes).astype(dtype)
    got, _ = through_ub("BlockReduceSum", "block_reduce", [(a, dtype)], (np.zeros(16, dtype), dtype), [*head(1, lanes, 0, 2, reps=(1, 8, 0)), SUM])
    np.testing.assert_array_equal([tree_sum(b) for b in a.reshape(16, per_block)], got)
    got, _ = through_ub("PairReduceSum", "pair_reduce", [(a, dtype)], (np.zeros(lanes, dtype), dtype), [*head(1, lanes, 0, 2, reps=(1, 8, 0)), SUM])
    np.testing.assert_array_equal(a[0::2] + a[1::2], got)


@pytest.mark.parametrize("mode", (0, 2))
@pytest.mark.parametrize("n", (1, 63, 64, 1000))
def test_a_whole_tensor_is_reduced_with_its_first_index(n: int, mode: int) -> None:
    a = numbers("float32", n)
    inputs = [(np.zeros(64, np.float32), "float32"), (a, "float32")]
    got, _ = through_ub("ReduceSum", "reduce_all", inputs, (np.zeros(2, np.float32), "float32"), [*head(0, n), SUM, 0], mode=mode)
    assert got[0] == a.sum()
    asm_out = through_ub("ReduceMax", "reduce_all", inputs, (np.zeros(2, np.float32), "float32"), [*head(0, n), MAX, 1])[0]
    assert asm_out[0] == a.max() and asm_out[1:].view(np.int32)[0] == a.argmax()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ("float16", "float32", "int32"))
def test_brcb_fills_a_block_with_each_element(dtype: str, mode: int) -> None:
    a = numbers(dtype, 16)
    per_block = 32 // itemsize(dtype)
    got, _ = through_ub("Brcb", "brcb", [(a, dtype)], (np.zeros(16 * per_block, as_numpy(dtype)), dtype), head(0, 16, 0, 2, (1, 1, 1), (8, 0, 0)), mode=mode)
    np.testing.assert_array_equal(np.repeat(a, per_block), got)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ("float16", "float32"))
def test_gather_and_scatter_take_byte_offsets(dtype: str, mode: int) -> None:
    n, size = 100, itemsize(dtype)
    a, order = numbers(dtype, n), np.random.default_rng(2).permutation(n)
    offsets = (order * size).astype(np.uint32)
    got, _ = through_ub("Gather", "gather", [(a, dtype), (offsets, "uint32")], (np.zeros(n, as_numpy(dtype)), dtype), [*head(0, n), 0], mode=mode)
    np.testing.assert_array_equal(a[order], got)
    got, _ = through_ub("Scatter", "scatter", [(a, dtype), (offsets, "uint32")], (np.zeros(n, as_numpy(dtype)), dtype), [*head(0, n), 0], mode=mode)
    want = np.zeros_like(a)
    want[order] = a
    np.testing.assert_array_equal(want, got)


REFUSED = {0xFFFFFFF0: "leaves {}, which has 32 bytes", 32: "leaves {}, which has 32 bytes", 26: "is no multiple of 4"}


@pytest.mark.parametrize(("offset", "why"), REFUSED.items())
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "table"), [("Gather", "src"), ("Scatter", "dst")])
def test_an_offset_to_no_element_of_the_tensor_is_an_error(name: str, table: str, mode: int, offset: int, why: str) -> None:
    """Also where UB goes on behind it: a neighbour's bytes are none of this instruction's."""
    offsets = np.array([0] * 7 + [offset], np.uint32)
    operands = [(np.zeros(8, np.float32), "float32"), (offsets, "uint32")]
    with pytest.raises(IndexError, match=f"{name}: the byte offset {offset} {why.format(table)}"):
        through_ub(name, name.lower(), operands, (np.zeros(8, np.float32), "float32"), [*head(0, 8), 0], mode=mode)


def test_gather_blocks() -> None:
    a = np.arange(32 * 8, dtype=np.float32)
    order = np.random.default_rng(4).permutation(32)[:16]
    args = [*head(1, 64, 0, 2, (1, 1, 1), (8, 8, 8)), 0]
    got, _ = through_ub("GatherBlocks", "gather_blocks", [(a, "float32"), ((order * 32).astype(np.uint32), "uint32")], (np.zeros(128, np.float32), "float32"), args)
    np.testing.assert_array_equal(a.reshape(32, 8)[order].reshape(-1), got)


@pytest.mark.parametrize("pattern", range(8))
def test_gather_mask_packs_the_chosen(pattern: int) -> None:
    a, flags = np.arange(128, dtype=np.float32), np.random.default_rng(5).random(128) < 0.3
    at = np.arange(128)
    chosen = {0: flags, 1: at % 2 == 0, 2: at % 2 == 1, 7: at >= 0}.get(pattern, at % 4 == pattern - 3)
    inputs = [(a, "float32")] + ([(bits_of(flags), "uint8")] if pattern == 0 else [])
    got, _ = through_ub("GatherMask", "gather_mask", inputs, (np.zeros(128, np.float32), "float32"), [*head(1, 64, 0, 2), pattern, 0])
    np.testing.assert_array_equal(a[chosen], got[: chosen.sum()])


@pytest.mark.parametrize(("dtype", "rows"), [("float16", 16), ("float32", 16), ("uint8", 32)])
def test_transpose_of_32_byte_rows(dtype: str, rows: int) -> None:
    columns = 32 // itemsize(dtype)
    a = np.arange(rows * columns).astype(dtype)
    args = [*head(1, 1, 0, 1, reps=(0, 0, 0)), 32, rows * itemsize(dtype)]
    got, _ = through_ub("Transpose", "transpose", [(a, dtype)], (np.zeros_like(a), dtype), args)
    np.testing.assert_array_equal(a.reshape(rows, columns).T.reshape(-1), got)


@pytest.mark.parametrize("mode", MODES)
def test_sort_and_merge(mode: int) -> None:
    a = np.random.default_rng(6).integers(0, 20, 64).astype(np.float32)
    index = np.arange(64, dtype=np.uint32)
    asm = Asm()
    tensors = [widen(np.zeros(128, np.float32), "float32", mode), widen(a, "float32", mode), widen(index, "uint32", mode)]
    for t in (512, 256, 256):
        asm.tensor(t)
    asm.copy(asm.region(UB, "float32", 0, 256, WRITE), asm.region(GM, "float32", 0, 256, tensor=1), 256)
    asm.copy(asm.region(UB, "uint32", 256, 256, WRITE), asm.region(GM, "uint32", 0, 256, tensor=2), 256)
    sources = [asm.region(UB, "float32", 0, 256), asm.region(UB, "uint32", 256, 256)]
    asm.op("Sort32", "sort32", [asm.region(UB, "float32", 1024, 512, WRITE), *sources], head(1, 32, 0, 2))
    lists = [asm.region(UB, "float32", 1024, 256), asm.region(UB, "float32", 1280, 256)]
    asm.op("MrgSort", "mrgsort", [asm.region(UB, "float32", 2048, 512, WRITE), *lists], [*head(0, 0), 2, 32, 32])
    asm.copy(asm.region(GM, "float32", 0, 512, WRITE, tensor=0), asm.region(UB, "float32", 2048, 512), 512)
    asm.run(tensors, mode=mode)
    order = np.argsort(-a, kind="stable")
    np.testing.assert_array_equal(a[order], narrow(tensors[0], "float32", mode, (128,))[0::2])
    np.testing.assert_array_equal(order, narrow(tensors[0], "uint32", mode, (128,))[1::2])
