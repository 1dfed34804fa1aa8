"""Sinkhorn's normalisation of many small matrices: 64 of them side by side, an element of each in a lane, so that every step is one of whole lanes."""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import kernel_for
from ascendlite.npu.kernels.elementwise import UB_BUDGET, blocks_for
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import Items, pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

f32 = dtypes.f32
Tensors = tuple[Tensor, ...]
LANES: Final = 64  # matrices at a time: a repeat of float32
_BLOCKS: Final = LANES // 8  # of 32 bytes: from one element of the matrices to the next
ROWS, COLUMNS = True, False  # what a step divides by its sum


class Lanes:
    """Matrices of n x n, element (i, j) of all of them in strip i n + j of 64 lanes."""

    def __init__(self, n: int) -> None:
        self.n, self.size = n, n * n * LANES
        self.whole = self.strips()
        ac.Duplicate(self.whole, 0.0, self.size)
        number, apart = self.strips(), self.strips()
        self.turn, self.back = (scratch(dtypes.i32, self.size) for _ in (0, 1))
        ac.CreateVecIndex(number, 0.0, self.size)
        barrier()
        self._places(self.turn, apart, number, LANES, n * n)
        self._places(self.back, apart, number, n * n, LANES)

    def _places(self, offsets: Any, apart: Any, number: Any, inner: int, outer: int) -> None:
        """Bytes of (k mod inner) outer + k // inner for each number k: where it lies in the turned tile."""
        ac.Adds(apart, number, 0.5, self.size)
        barrier()
        ac.Muls(apart, apart, 1.0 / inner, self.size)
        barrier()
        ac.Cast(apart, apart, "CAST_FLOOR", self.size)
        barrier()
        ac.Muls(apart, apart, float(1 - inner * outer), self.size)
        barrier()
        ac.Axpy(apart, number, float(outer), self.size)
        barrier()
        ac.Muls(apart, apart, 4.0, self.size)
        barrier()
        ac.Cast(offsets, apart, "CAST_RINT", self.size)

    def strips(self) -> Any:
        """Room for all elements of the matrices."""
        return scratch(f32, self.size)

    def line(self, count: int = 1) -> Any:
        """Room for `count` times one number a row or column of the matrices."""
        return scratch(f32, count * self.n * LANES)

    def load(self, strips: Any, tile: Any, count: Any) -> None:
        """Matrices as they come from memory, to strips; lanes beyond the count hold earlier ones."""
        ac.Adds(self.whole, tile, 0.0, count * self.n * self.n)
        barrier()
        ac.Gather(strips, self.whole, self.turn.ReinterpretCast(dtypes.u32), 0, self.size)
        barrier()

    def store(self, tile: Any, strips: Any, count: Any) -> None:
        """And back."""
        ac.Gather(tile, strips, self.back.ReinterpretCast(dtypes.u32), 0, count * self.n * self.n)

    def _part(self, q: int, rows: bool) -> tuple[int, int]:
        """(first lane, blocks from strip to strip) of the q-th element of all rows or columns."""
        return (q * LANES, self.n * _BLOCKS) if rows else (q * self.n * LANES, _BLOCKS)

    def fold(self, op: Any, total: Any, a: Any, rows: bool) -> None:
        """total = op over each row or column."""
        (at, step), (next_at, _) = self._part(0, rows), self._part(1, rows)
        if self.n == 1:
            ac.Adds(total, a, 0.0, LANES)
        else:
            op(total, a[at:], a[next_at:], LANES, self.n, (1, 1, 1, _BLOCKS, step, step))
        barrier()
        for q in range(2, self.n):
            op(total, total, a[self._part(q, rows)[0] :], LANES, self.n, (1, 1, 1, _BLOCKS, _BLOCKS, step))
            barrier()

    def combine(self, op: Any, a: Any, line: Any, rows: bool) -> None:
        """a = op(a, its row's or column's number)."""
        for q in range(self.n):
            at, step = self._part(q, rows)
            op(a[at:], a[at:], line, LANES, self.n, (1, 1, 1, step, step, _BLOCKS))
        barrier()

    def softmax(self, a: Any, line: Any) -> None:
        """Of every row, in place."""
        self.fold(ac.Max, line, a, ROWS)
        self.combine(ac.Sub, a, line, ROWS)
        ac.Exp(a, a, self.size)
        barrier()
        self.fold(ac.Add, line, a, ROWS)
        self.combine(ac.Div, a, line, ROWS)

    def normalise(self, a: Any, divisor: Any, rows: bool, eps: float) -> None:
        """a divided by (its sums + eps), which the divisor keeps."""
        self.fold(ac.Add, divisor, a, rows)
        ac.Adds(divisor, divisor, eps, self.n * LANES)
        barrier()
        self.combine(ac.Div, a, divisor, rows)

    def normalise_backward(self, g: Any, a: Any, product: Any, line: Any, divisor: Any, rows: bool) -> None:
        """g = (g - sum(g a)) / divisor, with the step's result a, which becomes what the step began with."""
        ac.Mul(product, g, a, self.size)
        barrier()
        self.fold(ac.Add, line, product, rows)
        self.combine(ac.Sub, g, line, rows)
        self.combine(ac.Div, g, divisor, rows)
        self.combine(ac.Mul, a, divisor, rows)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def sinkhorn(x: Any, y: Any, count: int, n: int, iterations: int, eps: float) -> None:
    """softmax of the rows, + eps; columns, then `iterations` - 1 times rows and columns divided by (their sums + eps)."""
    lanes = Lanes(n)
    a, line = lanes.strips(), lanes.line()
    for t in pipeline(count, LANES, ins=(x,), outs=(y,), width=n * n):
        lanes.load(a, t.ins[0], t.count)
        lanes.softmax(a, line)
        ac.Adds(a, a, eps, lanes.size)
        barrier()
        lanes.normalise(a, line, COLUMNS, eps)
        for _ in ac.range(iterations - 1):
            lanes.normalise(a, line, ROWS, eps)
            lanes.normalise(a, line, COLUMNS, eps)
        lanes.store(t.outs[0], a, t.count)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def sinkhorn_backward(g: Any, x: Any, dx: Any, count: int, n: int, iterations: int, eps: float) -> None:
    """The steps again, their divisors kept; then back through them, each result times its divisor being the one before."""
    lanes = Lanes(n)
    a, p, slope, product, line = lanes.strips(), lanes.strips(), lanes.strips(), lanes.strips(), lanes.line()
    kept = lanes.line(2 * iterations - 1)
    row = n * LANES
    items = tuple(Items(t, n * n, n * n) for t in (g, x))
    for t in pipeline(count, LANES, ins=items, outs=(dx,), width=n * n):
        lanes.load(p, t.ins[1], t.count)
        lanes.softmax(p, line)
        ac.Adds(a, p, eps, lanes.size)
        barrier()
        lanes.normalise(a, kept, COLUMNS, eps)
        for k in ac.range(iterations - 1):
            lanes.normalise(a, kept[(2 * k + 1) * row :], ROWS, eps)
            lanes.normalise(a, kept[(2 * k + 2) * row :], COLUMNS, eps)
        lanes.load(slope, t.ins[0], t.count)
        for done in ac.range(iterations - 1):
            k = iterations - 2 - done
            lanes.normalise_backward(slope, a, product, line, kept[(2 * k + 2) * row :], COLUMNS)
            lanes.normalise_backward(slope, a, product, line, kept[(2 * k + 1) * row :], ROWS)
        lanes.normalise_backward(slope, a, product, line, kept, COLUMNS)
        ac.Mul(product, slope, p, lanes.size)
        barrier()
        lanes.fold(ac.Add, line, product, ROWS)
        lanes.combine(ac.Sub, slope, line, ROWS)
        ac.Mul(slope, slope, p, lanes.size)
        barrier()
        lanes.store(t.outs[0], slope, t.count)


def _fits(n: int, tiles: int, lines: int) -> bool:
    """Whether so many tiles of all elements and lines of one number a row lie in UB."""
    return (tiles * n * n + lines * n) * LANES * 4 <= UB_BUDGET


@kernel_for("sinkhorn")
def _sinkhorn(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    x, (iterations, eps) = inputs[0], attrs
    n = x.shape[-1]
    if x.dtype.name != "float32" or not x.numel() or not _fits(n, 10, 1):
        return NotImplemented
    launch(sinkhorn, x.contiguous(), outputs[0], x.numel() // (n * n), n, int(iterations), float(eps), blocks=blocks_for(x.nbytes), name="sinkhorn")
    return None


@kernel_for("sinkhorn_backward")
def _sinkhorn_backward(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    (g, x), (iterations, eps) = inputs, attrs
    n = x.shape[-1]
    if x.dtype.name != "float32" or g.dtype is not x.dtype or not x.numel() or not _fits(n, 15, 2 * iterations):
        return NotImplemented
    arguments = (g.contiguous(), x.contiguous(), outputs[0], x.numel() // (n * n), n, int(iterations), float(eps))
    launch(sinkhorn_backward, *arguments, blocks=blocks_for(x.nbytes), name="sinkhorn_backward")
    return None
