"""Shapes forced on a tensor in place, sums back to a shape, and what broadcasts in products and indices."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al


def test_a_smaller_size_keeps_the_memory_and_a_larger_one_the_values():
    x = al.arange(6)
    address = x.data_ptr()
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]] and x.data_ptr() == address
    assert x.resize_(3, 2).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert x.resize_((4, 2)).tolist()[:3] == [[0, 1], [2, 3], [4, 5]] and x.shape == (4, 2)
    assert x.resize_as_(al.ones(1, 3)).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("size", "match"), [((-1,), "must not be negative"), (((2, -3),), "must not be negative")])
def test_resize_refuses_negative_sizes(size, match):
    with pytest.raises(RuntimeError, match=match):
        al.ones(2).resize_(*size)


def test_resize_refuses_what_requires_grad():
    with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
        al.ones(2, requires_grad=True).resize_(1)


def test_sum_to_size_undoes_a_broadcast_and_its_gradient_is_one():
    x = al.ones(4, 2, 3, requires_grad=True)
    y = x.sum_to_size(2, 1)
    assert y.tolist() == [[12.0], [12.0]]
    y.sum().backward()
    assert bool((x.grad == 1).all())
    with pytest.raises(RuntimeError, match="is not expandable to size"):
        x.sum_to_size(3, 3)


def test_tensordot_broadcasts_contracted_dims_of_size_one():
    a, b = al.randn(2, 1), al.randn(3, 4)
    np.testing.assert_allclose(a.numpy() * b.numpy().sum(0), al.tensordot(a, b, 1).numpy(), rtol=1e-5)


def test_take_along_dim_counts_negative_indices_from_the_end():
    assert al.take_along_dim(al.tensor([[1, 2, 3]]), al.tensor([[-1, 0]]), 1).tolist() == [[3, 1]]


def test_products_without_elements_have_gradients():
    a, b = al.ones(5, 5, 0, requires_grad=True), al.ones(0, 5, requires_grad=True)
    (a @ b).sum().backward()
    assert a.grad.shape == (5, 5, 0) and b.grad.shape == (0, 5)


def test_an_index_beyond_the_size_is_an_index_error_and_a_runtime_error():
    for error in (IndexError, RuntimeError):
        with pytest.raises(error, match="index 9 is out of bounds"):
            al.zeros(3).scatter(0, al.tensor([9]), 1.0)


def test_results_come_in_out():
    x = al.tensor([3.0, 1.0, 2.0])
    values, places = al.empty(2), al.empty(2, dtype=al.int64)
    al.topk(x, 2, out=(values, places))
    assert (values.tolist(), places.tolist()) == ([3.0, 2.0], [0, 2])
    out = al.empty(3)
    assert al.softmax(x, 0, out=out) is out and out.sum().item() == pytest.approx(1)
    assert al.sort(x, out=(out, al.empty(3, dtype=al.int64))).values is out and out.tolist() == [1.0, 2.0, 3.0]
    assert al.nansum(x, out=al.empty(())).item() == 6.0 and al.nanmean(x, out=al.empty(())).item() == 2.0


def test_multinomial_draws_into_integers_only():
    with pytest.raises(RuntimeError, match="expects Long tensor out"):
        al.multinomial(al.ones(3), 2, out=al.empty(2))


@pytest.mark.parametrize("dtype", [al.int64, al.int32, al.uint8])
def test_max_pooling_takes_integers(dtype):
    x = al.tensor([[1, 9, 3, 200, 7, 7]], dtype=dtype)
    values, places = al.nn.functional.max_pool1d(x, 2, return_indices=True)
    assert values.dtype is dtype and values.tolist() == [[9, 200, 7]] and places.tolist() == [[1, 3, 4]]


def test_max_pooling_refuses_integers_that_a_double_does_not_hold():
    with pytest.raises(ValueError, match="beyond 2"):
        al.nn.functional.max_pool1d(al.tensor([[2**60, 1]]), 2)
