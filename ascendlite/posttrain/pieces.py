"""A tokenizer of given pieces: special tokens, words of a task, and printable ASCII so that nothing usual is unknown.

A text is cut at special tokens, then greedily into the longest piece that fits. Ids 0, 1, 2 are bos, eos and pad, as in DeepSeek-V4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ascendlite.errors import ArgumentError

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT, THINK, END_THINK = "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"
SPECIAL = (BOS, EOS, PAD, USER, ASSISTANT, THINK, END_THINK)
_ASCII = ("\n", *(chr(code) for code in range(32, 127)))


class PieceTokenizer:
    """Text to the numbers of pieces and back.

    >>> tokenizer = PieceTokenizer(["tatlo", "apat"])
    >>> tokenizer.decode(tokenizer.encode("tatlo at apat")), len(tokenizer.encode("tatlo at apat"))
    ('tatlo at apat', 6)
    """

    kind = "pieces"

    def __init__(self, pieces: Iterable[str] = (), *, thinking: bool = False) -> None:
        self.thinking = thinking  # whether answers begin with work, which </think> ends
        extra = sorted(set(pieces) - set(SPECIAL) - set(_ASCII) - {""})
        self.pieces = (*SPECIAL, *_ASCII, *extra)
        self._numbers = {piece: number for number, piece in enumerate(self.pieces)}
        longest_first = sorted(self.pieces, key=lambda piece: (-len(piece), piece))
        self._cut = re.compile("|".join(map(re.escape, longest_first)))

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return len(self.pieces)

    @property
    def eos_token_id(self) -> int:
        """The token that ends an answer."""
        return self._numbers[EOS]

    @property
    def pad_token_id(self) -> int:
        """The token that fills rows up."""
        return self._numbers[PAD]

    def encode(self, text: str) -> list[int]:
        """Token numbers; a character that is in no piece is an error that names it."""
        numbers, at = [], 0
        while at < len(text):
            found = self._cut.match(text, at)
            if found is None:
                raise ArgumentError(f"encode: the character {text[at]!r} is in none of the {self.vocab_size} pieces; write it in ASCII")
            numbers.append(self._numbers[found[0]])
            at = found.end()
        return numbers

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token numbers."""
        return "".join(self.pieces[token] for token in tokens)

    def chat(self, question: str) -> str:
        """A question in DeepSeek-V4's chat format, up to where the answer, or the thinking before it, begins."""
        return f"{BOS}{USER}{question}{self.opened()}"

    def opened(self) -> str:
        """What opens an answer, or the thinking before it."""
        return f"{ASSISTANT}{THINK if self.thinking else END_THINK}"

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """A conversation in DeepSeek-V4's chat format, up to where the answer begins."""
        parts = (self.opened() + text + EOS if answer else text for text, answer in self.conversation(messages))
        return "".join(parts) + self.opened()

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> list[tuple[str, bool]]:
        """The texts of messages and whether each is the assistant's; without what opens and ends an answer.

        >>> PieceTokenizer().conversation([{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}])
        [('<｜begin▁of▁sentence｜><｜User｜>2+2', False), ('4', True)]
        """
        before = {"system": "", "user": USER, "assistant": ""}
        texts = []
        for number, message in enumerate(messages):
            role = message["role"]
            if role not in before:
                raise ArgumentError(f"conversation: the role {role!r} is unknown; use one of {', '.join(before)}")
            texts.append(((BOS if number == 0 else "") + before[role] + message["content"], role == "assistant"))
        return texts

    def state_dict(self) -> dict[str, str | bool | list[str]]:
        """What makes the tokenizer again: `PieceTokenizer(state["pieces"], thinking=state["thinking"])`."""
        return {"kind": self.kind, "pieces": list(self.pieces[len(SPECIAL) + len(_ASCII) :]), "thinking": self.thinking}
