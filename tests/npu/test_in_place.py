"""Steps that use GM in place of copies: the bytes in GM are those of the copies, whatever the arguments share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ascendlite.npu.ascendc as ac
from ascendlite import npu
from tests.npu.asm import HELD, Array, narrow, widen


@npu.kernel(kind="aiv")
def shifted(x: Any, y: Any, n: int, tile: int) -> None:
    """y = 2 x + 1, tile by tile with two buffers: what a tile reads is copied before the tile before it is written."""
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    t = [ub.Alloc(x.dtype, tile) for _ in (0, 1)]

    def fetch(i: int) -> None:
        ac.DataCopy(t[i & 1], ac.GlobalTensor(x)[i * tile :], tile)
        ac.SetFlag(ac.HardEvent.MTE2_V, i & 1)

    fetch(0)
    for i in range(n // tile):
        if i + 1 < n // tile:
            if i:
                ac.WaitFlag(ac.HardEvent.MTE3_MTE2, (i + 1) & 1)
            fetch(i + 1)
        ac.WaitFlag(ac.HardEvent.MTE2_V, i & 1)
        ac.Muls(t[i & 1], t[i & 1], 2.0, tile)
        ac.PipeBarrier(ac.PIPE_V)
        ac.Adds(t[i & 1], t[i & 1], 1.0, tile)
        ac.SetFlag(ac.HardEvent.V_MTE3, i & 1)
        ac.WaitFlag(ac.HardEvent.V_MTE3, i & 1)
        ac.DataCopy(ac.GlobalTensor(y)[i * tile :], t[i & 1], tile)
        if i + 2 < n // tile:
            ac.SetFlag(ac.HardEvent.MTE3_MTE2, i & 1)


@pytest.mark.parametrize("mode", (0, 2))
@pytest.mark.parametrize("offset", (None, 0, 64, 16))
def test_arguments_that_share_memory_give_what_copies_give(offset: int | None, mode: int) -> None:
    """x and y apart, the same, and y behind x by a tile and by less: the steps may use GM in place only where that is the same."""
    n, tile = 256, 64
    dtype = np.dtype(HELD[mode]) if mode else np.dtype(np.float32)
    room = widen(np.zeros(2 * n, np.float32), "float32", mode)
    row = room.nbytes // (2 * n)

    def values(begin: int) -> Array:
        raw = room.reshape(-1).view(np.uint8)[begin * row : (begin + n) * row]
        return narrow(raw.reshape(n, row), "float32", mode, (n,))

    def launch(executor: Any) -> tuple[Array, Array]:
        start = np.arange(2 * n, dtype=np.float32)
        room.reshape(-1).view(np.uint8)[:] = widen(start, "float32", mode).reshape(-1).view(np.uint8)
        at = n if offset is None else offset
        executor.run(1, [room.ctypes.data, room.ctypes.data + at * row], mode)
        return values(at), start[:n]

    program = shifted[1].trace(np.zeros(n, np.float32), np.zeros(n, np.float32), n, tile)
    for _ in range(2):
        got, x = launch(program.executor)
        want = in_order(x, offset, tile)
        np.testing.assert_array_equal(want.astype(dtype), got)


def in_order(x: Array, offset: int | None, tile: int) -> Array:
    """What the kernel gives when its instructions run one after the other."""
    n = x.size
    memory = np.arange(2 * n, dtype=np.float32)
    at = n if offset is None else offset
    fetched = [memory[:tile].copy()]
    for i in range(n // tile):
        if i + 1 < n // tile:
            fetched.append(memory[(i + 1) * tile : (i + 2) * tile].copy())
        memory[at + i * tile : at + (i + 1) * tile] = fetched[i] * 2 + 1
    return memory[at : at + n]
