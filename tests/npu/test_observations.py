"""Where advice points: the lines of a kernel that are short, unaligned, shared, in conflict or needless."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu import advice
from ascendlite.npu.observations import observe
from ascendlite.npu.timeline import Timeline

f32 = npu.f32
N = 8192


def order(event: ac.HardEvent) -> None:
    ac.SetFlag(event, 0)
    ac.WaitFlag(event, 0)


@npu.kernel(kind="aiv")
def added(x: Any, y: Any, z: Any, shift: int, gap: int, spare_flag: bool, step: int) -> None:
    """One tile a block: z = x + y, from element `shift` of x, `gap` elements between the buffers, blocks `step` elements apart."""
    alloc = ac.LocalMemAllocator(ac.Hardware.UB).Alloc
    a = alloc(f32, N)
    if gap:
        alloc(f32, gap)
    b, c = alloc(f32, N), alloc(f32, N)
    first = ac.GetBlockIdx() * step
    ac.DataCopy(a, ac.GlobalTensor(x)[first + shift :], N)
    ac.DataCopy(b, ac.GlobalTensor(y)[first:], N)
    order(ac.HardEvent.MTE2_V)
    ac.Add(c, a, b, N)
    if spare_flag:
        ac.PipeBarrier(ac.PIPE_V)
        ac.Adds(a, b, 1.0, N)
    order(ac.HardEvent.V_MTE3)
    ac.DataCopy(ac.GlobalTensor(z)[first:], c, N)


def seen(code: str, *, shift: int = 0, gap: int = 64, spare: bool = False, step: int = N) -> list[str]:
    x, y, z = (np.zeros(4 * N, np.float32) for _ in range(3))
    with npu.on_chip("910b1"):
        traced = added[2].trace(x, y, z, shift, gap, spare, step)
    return [o.what for o in observe(traced) if o.code == code]


@pytest.mark.parametrize(
    ("code", "change", "what"),
    [
        ("P02", {"shift": 8}, "rows in GM that start 32 bytes behind a line of 512"),
        ("P03", {"step": 0}, "the same bytes as the other blocks at the same time"),
        ("P03", {"step": N - 64}, "a line of 512 bytes that the block before writes too"),
        ("P04", {"gap": 0}, "both sources in one group of banks"),
    ],
)
def test_a_slow_line_is_seen_and_a_better_one_is_not(code: str, change: dict[str, int], what: str) -> None:
    assert seen(code) == []
    assert what in seen(code, **change)


def test_short_copies_are_those_below_16_kib() -> None:
    assert seen("P01") == []

    @npu.kernel(kind="aiv")
    def short(x: Any) -> None:
        ac.DataCopy(ac.LocalMemAllocator(ac.Hardware.UB).Alloc(f32, 64), ac.GlobalTensor(x), 64)

    assert [o.what for o in observe(short[1].trace(np.zeros(64, np.float32)))] == ["copies of 256 bytes"]


def test_a_barrier_that_orders_nothing_is_advised_against_with_its_line() -> None:
    x, y, z = (np.zeros(4 * N, np.float32) for _ in range(3))
    with npu.on_chip("910b1"):
        plain, spare = (Timeline.of(added[2].trace(x, y, z, 0, 64, s, N)) for s in (False, True))
    assert advice.needless_syncs(plain) == ()
    (found,) = advice.needless_syncs(spare)
    assert (found.code, found.gain_us >= 0) == ("P07", True)
    assert found.place.startswith("test_observations.py:")
