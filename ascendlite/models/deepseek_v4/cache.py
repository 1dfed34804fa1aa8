"""What a DeepSeek-V4 keeps of the texts it has seen: for each layer a ring of window rows, compressed entries, and the tails of blocks
that are not full yet.

Everything lies at a row that its position gives (rings modulo their length), so that forgetting the newest tokens is setting lengths:
a ring has `rewind` rows more than its use needs. The last row of every table takes what is to be dropped, and is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ascendlite as al
from ascendlite.core import Device, DType, Tensor, float32
from ascendlite.errors import ArgumentError

from .config import CSA, DeepseekV4Config
from .places import Rows


def write_rows(table: Tensor, slots: Rows, rows: Tensor) -> None:
    """table[b, slots[b, i]] = rows[b, i]; (B, N, D), (B, L), (B, L, D)."""
    B, N, D = table.shape
    table.view(B * N, D).index_copy_(0, slots.flat(N), rows.to(table.dtype).reshape(-1, D))


@dataclass
class BlockCache:
    """Entries of one compressor, and the tail that becomes the next ones."""

    entries: Tensor  # (B, room + 1, D)
    tail_values: Tensor  # (B, ring + 1, D or 2 D) float32
    tail_scores: Tensor

    @property
    def ring(self) -> int:
        return self.tail_values.shape[1] - 1

    @property
    def room(self) -> int:
        return self.entries.shape[1] - 1

    def select(self, rows: Tensor) -> BlockCache:
        return BlockCache(*(t.index_select(0, rows) for t in (self.entries, self.tail_values, self.tail_scores)))


@dataclass
class LayerCache:
    """One layer's part."""

    window: Tensor  # (B, ring + 1, D)
    compressor: BlockCache | None
    indexer: BlockCache | None

    @property
    def ring(self) -> int:
        return self.window.shape[1] - 1

    def select(self, rows: Tensor) -> LayerCache:
        blocks = (None if b is None else b.select(rows) for b in (self.compressor, self.indexer))
        return LayerCache(self.window.index_select(0, rows), *blocks)


class DeepseekV4Cache:
    """See `ascendlite.models.cache.Cache`. `lengths` are what the trunk has seen; `seen` holds as much for the MTP layer."""

    def __init__(self, layers: list[LayerCache], lengths: Sequence[int], max_length: int, rewind: int) -> None:
        self.layers, self.max_length, self.rewind_rows = layers, max_length, rewind
        self._lengths = tuple(lengths)
        self._furthest = self._lengths

    @property
    def batch(self) -> int:
        """How many rows."""
        return len(self._lengths)

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many tokens each row has seen."""
        return self._lengths

    def advance(self, counts: Sequence[int]) -> None:
        """Note that each row has seen so many tokens more."""
        self._lengths = tuple(s + n for s, n in zip(self._lengths, counts, strict=True))
        self._furthest = tuple(max(a, b) for a, b in zip(self._furthest, self._lengths, strict=True))

    def select(self, rows: Sequence[int]) -> DeepseekV4Cache:
        """A cache of these rows, in this order."""
        picks = [int(r) for r in rows]
        if any(not 0 <= r < self.batch for r in picks):
            raise ArgumentError(f"select: rows are {picks}, the cache has {self.batch}; give numbers from 0 to {self.batch - 1}")
        index = al.tensor(picks, dtype=al.int64, device=self.layers[0].window.device)
        made = DeepseekV4Cache([layer.select(index) for layer in self.layers], [self._lengths[r] for r in picks], self.max_length, self.rewind_rows)
        made._furthest = tuple(self._furthest[r] for r in picks)
        return made

    def rewind(self, lengths: Sequence[int]) -> None:
        """Forget what came after `lengths` tokens of each row."""
        wanted = tuple(int(n) for n in lengths)
        fits = len(wanted) == self.batch and all(
            max(0, far - self.rewind_rows) <= n <= now for n, now, far in zip(wanted, self._lengths, self._furthest, strict=True)
        )
        if not fits:
            raise ArgumentError(
                f"rewind: lengths {list(wanted)} of a cache with {list(self._lengths)} tokens, of which the {self.rewind_rows} newest can be "
                "forgotten; make the cache with a larger rewind"
            )
        self._lengths = wanted


def _block_cache(batch: int, room: int, ratio: int, width: int, copies: int, rewind: int, dtype: DType, device: Device) -> BlockCache:
    # The tail reaches back over the block that is being filled, and with overlap over the one before.
    ring = copies * ratio + rewind
    tails = (al.zeros(batch, ring + 1, copies * width, dtype=float32, device=device) for _ in range(2))
    return BlockCache(al.zeros(batch, room + 1, width, dtype=dtype, device=device), *tails)


def make_cache(config: DeepseekV4Config, layers: int, batch: int, max_length: int, rewind: int, dtype: DType, device: Device) -> DeepseekV4Cache:
    """An empty cache for `layers` layers (those behind the trunk's are MTP's)."""
    made = []
    for i in range(layers):
        ratio, kind = config.layer_ratio(i), config.layer_kind(i)
        ring = config.sliding_window - 1 + rewind
        window = al.zeros(batch, max(ring, 1) + 1, config.head_dim, dtype=dtype, device=device)
        compressor = indexer = None
        if ratio:
            room, copies = max_length // ratio, 2 if kind == CSA else 1
            compressor = _block_cache(batch, room, ratio, config.head_dim, copies, rewind, dtype, device)
            if kind == CSA:
                indexer = _block_cache(batch, room, ratio, config.index_head_dim, copies, rewind, dtype, device)
        made.append(LayerCache(window, compressor, indexer))
    return DeepseekV4Cache(made, (0,) * batch, max_length, rewind)
