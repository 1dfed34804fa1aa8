"""Batches of tiny float32 matrices: the vector cores multiply many of a batch at once, where the cube would pad each to blocks of 16 x 16.

A number of the left matrix, of all products of a tile, is spread over blocks of 32 bytes and multiplies the rows of the right ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.elementwise import UB_BUDGET, blocks_for
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import LANES, MOST_REPEATS, WIDEST, barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

MOST_SIDE: Final = 8  # of the left matrix
LEAST_BATCH: Final = 32
f32, i32, u32 = dtypes.f32, dtypes.i32, dtypes.u32


@dataclass(frozen=True)
class Small:
    """`batch` products of m x k and k x n, `tile` at a time. turned: the left ones lie as k x m."""

    batch: int
    m: int
    n: int
    k: int
    turned: bool
    tile: int


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def small_product(a: Any, b: Any, c: Any, s: Small) -> None:
    """c[i] = a[i] b[i]."""
    each = s.m * s.k
    places, numbers = scratch(i32, each * s.tile), scratch(f32, each * s.tile)
    blocks = scratch(f32, each * s.tile * 8)
    _columns_first(places, each, s.tile)
    ac.Duplicate(numbers, 0.0, each * s.tile)  # those that a short tile lacks
    for t in pipeline(s.batch, s.tile, ins=(Items(a, each, each), Items(b, s.k * s.n, s.k * s.n)), outs=(Items(c, s.m * s.n, s.m * s.n),), align=8):
        for p in range(0, each * s.tile, s.tile):  # a number of all products after the other
            ac.Gather(numbers[p:], t.ins[0][: t.count * each], places[p:].ReinterpretCast(u32), 0, t.count)
        barrier()
        ac.Brcb(blocks, numbers, each * s.tile // 8, (1, 8))
        barrier()
        for j in range(s.k):
            for i in range(s.m):
                which = j * s.m + i if s.turned else i * s.k + j
                _add_row(t.outs[0][i * s.n :], t.ins[1][j * s.n :], blocks[which * s.tile * 8 :], s, j == 0, t.count)
            if j + 1 < s.k:
                barrier()


def _columns_first(places: Any, each: int, tile: int) -> None:
    """Byte offsets that turn rows of `each` numbers; done before the first tile arrives, whose load waits for the vector pipe."""
    ac.CreateVecIndex(places, 0, tile)
    barrier()
    ac.Muls(places, places, each * 4, tile)
    barrier()
    for p in range(1, each):
        ac.Adds(places[p * tile :], places, p * 4, tile)


def _add_row(out: Any, row: Any, number: Any, s: Small, first: bool, count: Any) -> None:
    """A row of each product = or += that row of each right matrix, times a number."""
    op = ac.Mul if first else ac.MulAddDst
    for at in range(0, s.n, LANES):
        op(out[at:], row[at:], number, min(LANES, s.n - at), count, (1, 1, 0, s.m * s.n // 8, s.k * s.n // 8, 1))


def small(batch: int, m: int, n: int, k: int, turned: bool) -> Small | None:
    """The tiles of such a batch, or None where the cube is the better choice."""
    if batch < LEAST_BATCH or max(m, k) > MOST_SIDE or n % 8 or max(m, k) * n > WIDEST or m * k % 2:
        return None
    room = 4 * (2 * (m * k + k * n + m * n) + 10 * m * k)
    tile = min(MOST_REPEATS * 8 // (m * k), (UB_BUDGET - 2048) // room, batch) // 8 * 8
    return Small(batch, m, n, k, turned, tile) if tile else None


def multiply(c: Tensor, a: Tensor, b: Tensor, s: Small) -> None:
    """c = a b, all of them contiguous, a as s.turned says."""
    launch(small_product, a, b, c, s, blocks=blocks_for(c.nbytes), name="matmul")
