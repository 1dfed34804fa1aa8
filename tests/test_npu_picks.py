"""Reading and writing by index on the NPU: the CPU's results from the vector core, in the order of the indices whatever the threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ascendlite as al

rng = np.random.default_rng(0)
FLOATS = ("float32", "float16", "bfloat16")


def numbers(*shape: int, dtype: str = "float32") -> al.Tensor:
    return al.tensor((rng.standard_normal(shape) * 8).round(1).astype(np.float32)).to(getattr(al, dtype))


def places(size: int, *shape: int) -> al.Tensor:
    return al.tensor(rng.integers(0, size, shape))


def check(f: Callable[..., al.Tensor], *operands: al.Tensor, kernel: str) -> None:
    """The same bits as on the CPU, from a kernel of that name."""
    expected = f(*operands)
    with al.npu.profiler.profile() as p:
        actual = f(*(t.npu() for t in operands))
    assert kernel in {t.name for t in p.tasks if t.kind == "AI_VECTOR_CORE"}
    np.testing.assert_array_equal(actual.cpu().float().numpy(), expected.float().numpy())


@pytest.mark.parametrize("dtype", [*FLOATS, "int64", "int32", "int8", "bool"])
def test_rows_are_read_by_index(dtype: str) -> None:
    x = numbers(70, 33, 5, dtype=dtype)
    check(lambda x, i: x[i], x, places(70, 3, 41) - 35, kernel="index")
    check(lambda x, i: x[:, i], x, places(33, 100), kernel="index")
    check(lambda x, i: x.index_select(2, i), x, places(5, 9), kernel="index")
    check(lambda x, i, j: x[i, j], x, places(70, 50), places(33, 50), kernel="index")


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_are_added_in_the_order_of_the_indices(dtype: str) -> None:
    x = numbers(40, 700, dtype=dtype)
    check(lambda x, i, v: x.index_put((i,), v, accumulate=True), x, places(40, 300), numbers(300, 700, dtype=dtype), kernel="index_put")
    check(lambda x, i, v: x.index_copy(0, i, v), x, al.tensor(rng.permutation(40)[:25]), numbers(25, 700, dtype=dtype), kernel="index_put")
    check(lambda x, i, v: x.index_put((i,), v), x, places(40, 300), numbers(300, 700, dtype=dtype), kernel="index_put")


@pytest.mark.parametrize("dtype", FLOATS)
def test_elements_are_gathered_and_scattered(dtype: str) -> None:
    x = numbers(301, 77, dtype=dtype)
    check(lambda x, i: x.gather(1, i), x, places(77, 301, 13), kernel="gather")
    check(lambda x, i: x.gather(0, i), x, places(301, 90, 77), kernel="gather")
    check(lambda x, i, v: x.scatter(1, i, v), x, places(77, 301, 6), numbers(301, 6, dtype=dtype), kernel="scatter")
    check(lambda x, i, v: x.scatter_add(1, i, v), x, al.tensor(np.argsort(rng.random((301, 77)))[:, :6].copy()), numbers(301, 6, dtype=dtype), kernel="scatter")


@pytest.mark.parametrize("dtype", FLOATS)
def test_elements_are_gathered_from_long_rows(dtype: str) -> None:
    x = numbers(3, 20001, dtype=dtype)
    for i in (places(20001, 3, 9000), places(20001, 3, 5), places(20001, 2, 4097)):
        check(lambda x, i: x.gather(1, i), x, i, kernel="gather")


def test_scattered_infinities_stay_where_they_are_put() -> None:
    x, i = numbers(9, 20), places(20, 9, 1)
    check(lambda x, i, v: x.scatter(1, i, v), x, i, al.full((9, 1), float("inf")), kernel="scatter")
    check(lambda x, i, v: x.scatter_add(1, i, v), x, i, al.full((9, 1), float("nan")), kernel="scatter")


def test_a_wrong_index_is_named() -> None:
    x = numbers(5, 3).npu()
    with pytest.raises(IndexError, match="out of bounds"):
        x[al.tensor([5]).npu()]
    with pytest.raises(IndexError, match="out of bounds"):
        x.gather(1, al.tensor([[3]]).npu())


@pytest.mark.parametrize("numerics", ["fp32", "fp64"])
def test_wide_numerics_pick_the_same(numerics: str) -> None:
    with al.npu.numerics(numerics):
        test_rows_are_read_by_index("float16")
        test_elements_are_gathered_and_scattered("float32")


def test_sums_have_the_same_bits_for_any_number_of_threads() -> None:
    g, i = al.randn(4000, 200).npu(), places(50, 4000).npu()
    found = []
    before = al.get_num_threads()
    try:
        for threads in (1, 2, 4):
            al.set_num_threads(threads)
            found.append(al.zeros(50, 200, device="npu").index_add(0, i, g).cpu().numpy())
    finally:
        al.set_num_threads(before)
    assert all(np.array_equal(f, found[0]) for f in found)


@pytest.mark.parametrize("numerics", ["device", "fp32", "fp64"])
@pytest.mark.parametrize("dtype", ["bool", "int64", "float16"])
def test_what_a_mask_chooses_is_packed_by_the_card(dtype: str, numerics: str) -> None:
    with al.npu.numerics(numerics):
        for shape in ((70,), (3, 41), (2, 3000, 3), (20001,)):
            x = al.tensor(rng.integers(0, 2, shape)).to(getattr(al, dtype))
            check(lambda x: x.nonzero(), x, kernel="nonzero")
            check(lambda x: x[x > 0], x, kernel="nonzero")


def test_a_mask_of_zeros_chooses_nothing() -> None:
    assert al.zeros(5, 2, device="npu").nonzero().shape == (0, 2)
    assert al.ones((), device="npu").nonzero().shape == (1, 0)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_by_what_is_there_stays_off_the_ai_cpu(mode: str) -> None:
    x = numbers(2, 3, 9, 8)
    with al.npu.profiler.profile() as p:
        actual = al.nn.functional.pad(x.npu(), (2, 3, 1, 2), mode=mode)
    assert "AI_CPU" not in {t.kind for t in p.tasks}
    np.testing.assert_array_equal(actual.cpu().numpy(), al.nn.functional.pad(x, (2, 3, 1, 2), mode=mode).numpy())
