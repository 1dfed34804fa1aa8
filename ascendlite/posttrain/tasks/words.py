"""The task of sums and differences in Tagalog number words."""

from __future__ import annotations

import random
from collections.abc import Iterator

from . import tagalog
from .base import Item


class TagalogTask:
    """`dalawampu't tatlo dagdagan ng labing-isa` -> the sums of units and of tens, then `tatlumpu't apat`.

    >>> from itertools import islice
    >>> task = TagalogTask()
    >>> item = next(task.draw(0))
    >>> task.score(item.answer, item), task.score("isa", item)
    (1.0, 0.0)
    """

    max_new_tokens = 12
    thinks = True

    def __init__(self, name: str = "tagalog", signs: str = "+-", most: int = 99) -> None:
        self.name, self.signs, self.most = name, signs, most

    @property
    def pieces(self) -> tuple[str, ...]:
        """Number words and what joins them."""
        joints = ("'t ", " at ", ", ", *(f" {word} " for word in tagalog.WORDS_OF.values()))
        return (*tagalog.UNITS, *tagalog.TEENS, *(word for word in tagalog.TENS if word), tagalog.HUNDREDS[1], *joints)

    def draw(self, seed: int) -> Iterator[Item]:
        """The questions of a seed."""
        rng = random.Random(f"{self.name} {seed}")
        while True:
            a, sign, b = tagalog.problem(rng, self.most, self.signs)
            yield Item(tagalog.question(a, sign, b), tagalog.worked(a, sign, b), {"answer": tagalog.result(a, sign, b)})

    def score(self, completion: str, item: Item) -> float:
        """1 for the right number, however it is spelled."""
        answer = item.entry["answer"]
        assert isinstance(answer, int), answer
        return tagalog.score(completion, answer)
