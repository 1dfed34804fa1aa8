"""How a matrix product runs: tiles, how many parts its sum is cut in, and which operands are laid out anew. The clock chooses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.chips import Chip
from ascendlite.npu.kernels import strided
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime import launch as launching
from ascendlite.npu.runtime.launch import launch

MOST_PARTS: Final = 24  # of a sum: what the adding kernel holds tiles of
LEAST_GAIN: Final = 0.9  # of the time of the plain way: a longer way must be worth its launches
LINE: Final = 512  # bytes: rows that begin at multiples of it arrive at the full rate
Tiles = tuple[int, int, int, int]


@dataclass(frozen=True)
class Plan:
    """Tiles; `parts` sums, of `deep` products each (0: one sum of all); whether a, b are copied to rows of whole lines first."""

    tiles: Tiles
    parts: int = 1
    deep: int = 0
    pad_a: bool = False
    pad_b: bool = False


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def add_parts(parts: Any, out: Any, n: int, count: int) -> None:
    """out = the sum of `count` vectors of n float32 numbers that lie behind each other, in their order."""
    source, tile = ac.GlobalTensor(parts), tile_of(count)
    total = scratch(dtypes.f32, tile)
    for t in pipeline(n, tile, ins=tuple(source[k * n :] for k in range(count)), outs=(out,)):
        direct = t.outs[0].dtype is dtypes.f32
        for k in range(1, count):
            last = direct and k == count - 1
            ac.Add(t.outs[0] if last else total, t.ins[0] if k == 1 else total, t.ins[k], t.count)
            if not last:
                barrier()
        if not direct:
            ac.Cast(t.outs[0], total, "CAST_RINT", t.count)


def tile_of(count: int) -> int:
    """Elements at a time of so many parts: two slots of each, of the result, and a sum."""
    return min(2048, 160 * 1024 // (4 * (2 * count + 3)) // 128 * 128)


def padded_row(columns: int, itemsize: int) -> int:
    """Elements from row to row where each begins at a line."""
    return -(-columns * itemsize // LINE) * LINE // itemsize


def cut(tiles: Tiles, count: int, k: int, cores: int) -> Plan | None:
    """A sum cut so that all cores have a part of one of the `count` tiles."""
    wanted = min(cores // count, MOST_PARTS)
    if wanted < 2:
        return None
    step = tiles[3]
    deep = -(-k // (wanted * step)) * step
    parts = -(-k // deep)
    return Plan(tiles, parts, deep) if parts > 1 else None


@cache
def joined_us(n: int, parts: int, dtype: str, chip: Chip) -> float:
    """Microseconds that adding the parts takes."""
    arguments = (Outline(n * parts, "float32"), Outline(n, dtype), n, parts)
    return launching.timing(add_parts.program(min(blocks_for(4 * n * parts), 2 * chip.aic), chip, arguments, {}).traced).us


@cache
def padded_us(rows: int, columns: int, ld: int, dtype: str, chip: Chip) -> float:
    """Microseconds that a copy to rows of whole lines takes."""
    to = padded_row(columns, _core.DTYPE_NAMES[dtype].itemsize)
    target, source = (_core.empty((rows, n), dtype=_core.DTYPE_NAMES[dtype], device="meta")[:, :columns] for n in (to, ld))
    picked = strided._pick(target, source)
    assert picked is not None
    which, *more = picked
    sizes = Outline(rows * to, dtype), Outline(rows * ld, dtype)
    blocks = min(blocks_for(target.numel() * target.itemsize), 2 * chip.aic)
    return launching.timing(which.program(blocks, chip, (*sizes, *more), {}).traced).us


def padded(flat: Tensor, rows: int, columns: int, ld: int) -> Tensor:
    """A matrix whose rows begin at lines, as its flat memory."""
    to = padded_row(columns, flat.itemsize)
    fresh: Tensor = _core.empty((rows, to), dtype=flat.dtype, device=flat.device)
    fresh[:, :columns].copy_(flat.as_strided((rows, columns), (ld, 1), flat.storage_offset()))
    return fresh.reshape(-1)


@dataclass(frozen=True)
class Outline:
    """The shape and format of a flat tensor: enough to trace a kernel."""

    size: int
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)


def join(parts: Tensor, out: Tensor, n: int, count: int) -> None:
    """Launch the sum of the parts."""
    launch(add_parts, parts, out, n, count, blocks=blocks_for(4 * n * count), name="matmul_sum")


def paddings(s: Any, itemsize: int) -> Iterator[tuple[bool, bool]]:
    """Which operands may be laid out anew: single matrices whose rows do not begin at lines, in whole tiles of them."""
    able = [ld * itemsize % LINE != 0 and rows > 1 and s.batch == 1 and columns * itemsize > LINE
            for ld, rows, columns in ((s.lda, *stored_a(s)), (s.ldb, *stored_b(s)))]  # fmt: skip
    for choice in ((True, True), (True, False), (False, True)):
        if all(a or not c for a, c in zip(able, choice, strict=True)) and any(choice):
            yield choice


def stored_a(s: Any) -> tuple[int, int]:
    """Rows and columns of the left operand as it lies."""
    return (s.k, s.m) if s.trans_a else (s.m, s.k)


def stored_b(s: Any) -> tuple[int, int]:
    """Rows and columns of the right one."""
    return (s.n, s.k) if s.trans_b else (s.k, s.n)


def extent(batch: int, step: int, rows: int, ld: int) -> int:
    """Elements that a batch of matrices takes."""
    return (batch - 1) * step + rows * ld

