"""dtypes: promotion equal to torch's table, defaults, casts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ascendlite as al

ROWS = json.loads((Path(__file__).parent / "goldens" / "promotion.json").read_text())
SCALARS = {"True": True, "3": 3, "2.5": 2.5}


def operand(name: str, ndim: int) -> object:
    return SCALARS[name] if ndim < 0 else al.ones([2] * ndim, dtype=getattr(al, name))


def test_promotion_equals_torchs_table() -> None:
    wrong = []
    for a, da, b, db, expected in ROWS:
        got = al.result_type(operand(a, da), operand(b, db)).name
        computed = (operand(a, da) + operand(b, db)).dtype.name  # type: ignore[operator]
        if (got, computed) != (expected, expected):
            wrong.append((a, da, b, db, expected, got, computed))
    assert [] == wrong


def test_promote_types_is_symmetric() -> None:
    for a, da, b, db, expected in ROWS:
        if da == db == 1:
            assert al.promote_types(getattr(al, a), getattr(al, b)).name == expected
            assert al.promote_types(getattr(al, b), getattr(al, a)).name == expected


def test_eight_bit_floats_have_no_common_dtype_with_others() -> None:
    with pytest.raises(TypeError, match="common dtype"):
        al.promote_types(al.float8_e4m3fn, al.float32)


def test_the_default_dtype_is_that_of_floats_born_without_one() -> None:
    assert al.tensor(1.0).dtype is al.float32
    al.set_default_dtype(al.float64)
    try:
        assert al.tensor(1.0).dtype is al.float64
        assert al.ones(2).dtype is al.float64
    finally:
        al.set_default_dtype(al.float32)
    with pytest.raises(TypeError):
        al.set_default_dtype(al.int32)


def test_dtypes_print_under_the_librarys_name() -> None:
    assert "ascendlite.float32" == repr(al.float32)
    assert al.float is al.float32 and al.long is al.int64


@pytest.mark.parametrize("name", ["half", "bfloat16", "float", "double", "bool", "byte", "char", "short", "int", "long"])
def test_cast_methods_convert(name: str) -> None:
    x = al.tensor([0.0, 1.0, 2.0])
    y = getattr(x, name)()
    assert [float(bool(v)) if name == "bool" else v for v in (0.0, 1.0, 2.0)] == [float(v) for v in y.tolist()]


def test_an_in_place_result_may_not_change_its_kind() -> None:
    with pytest.raises(RuntimeError, match="can't be cast"):
        al.ones(2, dtype=al.int32).add_(0.5)


NARROW = [  # (what, the call, the result's dtype, its values)
    ("clamp_min of bools", lambda: al.clamp_min(al.tensor([True, False]), al.tensor(False)), al.bool, [True, False]),
    ("a bool alpha", lambda: al.add(al.tensor([False]), al.tensor([True]), alpha=False), al.bool, [False]),
    ("scales of integers", lambda: al.addmm(al.ones(1, 1).int(), al.ones(1, 1).int(), al.ones(1, 1).int(), beta=0.5), al.int32, [[1]]),
    ("int32 from floats", lambda: al.arange(1.0, 5.000001, 2.0, dtype=al.int32), al.int32, [1, 3, 5]),
    ("places of bytes", lambda: al.unravel_index(al.tensor([5], dtype=al.uint8), (4, 3))[0], al.int64, [1]),
    ("a bytes image", lambda: al.nn.functional.interpolate(al.tensor([[[[0, 255]]]], dtype=al.uint8), (1, 1), mode="bilinear"), al.uint8, [[[[128]]]]),
    ("half powers", lambda: al.linalg.vector_norm(al.tensor([8.0], dtype=al.float16), 6), al.float16, 8.0),
]


@pytest.mark.parametrize(("call", "dtype", "values"), [row[1:] for row in NARROW], ids=[row[0] for row in NARROW])
def test_narrow_types_have_the_values_of_torch(call, dtype, values):
    result = call()
    assert result.dtype is dtype
    assert result.tolist() == values


def test_numbers_of_numpy_keep_their_dtype() -> None:
    assert al.tensor(np.float64(2)).dtype is al.float64 and al.as_tensor(np.float32(2)).dtype is al.float32
    assert al.tensor([np.float64(1), 2]).dtype is al.float64 and al.tensor([np.int32(1)]).dtype is al.int32
    assert al.tensor([1.0]).dtype is al.float32 and (al.ones(1) * np.float64(2)).dtype is al.float32
    assert al.ones(1, dtype=float).dtype is al.float64 and al.ones(1).to(float).dtype is al.float64  # Python's float is a double
