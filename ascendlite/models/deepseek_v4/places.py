"""Where the tokens of a call stand: positions, and from them every index that attention and compressors gather with.

Made once a call and shared by all layers. Rows are told apart by Python numbers: a start (what a cache has seen), a count (tokens
that are no padding), or the lengths of documents that lie behind one another in a row and do not see each other.
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


@dataclass(frozen=True)
class Blocks:
    """Blocks of `ratio` tokens that close within a call, K at most in a row; None where the whole call can be cut into blocks."""

    count: int  # K
    source: Tensor | None  # (B, K, ratio or 2 ratio): rows of tail and call; None: block k is tokens k * ratio and on
    before_start: Tensor | None  # (B, K, 2 ratio): true where a block reaches before its text
    positions: Tensor  # (B or 1, K): of the first token, for the rotation
    slots: Tensor | None  # (B, K): rows of the cache, its last row for what is none


class Places:
    """The places of (B, T) tokens. `start`: what a cache holds of each row; `counts`: how many tokens of each row are real."""

    def __init__(
        self, shape: tuple[int, int], counts: Sequence[int], device: Device, start: Sequence[int] | None = None,
        documents: Sequence[Sequence[int]] | None = None,
    ) -> None:  # fmt: skip
        self.batch, self.length = shape
        self.counts, self.start, self.documents, self.device = tuple(counts), start, documents, device
        self._kept: dict[object, object] = {}
        at = al.arange(self.length, device=device).unsqueeze(0)  # (1, T)
        self.first: Tensor | None = None  # (B, 1): position of the first token
        self.origin: Tensor | None = None  # (B, T): where in the row the token's document starts
        if start is not None:
            self.first = al.tensor(list(start), dtype=al.int64, device=device).unsqueeze(1)
            at = at + self.first
        elif documents is not None:
            self.origin = al.tensor([_starts(row, self.length) for row in documents], dtype=al.int64, device=device)
            at = at - self.origin
        self.positions = at  # (B or 1, T)

    def keep(self, key: object, make: Callable[[], _T]) -> _T:
        """What `make` gives, made once."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[return-value]

    def real(self) -> Tensor | None:
        """Which tokens are no padding, (B, T); None: all."""
        if all(n == self.length for n in self.counts):
            return None
        return self.keep("real", lambda: al.arange(self.length, device=self.device) < self._count_column())

    def _count_column(self) -> Tensor:
        return self.keep("counts", lambda: al.tensor(list(self.counts), dtype=al.int64, device=self.device).unsqueeze(1))

    def rotation(self, frequency: tuple[float, ...], name: str) -> tuple[Tensor, Tensor]:
        """Tables for the tokens, (B or 1, T, pairs)."""
        return self.keep(("rotation", name), lambda: rotary.tables(self.positions, frequency))

    # -- the window

    def window(self, width: int, ring: int) -> Tensor:
        """Rows that each token's window covers, oldest first, (B or 1, T, width), in (a ring of `ring` rows and the call's) together."""
        return self.keep(("window", width, ring), lambda: self._window(width, ring))

    def _window(self, width: int, ring: int) -> Tensor:
        seen = self.positions.unsqueeze(-1) + al.arange(1 - width, 1, device=self.device)  # positions
        if self.first is not None:
            first = self.first.unsqueeze(-1)
            row = al.where(seen >= first, seen - first + (ring + 1), seen.remainder(ring))
        else:
            row = seen if self.origin is None else seen + self.origin.unsqueeze(-1)
        return al.where(seen >= 0, row, NOTHING)

    def ring_slots(self, ring: int) -> Tensor:
        """The ring's row for each token of a call, (B, T); row `ring`, which nobody reads, for padding and what is overwritten at once."""
        return self.keep(("slots", ring), lambda: self._ring_slots(ring))

    def _ring_slots(self, ring: int) -> Tensor:
        i, count = al.arange(self.length, device=self.device), self._count_column()
        stays = (i < count).logical_and(i >= count - ring)
        return al.where(stays, self.positions.remainder(ring), ring)

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
        if self.documents is None:
            return None
        return self.keep(("first entry", ratio), lambda: al.tensor(
            [_first_entries(row, self.length, ratio) for row in self.documents or ()], dtype=al.int64, device=self.device))  # fmt: skip

    def visible(self, ratio: int) -> Tensor:
        """How many entries of its own text each token sees, (B or 1, T): the token that closes a block sees it."""
        return self.keep(("visible", ratio), lambda: (self.positions + 1).div(ratio, rounding_mode="floor"))

    def all_entries(self, ratio: int, most: int) -> Tensor:
        """The entries that each token sees, (B or 1, T, most)."""
        return self.keep(("all", ratio, most), lambda: self._all_entries(ratio, most))

    def _all_entries(self, ratio: int, most: int) -> Tensor:
        number = al.arange(most, device=self.device)
        first = self.first_entry(ratio)
        row = number if first is None else number + first.unsqueeze(-1)
        return al.where(number < self.visible(ratio).unsqueeze(-1), row, NOTHING)

    def blocks(self, ratio: int, overlap: bool, ring: int, room: int) -> Blocks | None:
        """The blocks that this call closes; `ring`: rows of the tail, `room`: entries that the cache holds."""
        return self.keep(("blocks", ratio, ring, room), lambda: self._blocks(ratio, overlap, ring, room))

    def _blocks(self, ratio: int, overlap: bool, ring: int, room: int) -> Blocks | None:
        if self.documents is not None:
            return self._document_blocks(ratio, overlap)
        if self.start is None:
            count = self.length // ratio
            positions = al.arange(count, device=self.device).unsqueeze(0) * ratio
            return Blocks(count, None, None, positions, None) if count else None
        closed = [(s + n) // ratio - s // ratio for s, n in zip(self.start, self.counts, strict=True)]
        if not any(closed):
            return None
        assert self.first is not None
        j = al.arange(max(closed), device=self.device)
        number = self.first.div(ratio, rounding_mode="floor") + j  # (B, K)
        at = (number * ratio).unsqueeze(-1) + al.arange(-ratio if overlap else 0, ratio, device=self.device)
        first = self.first.unsqueeze(-1)
        source = al.where(at >= first, at - first + (ring + 1), at.remainder(ring)).clamp(max=ring + self.length)
        valid = j < al.tensor(closed, dtype=al.int64, device=self.device).unsqueeze(1)
        return Blocks(max(closed), source, at < 0 if overlap else None, number * ratio, al.where(valid, number, room))

    def _document_blocks(self, ratio: int, overlap: bool) -> Blocks | None:
        count = self.entries(ratio)
        if not count:
            return None
        rows = [_block_starts(row, ratio) for row in self.documents or ()]
        rows = [row + [(0, 0)] * (count - len(row)) for row in rows]
        origin, position = (
            al.tensor([[pair[k] for pair in row] for row in rows], dtype=al.int64, device=self.device) for k in (0, 1)
        )
        at = position.unsqueeze(-1) + al.arange(-ratio if overlap else 0, ratio, device=self.device)
        source = (at + origin.unsqueeze(-1)).clamp(min=0)
        return Blocks(count, source, at < 0 if overlap else None, position, None)


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
