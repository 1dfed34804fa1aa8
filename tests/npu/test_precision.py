"""Where a kernel loses precision, by line; and 16-bit floats that saturate."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import ascendlite as al
import ascendlite.npu.ascendc as ac
from ascendlite import npu


def test_shadow_names_the_line_where_the_error_grows() -> None:
    @npu.kernel(kind="aiv")
    def cancels(x: Any, y: Any, n: int) -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f16, n)
        ac.DataCopy(t, ac.GlobalTensor(x), n)
        ac.SetFlag(ac.HardEvent.MTE2_V, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
        ac.Muls(t, t, 1.0 / 3, n)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Adds(t, t, -33.3, n)
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopy(ac.GlobalTensor(y), t, n)

    x, y = np.full(64, 100, np.float16), np.zeros(64, np.float16)
    report = npu.shadow(cancels[1], x, y, 64)
    worst = report.lines[0]
    assert worst.name == "Adds"
    assert worst.site.line == cancels.function.__code__.co_firstlineno + 8
    assert "ac.Adds(t, t, -33.3, n)" in str(report)
    np.testing.assert_array_equal((x * np.float16(1 / 3)) + np.float16(-33.3), y)
    exact = 100 * float(np.float64(1) / 3) - 33.3
    assert worst.error_out == pytest.approx(abs(float(y[0]) - exact) / exact, rel=1e-6)


def test_shadow_takes_a_kernel_as_it_is_and_tensors_of_the_device() -> None:
    @npu.kernel
    def third(x: Any, y: Any, n: int, wait: bool = True) -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)
        ac.DataCopy(t, ac.GlobalTensor(x), n)
        if wait:
            ac.SetFlag(ac.HardEvent.MTE2_V, 0)
            ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
        ac.Muls(t, t, 1.0 / 3, n)
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        with ac.If(ac.GetBlockIdx() == 0):
            ac.DataCopy(ac.GlobalTensor(y), t, n)

    x, y = np.ones(64, np.float16), np.zeros(64, np.float16)
    on_host = npu.shadow(third, x, y, 64)
    device = al.tensor(x, device="npu"), al.zeros(64, dtype=al.float16, device="npu")
    assert str(npu.shadow(third, *device, 64)) == str(on_host)
    np.testing.assert_array_equal(device[1].cpu().numpy(), y)
    assert y[0] == np.float16(1 / 3)
    with pytest.raises(npu.HazardError, match="R16"):
        npu.shadow(third, x, y, 64, False)
    with pytest.raises(al.errors.ArgumentError, match="tensors of meta"):
        npu.shadow(third, al.ones(64, device="meta"), al.ones(64, device="meta"), 64)


def test_saturation_holds_for_kernels_on_arrays_and_for_ops() -> None:
    @npu.kernel
    def double(x: Any, y: Any, n: int) -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)
        ac.DataCopy(t, ac.GlobalTensor(x), n)
        ac.SetFlag(ac.HardEvent.MTE2_V, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
        ac.Add(t, t, t, n)
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopy(ac.GlobalTensor(y), t, n)

    x, y = np.full(16, 60000, np.float16), np.zeros(16, np.float16)
    on_device = al.tensor(x, device="npu")
    for on, largest in ((True, 65504.0), (False, np.inf)):
        with al.npu.saturation(on):
            for compute in (lambda: (double[1](x, y, 16), float(y[0]))[1], lambda: (on_device + on_device)[0].item()):
                al.npu.clear_npu_overflow_flag()
                assert compute() == largest
                assert al.npu.get_npu_overflow_flag() is on
    al.npu.clear_npu_overflow_flag()
    with pytest.raises(al.errors.ArgumentError, match="expected True or False"):
        al.npu.saturation(1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "variable", "saturates"), [("910a", "", True), ("910c", "", False), ("950dt_9581", "", False), ("910a", "1", False),
                                                             ("910b2", "0", True), ("910b2", "1", False)])  # fmt: skip
def test_a_card_starts_in_its_own_mode_or_in_that_of_the_variable(name: str, variable: str, saturates: bool) -> None:
    program = ("import ascendlite as al\nx = al.full((4,), 60000.0, dtype=al.float16, device='npu')\nprint((x + x)[0].item(), al.npu.is_support_inf_nan())\n"
               "with al.npu.saturation(al.npu.is_support_inf_nan()): print((x + x)[0].item())")  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "INF_NAN_MODE_ENABLE"} | {"ASCENDLITE_NPU": name}
    environment |= {"INF_NAN_MODE_ENABLE": variable} if variable else {}
    done = subprocess.run([sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True)
    first, second = ("65504.0", "inf") if saturates else ("inf", "65504.0")
    assert done.stdout.split() == [first, str(not saturates), second]


def test_a_kernel_on_arrays_saturates_as_its_chip() -> None:
    @npu.kernel(kind="aiv")
    def double(x: Any, y: Any) -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, 16)
        ac.DataCopy(t, ac.GlobalTensor(x), 16)
        ac.SetFlag(ac.HardEvent.MTE2_V, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
        ac.Add(t, t, t, 16)
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopy(ac.GlobalTensor(y), t, 16)

    x, found = np.full(16, 60000, np.float16), {}
    for chip in ("910a", "910b1"):
        y = np.zeros(16, np.float16)
        with npu.on_chip(chip):
            double[1](x, y)
        found[chip] = float(y[0])
    al.npu.clear_npu_overflow_flag()
    assert found == {"910a": 65504.0, "910b1": np.inf}
