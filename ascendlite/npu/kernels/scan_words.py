"""Running sums of 64-bit integers, modulo 2^64, on a vector unit of 32 bits: each number is three limbs, whose sums over a tile fit their words."""

from __future__ import annotations

from typing import Any

from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels.expression import Turns
from ascendlite.npu.kernels.scan_tiles import Scan, Sequences, SequenceTiles, fill, i32
from ascendlite.npu.kernels.strided import turn_tile
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import scratch
from ascendlite.npu.programs import kernel

LIMB = 22  # bits of a limb, but for the last one; 10 more bits hold the sums of 1,023 positions


class _Limbs:
    """A tile of numbers as planes of limbs: bits 0 to 21, 22 to 43 and the rest."""

    def __init__(self, s: Sequences) -> None:
        assert s.height < 1 << (32 - LIMB), s.height
        self.s, self.size = s, s.height * s.width
        planes = scratch(i32, 3 * self.size)
        self.words = planes[: 2 * self.size]  # of whole numbers: the low ones, then the high ones
        self.low, self.high, self.middle = (planes[k * self.size : (k + 1) * self.size] for k in range(3))
        self.room = scratch(i32, self.size)
        self.turned = scratch(i32, 2 * self.size) if s.turned else None
        self.turns = Turns(self.size, [])

    def _shift(self, dst: Any, src: Any, bits: int) -> None:
        """To the left, or below 0 to the right."""
        move = ac.ShiftLeft if bits > 0 else ac.ShiftRight
        move(dst.ReinterpretCast(dtypes.u32), src.ReinterpretCast(dtypes.u32), abs(bits), self.size)

    def _join(self, dst: Any, src: Any) -> None:
        ac.Add(dst, dst, src, self.size)  # of bits that neither shares

    def split(self, tile: Any) -> None:
        """The limbs of a tile from memory."""
        words = self.words if self.turned is None else self.turned
        for k in (0, 1):
            ac.GatherMask(words[k * self.size :], tile.ReinterpretCast(i32), 1 + k, 2 * self.size)
        if self.turned is not None:
            barrier()
            for k, plane in enumerate((self.low, self.high)):
                turn_tile(plane, words[k * self.size :], self.s.height, self.s.width, 8)
        barrier()
        self._shift(self.middle, self.low, -LIMB)
        self._shift(self.room, self.high, 20)
        barrier()
        self._shift(self.room, self.room, -10)
        self._shift(self.low, self.low, 10)
        self._shift(self.high, self.high, -12)
        barrier()
        self._join(self.middle, self.room)
        self._shift(self.low, self.low, -10)
        barrier()

    def carry(self) -> None:
        """What does not fit a limb goes to the next one."""
        for plane, above in ((self.low, self.middle), (self.middle, self.high)):
            self._shift(self.room, plane, -LIMB)
            barrier()
            ac.Add(above, above, self.room, self.size)
            self._shift(plane, plane, 10)
            barrier()
            self._shift(plane, plane, -10)
        barrier()

    def gather(self, tile: Any) -> None:
        """The tile for memory; the limbs are used up."""
        self._shift(self.room, self.middle, LIMB)
        self._shift(self.high, self.high, 12)
        barrier()
        self._join(self.low, self.room)
        self._shift(self.middle, self.middle, -10)
        barrier()
        self._join(self.high, self.middle)
        barrier()
        words = self.words
        if self.turned is not None:
            words = self.turned
            for k, plane in enumerate((self.low, self.high)):
                turn_tile(words[k * self.size :], plane, self.s.width, self.s.height, 8)
            barrier()
        ac.Gather(tile.ReinterpretCast(dtypes.u32), words.ReinterpretCast(dtypes.u32), self.turns.offsets.ReinterpretCast(dtypes.u32), 0, 2 * self.size)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def scan_words(x: Any, y: Any, s: Sequences) -> None:
    """y[p] = x[0] + ... + x[p]; from the end on if reversed."""
    limbs = _Limbs(s)
    planes = (limbs.low, limbs.middle, limbs.high)
    sums = [Scan(s, "add", 0, i32) for _ in planes]
    tiles = SequenceTiles(s, (x,), (y,))
    for task in tiles:
        for one in sums:
            one.begin()
        for t, _, positions in tiles.of(task):
            limbs.split(t.ins[0])
            for one, plane in zip(sums, planes, strict=True):
                fill(plane, s, positions, 0)
                one.join_up(plane)
            limbs.carry()
            for one, plane in zip(sums, planes, strict=True):
                one.keep(plane)
            limbs.gather(t.outs[0])
