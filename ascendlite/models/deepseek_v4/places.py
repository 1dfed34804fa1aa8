"""Where the tokens of a call stand: positions, and from them every index that attention and compressors gather with.

Made once a call and shared by all layers. Rows are told apart by Python numbers: a start (what a cache has seen), a count (tokens
that are no padding), or the lengths of documents that lie behind one another in a row and do not see each other. So indices are worked
out on the host, and sent to the device once a call: there, each step of the arithmetic would be a launch that costs more than it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import ascendlite as al
from ascendlite.core import Device, Tensor

from . import rotary

_T = TypeVar("_T")

NOTHING = -1  # an index that points at no row


class Rows:
    """Numbers of rows, (B, ...), that each of B tables is read or written at."""

    def __init__(self, numbers: Tensor, device: Device) -> None:
        self.numbers, self._device = numbers, device
        self._flat: dict[int, Tensor] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.numbers.shape)

    def flat(self, height: int) -> Tensor:
        """The same rows of tables of `height` rows that lie behind one another, in one dim, on the device."""
        if height not in self._flat:
            B = self.numbers.shape[0]
            first = al.arange(B, device=self.numbers.device).reshape(B, *[1] * (self.numbers.ndim - 1)) * height
            self._flat[height] = (self.numbers + first).reshape(-1).to(self._device)
        return self._flat[height]


@dataclass(frozen=True)
class Blocks:
    """Blocks of `ratio` tokens that close within a call, K at most in a row; None where the whole call can be cut into blocks."""

    count: int  # K
    source: Rows | None  # (B, K, ratio or 2 ratio): rows of tail and call; None: block k is tokens k * ratio and on
    before_start: Tensor | None  # (B, K, 2 ratio): true where a block reaches before its text
    positions: Tensor  # (B or 1, K): of the first token, for the rotation
    slots: Rows | None  # (B, K): rows of the cache, its last row for what is none


class Places:
    """The places of (B, T) tokens. `start`: what a cache holds of each row; `counts`: how many tokens of each row are real."""

    def __init__(
        self, shape: tuple[int, int], counts: Sequence[int], device: Device, start: Sequence[int] | None = None,
        documents: Sequence[Sequence[int]] | None = None,
    ) -> None:  # fmt: skip
        self.batch, self.length = shape
        self.counts, self.start, self.documents, self.device = tuple(counts), start, documents, device
        self._host = device if device.type == "meta" else al.device("cpu")  # nothing is worked out for shapes alone
        self._kept: dict[object, object] = {}
        at = self._arange(self.length).unsqueeze(0)  # (1, T)
        self.first: Tensor | None = None  # (B, 1): position of the first token
        self.origin: Tensor | None = None  # (B, T): where in the row the token's document starts
        if start is not None:
            self.first = self._tensor(list(start)).unsqueeze(1)
            at = at + self.first
        elif documents is not None:
            self.origin = self._tensor([_starts(row, self.length) for row in documents])
            at = at - self.origin
        self._positions = at  # (B or 1, T)

    @property
    def positions(self) -> Tensor:
        """Of each token in its text, (B or 1, T)."""
        return self.keep("positions", lambda: self._send(self._positions))

    def _arange(self, *bounds: int) -> Tensor:
        return al.arange(*bounds, device=self._host)

    def _tensor(self, numbers: Sequence[object]) -> Tensor:
        return al.tensor(numbers, dtype=al.int64, device=self._host)

    def _send(self, t: Tensor) -> Tensor:
        """From the host to the device."""
        return t.to(self.device)

    def keep(self, key: object, make: Callable[[], _T]) -> _T:
        """What `make` gives, made once."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[return-value]

    def real(self) -> Tensor | None:
        """Which tokens are no padding, (B, T); None: all."""
        if all(n == self.length for n in self.counts):
            return None
        return self.keep("real", lambda: self._send(self._arange(self.length) < self._count_column()))

    def _count_column(self) -> Tensor:
        return self.keep("counts", lambda: self._tensor(list(self.counts)).unsqueeze(1))

    def rotation(self, frequency: tuple[float, ...], name: str) -> tuple[Tensor, Tensor]:
        """Tables for the tokens, (B or 1, T, pairs)."""
        return self.keep(("rotation", name), lambda: rotary.tables(self.positions, frequency))

    # -- the window

    def window(self, width: int, ring: int) -> Tensor:
        """Rows that each token's window covers, oldest first, (B or 1, T, width), in (a ring of `ring` rows and the call's) together."""
        return self.keep(("sent window", width, ring), lambda: self._send(self._window(width, ring)))

    def _window(self, width: int, ring: int) -> Tensor:
        return self.keep(("window", width, ring), lambda: self._make_window(width, ring))

    def _make_window(self, width: int, ring: int) -> Tensor:
        seen = self._positions.unsqueeze(-1) + self._arange(1 - width, 1)  # positions
        if self.first is not None:
            first = self.first.unsqueeze(-1)
            row = al.where(seen >= first, seen - first + (ring + 1), seen.remainder(ring))
        else:
            row = seen if self.origin is None else seen + self.origin.unsqueeze(-1)
        return al.where(seen >= 0, row, NOTHING)

    def window_and_entries(self, width: int, ring: int, ratio: int, most: int, rows: int) -> Tensor:
        """Both what a window covers and all entries that a token sees, which lie behind `rows` rows: (B or 1, T, width + most)."""
        return self.keep(("both", width, ring, ratio, most, rows), lambda: self._send(self._both(width, ring, ratio, most, rows)))

    def _both(self, width: int, ring: int, ratio: int, most: int, rows: int) -> Tensor:
        return joined(self._window(width, ring), behind(self._all_entries(ratio, most), rows))

    def ring_slots(self, ring: int) -> Rows:
        """The ring's row for each token of a call, (B, T); row `ring`, which nobody reads, for padding and what is overwritten at once."""
        return self.keep(("slots", ring), lambda: Rows(self._ring_slots(ring), self.device))

    def _ring_slots(self, ring: int) -> Tensor:
        i, count = self._arange(self.length), self._count_column()
        stays = (i < count).logical_and(i >= count - ring)
        return al.where(stays, self._positions.remainder(ring), ring)

    # -- blocks

    def entries(self, ratio: int) -> int:
        """How many compressed entries there are at most in a row when the call is done."""
        if self.documents is not None:
            return max((sum(n // ratio for n in row) for row in self.documents), default=0)
        if self.start is None:
            return self.length // ratio
        return max((s + n) // ratio for s, n in zip(self.start, self.counts, strict=True))

    def first_entry(self, ratio: int) -> Tensor | None:
        """The entry of each token's document that is its first, (B, T); None: 0."""
        first = self._first_entry(ratio)
        return None if first is None else self.keep(("sent first entry", ratio), lambda: self._send(first))

    def _first_entry(self, ratio: int) -> Tensor | None:
        if self.documents is None:
            return None
        return self.keep(("first entry", ratio), lambda: self._tensor([_first_entries(row, self.length, ratio) for row in self.documents or ()]))

    def visible(self, ratio: int) -> Tensor:
        """How many entries of its own text each token sees, (B or 1, T): the token that closes a block sees it."""
        return self.keep(("visible", ratio), lambda: self._send(self._visible(ratio)))

    def _visible(self, ratio: int) -> Tensor:
        return (self._positions + 1).div(ratio, rounding_mode="floor")

    def all_entries(self, ratio: int, most: int) -> Tensor:
        """The entries that each token sees, (B or 1, T, most)."""
        return self.keep(("all", ratio, most), lambda: self._send(self._all_entries(ratio, most)))

    def _all_entries(self, ratio: int, most: int) -> Tensor:
        number = self._arange(most)
        first = self._first_entry(ratio)
        row = number if first is None else number + first.unsqueeze(-1)
        return al.where(number < self._visible(ratio).unsqueeze(-1), row, NOTHING)

    def blocks(self, ratio: int, overlap: bool, ring: int, room: int) -> Blocks | None:
        """The blocks that this call closes; `ring`: rows of the tail, `room`: entries that the cache holds."""
        return self.keep(("blocks", ratio, ring, room), lambda: self._blocks(ratio, overlap, ring, room))

    def block_rotation(self, blocks: Blocks, ratio: int, frequency: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        """Tables for the entries of blocks of `ratio` tokens, (B or 1, K, pairs)."""
        return self.keep(("block rotation", ratio, frequency), lambda: rotary.tables(blocks.positions, frequency))

    def _blocks(self, ratio: int, overlap: bool, ring: int, room: int) -> Blocks | None:
        if self.documents is not None:
            return self._document_blocks(ratio, overlap)
        if self.start is None:
            count = self.length // ratio
            positions = self._arange(count).unsqueeze(0) * ratio
            return Blocks(count, None, None, self._send(positions), None) if count else None
        closed = [(s + n) // ratio - s // ratio for s, n in zip(self.start, self.counts, strict=True)]
        if not any(closed):
            return None
        assert self.first is not None
        j = self._arange(max(closed))
        number = self.first.div(ratio, rounding_mode="floor") + j  # (B, K)
        at = (number * ratio).unsqueeze(-1) + self._arange(-ratio if overlap else 0, ratio)
        first = self.first.unsqueeze(-1)
        source = al.where(at >= first, at - first + (ring + 1), at.remainder(ring)).clamp(max=ring + self.length)
        slots = al.where(j < self._tensor(closed).unsqueeze(1), number, room)
        before = self._send(at < 0) if overlap else None
        return Blocks(max(closed), Rows(source, self.device), before, self._send(number * ratio), Rows(slots, self.device))

    def _document_blocks(self, ratio: int, overlap: bool) -> Blocks | None:
        count = self.entries(ratio)
        if not count:
            return None
        rows = [_block_starts(row, ratio) for row in self.documents or ()]
        rows = [row + [(0, 0)] * (count - len(row)) for row in rows]
        origin, position = (self._tensor([[pair[k] for pair in row] for row in rows]) for k in (0, 1))
        at = position.unsqueeze(-1) + self._arange(-ratio if overlap else 0, ratio)
        source = (at + origin.unsqueeze(-1)).clamp(min=0)
        return Blocks(count, Rows(source, self.device), self._send(at < 0) if overlap else None, self._send(position), None)


def behind(entries: Tensor, rows: int) -> Tensor:
    """Entries where they lie behind `rows` rows; nothing stays nothing."""
    return al.where(entries >= 0, entries + rows, NOTHING)


def joined(a: Tensor, b: Tensor) -> Tensor:
    """Two indices, (B or 1, T, ...), behind one another."""
    B = max(a.shape[0], b.shape[0])
    return al.cat([t.expand(B, *t.shape[1:]) for t in (a, b)], 2)


def _starts(documents: Sequence[int], length: int) -> list[int]:
    """For every place of a row, where its document starts; what is behind the last is a document."""
    starts: list[int] = []
    for n in documents:
        starts += [len(starts)] * n
    return starts + [len(starts)] * (length - len(starts))


def _first_entries(documents: Sequence[int], length: int, ratio: int) -> list[int]:
    firsts: list[int] = []
    entry = 0
    for n in documents:
        firsts += [entry] * n
        entry += n // ratio
    # Padding sees no entry but its own text's, of which there are none: what it points at is any entry.
    return firsts + [0] * (length - len(firsts))


def _block_starts(documents: Sequence[int], ratio: int) -> list[tuple[int, int]]:
    """(where the document starts, position in it) for each block of a row."""
    found, start = [], 0
    for n in documents:
        found += [(start, k * ratio) for k in range(n // ratio)]
        start += n
    return found
