"""Real numbers that the scalar unit reads and computes with."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac


def test_rows_are_normalised_by_scalars() -> None:
    """LayerNorm as samples write it: mean and deviation of a row through the scalar unit, tiles through queues in ac.range."""
    rows, columns, eps = 12, 512, 1e-5

    @npu.kernel(kind="aiv")
    def layernorm(x, y, rows, columns):
        pipe, source, target = ac.TPipe(), ac.TQue(ac.TPosition.VECIN, 2), ac.TQue(ac.TPosition.VECOUT, 2)
        sums, work, square = (ac.TBuf(ac.TPosition.VECCALC) for _ in range(3))
        for queue in (source, target):
            pipe.InitBuffer(queue, 2, columns * 4)
        for buffer, nbytes in ((sums, 32), (work, 1024), (square, columns * 4)):
            pipe.InitBuffer(buffer, nbytes)
        s, w, q = sums.Get(npu.f32), work.Get(npu.f32), square.Get(npu.f32, columns)

        def total(t):
            ac.PipeBarrier(ac.PIPE_V)
            ac.ReduceSum(s, t, w, columns)
            ac.SetFlag(ac.HardEvent.V_S, 0)
            ac.WaitFlag(ac.HardEvent.V_S, 0)
            value = s.GetValue(0)
            ac.SetFlag(ac.HardEvent.S_V, 0)
            ac.WaitFlag(ac.HardEvent.S_V, 0)
            return value

        for r in ac.range(ac.GetBlockIdx(), rows, ac.GetBlockNum()):
            a = source.AllocTensor(npu.f32)
            ac.DataCopy(a, ac.GlobalTensor(x)[r * columns :], columns)
            source.EnQue(a)
            a, b = source.DeQue(), target.AllocTensor(npu.f32)
            ac.Adds(a, a, -total(a) * (1 / columns), columns)
            ac.PipeBarrier(ac.PIPE_V)
            ac.Mul(q, a, a, columns)
            ac.Muls(b, a, 1.0 / ac.sqrt(total(q) * (1 / columns) + eps), columns)
            source.FreeTensor(a)
            target.EnQue(b)
            b = target.DeQue()
            ac.DataCopy(ac.GlobalTensor(y)[r * columns :], b, columns)
            target.FreeTensor(b)

    x = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32) * 3 + 1
    y = np.zeros_like(x)
    assert layernorm[4].check(x, y, rows, columns).proved
    layernorm[4](x, y, rows, columns)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(y, (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + eps), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("x", [-3.0, 0.25, 7.5])
def test_the_scalar_unit_compares_and_takes_roots(x: float) -> None:
    @npu.kernel(kind="aiv")
    def kernel(x, y):
        (t,) = (ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f32, 8),)
        ac.DataCopy(t, ac.GlobalTensor(x), 8)
        ac.SetFlag(ac.HardEvent.MTE2_S, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_S, 0)
        v = t.GetValue(0)
        for i, value in enumerate((ac.max(v, 1.0), ac.min(2.0, v), ac.max(0, v, 3.0), ac.sqrt(ac.max(v, 0.5)))):
            t.SetValue(i, value)
        ac.SetFlag(ac.HardEvent.S_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.S_MTE3, 0)
        ac.DataCopy(ac.GlobalTensor(y), t, 8)

    given, y = np.full(8, x, np.float32), np.zeros(8, np.float32)
    kernel[1](given, y)
    np.testing.assert_array_equal(np.float32([max(x, 1), min(x, 2), max(0, x, 3), np.sqrt(np.float32(max(x, 0.5)))]), y[:4])


def test_a_python_number_is_computed_when_the_kernel_is_traced() -> None:
    assert ac.sqrt(2.0) == math.sqrt(2.0)
    assert (ac.min(3, 2), ac.max(3, 2, 5)) == (2, 5)
