"""Tensors are written as torch writes them."""

from __future__ import annotations

import math

import pytest

import ascendlite as al
from ascendlite import printing
from tests.goldenfile import records

ROWS = records("printing.json")


@pytest.fixture(autouse=True)
def _default_options():
    yield
    al.set_printoptions(profile="default")


def _ramp(shape: list[int]) -> al.Tensor:
    n = math.prod(shape)
    return al.tensor([(i * 7919 % 1013 - 506) / 7.0 for i in range(n)], dtype=al.float64).reshape(tuple(shape))


def _ours(row: dict) -> str:
    if "values" in row:
        return repr(al.tensor(eval(row["values"], {"nan": math.nan, "inf": math.inf})))
    al.set_printoptions(**row.get("options", {}))
    return repr(_ramp(row["shape"]).to(getattr(al, row["dtype"])))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str({k: v for k, v in row.items() if k != "text"})[:60])
def test_the_text_is_torchs_for_the_same_values(row):
    expected = row["text"].replace("torch.", "ascendlite.")
    # Our dtype's name is longer, so its suffix may go to a line of its own earlier.
    assert _ours(row).replace(",\n       dtype=", ", dtype=") == expected.replace(",\n       dtype=", ", dtype=")


def test_what_a_tensor_is_beside_its_values_follows_them():
    assert repr(al.ones(2, requires_grad=True)) == "tensor([1., 1.], requires_grad=True)"
    assert repr(al.ones(2, requires_grad=True) * 2) == "tensor([2., 2.], grad_fn=<MulBackward0>)"
    assert repr(al.ones(2, device="meta")) == "tensor(..., device='meta', size=(2,))"


def test_a_suffix_that_does_not_fit_goes_to_its_own_line():
    lines = repr(al.zeros(15, dtype=al.float64)).split("\n")
    assert lines[-1] == "       dtype=ascendlite.float64)"


def test_a_number_formats_as_the_python_number():
    assert f"{al.tensor(3.14159):.2f}" == "3.14"
    assert f"{al.tensor(7)}" == "7"


def test_printoptions_end_with_their_block():
    before = printing.get_printoptions()
    with printing.printoptions(precision=1):
        assert repr(al.tensor([1.25])) == "tensor([1.2])"
    assert printing.get_printoptions() == before


def test_an_unknown_profile_is_refused_by_name():
    with pytest.raises(ValueError, match="no profile 'long'"):
        al.set_printoptions(profile="long")
