"""The task of sums and differences in Tagalog number words."""

from __future__ import annotations

import random
from collections.abc import Iterator

from . import tagalog
from .base import Item


class TagalogTask:
    """`dalawampu't tatlo dagdagan ng labing-isa` -> `tatlumpu't apat`.

    >>> from itertools import islice
    >>> task = TagalogTask()
    >>> item = next(task.draw(0))
    >>> task.score(item.answer, item), task.score("isa", item)
    (1.0, 0.0)
    """

    name = "tagalog"
    max_new_tokens = 8

    def __init__(self, most: int = 99) -> None:
        self.most = most

    @property
    def pieces(self) -> tuple[str, ...]:
        """Number words and what joins them."""
        joints = ("'t ", " at ", "labing-", "labin", "labim", "labing", "isandaan", *(f" {word} " for word in tagalog.WORDS_OF.values()))
        return (*tagalog.UNITS, "sampu", *(word for word in tagalog.TENS if word), *joints)

    def draw(self, seed: int) -> Iterator[Item]:
        """The questions of a seed."""
        rng = random.Random(f"tagalog {seed}")
        while True:
            prompt, answer = tagalog.problem(rng, self.most)
            yield Item(prompt, tagalog.number_words(answer), {"answer": answer})

    def score(self, completion: str, item: Item) -> float:
        """1 for the right number, however it is spelled."""
        answer = item.entry["answer"]
        assert isinstance(answer, int), answer
        return tagalog.score(completion, answer)
