"""Tokenizers of pretrained models as trainers need them: what begins a text, what ends an answer, and messages in the model's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from ascendlite.errors import ArgumentError
from ascendlite.text import ChatFormat, Message, Tokenizer

Messages = Sequence[Mapping[str, str]]


class ChatCodec:
    """A tokenizer with its chat format. Special tokens that a text spells count as such; decoding leaves them out."""

    def __init__(self, tokenizer: Tokenizer, chat: ChatFormat) -> None:
        self.tokenizer, self.format = tokenizer, chat
        self.eos_token_id = tokenizer.eos_token_id
        self.stop_tokens = tokenizer.stop_tokens

    def encode(self, text: str) -> list[int]:
        """Token numbers of a part of a text."""
        return self.tokenizer.encode(text, special=False)

    def begin(self, text: str) -> list[int]:
        """Token numbers of the beginning of a text, with the token that the model expects there."""
        return self.tokenizer.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token numbers."""
        return self.tokenizer.decode(tokens)

    def chat(self, question: str) -> str:
        """A question in the model's chat format."""
        return self.render([{"role": "user", "content": question}])

    def render(self, messages: Messages) -> str:
        """A conversation up to where the answer begins."""
        return self.format.render(cast("Sequence[Message]", messages))

    def opened(self) -> str:
        """Nothing: `conversation` has what opens an answer."""
        return ""

    def conversation(self, messages: Messages) -> list[tuple[str, bool]]:
        """The texts of a conversation and whether each is an answer; the token that ends an answer is left out."""
        end = self.tokenizer.text_of(self.eos_token_id)
        parts: list[tuple[str, bool]] = []
        done = ""
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before, after = self.render(messages[:number]), self.render(messages[: number + 1])
            if not before.startswith(done) or not after.startswith(before):
                raise ArgumentError("trainer: the model's template writes earlier turns anew; give prompt and completion instead of messages")
            answer, found, _ = after[len(before) :].partition(end)
            if not end or not found:
                content = message["content"].strip()
                answer = answer[: answer.find(content) + len(content)]
            parts += [(before[len(done) :], False), (answer, True)]
            done = before + answer + (end if found else "")
        return parts


def codec_of(processing_class: object) -> object:
    """What trainers work with: a `Tokenizer` gets the chat format that it brings; other codecs are taken as they are."""
    if isinstance(processing_class, Tokenizer):
        from ascendlite.models.pretrained import chat_of

        return ChatCodec(processing_class, chat_of(processing_class, "tokenizer"))
    return processing_class
