"""Every vector instruction, by its public name: legal formats are taken and give NumPy's values, others are refused by R22."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ascendlite.npu as npu
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.instructions import INSTRUCTIONS
from tests.npu.lang_calls import CASES, NUMPY, CallCase, N, kernel_of, numpy_dtype, signatures

OTHER_ORDERS = {"1001": ("ReduceRepeatMax", "ReduceRepeatMin")}  # these write pairs there, and the calls ask for values
CHIPS = {"1001": "910a", "2201": "910b1", "3510": "950dt"}
# Of a result in f64, by the format it is rounded to. Exp, Ln and their kin may be off by a few last places.
TOLERANCE = {"f16": 2e-3, "bf16": 1e-2, "f32": 1e-6}


def ids(row: Any) -> str:
    return row.name if isinstance(row, CallCase) else str(row)


def legal(generation: str) -> Iterator[Any]:
    for case in CASES:
        for dst, sources in signatures(INSTRUCTIONS[case.name].dtypes.get(generation, ()), case.sources):
            yield pytest.param(case, dst, sources, id=f"{case.name}-{','.join(s.name for s in sources)}-{dst.name}")


def call_with(case: CallCase, dst: dtypes.DType, sources: list[dtypes.DType]) -> tuple[Any, list[Any]]:
    """The kernel and its source arrays; a source of a fixed format holds byte offsets into the first."""
    rng = np.random.default_rng(7)
    given = [case.values(rng).astype(numpy_dtype(s.name)) for s in sources]
    given += [(rng.permutation(N) * sources[0].itemsize).astype(numpy_dtype(f)) for f in case.fixed]
    return kernel_of(case, dst, [*sources, *(dtypes.BY_NAME[f] for f in case.fixed)]), given


@pytest.mark.parametrize(("case", "dst", "sources"), list(legal("2201")))
def test_values_are_numpys(case: CallCase, dst: dtypes.DType, sources: list[dtypes.DType]) -> None:
    kernel, given = call_with(case, dst, sources)
    target = numpy_dtype(dst.name)
    with np.errstate(over="ignore"):
        expected = case.expected(*given) if case.expected else given[0][given[1] // given[0].itemsize]
        expected = expected.astype(target)
    out = np.zeros(expected.shape, target)
    with npu.on_chip("910b1"):
        kernel[1](out, *given)
    if dst.is_floating_point:
        np.testing.assert_allclose(out.astype(np.float64), expected.astype(np.float64), rtol=TOLERANCE[dst.name])
    else:
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("generation", ["1001", "3510"])
def test_other_generations_take_their_own_formats(generation: str) -> None:
    with npu.on_chip(CHIPS[generation]):
        for row in legal(generation):
            case, dst, sources = row.values
            if case.name in OTHER_ORDERS.get(generation, ()):
                continue
            kernel, given = call_with(case, dst, sources)
            assert kernel[1].trace(np.zeros(N, numpy_dtype(dst.name)), *given).blocks == 1


@pytest.mark.parametrize("generation", list(CHIPS))
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_other_formats_are_refused(generation: str, case: CallCase) -> None:
    allowed = {(d.name, *(s.name for s in ss)) for d, ss in signatures(INSTRUCTIONS[case.name].dtypes.get(generation, ()), case.sources)}
    with npu.on_chip(CHIPS[generation]):
        for name in ("bf16", "i8", "u16", "i64", "f16", "u32"):
            if (name,) * (1 + case.sources) in allowed or name not in NUMPY:
                continue
            one = dtypes.BY_NAME[name]
            kernel, given = call_with(case, one, [one] * case.sources)
            with pytest.raises(npu.KernelError) as raised:
                kernel[1].trace(np.zeros(N, numpy_dtype(name)), *given)
            assert raised.value.rule == "R22"
