"""Speculative decoding with a model's own MTP layer: each pass feeds the newest token and a guess of the one after it.

What a row writes does not change, at any temperature: the guess stands only if it is what would have been drawn, and draws depend on
seed and step alone. Passes with two columns give the bits of two passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast

from ascendlite import nn
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.models.cache import Cache, CausalLM

from .config import GenerationConfig
from .protocol import TextCodec
from .run import Past, Run, Token


class Drafting(Protocol):
    """A `CausalLM` that guesses one token further."""

    head: nn.Linear

    def new_cache(self, batch: int, max_length: int, *, rewind: int = 0) -> Cache: ...

    def drafting(self) -> object:
        """What `hidden` fills as `side`, for `draft_hidden` to go on from."""

    def hidden(self, input_ids: Tensor, *, cache: Cache, lengths: Sequence[int] | None = None, side: object) -> Tensor: ...

    def draft_hidden(self, side: object, next_ids: Tensor, cache: Cache) -> Tensor:
        """What the head reads, (B, T, C), to guess the token after `next_ids`, which follow the tokens of that pass."""


class SpeculativeRun(Run):
    """A run that writes one or two tokens of a row a step."""

    recurs = False  # rewinding says for every row of the cache how much of it stays

    def __init__(
        self,
        model: CausalLM,
        prompts: list[list[int]],
        config: GenerationConfig,
        codec: TextCodec | None,
        past: Past | None = None,
    ) -> None:
        super().__init__(model, prompts, config, codec)
        if past is not None:
            raise ArgumentError("generate: speculate reads a text from its beginning; leave past away")
        if not hasattr(model, "drafting"):
            raise ArgumentError(f"generate: speculate needs a model with an MTP layer; {type(model).__name__} has none")
        self.drafter = cast(Drafting, model)
        self.guesses: dict[int, int] = {}  # row number: the token that may come after its window's last
        self._plain = replace(config, logprobs=False, keep_sets=False)

    def _fed(self) -> list[list[int]]:
        if self.slide() or self.cache is None:
            self.guesses.clear()
            self.cache = self.drafter.new_cache(len(self.rows), self.room(), rewind=1)
            return [list(row.window) for row in self.rows]
        fits = self.cache.max_length
        for row in self.rows:
            if len(row.window) >= fits:
                self.guesses.pop(row.number, None)
        return [[row.window[-1], *([self.guesses[row.number]] if row.number in self.guesses else [])] for row in self.rows]

    def step(self) -> list[Token]:
        """One token of each row that still writes, and a second one where the guess was right."""
        fed = self._fed()
        tokens, lengths = self.padded(fed)
        side = self.drafter.drafting()
        sure = [len(part) - 1 - (row.number in self.guesses) for row, part in zip(self.rows, fed, strict=True)]  # the last certain column
        with no_grad():
            assert self.cache is not None
            hidden = self.drafter.hidden(tokens, cache=self.cache, lengths=lengths, side=side)  # (B, T, C)
            first = self.choose(self.rows, self.drafter.head(self.columns(hidden, sure))[:, 0])
        written = [[self.note(row, at, first, guessed=self.guesses.get(row.number) == first.tokens[at])] for at, row in enumerate(self.rows)]
        right = [at for at, (token,) in enumerate(written) if token.guessed and token.finish is None]
        if right:
            with no_grad():
                after = self.drafter.head(self.columns(hidden, [n + (at in right) for at, n in enumerate(sure)]))[:, 0]
            chosen = [self.rows[at] for at in right]
            second = self.choose(chosen, after[right])
            for number, (at, row) in enumerate(zip(right, chosen, strict=True)):
                written[at].append(self.note(row, number, second))
        self._guess(side, fed, sure, written)
        return [token for row in written for token in row]

    def _guess(self, side: object, fed: Sequence[Sequence[int]], sure: Sequence[int], written: Sequence[Sequence[Token]]) -> None:
        """Guess what comes after the newest tokens, forget what guesses that were wrong left in the cache, and drop rows that ended."""
        assert self.cache is not None
        following = [[*part[1 : n + 1], *(token.token for token in new)] for part, n, new in zip(fed, sure, written, strict=True)]
        width = max(map(len, fed))
        with no_grad():
            following_ids, _ = self.padded([[*row, *[0] * (width - len(row))] for row in following])
            hidden = self.drafter.draft_hidden(side, following_ids, self.cache)
            logits = self.drafter.head(self.columns(hidden, [len(row) - 1 for row in following]))[:, 0]
        self.cache.rewind([len(row.window) - 1 for row in self.rows])
        guesses = self.choose(self.rows, logits, self._plain).tokens
        live = [at for at, new in enumerate(written) if new[-1].finish is None]
        self.guesses = {self.rows[at].number: guesses[at] for at in live}
        self.keep(live)
