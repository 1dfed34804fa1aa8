"""Tasks of reasoning-gym, with its own verifiers. Questions come without the instructions around them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ascendlite.errors import ArgumentError

from .base import Item

_BLOCK = 1000


def _whole(entry: Mapping[str, Any]) -> str:
    return str(entry["question"])


def _after_colon(entry: Mapping[str, Any]) -> str:
    return _whole(entry).split("\n")[0].rpartition(": ")[2]


def _numbers(entry: Mapping[str, Any]) -> str:
    return " ".join(re.findall(r"\d+", _whole(entry)))


@dataclass(frozen=True)
class GymSetting:
    """Sizes that a small model can learn, how the question is shortened, and the longest answer."""

    config: Mapping[str, object] = field(default_factory=dict)
    shorten: Callable[[Mapping[str, Any]], str] = _whole
    max_new_tokens: int = 24


GYM: dict[str, GymSetting] = {
    "chain_sum": GymSetting({"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 2}, _after_colon, 8),
    "basic_arithmetic": GymSetting({"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1}, _whole, 8),
    "products": GymSetting({"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}, _after_colon, 8),
    "gcd": GymSetting({"min_value": 1, "max_value": 60}, _numbers, 6),
    "simple_equations": GymSetting({"min_terms": 2, "max_terms": 2, "min_value": 1, "max_value": 20}, _after_colon, 8),
    "spell_backward": GymSetting({"min_word_len": 3, "max_word_len": 7}, _after_colon, 12),
    "calendar_arithmetic": GymSetting({}, _whole, 12),
    "count_bits": GymSetting({"max_n": 1000}, _numbers, 6),
}


class GymTask:
    """A generator of reasoning-gym by its name."""

    pieces: tuple[str, ...] = ()
    thinks = False

    def __init__(self, name: str) -> None:
        try:
            import reasoning_gym
        except ImportError:
            raise ArgumentError(f"task {name}: it comes with reasoning-gym, which is not installed: pip install 'ascendlite[tasks]'") from None
        self.name = name
        self._setting = GYM.get(name, GymSetting(max_new_tokens=64))
        self.max_new_tokens = self._setting.max_new_tokens
        self._make: Callable[..., Any] = reasoning_gym.create_dataset
        try:
            self._verifier = self._make(name, size=1, seed=0, **self._setting.config)
        except ValueError as error:
            known = ", ".join(["tagalog", "tagalog-sums", "tagalog-differences", *sorted(GYM)])
            raise ArgumentError(f"task {name!r} is unknown ({error}); known: {known}, and every generator of reasoning-gym") from None

    def draw(self, seed: int) -> Iterator[Item]:
        """The questions of a seed; reasoning-gym makes entry i of seed s from s + i, so seeds are set far apart."""
        start = seed * 10_000_019
        while True:
            for entry in self._make(self.name, size=_BLOCK, seed=start % 2**31, **self._setting.config):
                yield Item(self._setting.shorten(entry), str(entry["answer"]), entry)
            start += _BLOCK

    def score(self, completion: str, item: Item) -> float:
        """What reasoning-gym's verifier says; a completion that it cannot read is wrong."""
        try:
            return float(self._verifier.score_answer(completion.strip(), dict(item.entry)))
        except (ValueError, TypeError, ArithmeticError, SyntaxError, AttributeError, KeyError, IndexError):
            return 0.0  # some verifiers parse without a guard
