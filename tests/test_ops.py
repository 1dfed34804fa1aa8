"""Every row of the op table through every check that applies to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import hypothesis.extra.numpy as hnp
import pytest
from hypothesis import strategies as st

import ascendlite as al
from tests import opcheck
from tests.cases import all_cases
from tests.opcase import FLOATS, Case

ROWS = [(f"{family}-{case.name}", case) for family, case in all_cases()]


def rows(keep: Callable[[Case], bool]) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(c, id=i) for i, c in ROWS if keep(c)])


def rows_by(items: Callable[[Case], Iterator[Any]], name: str) -> Any:
    return pytest.mark.parametrize(f"case, {name}", [pytest.param(c, x, id=f"{i}-{x}") for i, c in ROWS for x in items(c)])


def variants(case: Case) -> Iterator[Any]:
    yield from case.shapes
    if case.pointwise:
        n = len(case.inputs)
        yield from ([(0, 3)] * n, [()] * n, [(1,) * 9] * n)


def float64(case: Case) -> bool:
    return case.grad and "float64" in case.dtypes


def has_method(case: Case) -> bool:
    return case.fn is None and hasattr(al.Tensor, case.base) if case.method is None else case.method


@rows_by(lambda c: iter(c.dtypes), "dtype")
def test_the_result_equals_the_reference(case: Case, dtype: str) -> None:
    opcheck.check_forward(case, dtype)


@rows(float64)
def test_the_gradient_equals_central_differences(case: Case) -> None:
    opcheck.check_gradient(case)


@rows(lambda c: float64(c) and c.grad2)
def test_the_second_gradient_equals_central_differences(case: Case) -> None:
    opcheck.check_second_gradient(case)


@rows_by(variants, "shapes")
def test_other_shapes_give_the_reference_too(case: Case, shapes: Any) -> None:
    opcheck.check_shapes(case, shapes)


@rows(lambda c: c.layouts and c.law is None)
@hypothesis.given(data=st.data())
def test_the_layout_of_inputs_is_not_seen(case: Case, data: st.DataObject) -> None:
    layouts = [data.draw(st.sampled_from(sorted(opcheck.LAYOUTS))) for _ in case.inputs]
    shapes = None
    if case.pointwise and all(x.dtype is None for x in case.inputs):
        drawn = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=len(case.inputs), min_side=0, max_side=3, max_dims=4))
        shapes = drawn.input_shapes
    opcheck.check_layouts(case, layouts, shapes)


@rows(lambda c: c.large is not None)
def test_the_number_of_threads_is_not_seen(case: Case) -> None:
    opcheck.check_large(case)


@rows(has_method)
def test_the_method_is_the_function(case: Case) -> None:
    opcheck.check_method(case)


@rows(lambda c: bool(c.inplace))
def test_the_inplace_form_writes_the_result(case: Case) -> None:
    opcheck.check_inplace(case)


@rows(lambda c: bool(c.inplace) and c.grad and "float64" in c.dtypes)
def test_the_inplace_form_has_the_gradients_of_the_function(case: Case) -> None:
    opcheck.check_inplace_gradient(case)


@rows(lambda c: c.out)
def test_out_gets_the_result(case: Case) -> None:
    opcheck.check_out(case)


@rows_by(lambda c: iter([d for d in c.dtypes if c.meta and (d not in FLOATS or d in ("float32", "bfloat16"))]), "dtype")
def test_meta_agrees_on_shape_and_dtype(case: Case, dtype: str) -> None:
    opcheck.check_meta(case, dtype)


ERRORS = [pytest.param(e, id=f"{i}-{k}") for i, c in ROWS for k, e in enumerate(c.refusals())]


@pytest.mark.parametrize("wrong", ERRORS)
def test_a_wrong_call_raises_the_documented_error(wrong: Any) -> None:
    with pytest.raises(wrong.error, match=wrong.match):
        wrong.call()
