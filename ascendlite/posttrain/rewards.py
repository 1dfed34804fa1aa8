"""Rewards in TRL's form: f(prompts, completions, **columns) -> a number, or None for no say, for each completion.

The functions here make such functions. Columns are those of the data set, a list with an entry for each completion.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ascendlite.errors import ArgumentError

_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")


class RewardFunction(Protocol):
    """f(prompts=..., completions=..., **columns) -> list of numbers or None."""

    def __call__(self, *, prompts: list[str], completions: list[str], **columns: list[object]) -> Sequence[float | None]: ...


def named(name: str, f: Callable[..., Sequence[float | None]]) -> RewardFunction:
    """The function under the name that metrics use."""
    f.__name__ = name
    return f


def _column(columns: Mapping[str, list[object]], name: str, reward: str) -> list[object]:
    if name not in columns:
        raise ArgumentError(f"{reward}: the data set has no column {name!r}; it has: {', '.join(sorted(columns)) or 'none'}")
    return columns[name]


def text_of(completion: object) -> str:
    """The text of a completion: itself, or the content of its last message.

    >>> text_of([{"role": "assistant", "content": "4"}])
    '4'
    """
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Sequence) and completion and isinstance(completion[-1], Mapping) and "content" in completion[-1]:
        return str(completion[-1]["content"])
    raise ArgumentError(f"reward: the completion {str(completion)[:80]!r} is no text and no list of messages")


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def exact_match(column: str = "answer", weight: float = 1.0) -> RewardFunction:
    """`weight` where the completion is the column's text, but for case and spaces.

    >>> exact_match()(prompts=["2+2"] * 2, completions=[" 4", "5"], answer=["4", "4"])
    [1.0, 0.0]
    """

    def reward(prompts: list[str], completions: list[str], **columns: list[object]) -> list[float]:
        wanted = _column(columns, column, "exact_match")
        return [weight * (_plain(text) == _plain(str(answer))) for text, answer in zip(map(text_of, completions), wanted, strict=True)]

    return named("exact_match", reward)


def last_number(text: str) -> float | None:
    """The last number that a text writes in digits.

    >>> last_number("2 + 2 makes 4.0"), last_number("none")
    (4.0, None)
    """
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def numeric_match(column: str = "answer", rel_tol: float = 1e-6, abs_tol: float = 0.0) -> RewardFunction:
    """1 where the last number of the completion is the column's number within the tolerance (that of math.isclose)."""

    def close(text: str, answer: object) -> float:
        found, wanted = last_number(text), last_number(str(answer))
        return float(found is not None and wanted is not None and math.isclose(found, wanted, rel_tol=rel_tol, abs_tol=abs_tol))

    def reward(prompts: list[str], completions: list[str], **columns: list[object]) -> list[float]:
        return [close(text, answer) for text, answer in zip(map(text_of, completions), _column(columns, column, "numeric_match"), strict=True)]

    return named("numeric_match", reward)


def format_match(pattern: str, weight: float = 1.0) -> RewardFunction:
    """`weight` where the whole completion matches a regular expression (newlines count as any character).

    >>> format_match(r"<think>.*</think>.+")(prompts=[""], completions=["<think>so</think>4"])
    [1.0]
    """
    compiled = re.compile(pattern, re.DOTALL)

    def reward(prompts: list[str], completions: list[str], **columns: list[object]) -> list[float]:
        return [weight * (compiled.fullmatch(text) is not None) for text in map(text_of, completions)]

    return named("format_match", reward)


def overlong_penalty(length: int, longest: int, buffer: int) -> float:
    """DAPO's: 0 up to longest - buffer tokens, then down in a line to -1 at `longest`, and -1 beyond.

    >>> [overlong_penalty(n, 100, 20) for n in (80, 90, 100, 130)]
    [0.0, -0.5, -1.0, -1.0]
    """
    free = longest - buffer
    return 0.0 if length <= free else max(-1.0, (free - length) / buffer)


def soft_overlong(longest: int, buffer: int) -> RewardFunction:
    """`overlong_penalty` of each completion; the trainer gives the column `completion_lengths` in tokens."""
    if not 0 < buffer <= longest:
        raise ArgumentError(f"soft_overlong: buffer is {buffer}, longest {longest}; buffer is from 1 to longest")

    def reward(prompts: list[str], completions: list[str], **columns: list[object]) -> list[float]:
        lengths = _column(columns, "completion_lengths", "soft_overlong")
        return [overlong_penalty(int(n), longest, buffer) for n in lengths]  # type: ignore[call-overload]

    return named("soft_overlong", reward)


def repetition_penalty(n: int = 3, most: float = -1.0) -> RewardFunction:
    """`most` times the share of a completion's n-grams of words that were there before.

    >>> repetition_penalty(1)(prompts=[""] * 2, completions=["a b c", "a a a a"])
    [0.0, -0.75]
    """

    def one(text: str) -> float:
        words = text.split()
        grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
        return most * (1 - len(set(grams)) / len(grams)) if grams else 0.0

    def reward(prompts: list[str], completions: list[str], **columns: list[object]) -> list[float]:
        return [0.0 if (value := one(text)) == 0 else value for text in map(text_of, completions)]

    return named("repetition_penalty", reward)


def overlap(text: str, wanted: str) -> float:
    """The share of words that stand where they should, of the longer of two texts.

    >>> overlap("isa dalawa apat", "isa dalawa tatlo")
    0.6666666666666666
    """
    found, expected = re.findall(r"[\w'-]+|[^\w\s]", text), re.findall(r"[\w'-]+|[^\w\s]", wanted)
    right = sum(a == b for a, b in zip(found, expected, strict=False))
    return float(right) / max(len(found), len(expected), 1)


# ---- several rewards as one


def total_rewards(table: Sequence[Sequence[float | None]], weights: Sequence[float]) -> list[float]:
    """The weighted sum of reward functions for each completion; NaN where none had a say.

    >>> total_rewards([[1.0, None], [0.5, None]], [1.0, 2.0])
    [2.0, nan]
    """
    if len(table) != len(weights):
        raise ArgumentError(f"rewards: {len(table)} functions and {len(weights)} weights; give one weight a function")
    totals = []
    for values in zip(*table, strict=True):
        said = [weight * value for value, weight in zip(values, weights, strict=True) if value is not None and not math.isnan(value)]
        totals.append(sum(said) if said else math.nan)
    return totals
