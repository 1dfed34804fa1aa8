"""The cube core's instructions through their public names: products of all formats, bias, quantised results, im2col, L1 in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from tests.npu.lang_calls import numpy_dtype

Array = NDArray[Any]
half, f32 = npu.f16, npu.f32
L1, L0A, L0B, L0C = ac.Hardware.L1, ac.Hardware.L0A, ac.Hardware.L0B, ac.Hardware.L0C


def after(event: ac.HardEvent, number: int = 0) -> None:
    ac.SetFlag(event, number)
    ac.WaitFlag(event, number)


def alloc(where: ac.Hardware, dtype: Any, size: int) -> Any:
    return ac.LocalMemAllocator(where).Alloc(dtype, size)


def up(value: int, to: int = 16) -> int:
    return (value + to - 1) // to * to


def product(store: Callable[[Any, Any, int, int], None], out: Array, a: Array, b: Array, *more: Array, acc: Any = f32,
            prepare: Callable[..., Any] | None = None, trans: bool = False, chip: str = "910b1") -> Array:
    """out = store(a b): a whole product of one tile. trans: b is stored n x k. prepare: what bias or scales are made of `more`."""

    @npu.kernel(kind="aic")
    def kernel(out, a, b, *more):
        m, k = a.shape
        n = b.shape[0] if trans else b.shape[1]
        al, bl = alloc(L1, a.dtype, up(m) * up(k, 32)), alloc(L1, b.dtype, up(b.shape[0]) * up(b.shape[1], 32))
        a0, b0, c0 = alloc(L0A, a.dtype, up(m) * up(k, 32)), alloc(L0B, b.dtype, up(n) * up(k, 32)), alloc(L0C, acc, up(m) * up(n))
        ac.DataCopy(al, ac.GlobalTensor(a), ac.Nd2NzParams(m, k))
        ac.DataCopy(bl, ac.GlobalTensor(b), ac.Nd2NzParams(*b.shape))
        made = prepare(*map(ac.GlobalTensor, more)) if prepare else None
        after(ac.HardEvent.MTE2_MTE1)
        ac.LoadA(a0, al, m, k)
        ac.LoadB(b0, bl, k, n, trans=trans)
        after(ac.HardEvent.MTE1_M)
        ac.Mmad(c0, a0, b0, m, n, k, bias=made if made is not None and made.memory.name == "BT" else None)
        after(ac.HardEvent.M_FIX)
        store(ac.GlobalTensor(out), c0, m, n) if made is None or made.memory.name == "BT" else store(ac.GlobalTensor(out), (c0, made), m, n)  # type: ignore[arg-type]

    with npu.on_chip(chip):
        kernel[1](out, a, b, *more)
    return out


def numbers(seed: int, dtype: str, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(numpy_dtype(dtype))


@pytest.mark.parametrize("trans", [False, True])
@pytest.mark.parametrize(("dtype", "acc"), [("f16", "f32"), ("bf16", "f32"), ("f32", "f32"), ("i8", "i32")])
@pytest.mark.parametrize("chip", ["910b1", "950dt"])
def test_products_of_every_format(dtype: str, acc: str, trans: bool, chip: str) -> None:
    a, b = numbers(0, dtype, 35, 50), numbers(1, dtype, 50, 40)
    stored = np.ascontiguousarray(b.T) if trans else b
    out = product(lambda g, c, m, n: ac.Fixpipe(g, c, m, n), np.zeros((35, 40), numpy_dtype(acc)), a, stored, acc=getattr(npu, acc), trans=trans, chip=chip)
    np.testing.assert_array_equal(out, a.astype(np.float64) @ b.astype(np.float64))


def test_fp8_products_on_950() -> None:
    a, b = (np.random.default_rng(s).integers(-4, 5, shape).astype(ml_dtypes.float8_e4m3fn) for s, shape in ((2, (16, 64)), (3, (64, 16))))
    out = product(lambda g, c, m, n: ac.Fixpipe(g, c, m, n), np.zeros((16, 16), np.float32), a, b, chip="950dt")
    np.testing.assert_array_equal(out, a.astype(np.float64) @ b.astype(np.float64))


@pytest.mark.parametrize("given", ["f32", "f16", "bf16"])
def test_a_bias_is_where_the_sum_begins(given: str) -> None:
    a, b, bias = numbers(4, "f16", 16, 32), numbers(5, "f16", 32, 48), numbers(6, given, 48)

    def prepare(given: Any) -> Any:
        staged, table = alloc(L1, given.dtype, 64), alloc(ac.Hardware.BIAS, f32, 64)
        ac.DataCopy(staged, given, 48)
        after(ac.HardEvent.MTE2_MTE1, 1)
        ac.DataCopy(table, staged, 48)
        return table

    out = product(lambda g, c, m, n: ac.Fixpipe(g, c, m, n), np.zeros((16, 48), np.float32), a, b, bias, prepare=prepare)
    np.testing.assert_array_equal(out, a.astype(np.float64) @ b.astype(np.float64) + bias.astype(np.float64))


@pytest.mark.parametrize(("target", "options", "rule"), [
    ("f16", {"relu": True}, lambda c: np.maximum(c, 0)),
    ("bf16", {}, lambda c: c),
    ("i8", {"quant": "scale", "scale": 0.25}, lambda c: np.clip(np.rint(c * 0.25), -128, 127)),
])
def test_results_converted_on_their_way_out(target: str, options: dict[str, Any], rule: Any) -> None:
    a, b = numbers(7, "f16", 20, 32), numbers(8, "f16", 32, 24)
    out = product(lambda g, c, m, n: ac.Fixpipe(g, c, m, n, **options), np.zeros((20, 24), numpy_dtype(target)), a, b)
    np.testing.assert_array_equal(out, rule(a.astype(np.float64) @ b.astype(np.float64)).astype(numpy_dtype(target)))


def test_a_scale_for_every_column() -> None:
    a, b = numbers(9, "i8", 16, 32), numbers(10, "i8", 32, 32)
    scales = np.linspace(0.1, 1.5, 32, dtype=np.float32)

    def prepare(given: Any) -> Any:
        staged, table = alloc(L1, npu.u64, 32), alloc(ac.Hardware.FIXBUF, npu.u64, 32)
        ac.DataCopy(staged, given, 32)
        after(ac.HardEvent.MTE2_FIX)
        ac.DataCopy(table, staged, 32)
        ac.PipeBarrier(ac.PIPE_FIX)
        return table

    def store(g: Any, pair: Any, m: int, n: int) -> None:
        ac.Fixpipe(g, pair[0], m, n, scales=pair[1])

    words = scales.view(np.uint32).astype(np.uint64)
    out = product(store, np.zeros((16, 32), np.float16), a, b, words, acc=npu.i32, prepare=prepare)
    expected = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32) * scales
    np.testing.assert_allclose(out, expected.astype(np.float16), rtol=1e-3)


def test_hf32_drops_bits_of_the_inputs() -> None:
    a, b = (np.random.default_rng(s).standard_normal((16, 16)).astype(np.float32) for s in (11, 12))

    def hf32(on: bool) -> Array:
        return product(lambda g, c, m, n: ac.Fixpipe(g, c, m, n), np.zeros((16, 16), np.float32), a, b, np.zeros(8, np.float32),
                       prepare=lambda _: ac.SetHF32Mode(on))

    exact = a.astype(np.float64) @ b.astype(np.float64)
    errors = [np.abs(hf32(on) - exact).max() for on in (False, True)]
    assert errors[0] < 1e-5 < 1e-4 < errors[1] < 2e-2


def test_a_result_goes_on_through_l1() -> None:
    """(a b) b: the first result is converted into fractals in L1 and is the left side of the second product."""
    a, b = numbers(13, "f16", 16, 32), numbers(14, "f16", 32, 32)

    def store(g: Any, c: Any, m: int, n: int) -> None:
        middle, a0 = alloc(L1, half, m * n), alloc(L0A, half, m * n)
        ac.Fixpipe(middle, c, m, n)
        after(ac.HardEvent.FIX_MTE1)
        ac.LoadA(a0, middle, m, n)
        after(ac.HardEvent.MTE1_M, 1)
        after(ac.HardEvent.FIX_M)
        ac.Mmad(c, a0, ac.LocalTensor(ac.TPosition.B2, 0, half, 32 * 32), m, n, n)
        after(ac.HardEvent.M_FIX, 1)
        ac.Fixpipe(g, c, m, n)

    first = (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(product(store, np.zeros((16, 32), np.float32), a, b), first.astype(np.float64) @ b.astype(np.float64))


@pytest.mark.parametrize(("stride", "padding", "dilation"), [((1, 1), (0, 0, 0, 0), (1, 1)), ((2, 1), (1, 1, 1, 1), (1, 1)), ((1, 2), (2, 0, 1, 2), (2, 2))])
def test_im2col_makes_a_convolution_a_product(stride: tuple[int, int], padding: tuple[int, int, int, int], dilation: tuple[int, int]) -> None:
    h, w, channels, kernel_h, kernel_w, filters = 9, 10, 32, 3, 2, 16
    left, right, top, bottom = padding
    image, weight = numbers(15, "f16", h, w, channels), numbers(16, "f16", filters, kernel_h, kernel_w, channels)
    out_h = (h + top + bottom - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    out_w = (w + left + right - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    pixels, deep = out_h * out_w, kernel_h * kernel_w * channels

    @npu.kernel(kind="aic")
    def convolve(out, image, weight):
        il, wl = alloc(L1, half, h * w * channels), alloc(L1, half, filters * deep)
        a0, b0, c0 = alloc(L0A, half, up(pixels) * deep), alloc(L0B, half, filters * deep), alloc(L0C, f32, up(pixels) * filters)
        ac.DataCopy(il, ac.GlobalTensor(image), h * w * channels)
        ac.DataCopy(wl, ac.GlobalTensor(weight), ac.Nd2NzParams(filters, deep))
        after(ac.HardEvent.MTE2_MTE1)
        ac.Load3D(a0, il, (h, w, channels), pixels, deep, filter=(kernel_h, kernel_w), stride=stride, dilation=dilation, padding=padding)
        ac.LoadB(b0, wl, deep, filters, trans=True)
        after(ac.HardEvent.MTE1_M)
        ac.Mmad(c0, a0, b0, pixels, filters, deep)
        after(ac.HardEvent.M_FIX)
        ac.Fixpipe(ac.GlobalTensor(out), c0, pixels, filters)

    def c1hwc0(x: Array) -> Array:  # channels in two blocks of 16
        return np.ascontiguousarray(np.moveaxis(x.reshape(*x.shape[:-1], 2, 16), -2, 0))

    columns = np.ascontiguousarray(np.stack([c1hwc0(f) for f in weight])).reshape(filters, deep)
    out = np.zeros((pixels, filters), np.float32)
    convolve[1](out, c1hwc0(image), columns)
    padded = np.pad(image.astype(np.float64), ((top, bottom), (left, right), (0, 0)))
    expected = np.zeros((out_h, out_w, filters))
    for i in range(kernel_h):
        for j in range(kernel_w):
            window = padded[i * dilation[0] :, j * dilation[1] :][: (out_h - 1) * stride[0] + 1 : stride[0], : (out_w - 1) * stride[1] + 1 : stride[1]]
            expected += window @ weight[:, i, j].astype(np.float64).T
    np.testing.assert_array_equal(out.reshape(expected.shape), expected)


@pytest.mark.parametrize("stride", ((1, 1), (2, 1)))
def test_im2col_transposed_makes_a_filter_s_gradient_a_product(stride: tuple[int, int]) -> None:
    h, w, channels, taps, filters = 5, 7, 32, (3, 2), 16
    out_h, out_w = (h + 2 - 3) // stride[0] + 1, (w - 2) // stride[1] + 1  # a row of zeros above and below
    pixels, first = out_h * out_w, 16
    image, gradient = numbers(18, "f16", 2, h, w, 16), numbers(19, "f16", pixels - first, filters)

    @npu.kernel(kind="aic")
    def correlate(out, image, gradient):
        il, gl = alloc(L1, half, 2 * h * w * 16), alloc(L1, half, up(pixels - first) * filters)
        a0, b0, c0 = alloc(L0A, half, up(pixels - first) * 10 * 16), alloc(L0B, half, up(pixels - first) * filters), alloc(L0C, f32, 10 * 16 * filters)
        ac.DataCopy(il, ac.GlobalTensor(image), 2 * h * w * 16)
        ac.DataCopy(gl, ac.GlobalTensor(gradient), ac.Nd2NzParams(pixels - first, filters))
        after(ac.HardEvent.MTE2_MTE1)
        ac.Load3D(a0, il, (h, w, channels), pixels - first, 10 * 16, first, 2 * 16, filter=taps, stride=stride, padding=(0, 0, 1, 1), trans=True)
        ac.LoadB(b0, gl, pixels - first, filters)
        after(ac.HardEvent.MTE1_M)
        ac.Mmad(c0, a0, b0, 10 * 16, filters, pixels - first)
        after(ac.HardEvent.M_FIX)
        ac.Fixpipe(ac.GlobalTensor(out), c0, 10 * 16, filters)

    out = np.zeros((10 * 16, filters), np.float32)
    correlate[1](out, image, gradient)
    padded = np.pad(image.astype(np.float64), ((0, 0), (1, 1), (0, 0), (0, 0)))
    windows = [padded[c, i:, j:][: (out_h - 1) * stride[0] + 1 : stride[0], : (out_w - 1) * stride[1] + 1 : stride[1]].reshape(pixels, 16)
               for c in (0, 1) for i in range(3) for j in (0, 1)]
    columns = np.concatenate(windows, 1)[first:, 2 * 16 :]
    np.testing.assert_array_equal(out, columns.T @ gradient.astype(np.float64))


def test_fractals_move_one_by_one_and_l1_is_filled() -> None:
    a = numbers(17, "f16", 32, 16)

    @npu.kernel(kind="aic")
    def kernel(out, a):
        al, ones = alloc(L1, half, 512), alloc(L1, half, 256)
        a0, b0, c0 = alloc(L0A, half, 512), alloc(L0B, half, 256), alloc(L0C, f32, 512)
        ac.DataCopy(al, ac.GlobalTensor(a), ac.Nd2NzParams(32, 16))
        ac.InitConstValue(ones, 2.0, 256)
        after(ac.HardEvent.MTE2_MTE1)
        ac.LoadData(a0, al, 2)  # one column of blocks: both layouts agree
        ac.LoadB(b0, ones, 16, 16)
        after(ac.HardEvent.MTE1_M)
        ac.Mmad(c0, a0, b0, 32, 16, 16)
        after(ac.HardEvent.M_FIX)
        ac.Fixpipe(ac.GlobalTensor(out), c0, 32, 16)

    out = np.zeros((32, 16), np.float32)
    kernel[1](out, a)
    np.testing.assert_array_equal(out, np.repeat(2 * a.astype(np.float64).sum(1, keepdims=True), 16, 1))


@pytest.mark.parametrize(("what", "given"), [
    ("stride is 64", {"stride": (1, 64)}), ("filter is 256", {"filter": (256, 1)}), ("dilation is 0", {"dilation": (0, 1)}),
    ("padding is 256", {"padding": (0, 256, 0, 0)}), ("k_start is 8", {"k_start": 8}), ("m_start is 4", {"m_start": 4}),
])
def test_im2col_refuses_what_its_fields_do_not_hold(what: str, given: dict[str, Any]) -> None:
    @npu.kernel(kind="aic")
    def load(image):
        ac.Load3D(alloc(L0A, half, 16 * 16), alloc(L1, half, 8 * 8 * 16), (8, 8, 16), 16, 16, **{"filter": (1, 1), **given})

    with pytest.raises(npu.KernelError, match=rf"R23.*{what}"):
        load.check(np.zeros(8, np.float16))


@pytest.mark.parametrize(("memory", "dtype"), [(L0B, half), (L0A, f32)])
def test_im2col_is_transposed_to_l0a_in_formats_of_two_bytes(memory: Any, dtype: Any) -> None:
    @npu.kernel(kind="aic")
    def load(image):
        ac.Load3D(alloc(memory, dtype, 16 * 16), alloc(L1, dtype, 8 * 8 * 16), (8, 8, 16), 16, 16, filter=(1, 1), trans=True)

    with pytest.raises(npu.KernelError, match="R22.*trans is not there"):
        load.check(np.zeros(8, np.float16))
