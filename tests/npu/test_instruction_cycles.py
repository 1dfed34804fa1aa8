"""What instructions take, as kernels call them: the published cycles a repeat, and the rates of the paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang.dtypes import BY_NAME, DType
from ascendlite.npu.lang.instructions import INSTRUCTIONS
from tests.npu.lang_calls import CASES, CallCase, kernel_of, numpy_dtype, signatures

FEW, MANY = 8, 40  # repeats
PLACES = (2 << 16, 0, (1 << 16) + 256)  # of dst and sources: no two in one bank group
Issue = Callable[[Any, Any, Any, int, int], None]  # dst, src0, src1, repeats, elements of a repeat


def binary(name: str) -> Issue:
    return lambda d, a, b, r, w: getattr(ac, name)(d, a, b, r * w)


def unary(name: str) -> Issue:
    return lambda d, a, _, r, w: getattr(ac, name)(d, a, r * w)


def scalar(name: str) -> Issue:
    return lambda d, a, _, r, w: getattr(ac, name)(d, a, 2, r * w)


def reduce(kind: str) -> Issue:
    return lambda d, a, _, r, w: ac.ReduceRepeat(kind, d, a, w, r)


def block(kind: str) -> Issue:
    return lambda d, a, _, r, w: ac.BlockReduce(kind, d, a, r, w)


# Cycles a repeat of 256 bytes on 910B1 (msopmodeling's table; those of the last rows follow from the manual's elements a cycle).
PUBLISHED: tuple[tuple[str, Issue, dict[str, float]], ...] = (
    *((n, binary(n), {"f32": 1, "f16": 1}) for n in ("Add", "Sub", "Mul", "Max")),
    ("Div", binary("Div"), {"f32": 4, "f16": 8}),
    *((n, scalar(n), {"f32": 1, "f16": 1}) for n in ("Adds", "Muls")),
    ("Exp", unary("Exp"), {"f32": 2, "f16": 4}),
    ("Sqrt", unary("Sqrt"), {"f32": 2}),
    ("Duplicate", lambda d, a, _, r, w: ac.Duplicate(d, 1, r * w), {"f32": 1, "f16": 1}),
    ("Select", lambda d, a, b, r, w: ac.Select(d, b.ReinterpretCast(npu.u8), a, 0.0, "VSEL_TENSOR_SCALAR_MODE", r * w), {"f32": 2}),
    ("ReduceRepeatSum", reduce("SUM"), {"f32": 7, "f16": 7}),
    ("ReduceRepeatMax", reduce("MAX"), {"f32": 7, "f16": 7}),
    ("BlockReduceSum", block("SUM"), {"f32": 1, "f16": 1}),
    ("BlockReduceMax", block("MAX"), {"f32": 1, "f16": 1}),
    ("Cast", lambda d, a, _, r, w: ac.Cast(d.ReinterpretCast(npu.i32), a, "CAST_RINT", r * w), {"f32": 1}),
    ("Ln", unary("Ln"), {"f32": 64 / 32, "f16": 128 / 32}),
    ("Gather", lambda d, a, b, r, w: ac.Gather(d, a, b.ReinterpretCast(npu.u32), 0, r * w), {"f32": 64 / 5}),
    ("Sort32", lambda d, a, b, r, _: ac.Sort32(d, a, b.ReinterpretCast(npu.u32), r), {"f32": 32 / 2}),
)  # fmt: skip


def vector_cycles(issue: Issue, dtype: DType, repeats: int) -> float:
    def body(x: Any) -> None:
        d, a, b = (ac.LocalTensor(ac.TPosition.VECCALC, at, dtype, 12288 // dtype.itemsize) for at in PLACES)
        issue(d, a, b, repeats, 256 // dtype.itemsize)

    with npu.on_chip("910b1"):
        return npu.kernel(body)[1].time(np.zeros(8, np.float32)).cycles("V")


@pytest.mark.parametrize(("name", "issue", "slopes"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_a_repeat_takes_the_published_cycles(name: str, issue: Issue, slopes: dict[str, float]) -> None:
    assert name in INSTRUCTIONS
    for dtype, slope in slopes.items():
        few, many = (vector_cycles(issue, BY_NAME[dtype], r) for r in (FEW, MANY))
        assert (many - few) / (MANY - FEW) == pytest.approx(slope, abs=1.5 / (MANY - FEW)), dtype  # cycles are whole numbers


def test_operands_of_one_bank_group_take_twice_as_long() -> None:
    def clash(d: Any, a: Any, b: Any, r: int, w: int) -> None:
        ac.Add(d, a, b[64:], r * w)

    few, many = (vector_cycles(clash, npu.f32, r) for r in (FEW, MANY))
    assert (many - few) / (MANY - FEW) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_vector_instruction_takes_time_on_every_generation(case: CallCase) -> None:
    for chip, generation in (("910a", "1001"), ("910b1", "2201"), ("950dt", "3510")):
        found = signatures(INSTRUCTIONS[case.name].dtypes.get(generation, ()), case.sources)
        for dst, sources in found[:1]:
            fixed = [BY_NAME[f] for f in case.fixed]
            args = [np.zeros(256, numpy_dtype(d.name)) for d in (dst, *sources, *fixed)]
            with npu.on_chip(chip):
                if generation == "1001" and case.name in ("ReduceRepeatMax", "ReduceRepeatMin"):
                    continue  # they write pairs there, and the call asks for values
                assert kernel_of(case, dst, [*sources, *fixed])[1].time(*args).cycles("V") >= 9, generation  # the shortest: Brcb


@pytest.mark.parametrize(("dtype", "k0", "slower"), [("f16", 16, 1), ("bf16", 16, 1), ("i8", 32, 1), ("f32", 8, 2), ("hf32", 8, 1)])
def test_a_product_takes_its_blocks(dtype: str, k0: int, slower: float) -> None:
    """ceil(m / 16) ceil(n / 16) ceil(k / k0) cycles of pipe M for halves; float32 four times as many a k, HF32 twice as many."""
    one = BY_NAME[dtype.removeprefix("h")]

    def body(x: Any, k: int) -> None:
        a, b, c = (ac.LocalTensor(p, 0, d, n) for p, d, n in (
            (ac.TPosition.A2, one, 64 * k), (ac.TPosition.B2, one, 128 * k), (ac.TPosition.CO1, npu.i32 if dtype == "i8" else npu.f32, 64 * 128)))  # fmt: skip
        ac.SetHF32Mode(dtype == "hf32")
        ac.Mmad(c, a, b, 64, 128, k)

    with npu.on_chip("910b1"):
        few, many = (npu.kernel(body, kind="aic")[1].time(np.zeros(8, np.float32), k * k0).cycles("M") for k in (1, 5))
    assert many - few == pytest.approx(4 * (64 // 16) * (128 // 16) * slower, abs=1)
