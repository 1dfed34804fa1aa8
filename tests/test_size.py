"""`Size`: a shape is a tuple that counts its elements, and what is made of sizes is a size."""

from __future__ import annotations

import copy
import gc
import math
import pickle

import pytest

import ascendlite as al


def test_shape_and_size_are_sizes_equal_to_tuples() -> None:
    x = al.zeros(2, 3)
    for shape in (x.shape, x.size(), al.broadcast_shapes((2, 1), (3,)), al.Size([2, 3]), al.Size((2, 3))):
        assert type(shape) is al.Size and isinstance(shape, tuple)
        assert shape == (2, 3) and hash(shape) == hash((2, 3)) and {(2, 3): 1}[shape] == 1


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 0, 3), (1,) * 9, (1 << 40, 1 << 40)])
def test_numel_is_the_product(shape: tuple[int, ...]) -> None:
    assert al.Size(shape).numel() == math.prod(shape)


def test_slices_sums_and_multiples_stay_sizes() -> None:
    s = al.Size([2, 3, 4])
    made = {
        s[1:]: (3, 4), s[::-1]: (4, 3, 2), s[:]: (2, 3, 4), s[3:]: (), s + (5,): (2, 3, 4, 5), (5,) + s: (5, 2, 3, 4), s + s: (2, 3, 4) * 2,
        s * 2: (2, 3, 4) * 2, 2 * s: (2, 3, 4) * 2, s * 0: (), (1, *s[:1]) + s[1:1]: (1, 2),
    }
    assert all(type(size) is al.Size for size in made)
    assert [tuple(size) for size in made] == list(made.values())
    assert s[0] == 2 and s[-1] == 4 and s.index(3) == 1 and s.count(4) == 1


def test_a_size_holds_integers_alone() -> None:
    assert al.Size((True, al.tensor(3))) == (1, 3)
    for bad in ([1.5], ["a"], [None]):
        with pytest.raises(TypeError, match=r"Size\(\) takes an iterable of 'int' \(item 0 is "):
            al.Size(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="item 2 is 'float'"):
        al.Size([2, 3]) + (1.5,)  # type: ignore[operator]
    with pytest.raises(TypeError):
        al.Size([2]) + [3]  # type: ignore[operator]


def test_it_prints_and_travels_as_a_size() -> None:
    s = al.Size([2, 3])
    assert repr(s) == str(s) == "(2, 3)" and repr(al.Size()) == "()"
    for same in (pickle.loads(pickle.dumps(s)), copy.copy(s), copy.deepcopy(s)):
        assert type(same) is al.Size and same == s


def test_functions_take_a_size_where_they_take_a_shape() -> None:
    s = al.zeros(2, 3).shape
    x = al.arange(6)
    made = (al.zeros(s), al.empty(s), al.full(s, 1), al.rand(s), al.randint(0, 5, s), x.view(s), x.reshape(s), al.ones(3).expand(s), al.ones(3).broadcast_to(s),
            x.new_zeros(s), al.ones(6).resize_(s), al.ones(1, 3).repeat(s).narrow(1, 0, 3), x.unflatten(0, s), al.empty_strided(s, (3, 1)),
            x.as_strided(s, (3, 1)), al.nn.Parameter(al.zeros(s)), al.zeros(s, device="meta"))
    assert {tuple(y.shape) for y in made} == {(2, 3)}
    assert al.arange(24).view(2, 3, 4)[al.Size([1, 2])].tolist() == [20, 21, 22, 23]  # one index a dim, as any tuple


def test_ended_sizes_are_used_again_and_hold_nothing() -> None:
    class Number:
        def __index__(self) -> int:
            return 1 << 70

    for n in range(9):
        kept = [al.Size(range(k, k + n)) for k in range(200)]  # more than wait at once
        assert [tuple(size) for size in kept] == [tuple(range(k, k + n)) for k in range(200)]
        del kept
        again = [al.Size(range(k, k + n)) for k in range(200)]
        assert [hash(size) for size in again] == [hash(tuple(range(k, k + n))) for k in range(200)]
    assert al.Size([Number()]) == (1 << 70,)
    gc.collect()
