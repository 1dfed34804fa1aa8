"""The cube's instructions: layouts checked element by element, products against float64, results in every conversion."""

from __future__ import annotations

import numpy as np
import pytest

from tests.npu.asm import AIC, BT, FB, FIX, GM, L0A, L0B, L0C, L1, MTE1, MTE2, READ, WRITE, Array, Asm, M, as_numpy, itemsize, narrow, widen

MODES = (0, 1, 2)
HF32_TOWARD_ZERO = 4


def up(n: int, to: int) -> int:
    return -(-n // to) * to


def per_row(dtype: str) -> int:
    return 64 if dtype in ("int4", "float4_e2m1") else 32 // itemsize(dtype)


def data(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if dtype in ("int8", "int32"):
        return rng.integers(-20, 20, shape).astype(dtype)
    return rng.standard_normal(shape).astype(np.float32).astype(as_numpy(dtype))


class Cube(Asm):
    """A matrix product step by step: `nd2nz`, `load`, `mmad`, `fixpipe` on fixed places of L1 and L0."""

    def __init__(self) -> None:
        super().__init__(AIC)

    def nd2nz(self, base: int, dtype: str, tensor: int, rows: int, cols: int, dst_rows: int | None = None) -> None:
        size, dst_rows = itemsize(dtype), dst_rows or up(rows, 16)
        nbytes = up(cols, per_row(dtype)) // per_row(dtype) * dst_rows * 32
        regions = [self.region(L1, dtype, base, nbytes, WRITE), self.region(GM, dtype, 0, rows * cols * size, tensor=tensor)]
        self.op("Nd2Nz", "nd2nz", regions, [rows, cols, cols * size, dst_rows, 1, 0, 0, 32], pipe=MTE2)

    def load_a(self, dtype: str, m: int, k: int, transpose: int = 0, layout: int = 0) -> None:
        nbytes = up(m, 16) * up(k, per_row(dtype)) // per_row(dtype) * 32
        rows = up(k, 16) if transpose else up(m, 16)
        self.op("LoadA", "load_a", [self.region(L0A, dtype, 0, nbytes, WRITE), self.region(L1, dtype, 0, 1 << 18)], [m, k, rows, transpose, layout, 1], pipe=MTE1)

    def load_b(self, dtype: str, k: int, n: int, transpose: int = 0) -> None:
        nbytes = up(n, 16) * up(k, per_row(dtype)) // per_row(dtype) * 32
        rows = up(n, 16) if transpose else up(k, 16)
        self.op("LoadB", "load_b", [self.region(L0B, dtype, 0, nbytes, WRITE), self.region(L1, dtype, 1 << 18, 1 << 18)], [k, n, rows, transpose, 0, 1], pipe=MTE1)

    def mmad(self, dtype: str, m: int, n: int, k: int, *, init: int = 1, hf32: int = 0, layout: int = 0) -> None:
        out = "int32" if dtype in ("int8", "int4") else "float32"
        regions = [self.region(L0C, out, 0, up(m, 16) * up(n, 16) * 4, WRITE), self.region(L0A, dtype, 0, 1 << 16), self.region(L0B, dtype, 0, 1 << 16)]
        if init == 2:
            regions.append(self.region(BT, out, 0, n * 4))
        self.op("Mmad", "mmad", regions, [m, n, k, init, 0, hf32, layout], pipe=M)

    def fixpipe(self, src: str, dst: str, tensor: int, m: int, n: int, *, quant: int = 0, relu: int = 0, atomic: int = 0, scale: float = 1.0) -> None:
        regions = [self.region(GM, dst, 0, m * n * itemsize(dst), WRITE, tensor=tensor), self.region(L0C, src, 0, up(m, 16) * up(n, 16) * 4)]
        if quant == 3:
            regions.append(self.region(FB, "uint64", 0, n * 8))
        args = [m, n, n * itemsize(dst), up(m, 16), quant, relu, 0, 0, atomic, 1, 0, 0]
        self.op("Fixpipe", "fixpipe", regions, args, [scale], pipe=FIX)


def product(a: Array, b: Array, dtype: str, out: str, *, mode: int = 0, options: int = 0, trans_a: int = 0, trans_b: int = 0, layout: int = 0,
            hf32: int = 0, steps: int = 1, quant: int = 0, relu: int = 0, scale: float = 1.0) -> Array:  # fmt: skip
    """a (m x k, or k x m with trans_a) times b (k x n, or n x k) through the whole data path; `steps` Mmads accumulate."""
    m, k = a.shape[::-1] if trans_a else a.shape
    n = b.shape[0] if trans_b else b.shape[1]
    cube = Cube()
    tensors = [cube.tensor(x) for x in (a.nbytes, b.nbytes, m * n * itemsize(out))]
    cube.nd2nz(0, dtype, tensors[0], *a.shape)
    cube.nd2nz(1 << 18, dtype, tensors[1], *b.shape)
    cube.load_a(dtype, m, k, trans_a, layout)
    cube.load_b(dtype, k, n, trans_b)
    for step in range(steps):
        cube.mmad(dtype, m, n, k, init=int(step == 0), hf32=hf32, layout=layout)
    cube.fixpipe("int32" if dtype == "int8" else "float32", out, tensors[2], m, n, quant=quant, relu=relu, scale=scale)
    c = widen(np.zeros((m, n), as_numpy(out)), out, mode)
    cube.run([widen(a, dtype, mode), widen(b, dtype, mode), c], mode=mode, options=options)
    return narrow(c, out, mode, (m, n))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ("float16", "bfloat16", "float32", "int8", "float8_e4m3fn"))
@pytest.mark.parametrize("shape", [(16, 32, 16), (48, 64, 80), (37, 50, 19), (1, 1, 1)])
def test_a_product_through_the_whole_path(shape: tuple[int, int, int], dtype: str, mode: int) -> None:
    m, k, n = shape
    a, b = data((m, k), dtype), data((k, n), dtype, 1)
    out = "int32" if dtype == "int8" else "float32"
    exact = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(product(a, b, dtype, out, mode=mode), exact, rtol=0, atol=1e-12 if mode == 2 else 2e-6 * k)


@pytest.mark.parametrize("mode", (0, 1))
@pytest.mark.parametrize("trans", [(1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("dtype", ("float16", "float32", "int8"))
def test_stored_transposed_operands(dtype: str, trans: tuple[int, int], mode: int) -> None:
    m, k, n = 48, 64, 32
    a, b = data((m, k), dtype), data((k, n), dtype, 1)
    got = product(
        np.ascontiguousarray(a.T) if trans[0] else a, np.ascontiguousarray(b.T) if trans[1] else b, dtype, "int32" if dtype == "int8" else "float32",
        trans_a=trans[0], trans_b=trans[1], mode=mode,
    )  # fmt: skip
    np.testing.assert_allclose(got, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)


def sum_in_order(a: Array, b: Array, steps: int = 1) -> Array:
    """In float32, one product of k after the other, each exact before it is added; float64 holds every term and sum on the way."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for k in range(a.shape[1]):
            total = (total + a[:, k, None].astype(np.float64) * b[None, k].astype(np.float64)).astype(np.float32)
        return sum([total] * (steps - 1), total)


@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 32, 16), (30, 47, 33), (128, 255, 20)])
@pytest.mark.parametrize(("of_a", "of_b"), [(1, 1), (2.0**-40, 2.0**-20), (2.0**-70, 2.0**-42), (2.0**-70, 2.0**-58), (2.0**-70, 2.0**-75), (2.0**-128, 1), (1, 2.0**-130), (2.0**70, 2.0**56)])
@pytest.mark.parametrize("layout", (0, 1))
def test_products_of_bfloat16_have_the_bits_of_the_sum_in_order(shape: tuple[int, int, int], of_a: float, of_b: float, layout: int) -> None:
    m, k, n = shape
    bf16 = as_numpy("bfloat16")
    a, b = (data(s, "bfloat16", seed).astype(np.float64).round(3) for s, seed in (((m, k), 0), ((k, n), 1)))
    a[:, k // 3] = 0
    a, b = (a * of_a).astype(bf16), (b * of_b).astype(bf16)
    got = product(a, b, "bfloat16", "float32", layout=layout, steps=2)
    np.testing.assert_array_equal(got.view(np.int32), sum_in_order(a, b, 2).view(np.int32))


@pytest.mark.parametrize("value", (np.inf, -np.inf, np.nan, 2.0**-130, 2.0**127))
def test_a_number_at_the_edge_changes_its_row_alone(value: float) -> None:
    a, b = data((20, 48), "bfloat16"), data((48, 32), "bfloat16", 1)
    plain = product(a, b, "bfloat16", "float32")
    a[7, 30] = value
    got = product(a, b, "bfloat16", "float32")
    np.testing.assert_array_equal(got[7], sum_in_order(a[7:8], b)[0])
    np.testing.assert_array_equal(np.delete(got, 7, 0), np.delete(plain, 7, 0))


def test_a_by_column_of_fractals_gives_the_same_bits() -> None:
    a, b = data((48, 64), "float16"), data((64, 32), "float16", 1)
    np.testing.assert_array_equal(product(a, b, "float16", "float32"), product(a, b, "float16", "float32", layout=1))


def test_products_accumulate_in_float32() -> None:
    a, b = data((32, 32), "float16"), data((32, 32), "float16", 1)
    once = product(a, b, "float16", "float32")
    np.testing.assert_array_equal((once + once) + once, product(a, b, "float16", "float32", steps=3))


@pytest.mark.parametrize(("options", "tie"), [(0, 1.0), (HF32_TOWARD_ZERO, 1.0)])
def test_hf32_cuts_inputs_to_ten_bits(options: int, tie: float) -> None:
    a = np.zeros((16, 16), np.float32)
    a[0, 0], a[1, 0], a[2, 0] = 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20
    got = product(a, np.eye(16, dtype=np.float32), "float32", "float32", hf32=1, options=options)
    odd_tie = 1 + 2**-9 if options == 0 else 1 + 2**-10
    np.testing.assert_array_equal(np.array([tie, odd_tie, 1 + 2**-10], np.float32), got[:3, 0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("out", ("float16", "bfloat16", "float32"))
def test_results_are_converted(out: str, mode: int) -> None:
    a, b = data((33, 48), "float16"), data((48, 21), "float16", 1)
    full = product(a, b, "float16", "float32", mode=mode)
    want = np.maximum(full * full.dtype.type(0.25), 0)
    got = product(a, b, "float16", out, mode=mode, quant=2, relu=1, scale=0.25)
    np.testing.assert_array_equal(want.astype(as_numpy(out)) if mode == 0 else want, got)


@pytest.mark.parametrize("mode", (0, 2))
def test_results_are_quantised_to_int8(mode: int) -> None:
    a, b = data((16, 32), "int8"), data((32, 16), "int8", 1)
    exact = a.astype(np.int32) @ b.astype(np.int32)
    want = np.clip(np.rint(exact * np.float32(0.125)), -128, 127)
    np.testing.assert_array_equal(want, product(a, b, "int8", "int8", quant=2, scale=0.125, mode=mode))
    np.testing.assert_array_equal(exact, product(a, b, "int8", "int32", mode=mode))


@pytest.mark.parametrize("mode", (0, 2))
def test_bias_column_scales_and_atomic_results(mode: int) -> None:
    m, k, n = 20, 32, 24
    a, b, bias = data((m, k), "float16"), data((k, n), "float16", 1), data((n,), "float32", 2)
    scales = np.zeros((n, 2), np.float32)
    scales[:, 0] = np.linspace(0.5, 2, n)
    out = np.ones((m, n), np.float32)
    cube = Cube()
    for x in (a, b, bias, scales, out):
        cube.tensor(x.nbytes)
    cube.nd2nz(0, "float16", 0, m, k)
    cube.nd2nz(1 << 18, "float16", 1, k, n)
    cube.copy(cube.region(BT, "float32", 0, n * 4, WRITE), cube.region(GM, "float32", 0, n * 4, tensor=2), n * 4)
    cube.copy(cube.region(FB, "uint64", 0, n * 8, WRITE), cube.region(GM, "uint64", 0, n * 8, tensor=3), n * 8)
    cube.load_a("float16", m, k)
    cube.load_b("float16", k, n)
    cube.mmad("float16", m, n, k, init=2)
    cube.fixpipe("float32", "float32", 4, m, n, quant=3, atomic=1)
    cube.fixpipe("float32", "float32", 4, m, n, quant=3, atomic=1)
    arrays = [widen(a, "float16", mode), widen(b, "float16", mode), widen(bias, "float32", mode), widen(scales.view(np.uint64), "uint64", mode), widen(out, "float32", mode)]
    cube.run(arrays, mode=mode)
    want = 1 + 2 * (a.astype(np.float64) @ b.astype(np.float64) + bias) * scales[:, 0]
    np.testing.assert_allclose(narrow(arrays[4], "float32", mode, (m, n)), want, rtol=1e-5, atol=1e-5)


def test_nd2nz_fills_with_zeros_and_comes_back() -> None:
    rows, cols = 19, 21
    a = data((rows, cols), "float16")
    cube = Cube()
    cube.tensor(a.nbytes), cube.tensor(2 * 32 * 32), cube.tensor(a.nbytes)
    cube.op("InitConstValue", "fill", [cube.region(L1, "float16", 0, 2048, WRITE)], [2048], [7.0], pipe=MTE2)
    cube.nd2nz(0, "float16", 0, rows, cols)
    cube.copy(cube.region(GM, "float16", 0, 2048, WRITE, tensor=1), cube.region(L1, "float16", 0, 2048), 2048)
    cube.op("Nz2Nd", "nz2nd", [cube.region(GM, "float16", 0, a.nbytes, WRITE, tensor=2), cube.region(L1, "float16", 0, 2048)], [rows, cols, cols * 2, 32, 0])
    nz, back = np.ones(1024, np.float16), np.zeros_like(a)
    cube.run([a, nz, back])
    padded = np.zeros((32, 32), np.float16)
    padded[:rows, :cols] = a
    np.testing.assert_array_equal(padded.reshape(32, 2, 16).transpose(1, 0, 2), nz.reshape(2, 32, 16))
    np.testing.assert_array_equal(a, back)


@pytest.mark.parametrize("mode", (0, 1))
def test_load3d_is_im2col(mode: int) -> None:
    """5 x 6 image of 16 channels, 3 x 2 filter, stride 2 x 1, padding 1 on the left and top, 0 elsewhere."""
    h, w, c0, fh, fw = 5, 6, 16, 3, 2
    image = data((h, w, c0), "float16")
    padded = np.full((h + 1, w + 1, c0), 0.5, np.float16)
    padded[1:, 1:] = image
    out_h, out_w = (h + 1 - fh) // 2 + 1, (w + 1 - fw) // 1 + 1
    columns = np.stack([padded[2 * y : 2 * y + fh, x : x + fw].reshape(-1) for y in range(out_h) for x in range(out_w)])
    m, k = columns.shape
    cube = Cube()
    cube.tensor(image.nbytes), cube.tensor(m * 16 * 4)
    cube.copy(cube.region(L1, "float16", 0, image.nbytes, WRITE), cube.region(GM, "float16", 0, image.nbytes, tensor=0), image.nbytes)
    m16 = up(m, 16)
    args = [h, w, c0, k, m, 0, 0, 1, 2, fw, fh, 1, 1, 1, 0, 1, 0, 0, 0, 1]
    cube.op("LoadData3D", "load3d", [cube.region(L0A, "float16", 0, m16 * k * 2, WRITE), cube.region(L1, "float16", 0, image.nbytes)], args, [0.5], pipe=MTE1)
    weight = data((k, 16), "float16", 1)
    cube.tensor(weight.nbytes)
    cube.nd2nz(1 << 18, "float16", 2, k, 16)
    cube.load_b("float16", k, 16)
    cube.mmad("float16", m, 16, k)
    cube.fixpipe("float32", "float32", 1, m, 16)
    arrays = [widen(image, "float16", mode), widen(np.zeros((m, 16), np.float32), "float32", mode), widen(weight, "float16", mode)]
    cube.run(arrays, mode=mode)
    want = columns.astype(np.float64) @ weight.astype(np.float64)
    np.testing.assert_allclose(narrow(arrays[1], "float32", mode, (m, 16)), want, atol=1e-4)


def test_load2d_moves_and_turns_single_fractals() -> None:
    a, b = data((32, 16), "float16"), data((16, 16), "float16", 1)
    cube = Cube()
    cube.tensor(a.nbytes), cube.tensor(b.nbytes), cube.tensor(32 * 16 * 4)
    cube.nd2nz(0, "float16", 0, 32, 16)
    cube.nd2nz(1 << 18, "float16", 1, 16, 16)
    cube.op("LoadData", "load2d", [cube.region(L0A, "float16", 0, 1024, WRITE), cube.region(L1, "float16", 0, 1024)], [2, 512, 512, 0, 1], pipe=MTE1)
    cube.op("LoadData", "load2d", [cube.region(L0B, "float16", 0, 512, WRITE), cube.region(L1, "float16", 1 << 18, 512)], [1, 512, 512, 1, 1], pipe=MTE1)
    cube.mmad("float16", 32, 16, 16)
    cube.fixpipe("float32", "float32", 2, 32, 16)
    out = np.zeros((32, 16), np.float32)
    cube.run([a, b, out])
    np.testing.assert_allclose(out, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)


def test_four_bit_products() -> None:
    """64 numbers a row of a fractal, two a byte."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 16, (16, 64)), rng.integers(0, 16, (16, 64))  # b is stored n x k
    grid = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
    for dtype, decode in (("int4", lambda x: (x ^ 8) - 8), ("float4_e2m1", lambda x: grid[x])):
        out_dtype = "int32" if dtype == "int4" else "float32"
        cube = Cube()
        for nbytes in (512, 512, 16 * 16 * 4):
            cube.tensor(nbytes)
        for memory, t in ((L0A, 0), (L0B, 1)):
            cube.copy(cube.region(memory, dtype, 0, 512, WRITE), cube.region(GM, dtype, 0, 512, READ, tensor=t), 512)
        cube.mmad(dtype, 16, 16, 64)
        cube.fixpipe(out_dtype, out_dtype, 2, 16, 16)
        out = np.zeros((16, 16), as_numpy(out_dtype))
        packed = [(x[:, 0::2] | x[:, 1::2] << 4).astype(np.uint8) for x in (a, b)]
        cube.run([*packed, out])
        np.testing.assert_array_equal(decode(a) @ decode(b).T, out)


def test_saturation_of_results() -> None:
    a = np.full((16, 16), 200, np.float16)
    b = np.full((16, 16), 200, np.float16)
    assert np.isinf(product(a, b, "float16", "float16", quant=1)).all()
    assert (product(a, b, "float16", "float16", quant=1, options=1) == 65504).all()


def test_mixed_eight_bit_formats() -> None:
    a, b = data((16, 32), "float8_e4m3fn"), data((16, 32), "float8_e5m2", 1)  # one fractal each; b is stored n x k
    cube = Cube()
    for nbytes in (512, 512, 1024):
        cube.tensor(nbytes)
    for memory, dtype, t in ((L0A, "float8_e4m3fn", 0), (L0B, "float8_e5m2", 1)):
        cube.copy(cube.region(memory, dtype, 0, 512, WRITE), cube.region(GM, dtype, 0, 512, tensor=t), 512)
    regions = [cube.region(L0C, "float32", 0, 1024, WRITE), cube.region(L0A, "float8_e4m3fn", 0, 512), cube.region(L0B, "float8_e5m2", 0, 512)]
    cube.op("Mmad", "mmad", regions, [16, 16, 32, 1, 0, 0, 0], pipe=M)
    cube.fixpipe("float32", "float32", 2, 16, 16)
    out = np.zeros((16, 16), np.float32)
    cube.run([a, b, out])
    np.testing.assert_allclose(out, a.astype(np.float64) @ b.astype(np.float64).T, atol=1e-4)


def test_a_product_that_the_cube_lacks_is_refused() -> None:
    cube = Cube()
    regions = [cube.region(L0C, "float32", 0, 1024, WRITE), cube.region(L0A, "float16", 0, 512), cube.region(L0B, "int8", 0, 512)]
    cube.op("Mmad", "mmad", regions, [16, 16, 16, 1, 0, 0, 0], pipe=M)
    with pytest.raises(ValueError, match="no product of float16 and int8"):
        cube.run([])
