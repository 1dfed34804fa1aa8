"""Keys and values of ordinary attention, kept for rows of different lengths. It knows no model, only shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import add

import ascendlite as al
from ascendlite.core import Device, DType, Tensor
from ascendlite.errors import ArgumentError

from .cache import row_lengths

_GROWTH = 128  # places added at least: a chat does not pay for the longest text it could have


@dataclass(frozen=True)
class Places:
    """Where the tokens of one call stand: column t of row b is place `starts[b] + t` of its text; `counts[b]` of them are real."""

    starts: tuple[int, ...]
    counts: tuple[int, ...]
    width: int
    device: Device

    @cached_property
    def end(self) -> int:
        """The number of places that keys are read from."""
        return max(self.starts) + self.width

    @cached_property
    def uniform(self) -> bool:
        """Whether all rows start at the same place."""
        return len(set(self.starts)) <= 1

    def take(self, table: Tensor) -> Tensor:
        """Rows of a table by place: (T, n) where all rows start together, (B, T, n) elsewhere."""
        if self.uniform:
            return table.narrow(0, self.starts[0], self.width)
        places = self.positions.minimum(al.tensor(table.shape[0] - 1, device=self.device))  # padding may stand beyond the table
        return table[places]

    def take_rows(self, table: Tensor) -> Tensor:
        """The same for rows of heads, (B, H, T, n): (T, n) or (B, 1, T, n)."""
        taken = self.take(table)
        return taken if taken.ndim == 2 else taken.unsqueeze(1)

    @cached_property
    def positions(self) -> Tensor:
        """The places, (B, T)."""
        return al.tensor(self.starts, device=self.device).unsqueeze(1) + al.arange(self.width, device=self.device)

    @cached_property
    def causal(self) -> bool:
        """Whether the plain causal rule says what is visible."""
        return self.width > 1 and self.uniform and self.starts[0] == 0

    @cached_property
    def mask(self) -> Tensor | None:
        """What each query sees where the causal rule does not say it, true: visible; (B, 1, T, places)."""
        if self.causal or (self.width == 1 and self.uniform):
            return None
        return (al.arange(self.end, device=self.device) <= self.positions.unsqueeze(-1)).unsqueeze(1)


class PackedPlaces(Places):
    """Places of rows that hold several texts behind one another, which do not see each other; padding sees itself only."""

    def __init__(self, op: str, input_ids: Tensor, documents: Sequence[Sequence[int]], most: int) -> None:
        counts = row_lengths(op, input_ids, [sum(row) for row in documents], None, input_ids.shape[1])
        longest = max((n for row in documents for n in row), default=0)
        if longest > most or min((n for row in documents for n in row), default=1) < 1:
            raise ArgumentError(f"{op}: documents have lengths up to {longest}; each must have from 1 to {most} tokens")
        super().__init__((0,) * len(counts), counts, input_ids.shape[1], input_ids.device)
        object.__setattr__(self, "documents", documents)

    documents: Sequence[Sequence[int]]

    def take(self, table: Tensor) -> Tensor:
        """Rows of a table by place, (B, T, n)."""
        return table[self.positions]

    @cached_property
    def positions(self) -> Tensor:
        """The places, (B, T), from 0 again in each text."""
        rows = [[place for n in row for place in range(n)] + [0] * (self.width - sum(row)) for row in self.documents]
        return al.tensor(rows, device=self.device)

    @property
    def causal(self) -> bool:
        """Never: what is visible depends on the texts."""
        return False

    @cached_property
    def mask(self) -> Tensor | None:
        """What each query sees, (B, 1, T, T): earlier places of its own text."""
        rows = [[number for number, n in enumerate(row) for _ in range(n)] for row in self.documents]
        numbers = al.tensor([row + list(range(-1, len(row) - self.width - 1, -1)) for row in rows], device=self.device)
        at = al.arange(self.width, device=self.device)
        return ((numbers.unsqueeze(2) == numbers.unsqueeze(1)) & (at.unsqueeze(1) >= at)).unsqueeze(1)


def places_of(
    op: str,
    input_ids: Tensor,
    cache: KeyValueCache | None,
    lengths: Sequence[int] | None,
    most: int,
    documents: Sequence[Sequence[int]] | None = None,
) -> Places:
    """Where the tokens of a call stand, checked: after what the cache holds, or at the beginning of texts of at most `most` tokens.

    `documents`: the lengths of texts that lie packed behind one another in each row.
    """
    if documents is not None:
        if cache is not None or lengths is not None:
            raise ArgumentError(f"{op}: documents are for packed rows without cache and lengths; leave these away")
        return PackedPlaces(op, input_ids, documents, most)
    if cache is not None:
        return cache.begin(input_ids, lengths)
    counts = row_lengths(op, input_ids, lengths, None, most)
    return Places((0,) * len(counts), counts, input_ids.shape[1], input_ids.device)


class LayerCache:
    """Keys and values of one layer, (B, G, places, D): what a head reads is one run of memory."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def append(self, keys: Tensor, values: Tensor, places: Places) -> tuple[Tensor, Tensor]:
        """Keep these, (B, G, T, D), and give all up to `places.end`, in the same layout."""
        if places.uniform:
            start, width = places.starts[0], places.width
            self.keys.narrow(2, start, width).copy_(keys)
            self.values.narrow(2, start, width).copy_(values)
        else:  # what stands in padded columns lands beyond the row's length, unseen, and is overwritten later
            rows, at = al.arange(keys.shape[0], device=keys.device).unsqueeze(1), places.positions
            self.keys[rows, :, at] = keys.transpose(1, 2)
            self.values[rows, :, at] = values.transpose(1, 2)
        end = places.end
        return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)


