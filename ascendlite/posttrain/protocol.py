"""What post-training needs of a tokenizer, and text of tokens without the token that ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Codec(Protocol):
    """Text to tokens and back, and the token that ends an answer."""

    def encode(self, text: str) -> Sequence[int] | np.ndarray: ...

    def decode(self, tokens: Sequence[int]) -> str: ...

    @property
    def eos_token_id(self) -> int:
        """The token that ends an answer."""


def answer_text(codec: Codec, tokens: Sequence[int]) -> str:
    """The text of an answer, up to the token that ends it."""
    ends = ends_of(codec)
    first = next((at for at, token in enumerate(tokens) if token in ends), len(tokens))
    return codec.decode(tokens[:first])


def ends_of(codec: Codec) -> tuple[int, ...]:
    """The tokens that end an answer: that of the codec, and others if it knows some (`stop_tokens`)."""
    return tuple(sorted({codec.eos_token_id, *getattr(codec, "stop_tokens", ())}))
