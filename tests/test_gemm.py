"""The matrix product's back ends against NumPy in float64: transposes, strides, odd sizes, dtypes; and the laws of its results."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

import ascendlite as al

# (M, N, K): one road through the blocks each: tiny, rows read where they lie, panels, blocks; odd edges; more than one block of k; rows a
# page apart; few columns and long sums, whose rows are divided.
SIZES = [
    (1, 1, 1),
    (2, 3, 1),
    (8, 8, 8),
    (13, 17, 19),
    (31, 33, 32),
    (1, 70, 600),
    (3, 257, 300),
    (4, 64, 700),
    (1, 9, 1030),
    (70, 1, 600),
    (5, 33, 257),
    (64, 48, 320),
    (100, 130, 513),
    (191, 31, 256),
    (193, 40, 300),
    (2, 75, 523),
    (300, 290, 270),
    (193, 2060, 260),
    (700, 270, 40),
    (75, 40, 1024),
    (230, 9, 1030),
]
ROUNDING = {"float64": 1e-15, "float32": 6e-7, "bfloat16": 8e-3, "float16": 1e-3}


@pytest.fixture(params=["native", "openblas"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "openblas" and importlib.util.find_spec("scipy_openblas32") is None:
        pytest.skip("scipy-openblas32 is not installed")
    before = al.backends.get_gemm()
    al.backends.set_gemm(request.param)
    yield request.param
    al.backends.set_gemm(before)


def matrix(rng: np.random.Generator, m: int, n: int, layout: str, dtype: str) -> tuple[al.Tensor, np.ndarray]:
    """A matrix in the given layout, and its values in float64 or int64."""
    shape = {"rows": (m, n), "columns": (n, m), "strided": (2 * m, 3 * n), "flipped": (n, 2 * m)}[layout]
    values = rng.standard_normal(shape) if dtype in ROUNDING else rng.integers(-9, 10, shape)
    whole = al.tensor(values).to(getattr(al, dtype))
    view = {
        "rows": lambda: whole,
        "columns": lambda: whole.transpose(0, 1),
        "strided": lambda: whole[::2, ::3],
        "flipped": lambda: whole.transpose(0, 1)[::2],
    }[layout]()
    return view, view.to(al.float64 if dtype in ROUNDING else al.int64).contiguous().numpy()


def check(a: np.ndarray, b: np.ndarray, y: al.Tensor, dtype: str) -> None:
    bound = np.abs(a) @ np.abs(b)
    allowed = ROUNDING[dtype] * (bound * 2 + 1) if dtype in ROUNDING else 0
    assert y.shape == bound.shape
    assert (np.abs(y.to(al.float64).numpy() - a @ b) <= allowed).all()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layout_of_both_operands_is_multiplied_right(backend: str, dtype: str, size: tuple[int, int, int]) -> None:
    m, n, k = size
    rng = np.random.default_rng(m * 7 + n)
    for left, right in itertools.product(("rows", "columns", "strided"), repeat=2):
        a, a_values = matrix(rng, m, k, left, dtype)
        b, b_values = matrix(rng, k, n, right, dtype)
        check(a_values, b_values, a @ b, dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8", "uint8", "int16", "int32", "int64"])
def test_other_dtypes_are_multiplied_right(dtype: str) -> None:
    rng = np.random.default_rng(3)
    for m, n, k in [(1, 40, 300), (7, 5, 3), (33, 40, 300), (200, 33, 280)]:
        for left, right in [
            ("rows", "rows"),
            ("rows", "columns"),
            ("columns", "strided"),
            ("flipped", "flipped"),
        ]:
            a, a_values = matrix(rng, m, k, left, dtype)
            b, b_values = matrix(rng, k, n, right, dtype)
            if dtype in ROUNDING:
                check(a_values, b_values, a @ b, dtype)
            else:
                np.testing.assert_array_equal((a_values @ b_values).astype(dtype), (a @ b).numpy())


@pytest.fixture
def packed_steps() -> Iterator[None]:
    """bfloat16 by pairs and int8 by fours, emulated where the machine lacks the instruction."""
    al.backends.set_gemm("pairs")
    yield
    al.backends.set_gemm("auto")


@pytest.mark.usefixtures("packed_steps")
@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_several_neighbours_of_k_at_once_are_multiplied_right(dtype: str) -> None:
    rng = np.random.default_rng(8)
    for m, n, k in [(1, 40, 1), (2, 33, 301), (7, 5, 4), (33, 40, 1300), (200, 33, 551), (300, 40, 300), (650, 70, 1027)]:
        for left, right in itertools.product(("rows", "columns", "strided", "flipped"), repeat=2):
            a, a_values = matrix(rng, m, k, left, dtype)
            b, b_values = matrix(rng, k, n, right, dtype)
            if dtype == "int8":
                np.testing.assert_array_equal((a_values @ b_values).astype(dtype), (a @ b).numpy())
            else:
                check(a_values, b_values, a @ b, dtype)


@pytest.mark.usefixtures("packed_steps")
def test_the_ends_of_int8_are_multiplied_right_and_added_to() -> None:
    rng = np.random.default_rng(9)
    a, b, c = (rng.choice(np.array([-128, -127, -1, 0, 1, 127], dtype=np.int8), shape) for shape in ((65, 1500), (1500, 47), (65, 47)))
    expected = 3 * (a.astype(np.int64) @ b.astype(np.int64)) - 2 * c.astype(np.int64)
    got = al.addmm(al.tensor(c), al.tensor(a), al.tensor(b), beta=-2, alpha=3)
    np.testing.assert_array_equal(expected.astype(np.int8), got.numpy())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_a_row_does_not_depend_on_the_rows_beside_it(dtype: str, layout: str) -> None:
    rng = np.random.default_rng(4)
    a, _ = matrix(rng, 400, 700, "rows", dtype)
    b, _ = matrix(rng, 700, 96, layout, dtype)
    whole = (a @ b).float().numpy()
    for rows in (1, 3, 5, 64, 190):
        np.testing.assert_array_equal(whole[:rows], (a[:rows] @ b).float().numpy())


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    rng = np.random.default_rng(5)
    products = [
        (matrix(rng, m, k, "rows", d)[0], matrix(rng, k, n, "columns", d)[0])
        for m, n, k in [(2, 5000, 600), (150, 700, 300), (900, 300, 400), (300, 9, 1024)]
        for d in ("float32", "bfloat16")
    ]
    inputs = [  # heads of k and v: enough for the threads, or one for all
        [al.tensor(rng.standard_normal((b, h, 300, 24))).float().requires_grad_() for h in (heads, kv_heads, kv_heads)]
        for b, heads, kv_heads in [(2, 3, 3), (1, 2, 1)]
    ]

    def results() -> list[np.ndarray]:
        found = [(a @ b).float().numpy() for a, b in products]
        for q, k, v in inputs:
            y = al.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            grads = al.autograd.grad(y, (q, k, v), al.ones(*y.shape))
            found += [t.detach().numpy() for t in (y, *grads)]
        return found

    before = al.get_num_threads()
    try:
        al.set_num_threads(1)
        alone = results()
        al.set_num_threads(3)
        for one, many in zip(alone, results(), strict=True):
            np.testing.assert_array_equal(one, many)
    finally:
        al.set_num_threads(before)


def test_an_affine_layer_is_the_product_and_the_bias() -> None:
    rng = np.random.default_rng(6)
    for rows in ((1,), (3, 50), (2, 130, 4)):
        x = al.tensor(rng.standard_normal((*rows, 300)))
        w, b = al.tensor(rng.standard_normal((70, 300))), al.tensor(rng.standard_normal(70))
        np.testing.assert_allclose(
            al.nn.functional.linear(x, w, b).numpy(),
            x.numpy() @ w.numpy().T + b.numpy(),
            rtol=1e-12,
            atol=1e-12,
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(30, 40, 20), (90, 70, 300), (90, 64, 700), (700, 200, 600), (900, 40, 128), (5, 300, 64)])
def test_a_bias_is_added_to_the_whole_sum(dtype: str, size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(8)
    m, n, k = size
    x, w = (matrix(rng, rows, k, "rows", dtype)[0] for rows in (m, n))
    bias = al.tensor(rng.standard_normal(n)).to(x.dtype)
    whole = al.nn.functional.linear(x, w)
    np.testing.assert_array_equal(al.nn.functional.linear(x, w, bias).numpy(), (whole + bias).numpy())


def test_gradients_of_transposed_operands_are_products_without_copies() -> None:
    x = al.rand(3, 40, 50).double().requires_grad_()
    w = al.rand(60, 50).double().requires_grad_()
    seed = al.rand(3, 40, 60).double()
    dx, dw = al.autograd.grad(al.nn.functional.linear(x, w), (x, w), seed)
    np.testing.assert_allclose(dx.numpy(), seed.numpy() @ w.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(dw.numpy(), np.einsum("bti,btj->ij", seed.numpy(), x.detach().numpy()), rtol=1e-12)


def test_an_unknown_back_end_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, native, openblas, pairs"):
        al.backends.set_gemm("mkl")
