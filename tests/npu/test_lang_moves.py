"""Copies, scalars, masks and sorting through their public names: what arrives where, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ascendlite as al
import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.instructions import CASTS
from tests.npu.lang_calls import NUMPY, numpy_dtype

Array = NDArray[Any]
f32, u32, i32 = npu.f32, npu.u32, npu.i32


def after(event: ac.HardEvent) -> None:
    ac.SetFlag(event, 0)
    ac.WaitFlag(event, 0)


def through_ub(work: Callable[..., None], out: Array, *ins: Array, room: int = 4096, blocks: int = 1) -> Array:
    """Sources to UB whole, `work(dst, *srcs)` on the vector pipe, dst to `out` whole."""

    @npu.kernel(kind="aiv")
    def kernel(out, *ins):
        ub = ac.LocalMemAllocator(ac.Hardware.UB)
        sources = [ub.Alloc(t.dtype, (t.numel() + 31) // 32 * 32) for t in ins]
        dst = ub.Alloc(out.dtype, room)
        for local, t in zip(sources, ins):
            ac.DataCopyPad(local, ac.GlobalTensor(t), t.numel())
        after(ac.HardEvent.MTE2_V)
        work(dst, *sources)
        after(ac.HardEvent.V_MTE3)
        ac.DataCopyPad(ac.GlobalTensor(out), dst, out.numel())

    kernel[blocks](out, *ins)
    return out


@pytest.mark.parametrize("pair", [p for p in CASTS["2201"] if set(p) <= set(NUMPY)], ids=lambda p: f"{p[0]}-{p[1]}")
def test_every_cast_by_its_first_mode(pair: tuple[str, str]) -> None:
    src, dst = (numpy_dtype(name) for name in pair)
    x = np.arange(-32 if src.kind != "u" else 0, 96)[:96].astype(src)
    mode = CASTS["2201"][pair][0] if "RINT" not in CASTS["2201"][pair] else "CAST_RINT"
    out = through_ub(lambda d, s: ac.Cast(d, s, mode, len(x)), np.zeros(len(x), dst), x)
    expected = x.astype(np.float64)
    if dst.kind in "iu":
        expected = np.clip(expected, np.iinfo(dst).min, np.iinfo(dst).max)
    np.testing.assert_array_equal(out, expected.astype(dst))


def test_rounding_modes_of_a_cast() -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6], np.float32)
    expected = {"CAST_RINT": np.rint, "CAST_FLOOR": np.floor, "CAST_CEIL": np.ceil, "CAST_TRUNC": np.trunc,
                "CAST_ROUND": lambda a: np.sign(a) * np.floor(np.abs(a) + 0.5)}  # fmt: skip
    for mode, rule in expected.items():
        out = through_ub(lambda d, s, m=mode: ac.Cast(d, s, m, 8), np.zeros(8, np.int32), x)
        np.testing.assert_array_equal(out, rule(x).astype(np.int32))


def test_compare_packs_bits_and_select_reads_them() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 256)).astype(np.float32)

    def work(d: Any, x: Any, y: Any) -> None:
        bits = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.u8, 64)
        ac.Compare(bits, x, y, "GT", 256)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Select(d, bits, x, y, "VSEL_TENSOR_TENSOR_MODE", 256)
        ac.PipeBarrier(ac.PIPE_V)
        ac.CompareScalar(bits, d, 0.5, "LT", 64, 4, (1, 1, 8, 8))
        ac.PipeBarrier(ac.PIPE_V)
        ac.Select(d, bits, d, -1.0, "VSEL_TENSOR_SCALAR_MODE", 256)

    larger = np.maximum(a, b)
    np.testing.assert_array_equal(through_ub(work, np.zeros(256, np.float32), a, b), np.where(larger < 0.5, larger, np.float32(-1)))


def test_a_row_reduction_with_its_index() -> None:
    x = np.random.default_rng(1).standard_normal(256).astype(np.float32)
    out = through_ub(lambda d, s: ac.WholeReduceMax(d, s, 64, 4), np.zeros(8, np.float32), x)
    rows = x.reshape(4, 64)
    np.testing.assert_array_equal(out[::2], rows.max(1))
    np.testing.assert_array_equal(out[1::2].view(np.uint32), rows.argmax(1))


@pytest.mark.parametrize("numpy", [np.float16, np.float32])
def test_an_index_alone_is_a_u32(numpy: type[np.floating[Any]]) -> None:
    x = np.random.default_rng(8).standard_normal((4, 64)).astype(numpy)
    blocks = 64 * x.itemsize // 32
    out = through_ub(lambda d, s: ac.ReduceRepeat("MIN", d, s, 64, 4, 1, 1, blocks, "ORDER_ONLY_INDEX"), np.zeros(16 // x.itemsize, numpy), x.reshape(-1))
    np.testing.assert_array_equal(out.view(np.uint32), x.argmin(1))


def test_reductions_of_a_whole_tensor() -> None:
    x = np.random.default_rng(2).standard_normal(1000).astype(np.float32)

    def work(d: Any, s: Any) -> None:
        tmp = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, 64)
        ac.ReduceMax(d, s, tmp, 1000, True)
        ac.PipeBarrier(ac.PIPE_V)
        ac.ReduceMin(d[8:], s, tmp, 1000, True)
        ac.PipeBarrier(ac.PIPE_V)
        ac.ReduceSum(d[16:], s, tmp, 1000)

    out = through_ub(lambda d, s: (ac.Duplicate(d, 0, 32), ac.PipeBarrier(ac.PIPE_V), work(d, s)), np.zeros(17, np.float32), x)  # type: ignore[arg-type,func-returns-value]
    assert out[0] == x.max() and out[1:2].view(np.uint32)[0] == x.argmax()
    assert out[8] == x.min() and out[9:10].view(np.uint32)[0] == x.argmin()
    np.testing.assert_allclose(out[16], x.sum(dtype=np.float64), rtol=1e-5)


def test_sorting_four_runs_and_merging_them() -> None:
    x = np.random.default_rng(3).permutation(128).astype(np.float32)

    def work(d: Any, s: Any, index: Any) -> None:
        pairs = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, 256)
        merged = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, 256)
        ac.Sort32(pairs, s, index, 4)
        ac.PipeBarrier(ac.PIPE_V)
        ac.MrgSort(merged, [pairs[64 * i :] for i in range(4)], [32] * 4)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Extract(d, d[128:].ReinterpretCast(u32), merged, 128 // 32)

    out = through_ub(work, np.zeros(256, np.float32), x, np.arange(128, dtype=np.uint32))
    np.testing.assert_array_equal(out[:128], np.sort(x)[::-1])
    np.testing.assert_array_equal(out[128:].view(np.uint32), np.argsort(-x))


@pytest.mark.parametrize("numbers, numpy", [(32, np.float32), (96, np.float16), (544, np.float32), (1024, np.float32)])
def test_sort_orders_all_numbers_and_extract_takes_lists_of_32(numbers: int, numpy: type) -> None:
    x = np.random.default_rng(5).permutation(numbers).astype(numpy)

    def work(d: Any, s: Any, index: Any) -> None:
        ub, kind = ac.LocalMemAllocator(ac.Hardware.UB), s.dtype
        pairs, tmp = (ub.Alloc(kind, ac.GetSortLen(numbers, kind)) for _ in (0, 1))
        ac.Duplicate(d, 0.0, 8192 // x.itemsize)
        ac.Sort(pairs, ac.Concat(tmp, s, tmp, numbers // 16), index, tmp, numbers // 32, isFullSort=True)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Extract(d, d[1024 * 4 // s.dtype.itemsize :].ReinterpretCast(u32), pairs, numbers // 32)

    out = through_ub(work, np.zeros(8192 // x.itemsize, numpy), x, np.arange(numbers, dtype=np.uint32), room=8192 // x.itemsize)
    np.testing.assert_array_equal(out[:numbers], np.sort(x)[::-1])
    np.testing.assert_array_equal(out[4096 // x.itemsize :].view(np.uint32)[:numbers], np.argsort(-x))


@pytest.mark.parametrize("numpy", [np.float16, np.float32])
def test_a_transpose_takes_lists_of_rows(numpy: type) -> None:
    columns = 32 // np.dtype(numpy).itemsize
    x = np.random.default_rng(6).standard_normal((16, columns)).astype(numpy)

    def work(d: Any, s: Any) -> None:
        ac.TransDataTo5HD([d[columns * i] for i in range(16)], [s[columns * i] for i in range(16)], ac.TransDataTo5HDParams(False, False, 1, 0, 0))

    out = through_ub(work, np.zeros((columns, 16), numpy), x.reshape(-1))
    np.testing.assert_array_equal(out, x.T)
    with pytest.raises(npu.KernelError, match="evenly spaced"):
        through_ub(lambda d, s: ac.TransDataTo5HD([d[columns * i * i] for i in range(16)], [s] * 16, ac.TransDataTo5HDParams()), np.zeros(4096, numpy), x.reshape(-1))


def test_all_cores_meet_by_memory_as_by_flags() -> None:
    @npu.kernel(kind="aiv")
    def turned(x, meeting, out, cores):
        a, w = (ac.LocalMemAllocator(ac.Hardware.UB).Alloc(kind, 64) for kind in (f32, i32))
        here, there = (ac.GlobalTensor(out)[64 * i :] for i in (ac.GetBlockIdx(), ac.GetBlockNum() - 1 - ac.GetBlockIdx()))
        for source, target, meets in ((ac.GlobalTensor(x)[64 * ac.GetBlockIdx() :], here, True), (there, there, False)):
            ac.DataCopy(a, source, 64)
            after(ac.HardEvent.MTE2_MTE3)
            ac.DataCopy(target, a, 64)
            if meets:
                ac.SyncAll(ac.GlobalTensor(meeting), w, cores)

    x, out = np.arange(256, dtype=np.float32), np.zeros(256, np.float32)
    turned[4](x, np.zeros(32, np.int32), out, 4)
    np.testing.assert_array_equal(out, x)
    for meeting, cores, what in ((np.zeros(16, np.int32), 4, "32 bytes a core"), (np.zeros(32, np.float32), 4, "tensor of i32"), (np.zeros(32, np.int32), 3, "of 4 in the launch")):
        with pytest.raises(npu.KernelError, match=what):
            turned[4](x, meeting, out, cores)


def test_names_of_python_stay_when_all_names_are_imported() -> None:
    names: dict[str, Any] = {}
    exec("from ascendlite.npu.ascendc import *", names)
    assert {"DataCopy", "Sort", "select"} <= set(names) and not {"range", "min", "max"} & set(names)


def test_chosen_elements_are_packed_and_counted() -> None:
    x = np.random.default_rng(4).standard_normal(256).astype(np.float32)
    bits = np.packbits(x > 0, bitorder="little")

    def work(d: Any, s: Any, mask: Any) -> None:
        ac.Duplicate(d, 0.0, 512)
        ac.PipeBarrier(ac.PIPE_V)
        ac.GatherMask(d, s, mask, 256, d[256:].ReinterpretCast(i32))

    out = through_ub(work, np.zeros(257, np.float32), x, bits)
    kept = x[x > 0]
    assert out[256:].view(np.int32)[0] == len(kept)
    np.testing.assert_array_equal(out[: len(kept)], kept)


def test_scatter_and_blocks_by_offset() -> None:
    order = np.random.default_rng(5).permutation(64)
    x = np.arange(64, dtype=np.float32)

    def work(d: Any, s: Any, at: Any, blocks: Any) -> None:
        ac.Gatherb(d[64:], s, blocks, 1)

    with npu.on_chip("910b1"):
        blocks = (np.array([7, 6, 5, 4, 3, 2, 1, 0], np.uint32) * 32).astype(np.uint32)
        out = through_ub(lambda d, s, at, b: (ac.Duplicate(d, 0, 64), work(d, s, at, b)), np.zeros(128, np.float32), x, order.astype(np.uint32) * 4, blocks)  # type: ignore[arg-type,func-returns-value]
    np.testing.assert_array_equal(out[64:], x.reshape(8, 8)[::-1].reshape(-1))


def test_random_words_are_those_of_the_cpu() -> None:
    n = 1000
    words = through_ub(lambda d: ac.Philox(d, 1234, 0, n), np.zeros(n, np.uint32))
    al.manual_seed(1234)
    expected = al.rand(n).numpy()
    np.testing.assert_array_equal((words >> 8).astype(np.float32) * np.float32(2**-24), expected)


@pytest.mark.parametrize("dtype", ["f16", "f32", "u8"])
def test_transposing_a_square_of_blocks(dtype: str) -> None:
    numpy = numpy_dtype(dtype)
    rows, columns = (32 if numpy.itemsize == 1 else 16), 32 // numpy.itemsize
    x = np.arange(rows * columns).astype(numpy)
    out = through_ub(lambda d, s: ac.TransDataTo5HD(d, s, rows * numpy.itemsize, 32), np.zeros(rows * columns, numpy), x)
    np.testing.assert_array_equal(out, x.reshape(rows, columns).T.reshape(-1))


def test_padded_rows_start_at_blocks_and_are_filled() -> None:
    x = np.arange(1, 31, dtype=np.float32)

    @npu.kernel(kind="aiv")
    def kernel(out, x):
        ub = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, 64)
        ac.DataCopyPad(ub, ac.GlobalTensor(x), ac.DataCopyExtParams(3, 20, 20, 0), ac.DataCopyPadExtParams(True, 1, 2, -1.0))
        ac.DataCopyPad(ub[24:], ac.GlobalTensor(x)[25:], 5)
        after(ac.HardEvent.MTE2_MTE3)
        ac.DataCopy(ac.GlobalTensor(out), ub, 32)

    out = np.zeros(32, np.float32)
    kernel[1](out, x)
    expected = np.full((4, 8), -1, np.float32)
    for r in range(3):
        expected[r, 1:6] = x[r * 10 : r * 10 + 5]
    expected[3] = [*x[25:30], x[25], x[25], x[25]]
    np.testing.assert_array_equal(out.reshape(4, 8), expected)


def test_strided_blocks_in_both_directions() -> None:
    x = np.arange(256, dtype=np.float32)

    @npu.kernel(kind="aiv")
    def kernel(out, x):
        ub = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, 64)
        ac.DataCopy(ub, ac.GlobalTensor(x), ac.DataCopyParams(4, 2, 6, 0))  # 4 rows of 16 elements, 64 apart
        after(ac.HardEvent.MTE2_MTE3)
        ac.DataCopy(ac.GlobalTensor(out), ub, ac.DataCopyParams(4, 2, 0, 2))

    out = np.zeros(128, np.float32)
    kernel[1](out, x)
    np.testing.assert_array_equal(out.reshape(4, 32)[:, :16], x.reshape(4, 64)[:, :16])


@pytest.mark.parametrize(("name", "reduce"), [("SetAtomicAdd", np.sum), ("SetAtomicMax", np.max), ("SetAtomicMin", np.min)])
def test_atomics_of_all_blocks(name: str, reduce: Any) -> None:
    x = np.random.default_rng(6).integers(-50, 50, (5, 64)).astype(np.float32)

    @npu.kernel(kind="aiv")
    def kernel(out, x):
        ub = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, 64)
        ac.DataCopy(ub, ac.GlobalTensor(x)[ac.GetBlockIdx() * 64 :], 64)
        after(ac.HardEvent.MTE2_MTE3)
        getattr(ac, name)(f32)
        ac.DataCopy(ac.GlobalTensor(out), ub, 64)
        ac.SetAtomicNone()

    out = np.zeros(64, np.float32)
    kernel[5](out, x)
    np.testing.assert_array_equal(out, reduce(np.concatenate([x, np.zeros((1, 64), np.float32)]), axis=0))


def test_a_length_read_from_memory_bounds_a_loop() -> None:
    lengths, x = np.array([3, 0, 5], np.int32), np.arange(64, dtype=np.float32)

    @npu.kernel(kind="aiv")
    def kernel(out, x, lengths):
        ub = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, 64)
        n = ac.GetValue(ac.GlobalTensor(lengths), ac.GetBlockIdx(), 0, 8)
        ac.Duplicate(ub, 0.0, 64)
        for _ in ac.range(n):
            ac.PipeBarrier(ac.PIPE_V)
            ac.Adds(ub, ub, 1.0, 64)
        after(ac.HardEvent.V_MTE3)
        ac.DataCopy(ac.GlobalTensor(out)[ac.GetBlockIdx() * 64 :], ub, 64)

    out = np.full((3, 64), np.nan, np.float32)
    kernel[3](out, x, lengths)
    np.testing.assert_array_equal(out, np.repeat(lengths[:, None], 64, 1).astype(np.float32))


def test_a_real_number_read_from_memory_is_a_scalar() -> None:
    x, scale = np.arange(64, dtype=np.float32), np.array([0.0, 2.5], np.float32)

    def work(d: Any, s: Any, numbers: Any) -> None:
        after(ac.HardEvent.MTE2_S)
        ac.Muls(d, s, ac.GetValue(numbers, 1), 64)

    np.testing.assert_array_equal(through_ub(work, np.zeros(64, np.float32), x, scale), x * np.float32(2.5))


def test_formats_are_found_by_any_name() -> None:
    for name in ("float16", "f16", np.dtype(np.float16), np.float16, al.float16, npu.f16):
        assert dtypes.as_dtype(name) is npu.f16
    with pytest.raises(TypeError, match="the cores have no format 'complex64'"):
        dtypes.as_dtype("complex64")
