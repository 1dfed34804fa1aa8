"""Rows of data sets, in the forms that TRL's users have them, as examples of tokens.

A data set is anything with a length and rows that are mappings: a list of dicts, a Hugging Face `Dataset`, a `data.Dataset`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from ascendlite.errors import ArgumentError

from .packing import Example
from .protocol import Codec

Row = Mapping[str, object]


class Rows(Protocol):
    """Rows by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


class Conversing(Codec, Protocol):
    """A codec that knows a chat format."""

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> list[tuple[str, bool]]:
        """The texts of a conversation and whether each is the assistant's; an answer to come is not opened."""

    def opened(self) -> str:
        """What opens an answer."""

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The conversation up to where an answer begins."""


def _conversing(codec: Codec) -> Conversing:
    if not hasattr(codec, "conversation"):
        raise ArgumentError(f"trainer: messages need a tokenizer with a chat format; {type(codec).__name__} has none: give texts as prompts")
    return cast(Conversing, codec)


def checked_row(row: object) -> Row:
    """A row, if it has columns."""
    if not isinstance(row, Mapping):
        raise ArgumentError(f"trainer: a row is a {type(row).__name__}, {str(row)[:80]!r}; rows are mappings of columns, such as {{'prompt': ...}}")
    return cast(Row, row)


def prompt_text(row: Row, codec: Codec) -> str:
    """The prompt of a row as one text: it is a text, or messages."""
    prompt = checked_row(row).get("prompt")
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, Sequence):
        return _conversing(codec).render(checked_messages(prompt, "prompt"))
    raise ArgumentError(f"trainer: a row has the columns {', '.join(sorted(row))}; 'prompt' must be a text or a list of messages")


def checked_messages(value: object, name: str) -> Sequence[Mapping[str, str]]:
    """Messages, each with a role and a content."""
    known = isinstance(value, Sequence) and value and all(isinstance(m, Mapping) and {"role", "content"} <= set(m) for m in value)
    if not known or isinstance(value, str):
        raise ArgumentError(f"trainer: {name} is {str(value)[:80]!r}; messages are a list of {{'role': ..., 'content': ...}}, at least one")
    return cast("Sequence[Mapping[str, str]]", value)


def answer_of(value: object, name: str) -> str:
    """An answer: a text, or a list with the one message of the assistant."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and len(value) == 1 and isinstance(value[0], Mapping):
        return str(value[0]["content"])
    raise ArgumentError(f"trainer: {name} is {value!r}; it must be a text, or a list of one message")


def tokens_of(codec: Codec, text: str) -> list[int]:
    """The token numbers of a part of a text."""
    return [int(token) for token in codec.encode(text)]


def beginning_of(codec: Codec, text: str) -> list[int]:
    """The token numbers of the beginning of a text: with the token that begins texts, where the codec knows one (`begin`)."""
    begin = getattr(codec, "begin", codec.encode)
    return [int(token) for token in begin(text)]


def _cut(tokens: list[int], learned: list[bool], most: int | None) -> Example:
    return Example(tuple(tokens[:most]), tuple(learned[:most]))


def pair_example(codec: Codec, prompt: str, answer: str, *, learn_prompt: bool = False, most: int | None = None) -> Example:
    """A prompt, then an answer and the token that ends it, which are learned."""
    before, after = beginning_of(codec, prompt), [*tokens_of(codec, answer), codec.eos_token_id]
    return _cut([*before, *after], [learn_prompt] * len(before) + [True] * len(after), most)


def sft_example(row: Row, codec: Codec, *, completion_only: bool = True, most: int | None = None) -> Example:
    """An example of a row with `prompt` and `completion`, with `messages`, or with `text`."""
    if "completion" in checked_row(row):
        answer = answer_of(row["completion"], "completion")
        return pair_example(codec, prompt_text(row, codec), answer, learn_prompt=not completion_only, most=most)
    if "messages" in row:
        return _messages_example(row, _conversing(codec), completion_only, most)
    if isinstance(row.get("text"), str):
        tokens = [*beginning_of(codec, cast(str, row["text"])), codec.eos_token_id]
        return _cut(tokens, [True] * len(tokens), most)
    raise ArgumentError(f"SFTTrainer: a row has the columns {', '.join(sorted(row)) or 'none'}; give prompt and completion, messages, or text")


def _messages_example(row: Row, codec: Conversing, completion_only: bool, most: int | None) -> Example:
    tokens: list[int] = []
    learned: list[bool] = []
    for text, assistant in codec.conversation(checked_messages(row["messages"], "messages")):
        if assistant:
            opening = tokens_of(codec, codec.opened())
            tokens += opening
            learned += [not completion_only] * len(opening)
        new = [*tokens_of(codec, text), codec.eos_token_id] if assistant else (tokens_of if tokens else beginning_of)(codec, text)
        tokens += new
        learned += [assistant or not completion_only] * len(new)
    return _cut(tokens, learned, most)


def columns_of(rows: Sequence[Row], but: Sequence[str] = ()) -> dict[str, list[object]]:
    """The columns that all rows have, as lists."""
    names = set(rows[0]).intersection(*rows[1:]) - set(but) if rows else set()
    return {name: [row[name] for row in rows] for name in sorted(names)}
