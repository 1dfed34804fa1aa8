"""Products of ragged groups on the cube: experts' rows, and the gradients of their weights. Where groups end is read from memory by the kernel.

The tiles of the result are dealt out to the cores whatever the groups are, so that no routing makes one core wait for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ascendlite.core import Tensor, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu import wide
from ascendlite.npu.chips import Chip
from ascendlite.npu.kernels import copies, kernel_for
from ascendlite.npu.kernels.product_plans import Outline
from ascendlite.npu.kernels.products import FORMATS, TILES, fastest, operand
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.cube_tiles import Product
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Tensor, ...]
Tiles = tuple[int, int, int, int]
_TRIED: Final = 3  # tile shapes that the clock compares


@dataclass(frozen=True)
class Ragged:
    """`groups` products of which `total` rows of a (or, summed, of both operands) are cut into groups."""

    groups: int
    total: int
    m: int  # rows of a result: of all groups, or of each
    n: int
    k: int  # what is summed: of each group, or of all
    lda: int
    ldb: int
    step: int  # elements from one group's b to the next
    trans_a: bool
    trans_b: bool


class Cuts:
    """Where groups begin and end: 0 <= begin <= end <= total, in memory."""

    def __init__(self, ends: Any, groups: int, total: int) -> None:
        self.window, self.groups, self.total = ac.GlobalTensor(ends), groups, total

    def of(self, g: Any) -> tuple[Any, Any]:
        """(begin, end) of a group; the clock takes all groups for equally large."""
        begin: Any = ac.GetValue(self.window, ac.max(g - 1, 0), 0, self.total, g * self.total // self.groups)
        end = ac.GetValue(self.window, g, 0, self.total, (g + 1) * self.total // self.groups)
        return ac.select(g > 0, begin, 0), end


@kernel(kind="aic")  # type: ignore[untyped-decorator]
def grouped_rows(a: Any, b: Any, ends: Any, c: Any, s: Ragged, tiles: Tiles) -> None:
    """c[rows of group g] = a[rows of group g] b[g]. A tile of c belongs to one core, which goes through the groups that meet it."""
    bm, bn, bk, kl1 = tiles
    ag, bg, cg = ac.GlobalTensor(a), ac.GlobalTensor(b), ac.GlobalTensor(c)
    cuts = Cuts(ends, s.groups, s.total)
    work = Product(a.dtype, dtypes.f32, bm, bn, bk, kl1, trans_b=s.trans_b)
    across = ac.CeilDiv(s.n, bn)
    for g in ac.range(s.groups):
        begin, end = cuts.of(g)
        for t in ac.range(ac.GetBlockIdx(), ac.CeilDiv(s.m, bm) * across, ac.GetBlockNum()):
            work.begin((t - ac.GetBlockIdx()) // ac.GetBlockNum())
            top, n0 = t // across * bm, t % across * bn
            bottom, n = ac.min(s.m, top + bm), ac.min(bn, s.n - n0)
            row = ac.min(ac.max(begin, top), bottom - 1)
            m = ac.max(1, ac.min(bm, ac.min(end, bottom) - row))
            with ac.If(ac.min(end, bottom) > ac.max(begin, top)):
                work.multiply(ag[row * s.lda :], s.lda, bg[g * s.step + (n0 * s.ldb if s.trans_b else n0) :], s.ldb, m, n, s.k)
                work.store(cg[row * s.n + n0 :], s.n, m, n)
    work.finish()


@kernel(kind="aic")  # type: ignore[untyped-decorator]
def grouped_sums(a: Any, b: Any, ends: Any, c: Any, s: Ragged, tiles: Tiles) -> None:
    """c[g] = a[:, group g] b[group g, :]. Nothing is written of a group without elements."""
    bm, bn, bk, kl1 = tiles
    ag, bg, cg = ac.GlobalTensor(a), ac.GlobalTensor(b), ac.GlobalTensor(c)
    cuts = Cuts(ends, s.groups, s.total)
    work = Product(a.dtype, dtypes.f32, bm, bn, bk, kl1, trans_a=s.trans_a, trans_b=s.trans_b)
    down, across = ac.CeilDiv(s.m, bm), ac.CeilDiv(s.n, bn)
    for t in ac.range(ac.GetBlockIdx(), s.groups * down * across, ac.GetBlockNum()):
        g, m0, n0 = t // (down * across), t // across % down * bm, t % across * bn
        m, n = ac.min(bm, s.m - m0), ac.min(bn, s.n - n0)
        begin, end = cuts.of(g)
        for low in ac.range(0, s.total, kl1):
            high = ac.min(s.total, low + kl1)
            first = ac.min(ac.max(begin, low), high - 1)
            deep = ac.max(1, ac.min(kl1, ac.min(end, high) - first))
            with ac.If(ac.min(end, high) > ac.max(begin, low)):
                window_a = ag[first * s.lda + m0 if s.trans_a else m0 * s.lda + first :]
                window_b = bg[n0 * s.ldb + first if s.trans_b else first * s.ldb + n0 :]
                work.add(window_a, s.lda, window_b, s.ldb, m, n, deep, first - begin, end - begin, (low // kl1, low // bk))
        with ac.If(end > begin):
            work.store(cg[(g * s.m + m0) * s.n + n0 :], s.n, m, n)
    work.finish()


@cache
def _tiles(which: Any, s: Ragged, dtype: str, ids: str, sizes: tuple[int, ...], chip: Chip) -> Tiles:
    """The tile shape that the clock finds fastest, of those whose rows fit a group of the usual size best."""
    usual = s.total // s.groups if which is grouped_rows else s.m
    shapes = sorted(TILES[FORMATS[dtype]], key=lambda tile: (abs(tile[0] - max(16, usual)), -tile[0] * tile[1]))[:_TRIED]
    a, b, c = (Outline(n, dtype) for n in sizes)
    return fastest(which, chip, {tiles: (a, b, Outline(s.groups, ids), c, s, tiles) for tiles in shapes})


def _run(which: Any, out: Tensor, a: Any, b: Any, ends: Tensor, s: Ragged) -> None:
    flat = out.detach().reshape(-1)
    tiles = _tiles(which, s, a.flat.dtype.name, ends.dtype.name, (a.flat.numel(), b.flat.numel(), flat.numel()), state.chip)
    launch(which, a.flat, b.flat, ends, flat, s, tiles, name="grouped_matmul")


def _cuts_of(ends: Tensor, total: int) -> tuple[bool, bool, bool]:
    """(whether they ascend within the total, reach it, have a group without elements): a look from outside the card, as for indices."""
    if ends.is_meta:
        return True, True, False
    cuts = [0, *wide.on_host(ends).tolist()]
    sizes = [b - a for a, b in zip(cuts, cuts[1:], strict=False)]
    return min(sizes) >= 0 and cuts[-1] <= total, cuts[-1] == total, min(sizes) == 0


@kernel_for("grouped_mm")
def _grouped_mm(outputs: Tensors, inputs: Tensors, attrs: tuple[Any, ...]) -> Any:
    out, (a, b, ends) = outputs[0], (t.detach() for t in inputs)
    if a.dtype.name not in FORMATS or not out.numel() or not a.numel() or not b.numel():
        return NotImplemented
    if a.ndim == 3:  # columns in groups: rows of the transposed product
        with no_grad():
            turned = out.new_empty((out.shape[1], out.shape[0]))
            if _grouped_mm((turned,), (b.transpose(0, 1), a.transpose(1, 2), ends), attrs) is NotImplemented:
                return NotImplemented
            out.detach().copy_(turned.transpose(0, 1))
        return None
    groups, by_rows = ends.shape[0], b.ndim == 3
    total = a.shape[0] if by_rows else a.shape[1]
    legal, whole, hollow = _cuts_of(ends, total)
    if not legal:
        return NotImplemented  # the AI CPU says which end is wrong
    if not (whole if by_rows else not hollow):
        copies.fill(out, 0.0)
    x, y = operand(a.contiguous() if by_rows else a, ()), operand(b, (groups,) if by_rows else ())
    s = Ragged(groups, total, a.shape[0], b.shape[-1], a.shape[1], x.ld, y.ld, y.step, x.trans, y.trans)
    if x.trans and by_rows:
        return NotImplemented
    _run(grouped_rows if by_rows else grouped_sums, out, x, y, ends.contiguous(), s)
    return None
