"""What generation needs of a model, of its cache and of a tokenizer; `gpt`, `llama` and `deepseek_v4` all follow it.

    cache = model.new_cache(batch, max_len)
    logits = model(input_ids, cache=cache, lengths=lengths, only_last=True)

Rows are padded on the right. `lengths[b]` of the columns of row b are real (None: all); they follow the `cache.lengths[b]`
tokens that the cache holds of that row, and `cache.lengths` grows by `lengths`. A length of 0 leaves a row as it is. Logits in
padded columns mean nothing. What a real column gives does not depend on the padding, on the other rows, or on how its
tokens were cut into calls, and is what the model gives without a cache: bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from ascendlite.core import Tensor

if TYPE_CHECKING:
    import numpy as np


class Cache(Protocol):
    """What a model keeps of the tokens that it has seen, for several rows."""

    lengths: list[int]
    """Tokens seen, a number a row."""
    max_len: int
    """The most tokens that a row can hold."""

    def select(self, rows: Sequence[int]) -> Cache:
        """A cache of these rows, in this order; a row may come twice (several continuations of one prompt)."""

    def rewind(self, lengths: Sequence[int]) -> None:
        """Forget the tokens of row b that come after its first `lengths[b]`; raises where that is too far back."""


class CausalModel(Protocol):
    """A model that gives the logits of the next token at every place."""

    training: bool

    @property
    def max_length(self) -> int:
        """The most tokens of one text."""

    def new_cache(self, batch: int, max_len: int) -> Cache:
        """An empty cache for `batch` rows of at most `max_len` tokens each."""

    def __call__(
        self,
        input_ids: Tensor,
        *,
        cache: Cache | None = None,
        lengths: Sequence[int] | None = None,
        only_last: bool = False,
    ) -> Tensor:
        """Logits, (B, T, vocabulary), or (B, 1, vocabulary) after the last real token of each row if `only_last`."""

    def parameters(self) -> Iterator[Tensor]:
        """The weights; the first one tells the device."""

    def train(self, mode: bool = True) -> object:
        """Switch dropout and its kin on or off."""


class TextCodec(Protocol):
    """Text to tokens and back."""

    def encode(self, text: str) -> Sequence[int] | np.ndarray: ...

    def decode(self, tokens: Sequence[int]) -> str: ...
