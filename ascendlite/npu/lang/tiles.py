"""What many kernels share: the tiles of a tensor over the cores."""

from __future__ import annotations

from collections.abc import Iterator

from ascendlite.npu.lang.order import CeilAlign, CeilDiv, GetBlockIdx
from ascendlite.npu.lang.trace import Index, current

LINE = 512  # bytes of GM that two cores must not share: a line of L2


def my_tiles(n: int, tile: int, align: int = 256) -> Iterator[tuple[Index, Index]]:
    """(offset, size) of this core's tiles of n elements: a contiguous part for each core, cut at multiples of `align`; the last tile is shorter.

    Tiles of a part are unrolled. With n elements of b bytes choose align * b = 512, so that no two cores share a line.
    """
    tracer = current()
    cores = tracer.blocks * (2 if tracer.kind == "mix" and tracer.core == "aiv" else 1)
    part = CeilAlign(CeilDiv(n, cores), align)
    base = GetBlockIdx() * part
    count = max(0, min(part, n - base))
    for i in range(CeilDiv(count, tile)):
        yield base + i * tile, min(tile, count - i * tile)
