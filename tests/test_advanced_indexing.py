"""Advanced indexing against NumPy: reading, writing, and the gradients of both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ascendlite as al

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


@st.composite
def one_key(draw, size: int, shape: tuple[int, ...]):
    """A number, a slice or an index array for one dim."""
    kind = draw(st.sampled_from(("number", "slice", "array", "list")))
    if kind == "number":
        return draw(st.integers(-size, size - 1))
    if kind == "slice":
        start = draw(st.none() | st.integers(-size - 1, size + 1))
        stop = draw(st.none() | st.integers(-size - 1, size + 1))
        return slice(start, stop, draw(st.none() | st.integers(1, 3)))
    array = draw(hnp.arrays(np.int64, shape, elements=st.integers(-size, size - 1)))
    return array.tolist() if kind == "list" and array.size else array


@st.composite
def arrays_and_keys(draw):
    """An array and a key for it: numbers, slices, index arrays that broadcast together, masks, None and Ellipsis."""
    shape = draw(SHAPES)
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + 1
    pick = draw(st.sampled_from(((), (1,), (3,), (2, 1), (2, 3), (1, 3), (0,))))
    small = draw(st.sampled_from((pick, pick[-1:])))
    if draw(st.integers(0, 5)) == 0:
        return x, draw(hnp.arrays(bool, shape[: draw(st.integers(1, len(shape)))]))
    count = draw(st.integers(1, len(shape)))
    key = [draw(one_key(shape[d], draw(st.sampled_from((pick, small))))) for d in range(count)]
    if count < len(shape) and draw(st.booleans()):
        key.append(Ellipsis)
    if draw(st.booleans()):
        key.insert(draw(st.integers(0, len(key))), None)
    return x, tuple(key)


def ours(key):
    """The same key with tensors in the place of arrays."""
    if isinstance(key, tuple):
        return tuple(ours(k) for k in key)
    return al.tensor(key) if isinstance(key, np.ndarray) and key.size else (
        al.zeros(key.shape, dtype=al.int64) if isinstance(key, np.ndarray) else key)


def numbers_apart(key) -> bool:
    """NumPy counts a number beside index arrays as an array of its own; PyTorch selects it first. They differ then."""
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(k, (int, np.integer)) for k in parts) and any(isinstance(k, (np.ndarray, list)) for k in parts)


@settings(max_examples=300, deadline=None)
@given(arrays_and_keys())
def test_reading_gives_what_numpy_gives(case):
    x, key = case
    if numbers_apart(key):
        return
    np.testing.assert_array_equal(al.tensor(x)[ours(key)].numpy(), x[key])


@settings(max_examples=300, deadline=None)
@given(arrays_and_keys(), st.booleans())
def test_writing_distinct_places_gives_what_numpy_gives(case, scalar):
    x, key = case
    if numbers_apart(key):
        return
    places = np.arange(x.size).reshape(x.shape)[key]
    if np.unique(places).size != np.size(places):
        return
    value = np.float64(-1) if scalar else -np.arange(np.size(places), dtype=np.float64).reshape(np.shape(places)) - 1
    expected = x.copy()
    expected[key] = value
    t = al.tensor(x)
    t[ours(key)] = -1.0 if scalar else al.tensor(value)
    np.testing.assert_array_equal(t.numpy(), expected)


@settings(max_examples=200, deadline=None)
@given(arrays_and_keys())
def test_the_gradient_of_reading_adds_up_where_elements_came_from(case):
    x, key = case
    if numbers_apart(key):
        return
    places = np.arange(x.size).reshape(x.shape)[key]
    weights = np.arange(np.size(places), dtype=np.float64).reshape(np.shape(places)) + 1
    expected = np.zeros(x.size)
    np.add.at(expected, places, weights)
    t = al.tensor(x).requires_grad_()
    t[ours(key)].backward(al.tensor(weights))
    np.testing.assert_array_equal(t.grad.numpy(), expected.reshape(x.shape))


@settings(max_examples=200, deadline=None)
@given(arrays_and_keys())
def test_the_gradients_of_writing_go_to_the_values_and_to_what_was_not_written(case):
    x, key = case
    if numbers_apart(key):
        return
    places = np.arange(x.size).reshape(x.shape)[key]
    if np.unique(places).size != np.size(places):
        return
    leaf = al.tensor(x).requires_grad_()
    values = al.zeros(np.shape(places), dtype=al.float64).requires_grad_()
    written = leaf * 2
    written[ours(key)] = values
    weights = x * 3
    (written * al.tensor(weights)).sum().backward()
    kept = np.ones(x.size)
    kept[places] = 0
    np.testing.assert_array_equal(leaf.grad.numpy(), 2 * weights * kept.reshape(x.shape))
    np.testing.assert_array_equal(values.grad.numpy(), weights[key])


@pytest.mark.parametrize("index, text", [
    ([0, 99], "index 99 is out of bounds for dimension 0 with size 3"),
    ([-4], "index -4 is out of bounds for dimension 0 with size 3"),
])
def test_an_index_out_of_bounds_names_itself_the_dim_and_its_size(index, text):
    x = al.zeros(3, 4)
    with pytest.raises(IndexError, match=text):
        x[al.tensor(index)]
    with pytest.raises(IndexError, match=text):
        x[al.tensor(index)] = 1.0
    assert not x.any()


def test_indices_that_do_not_broadcast_are_named_with_their_shapes():
    with pytest.raises(IndexError, match=r"could not be broadcast together with shapes \[2\], \[3\]"):
        al.zeros(3, 4)[[0, 1], [0, 1, 2]]


def test_writing_to_repeated_places_keeps_the_last_value():
    x = al.zeros(3)
    x[al.tensor([1, 1, 1])] = al.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [0.0, 3.0, 0.0]


def test_values_that_share_memory_with_the_target_are_read_before_they_are_written():
    x = al.arange(8).reshape(4, 2)
    x[:, 1][al.tensor([1, 2, 3])] = x[:3, 0]
    assert x[:, 1].tolist() == [1, 0, 2, 4]


def test_bytes_are_a_mask_that_is_deprecated_and_not_filled():
    x, mask = al.arange(3), al.tensor([1, 0, 2], dtype=al.uint8)
    with pytest.warns(UserWarning, match="dtype uint8 is now deprecated: it is read as a mask") as told:
        assert x[mask].tolist() == [0, 2]
    with pytest.warns(UserWarning, match="deprecated"):
        x[mask] = al.tensor([7, 8])
    with pytest.warns(UserWarning, match="deprecated") as told_of_writing:
        al.index_put(x, (mask,), al.tensor(5))
    assert {w.filename for w in (*told, *told_of_writing)} == {__file__}  # at the line that indexes
    with pytest.warns(UserWarning, match="deprecated"), pytest.raises(RuntimeError, match=r"only supports boolean masks, .*uint8.*\.bool"):
        x[mask] = 5
    assert x.tolist() == [7, 1, 8]


def test_sums_at_repeated_places_do_not_depend_on_threads():
    rows = al.randn(4096, 33)
    index = al.randint(0, 50, (4096,))
    threads = al.get_num_threads()
    try:
        sums = []
        for n in (1, 2, 3):
            al.set_num_threads(n)
            sums.append(al.zeros(50, 33).index_add(0, index, rows))
    finally:
        al.set_num_threads(threads)
    assert all((s == sums[0]).all() for s in sums)


def test_a_failed_write_in_place_leaves_the_tensor_as_it_was():
    x = al.arange(6).reshape(3, 2)
    with pytest.raises(IndexError):
        x.index_put_((al.tensor([0, 7]),), al.tensor([[9, 9], [9, 9]]))
    assert x.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_values_of_another_dtype_are_written_by_a_mask_alone() -> None:
    x = al.zeros(3)
    for key in (al.tensor([0, 1]), ([0, 1],), al.tensor([True, True, False])):
        with pytest.raises(RuntimeError, match="Index put requires the source and destination dtypes match, got ascendlite.float32"):
            x[key] = al.tensor([1, 2])
    x[al.tensor([True, False, True])] = al.tensor(5)  # one value: masked_fill_, which casts it
    x[1:2] = al.tensor([7])
    assert [5.0, 7.0, 5.0] == x.tolist()


def test_shifts_are_made_in_place() -> None:
    x = y = al.tensor([1, 2])
    x <<= 3
    x >>= 1
    assert [y is x, [4, 8]] == [True, y.tolist()]


def test_a_range_is_a_list_of_positions() -> None:
    x = al.arange(24).view(2, 3, 4)
    assert x[range(2)].equal(x[[0, 1]]) and x[:, range(1, 3)].equal(x[:, [1, 2]]) and x[range(0)].shape == (0, 3, 4)
    assert x[[range(2), range(2)]].equal(x[[0, 1], [0, 1]])
    x[0, range(2)] = -1
    assert x[0, :, 0].tolist() == [-1, -1, 8]
    with pytest.raises(IndexError, match="index 2 is out of bounds for dimension 0 with size 2"):
        x[range(3)]


def test_an_ellipsis_that_stands_for_nothing_may_come_again() -> None:
    x = al.arange(24).view(2, 3, 4)
    assert x[..., ...].equal(x) and x[1, ..., ...].equal(x[1]) and x[..., None, ...].equal(x[..., None])
    assert x[0, ..., 1, ..., 2].item() == 6
    with pytest.raises(IndexError, match="single ellipsis"):
        x[..., ..., 0]
