"""Every row of the op table on the NPU: values by dtype, gradients, layouts, in-place and out= forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ascendlite as al
from ascendlite.core import OPS
from ascendlite.npu.kernels import elementwise, formulas
from tests import opcheck
from tests.opcase import Case
from tests.test_ops import ROWS, variants


@pytest.fixture(autouse=True)
def _on_the_npu(request: pytest.FixtureRequest) -> Iterator[None]:
    with opcheck.on("npu"), al.npu.numerics(request.config.getoption("numerics")):
        yield


def rows(keep: Callable[[Case], bool]) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(c, id=i) for i, c in ROWS if keep(c)])


def rows_by(items: Callable[[Case], Iterator[Any]], name: str) -> Any:
    return pytest.mark.parametrize(f"case, {name}", [pytest.param(c, x, id=f"{i}-{x}") for i, c in ROWS for x in items(c)])


FLOAT64_ONLY = {"float_power", "sum:dtype"}  # their results are float64, which the cards do not have


@rows_by(lambda c: iter([] if c.name in FLOAT64_ONLY else [d for d in c.dtypes if d != "float64"]), "dtype")
def test_the_result_equals_the_reference(case: Case, dtype: str, request: pytest.FixtureRequest) -> None:
    if case.name == "nextafter:float32" and request.config.getoption("numerics") == "fp64":
        pytest.skip("it counts in a float32's bits, and a double holds the number")
    opcheck.check_forward(case, dtype)


@rows(lambda c: c.grad and "float32" in c.dtypes and c.law is None and c.name not in FLOAT64_ONLY)
def test_the_gradient_equals_that_of_the_cpu(case: Case) -> None:
    opcheck.check_gradient_against_cpu(case)


@rows(lambda c: bool(c.inplace) and c.dtypes[0] != "float64")
def test_the_inplace_form_writes_the_result(case: Case) -> None:
    opcheck.check_inplace(case)


@rows(lambda c: c.out and c.dtypes[0] != "float64")
def test_out_gets_the_result(case: Case) -> None:
    opcheck.check_out(case)


def on_npu(case: Case) -> Iterator[Any]:
    yield from (variants(case) if set(case.dtypes) != {"float64"} else ())


@rows_by(on_npu, "shapes")
def test_other_shapes_give_the_reference_too(case: Case, shapes: Any) -> None:
    dtype = next(d for d in ("float32", *case.dtypes) if d in case.dtypes and d != "float64")
    inputs = opcheck.draw(case, dtype, shapes)
    opcheck.check_values(case, inputs, opcheck.as_tuple(case.call(*inputs)), f"{case.name} {list(shapes)}")


def test_float64_is_refused() -> None:
    with pytest.raises(al.errors.DTypeError, match="no 64-bit floats"):
        al.ones(2, dtype=al.float64)
    with pytest.raises(al.errors.DTypeError, match="no 64-bit floats"):
        al.float_power(al.ones(2), 2)


SPECIAL = [0.0, -0.0, 1.0, -2.5, math.inf, -math.inf, math.nan, 1e-40, 1e30, 1e8, 12345.678, 88.0, -104.0]


@pytest.mark.parametrize("name", sorted(set(elementwise.FORMULAS) & set(OPS) - {"where", *formulas.LOGIC, *formulas.BITS}))
def test_kernels_agree_with_the_cpu_on_special_numbers(name: str, request: pytest.FixtureRequest) -> None:
    op, x = OPS[name], al.tensor(SPECIAL, device="cpu")
    exact = request.config.getoption("numerics") == "fp64"  # exp(104) is a number there, and no infinity
    pairs = [t.reshape(-1) for t in (x.unsqueeze(1).expand(len(SPECIAL), len(SPECIAL)), x.expand(len(SPECIAL), len(SPECIAL)))]
    operands: list[Any] = {1: [x], 2: pairs, 3: [*pairs, 0.5], 4: [*pairs, pairs[0], 0.5], 5: [*pairs, 0.5, 1.5, 0.75]}[op.inputs]
    expected = op(*[t.double() if exact and isinstance(t, al.Tensor) else t for t in operands])
    actual = op(*[t.npu() if isinstance(t, al.Tensor) else t for t in operands])
    with np.errstate(over="ignore"):
        results = [opcheck.to_array(t).astype(np.float32) for t in (actual, expected)]
    if exact:  # infinity times what has all but vanished: a NaN where it vanishes wholly, which is a matter of the last bits
        vague = sum(np.isinf(opcheck.to_array(t)) for t in operands if isinstance(t, al.Tensor)) * sum(np.isnan(r) for r in results) > 0
        results = [np.where(vague, 0, r) for r in results]
    np.testing.assert_allclose(*results, 2e-5, 2e-6, equal_nan=True)


def test_a_negative_zero_is_not_taken_for_a_zero() -> None:
    signs = [math.copysign(1, v) for z in (0.0, -0.0) for v in (al.full((1,), z).item(), (al.ones(1) * z).item())]
    assert signs == [1, 1, -1, -1]


def test_linear_algebra_is_a_task_of_the_ai_cpu() -> None:
    x = al.tensor([[4.0, 1.0], [1.0, 3.0]], device="npu", requires_grad=True)
    with al.npu.profiler.profile() as p:
        y = al.linalg.inv(x)
    assert [t.kind for t in p.tasks if t.name == "inv"] == ["AI_CPU"] and y.is_npu
    (g,) = al.autograd.grad(y.sum(), x)
    np.testing.assert_allclose(g.cpu().numpy(), -np.outer((v := np.linalg.solve([[4, 1], [1, 3]], np.ones(2))), v), 1e-5)
    assert [r.kind for r in al.npu.estimate(al.linalg.cholesky, al.empty(512, 512, device="meta")).rows if r.name == "cholesky"] == ["AI_CPU"]
    with pytest.raises(al.linalg.LinAlgError, match=r"inv: Singular matrix; shape \(3, 3\)"):
        al.linalg.inv(al.zeros(3, 3, device="npu"))
    with pytest.raises(al.errors.DeviceError, match=r"solve: expected all tensors to be on the same device, but found 'npu:0' and 'cpu'"):
        al.linalg.solve(x, al.ones(2, 1, device="cpu"))


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "copysign", "xlogy", "pow", "sub", "div"])
@pytest.mark.parametrize("number", [2.0, -0.7])
def test_the_second_operand_may_be_a_number(name: str, number: float) -> None:
    x = al.tensor([0.3, 1.7, 2.2, 5.0], device="cpu")
    expected, actual = (getattr(al, name)(t, number) for t in (x, x.npu()))
    np.testing.assert_allclose(opcheck.to_array(actual), opcheck.to_array(expected), 2e-5, 2e-6, equal_nan=True)
