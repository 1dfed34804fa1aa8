"""How every causal language model here is stepped: what generation and post-training may rely on, whatever the model.

Rows of a batch have lengths of their own. Tokens are padded on the right, and `lengths` says how many of a call count in each row;
a row with 0 sits the call out. Lengths are Python integers: the host plans with them and never waits for a device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import add
from typing import Protocol

from ascendlite import nn
from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError, ShapeError


class Cache(Protocol):
    """What a model has seen of a batch of texts."""

    @property
    def batch(self) -> int:
        """How many rows."""

    @property
    def max_length(self) -> int:
        """How many tokens a row can hold."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many tokens each row has seen: the position of its next one."""

    def select(self, rows: Sequence[int]) -> Cache:
        """A cache of these rows, in this order, copied; a row may be left out, or repeated for several answers to one prompt."""

    def rewind(self, lengths: Sequence[int]) -> None:
        """Forget what came after `lengths` tokens of each row; at most the `rewind` newest that the cache was made for."""


class CausalLM(Protocol):
    """A model that gives the logits of the next token at every place.

    Feeding a text in any pieces through a cache, alone or in any batch, gives the logits of feeding it whole, bit for bit:

        cache = model.new_cache(batch=2, max_length=64)
        logits = model(prompts, cache=cache, lengths=[5, 3])         # (2, T, vocabulary), T >= 5, right-padded
        logits = model(next_tokens, cache=cache)                     # (2, 1, vocabulary)
        cache = cache.select([1])                                    # row 0 has ended
    """

    training: bool

    @property
    def head(self) -> nn.Linear:
        """What makes logits of hidden states."""

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""

    @property
    def max_length(self) -> int:
        """How many tokens a text may have."""

    def new_cache(self, batch: int, max_length: int, *, rewind: int = 0) -> Cache:
        """An empty cache of the model's dtype and device; up to `rewind` newest tokens of a row can be forgotten again."""

    def hidden(self, input_ids: Tensor, *, cache: Cache | None = None, lengths: Sequence[int] | None = None) -> Tensor:
        """What the head reads, (B, T, width): `model.head(model.hidden(ids))` are the logits, to be made for some places only."""

    def __call__(self, input_ids: Tensor, *, cache: Cache | None = None, lengths: Sequence[int] | None = None) -> Tensor:
        """Logits, (B, T, vocabulary); those at padding mean nothing, but are finite."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is learned; the first one tells the device."""

    def train(self, mode: bool = True) -> object:
        """Switch dropout and its kin on or off."""


def row_lengths(op: str, input_ids: Tensor, lengths: Sequence[int] | None, start: Sequence[int] | None, most: int) -> tuple[int, ...]:
    """How many tokens of a call count in each row, checked; `start`: what a cache holds already, `most`: what fits."""
    if input_ids.ndim != 2:
        raise ShapeError(f"{op}: input_ids have the shape {tuple(input_ids.shape)}; they must be (rows, tokens)")
    B, T = input_ids.shape
    given = (T,) * B if lengths is None else tuple(int(n) for n in lengths)
    if lengths is not None and (len(given) != B or any(n < 0 or n > T for n in given)):
        raise ArgumentError(f"{op}: lengths are {list(given)} for input_ids of shape ({B}, {T}); give {B} numbers from 0 to {T}")
    before = (0,) * B if start is None else tuple(start)
    if len(before) != B:
        raise ShapeError(f"{op}: input_ids have {B} rows, the cache has {len(before)}; select() rows of the cache")
    longest = max(map(add, before, given), default=0)
    if longest > most:
        raise ShapeError(f"{op}: a row would have {longest} tokens, more than the {most} that fit; make a larger cache or cut the text")
    return given
