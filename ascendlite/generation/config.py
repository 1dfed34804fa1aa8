"""What can be asked of generation, checked where it is written, and the seeds of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypedDict

from ascendlite.errors import ArgumentError

_OVERFLOWS = ("stop", "slide")
_KINDS: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    ("max_new_tokens", Integral, "a whole number"), ("top_k", Integral, "a whole number or None"), ("samples", Integral, "a whole number"),
    ("temperature", Real, "a number"), ("top_p", Real, "a number or None"), ("min_p", Real, "a number or None"),
    ("repetition_penalty", Real, "a number"), ("seed", (Integral, Sequence), "a whole number, or one for each row"),
    ("stop", (str, Sequence), "a text or several"), ("stop_tokens", (Integral, Iterable), "token numbers"),
)  # fmt: skip


class Options(TypedDict, total=False):
    """The fields of `GenerationConfig` as keyword arguments."""

    max_new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float
    seed: int | Sequence[int]
    samples: int
    stop: str | Sequence[str]
    stop_tokens: Sequence[int] | int | None
    logprobs: bool
    keep_sets: bool
    overflow: str
    speculate: bool


@dataclass(frozen=True)
class GenerationConfig:
    """How tokens are chosen and when a row ends.

    `temperature` 0 takes the likeliest. `top_k`, `top_p` and `min_p` restrict the choice, in this order, after the temperature;
    `repetition_penalty` divides positive logits of tokens that were there before and multiplies negative ones, before it.
    `seed`: a number for all, or one for each row (`row_seeds` makes the second of the first); a row's tokens depend on its own
    seed only. `samples`: continuations of each prompt, which is read once. A row ends at a token of `stop_tokens` (kept;
    None: those of the tokenizer, where one is given), or before a text of `stop` (needs a tokenizer). `logprobs`: also give logarithms of probabilities; `keep_sets`: also give the tokens
    that the choice was restricted to. `overflow`: what happens when a text is as long as the model allows: it ends ("stop"), or
    goes on from its last half ("slide"). `speculate`: the model's MTP layer guesses a token ahead, which the model confirms or replaces:
    the same tokens, in fewer passes.

    >>> GenerationConfig(temperature=0.7, top_p=0.9).top_p
    0.9
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int | Sequence[int] = 0
    samples: int = 1
    stop: str | Sequence[str] = ()
    stop_tokens: Sequence[int] | int | None = None
    logprobs: bool = False
    keep_sets: bool = False
    overflow: str = "stop"
    speculate: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        limits = {
            "max_new_tokens": (self.max_new_tokens >= 0, "at least 0"),
            "temperature": (math.isfinite(self.temperature) and self.temperature >= 0, "a number that is at least 0"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1, or None or 0 for all tokens"),
            "top_p": (self.top_p is None or 0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_p": (self.min_p is None or 0 <= self.min_p <= 1, "from 0 to 1"),
            "repetition_penalty": (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0, "above 0"),
            "samples": (self.samples >= 1, "at least 1"),
            "overflow": (self.overflow in _OVERFLOWS, f"one of {', '.join(_OVERFLOWS)}"),
        }
        for name, (fine, text) in limits.items():
            if not fine:
                raise ArgumentError(f"generate: {name} is {getattr(self, name)!r}; it must be {text}")
        if "" in self.stop_texts:
            raise ArgumentError("generate: stop holds an empty text, which ends everything at once; leave it out")

    def _check_types(self) -> None:
        """Whole numbers and numbers; 0 for `top_k` is None, as elsewhere."""
        for name, kinds, text in _KINDS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
                raise ArgumentError(f"generate: {name} is {value!r}; it must be {text}")
        if self.top_k == 0:
            object.__setattr__(self, "top_k", None)

    def ends(self, tokenizer: object = None) -> frozenset[int]:
        """The tokens that end a row."""
        if self.stop_tokens is None:
            known = getattr(tokenizer, "stop_tokens", None)
            return frozenset(known if known is not None else [t for t in [getattr(tokenizer, "eos_token_id", None)] if t is not None])
        return frozenset([self.stop_tokens] if isinstance(self.stop_tokens, int) else [int(token) for token in self.stop_tokens])

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """The texts that end a row."""
        return (self.stop,) if isinstance(self.stop, str) and self.stop else tuple(self.stop)

    def seeds(self, rows: int) -> list[int]:
        """One seed a row."""
        if isinstance(self.seed, int):
            return row_seeds(self.seed, rows)
        if len(self.seed) != rows:
            raise ArgumentError(f"generate: {len(self.seed)} seeds for {rows} rows; give one number, or one for each row")
        return [int(seed) for seed in self.seed]


def row_seeds(seed: int, rows: int) -> list[int]:
    """The seeds that rows 0, 1, ... get of one number: the number itself, then the SplitMix64 sequence that it starts.

    >>> row_seeds(7, 2)[0], len(set(row_seeds(7, 100)))
    (7, 100)
    """
    return [seed] + [_mixed(seed + row * 0x9E3779B97F4A7C15) for row in range(1, rows)]


def _mixed(x: int) -> int:
    mask = 2**64 - 1
    x = ((x & mask) ^ ((x & mask) >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    return x ^ (x >> 31)
