"""A tokenizer for tiny models in any language: the 256 bytes of UTF-8, and the special tokens of DeepSeek-V4's chat format."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ascendlite.errors import ArgumentError

from .deepseek_v4 import ASSISTANT, BEGIN, END, MARK, REMINDER, THINK, THOUGHT, USER

_PAD = "<｜▁pad▁｜>"
SPECIAL = (BEGIN, END, _PAD, USER, ASSISTANT, REMINDER, THINK, THOUGHT, MARK)
_CUT = re.compile("(" + "|".join(map(re.escape, SPECIAL)) + ")")


class ByteChatTokenizer:
    """Bytes are tokens 0 to 255, special tokens those behind them.

    >>> tokenizer = ByteChatTokenizer()
    >>> tokenizer.encode("<think>ñ"), tokenizer.decode(tokenizer.encode("<think>ñ"))
    ([262, 195, 177], '<think>ñ')
    """

    kind = "bytes_chat"
    vocab_size = 256 + len(SPECIAL)
    eos_token_id = 256 + SPECIAL.index(END)
    pad_token_id = 256 + SPECIAL.index(_PAD)

    def encode(self, text: str) -> list[int]:
        """Token numbers; special tokens written in the text are understood."""
        numbers: list[int] = []
        for part in _CUT.split(text):
            numbers += [256 + SPECIAL.index(part)] if part in SPECIAL else part.encode("utf-8")
        return numbers

    def decode(self, tokens: Sequence[int]) -> str:
        """The text with its special tokens; bytes that are no UTF-8 become the replacement character."""
        parts: list[bytes] = []
        for token in tokens:
            if not 0 <= token < self.vocab_size:
                raise ArgumentError(f"decode: the token {token} is none of the {self.vocab_size}")
            parts.append(bytes([token]) if token < 256 else SPECIAL[token - 256].encode("utf-8"))
        return b"".join(parts).decode("utf-8", "replace")

    def state_dict(self) -> dict[str, str]:
        """What a checkpoint keeps of it."""
        return {"kind": self.kind}
