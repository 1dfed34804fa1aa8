"""What a task is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Item:
    """A question, the answer to learn from, and what the verifier needs."""

    prompt: str
    answer: str
    entry: Mapping[str, object] = field(default_factory=dict)


class Task(Protocol):
    """Endless questions of one kind and their verifier."""

    @property
    def name(self) -> str:
        """What `--task` calls it."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """Words that deserve a token of their own."""

    @property
    def max_new_tokens(self) -> int:
        """The longest answer in tokens, with the one that ends it."""

    @property
    def thinks(self) -> bool:
        """Whether an answer begins with work that `</think>` ends."""

    def draw(self, seed: int) -> Iterator[Item]:
        """The questions of a seed, always the same ones."""

    def score(self, completion: str, item: Item) -> float:
        """From 0 to 1; 1 is right."""
