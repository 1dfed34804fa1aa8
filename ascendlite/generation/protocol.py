"""What generation needs of a tokenizer; what it needs of a model is in `ascendlite.models.cache`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class TextCodec(Protocol):
    """Text to tokens and back."""

    def encode(self, text: str) -> Sequence[int] | np.ndarray: ...

    def decode(self, tokens: Sequence[int]) -> str: ...
