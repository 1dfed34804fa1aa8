"""Compressors: a block of tokens becomes one entry, by a softmax over its tokens in every channel apart. All in float32.

With overlap (CSA and its indexer) a block also weighs the tokens of the block before it: those give the first half of what the two
projections make, the block's own tokens the second half.
"""

from __future__ import annotations

from collections.abc import Callable

import ascendlite as al
from ascendlite import nn
from ascendlite.core import Tensor, float32

from . import rotary
from .cache import BlockCache, write_rows
from .config import DeepseekV4Config
from .layers import Norm, full_precision, projection
from .places import Blocks, Places, Rows


class Compressor(nn.Module):
    """Entries of `width` elements, one for `ratio` tokens, from the sub-layer's input."""

    def __init__(self, config: DeepseekV4Config, width: int, ratio: int, overlap: bool) -> None:
        super().__init__()
        self.width, self.ratio, self.overlap = width, ratio, overlap
        wide = 2 * width if overlap else width
        self.wkv = projection(config.hidden_size, wide, config.initializer_range, float32)
        self.wgate = projection(config.hidden_size, wide, config.initializer_range, float32)
        self.ape = nn.Parameter(al.zeros(ratio, wide, dtype=float32))
        self.norm = Norm(width, config.rms_norm_eps)

    def forward(
        self, x: Tensor, places: Places, frequency: tuple[float, ...], cache: BlockCache | None, finish: Callable[[Tensor], Tensor]
    ) -> Tensor | None:
        """The new entries, (B, K, width) in x's dtype, turned by the position of their block's first token; None: no block is full.

        `finish` rounds them, where the model is quantised. With a cache they are written there, and so is the tail.
        """
        x32 = x.float()
        with full_precision():
            values, scores = self.wkv(x32), self.wgate(x32)  # (B, T, width or 2 width)
        ring, room = (cache.ring, cache.room) if cache is not None else (0, 0)
        blocks = places.blocks(self.ratio, self.overlap, ring, room)
        entries = None
        if blocks is not None:
            table = places.block_rotation(blocks, self.ratio, frequency)
            entries = finish(self._entries(*self._cut(values, scores, blocks, cache), table).to(x.dtype))
        if cache is not None:
            slots = places.ring_slots(ring)
            write_rows(cache.tail_values, slots, values)
            write_rows(cache.tail_scores, slots, scores)
            if entries is not None and blocks is not None and blocks.slots is not None:
                write_rows(cache.entries, blocks.slots, entries)
        return entries

    def _cut(self, values: Tensor, scores: Tensor, blocks: Blocks, cache: BlockCache | None) -> tuple[Tensor, Tensor]:
        """Values and scores by block, (B, K, slots, width)."""
        if blocks.source is None:
            whole = blocks.count * self.ratio
            cut = (t[:, :whole].unflatten(1, (blocks.count, self.ratio)) for t in (values, scores))
            values, scores = cut
            scores = scores + self.ape
            return (self._overlapped(values, 0.0), self._overlapped(scores, -al.inf)) if self.overlap else (values, scores)
        if cache is not None:
            values = al.cat((cache.tail_values, values), 1)
            scores = al.cat((cache.tail_scores, scores), 1)
        values, scores = (_rows(t, blocks.source) for t in (values, scores))
        if not self.overlap:
            return values, scores + self.ape
        scores = scores + al.cat((self.ape, self.ape), 0)
        values, scores = self._halves(values), self._halves(scores)
        assert blocks.before_start is not None
        before = blocks.before_start.unsqueeze(-1)
        return values.masked_fill(before, 0.0), scores.masked_fill(before, -al.inf)

    def _overlapped(self, t: Tensor, nothing: float) -> Tensor:
        """(B, K, ratio, 2 width) to (B, K, 2 ratio, width): the block before, its first half, then the block, its second half."""
        before = t[:, :-1, :, : self.width]
        first = al.full((t.shape[0], 1, self.ratio, self.width), nothing, dtype=t.dtype, device=t.device)
        return al.cat((al.cat((first, before), 1), t[..., self.width :]), 2)

    def _halves(self, t: Tensor) -> Tensor:
        return al.cat((t[:, :, : self.ratio, : self.width], t[:, :, self.ratio :, self.width :]), 2)

    def _entries(self, values: Tensor, scores: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        pooled = (scores.softmax(2) * values).sum(2)  # (B, K, width)
        return rotary.turn(self.norm(pooled), table)


def _rows(t: Tensor, source: Rows) -> Tensor:
    """t[b, source[b, k, s]]: (B, N, W) and (B, K, S) to (B, K, S, W)."""
    B, N, W = t.shape
    return t.reshape(B * N, W).index_select(0, source.flat(N)).reshape(*source.shape, W)
