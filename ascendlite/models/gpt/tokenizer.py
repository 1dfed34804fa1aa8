"""Tokenizers without training: characters of a text, or bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from ascendlite.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np


class Tokenizer(Protocol):
    """Text to numbers and back."""

    vocab_size: int

    def encode(self, text: str) -> np.ndarray: ...

    def decode(self, tokens: Sequence[int]) -> str: ...

    def state_dict(self) -> dict[str, str]: ...


class CharTokenizer:
    """A token for each character of an alphabet.

    >>> tokenizer = CharTokenizer("hello")
    >>> tokenizer.encode("hole").tolist(), tokenizer.decode([1, 0])
    ([1, 3, 2, 0], 'he')
    """

    kind = "char"

    def __init__(self, text: str) -> None:
        self.alphabet = "".join(sorted(set(text)))
        self.vocab_size = len(self.alphabet)

    def encode(self, text: str) -> np.ndarray:
        """Token numbers; a character outside the alphabet is an error that names it."""
        import numpy

        points = numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        known = numpy.frombuffer(self.alphabet.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        found = numpy.minimum(numpy.searchsorted(known, points), len(known) - 1)
        strange = points[known[found] != points]
        if len(strange):
            raise ArgumentError(f"encode: the character {chr(strange[0])!r} is not among the {self.vocab_size} that the model learned")
        return found.astype(numpy.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token numbers."""
        return "".join(self.alphabet[token] for token in tokens)

    def state_dict(self) -> dict[str, str]:
        """What makes the tokenizer again, see `tokenizer_from_state`."""
        return {"kind": self.kind, "alphabet": self.alphabet}


class ByteTokenizer:
    """A token for each of the 256 bytes; text is UTF-8."""

    kind = "byte"
    vocab_size = 256

    def encode(self, text: str | bytes) -> np.ndarray:
        """Token numbers of a text's UTF-8, or of bytes."""
        import numpy

        raw = text.encode("utf-8") if isinstance(text, str) else text
        return numpy.frombuffer(raw, dtype=numpy.uint8)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text; bytes that are no UTF-8 become the replacement character."""
        return bytes(tokens).decode("utf-8", "replace")

    def state_dict(self) -> dict[str, str]:
        """What makes the tokenizer again, see `tokenizer_from_state`."""
        return {"kind": self.kind}


def tokenizer_from_state(state: dict[str, str]) -> CharTokenizer | ByteTokenizer:
    """The tokenizer that a `state_dict()` describes."""
    kinds: dict[str, Callable[[], CharTokenizer | ByteTokenizer]] = {"char": lambda: CharTokenizer(state["alphabet"]), "byte": ByteTokenizer}
    if state.get("kind") not in kinds:
        raise ArgumentError(f"tokenizer: kind {state.get('kind')!r} is unknown; known: {', '.join(kinds)}")
    return kinds[state["kind"]]()