class KeyValueCache:
    """Keys and values of all layers; room grows as it is needed.

    >>> cache = KeyValueCache(2, 16, layers=1, heads=2, head_size=4)
    >>> places = cache.begin(al.zeros(2, 3), [3, 1])
    >>> keys, values = cache.layers[0].append(al.ones(2, 2, 3, 4), al.ones(2, 2, 3, 4), places)
    >>> cache.commit(places)
    >>> keys.shape, cache.lengths
    ((2, 2, 3, 4), (3, 1))
    """

    def __init__(
        self,
        batch: int,
        max_length: int,
        *,
        layers: int,
        heads: int,
        head_size: int,
        dtype: DType = al.float32,
        device: Device | str = "cpu",
    ) -> None:
        if batch < 1 or max_length < 1:
            raise ArgumentError(f"new_cache: batch is {batch} and max_length {max_length}; both must be at least 1")
        self.max_length = max_length
        self.lengths: tuple[int, ...] = (0,) * batch
        room = min(max_length, _GROWTH)
        self.layers = [
            LayerCache(*(al.zeros(batch, heads, room, head_size, dtype=dtype, device=device) for _ in range(2))) for _ in range(layers)
        ]

    @property
    def batch(self) -> int:
        """How many rows."""
        return len(self.lengths)

    def begin(self, input_ids: Tensor, lengths: Sequence[int] | None = None) -> Places:
        """Where the columns of input_ids, (B, T), stand, of which `lengths` are real; makes room for them."""
        counts = row_lengths("cache", input_ids, lengths, self.lengths, self.max_length)
        places = Places(self.lengths, counts, input_ids.shape[1], self.layers[0].keys.device)
        self._make_room(places.end)
        return places

    def _make_room(self, places: int) -> None:
        keys = self.layers[0].keys
        room = keys.shape[2]
        if places <= room:
            return
        added = max(places - room, min(max(room, _GROWTH), self.max_length - room))
        blank = keys.new_zeros((*keys.shape[:2], added, keys.shape[3]))
        for layer in self.layers:
            layer.keys, layer.values = al.cat((layer.keys, blank), 2), al.cat((layer.values, blank), 2)

    def commit(self, places: Places) -> None:
        """Count the tokens of a call once all layers have them."""
        self.lengths = tuple(map(add, places.starts, places.counts))

    def select(self, rows: Sequence[int]) -> KeyValueCache:
        """A cache of these rows, in this order; a row may come twice."""
        chosen = object.__new__(KeyValueCache)
        chosen.max_length = self.max_length
        chosen.lengths = tuple(self.lengths[row] for row in rows)
        index = al.tensor(list(rows), device=self.layers[0].keys.device)
        chosen.layers = [LayerCache(layer.keys[index], layer.values[index]) for layer in self.layers]
        return chosen

    def rewind(self, lengths: Sequence[int]) -> None:
        """Forget the tokens of row b that come after its first `lengths[b]`."""
        wanted = tuple(int(n) for n in lengths)
        if len(wanted) != len(self.lengths) or not all(0 <= n <= held for n, held in zip(wanted, self.lengths, strict=True)):
            raise ArgumentError(f"rewind: lengths {list(wanted)} for rows that hold {list(self.lengths)}; give at most what a row holds")
        self.lengths = wanted
