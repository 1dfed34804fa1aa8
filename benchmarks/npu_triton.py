"""Kernels for Triton's interpreter. In a file of their own: Triton reads their source, and importing this needs Triton."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


@triton.jit
def add(x: Any, y: Any, z: Any, n: Any, BLOCK: tl.constexpr) -> None:
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(z + at, tl.load(x + at, at < n) + tl.load(y + at, at < n), at < n)


@triton.jit
def matmul(a: Any, b: Any, c: Any, n: Any, TILE: tl.constexpr) -> None:
    rows, columns = tl.program_id(0) * TILE + tl.arange(0, TILE), tl.program_id(1) * TILE + tl.arange(0, TILE)
    total = tl.zeros((TILE, TILE), tl.float32)
    for k in range(0, n, TILE):
        deep = k + tl.arange(0, TILE)
        total += tl.dot(tl.load(a + rows[:, None] * n + deep[None, :]), tl.load(b + deep[:, None] * n + columns[None, :]))
    tl.store(c + rows[:, None] * n + columns[None, :], total)


@triton.jit
def softmax(x: Any, y: Any, n: Any, WIDTH: tl.constexpr) -> None:
    at = tl.program_id(0) * n + tl.arange(0, WIDTH)
    row = tl.load(x + at)
    e = tl.exp(row - tl.max(row, 0))
    tl.store(y + at, e / tl.sum(e, 0))
