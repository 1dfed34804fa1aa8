"""Floats of a call are launch parameters: another value runs the same program, unless the kernel's Python looks at it."""

import math

import numpy as np
import pytest

import ascendlite as al
import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac


def _frame(x, y, n, work):
    t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)
    ac.DataCopy(t, ac.GlobalTensor(x), n)
    ac.SetFlag(ac.HardEvent.MTE2_V, 0)
    ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
    work(t)
    ac.SetFlag(ac.HardEvent.V_MTE3, 0)
    ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
    ac.DataCopy(ac.GlobalTensor(y), t, n)


@npu.kernel(kind="aiv")
def scaled(x, y, n, s):
    _frame(x, y, n, lambda t: ac.Muls(t, t, -(2 * s + 1) / 4, n))


@npu.kernel(kind="aiv")
def looked_at(x, y, n, s, r):
    assert isinstance(s, float)

    def work(t):
        ac.Muls(t, t, math.exp(s), n)
        ac.PipeBarrier(ac.PIPE_V)
        if s > 1:
            ac.Adds(t, t, r, n)

    _frame(x, y, n, work)


@npu.kernel(kind="aiv")
def default(x, y, n, s, r=0.5):
    _frame(x, y, n, lambda t: ac.Muls(t, t, s * r, n))


def run(kernel, *numbers):
    x, y = np.arange(16, dtype=np.float32), np.empty(16, np.float32)
    kernel[1](x, y, 16, *numbers)
    return x, y


@pytest.mark.parametrize("s", [0.5, -3.25, 0.0, -0.0, 1e30, math.inf])
def test_arithmetic_is_done_again_at_each_launch(s):
    x, y = run(scaled, s)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(y, x * np.float32(-(2 * s + 1) / 4), equal_nan=True)


def test_floats_share_a_program():
    x, y = np.ones(16, np.float32), np.empty(16, np.float32)
    programs = {id(scaled[1].trace(x, y, 16, s)) for s in (0.25, 0.75, math.nan)}
    assert len(programs) == 1
    assert "launch0" in scaled[1].dump(x, y, 16, 0.25)


def test_what_python_looks_at_is_a_constant():
    x, y = np.ones(16, np.float32), np.empty(16, np.float32)
    trace = looked_at[1].trace
    assert trace(x, y, 16, 2.0, 3.0) is trace(x, y, 16, 2.0, 4.0)
    assert trace(x, y, 16, 2.0, 3.0) is not trace(x, y, 16, 0.5, 3.0)
    for s, r in ((2.0, 3.0), (0.5, 3.0), (2.0, 5.0), (0.25, 3.0)):
        x, y = run(looked_at, s, r)
        assert np.allclose(y, x * np.float32(math.exp(s)) + (r if s > 1 else 0), rtol=1e-6)


def test_defaults_and_numpy_numbers():
    assert np.array_equal(run(default, 2.0)[1], np.arange(16))
    assert np.array_equal(run(default, np.float64(4.0))[1], 2 * np.arange(16))
    assert np.array_equal(run(default, 4.0, 0.25)[1], np.arange(16))


def test_random_orders_and_shadow_take_the_launch_s_numbers():
    call = scaled[1].call(np.ones(16, np.float32), np.empty(16, np.float32), 16, 0.5)
    x, y = np.arange(16, dtype=np.float32), np.empty(16, np.float32)
    other = scaled[1].call(x, y, 16, 7.5)
    assert other.traced is call.traced
    other.traced.executor.run_random(1, [x.ctypes.data, y.ctypes.data, *other.parameters], 0)
    assert np.array_equal(y, -4 * x)
    assert npu.shadow(scaled[1], x, y, 16, 1e-3).lines


@pytest.mark.parametrize("dtype", [al.float32, al.float16, al.bfloat16])
def test_ops_with_another_number_each_step(dtype):
    host = al.tensor([0.5, -1.5, 3.0, float("nan")], dtype=dtype)
    x = host.to("npu")
    for s in (0.5, 0.25, -0.0, 3.0):
        for op in (
            lambda t, s=s: t * s,
            lambda t, s=s: t - s,
            lambda t, s=s: s / t,
            lambda t, s=s: t.clamp(-s, s + 1),
            lambda t, s=s: t.add(t, alpha=s),
        ):
            got, want = op(x).cpu().float().numpy(), op(host).float().numpy()
            assert np.allclose(got, want, rtol=1e-2 if dtype != al.float32 else 1e-6, equal_nan=True), s
    assert x.fill_(2.5).tolist() == [2.5] * 4 and x.fill_(-1.0).tolist() == [-1.0] * 4
