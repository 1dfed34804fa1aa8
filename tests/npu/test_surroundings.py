"""A kernel and what lies around it: variables that change between launches, arrays that must not be written, calls that make no sense."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.errors import ArgumentError
from ascendlite.npu.lang.tensors import Argument

SCALE = 1.0
TABLE = {"shift": 1.0}


def _value() -> float:
    return SCALE + TABLE["shift"]


@npu.kernel
def fill(y: Argument, n: int) -> None:
    t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f32, n)
    ac.Duplicate(t, _value(), n)
    ac.SetFlag(ac.HardEvent.V_MTE3, ac.EVENT_ID0)
    ac.WaitFlag(ac.HardEvent.V_MTE3, ac.EVENT_ID0)
    ac.DataCopy(ac.GlobalTensor(y), t, n)


def test_a_variable_around_the_kernel_that_changes_makes_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.zeros(64, np.float32)
    fill[1](y, 64)
    assert y[0] == 2
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 5.0)
    fill[1](y, 64)
    assert y[0] == 6
    monkeypatch.setitem(TABLE, "shift", 7.0)
    fill[1](y, n=64)
    assert y[0] == 12


def test_an_enclosing_variable_that_changes_makes_another_program() -> None:
    step = 1.0

    @npu.kernel
    def inner(y: Argument) -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f32, 8)
        ac.Duplicate(t, step, 8)
        ac.PipeBarrier(ac.PIPE_ALL)
        ac.DataCopy(ac.GlobalTensor(y), t, 8)

    y, seen = np.zeros(8, np.float32), []
    for step in (1.0, 2.0, 1.0):  # noqa: B007
        inner[1](y)
        seen.append(float(y[0]))
    assert seen == [1.0, 2.0, 1.0]


def test_a_read_only_array_is_not_written() -> None:
    y = np.zeros(64, np.float32)
    y.flags.writeable = False
    with pytest.raises(ArgumentError, match="kernel fill: it writes to y, which is a read-only array"):
        fill[1](y, 64)
    assert y.max() == 0


@pytest.mark.parametrize("blocks", [2.5, "3", None])
def test_blocks_are_an_integer(blocks: object) -> None:
    with pytest.raises(ArgumentError, match=r"kernel fill: .* blocks; it takes an integer"):
        fill[blocks](np.zeros(64, np.float32), 64)  # type: ignore[index]


def test_an_argument_that_can_not_be_a_key_is_named() -> None:
    with pytest.raises(ArgumentError, match="the argument n is a dict"):
        fill[1](np.zeros(64, np.float32), {})  # type: ignore[arg-type]


def test_a_generator_is_no_kernel() -> None:
    def yields(y: Argument) -> object:
        yield 1

    with pytest.raises(ArgumentError, match="yields has a yield or an await"):
        npu.kernel(yields)  # type: ignore[arg-type]


def test_another_object_is_never_taken_for_one_that_is_gone() -> None:
    class Choice:
        def __init__(self, step: float) -> None:
            self.step = step

    choice = Choice(1.0)

    @npu.kernel
    def add(x: object, n: int) -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)  # type: ignore[attr-defined]
        ac.DataCopy(t, ac.GlobalTensor(x), n)
        ac.PipeBarrier(ac.PIPE_ALL)
        ac.Adds(t, t, choice.step, n)
        ac.PipeBarrier(ac.PIPE_ALL)
        ac.DataCopy(ac.GlobalTensor(x), t, n)

    for step in range(1, 9):
        choice = Choice(0.0)  # often where the last one lay
        choice = Choice(float(step))
        x = np.zeros(64, np.float32)
        add[1](x, 64)
        assert x[0] == step
