"""Rollouts: completions with what training needs to know of how they were drawn; every token is logged before it is used.

A rollout that was killed goes on from its log: what was written is read again in one call of the model, and since a row's
draw depends on its seed and place only, the rest is what it would have been, bit for bit. Nothing is started over: that
would favour short answers (DeepSeek-V4 report, 5.2).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import ascendlite as al
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.generation import Choice, GenerationConfig, choose
from ascendlite.models.cache import Cache, CausalLM
from ascendlite.models.shapes import recurring_count, recurring_width

from .wal import Record, WriteAheadLog


@dataclass
class Rollout:
    """One completion. `logprobs` are of the distribution that was drawn from; `sets` what it was restricted to."""

    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    sets: list[list[int]] = field(default_factory=list)
    finish: str | None = None

    @property
    def truncated(self) -> bool:
        """Whether it was cut off before it ended."""
        return self.finish != "stop"


class Sampler:
    """Draws completions of token rows from a model that is being trained.

    >>> from ascendlite.models.gpt import GPT, GPTConfig
    >>> sampler = Sampler(GPT(GPTConfig(10, length=8, layers=1, heads=1, width=8)), GenerationConfig(max_new_tokens=3))
    >>> [len(rollout.tokens) for rollout in sampler.draw([[1, 2], [3]], seeds=[5, 6])]
    [3, 3]
    """

    def __init__(self, model: CausalLM, config: GenerationConfig) -> None:
        if config.temperature <= 0 or config.repetition_penalty != 1.0 or config.stop_texts:
            raise ArgumentError(
                f"Sampler: temperature {config.temperature}, repetition_penalty {config.repetition_penalty}, stop {config.stop!r}; training needs "
                "a distribution that can be computed again: a temperature above 0, no penalty, stop_tokens instead of stop"
            )
        self.model, self.config = model, config
        self._keep_sets = config.top_k is not None or config.top_p is not None or bool(config.min_p)
        self._options = GenerationConfig(
            temperature=config.temperature, top_k=config.top_k, top_p=config.top_p, min_p=config.min_p, logprobs=True, keep_sets=self._keep_sets
        )
        self._ends = config.ends()

    def draw(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], log: WriteAheadLog | None = None) -> list[Rollout]:
        """A completion of each prompt; with a log, those of the same prompts and seeds that it holds are gone on with."""
        if len(prompts) != len(seeds):
            raise ArgumentError(f"Sampler.draw: {len(prompts)} prompts and {len(seeds)} seeds; give one seed a prompt")
        for number, prompt in enumerate(prompts):
            if not 1 <= len(prompt) <= self.model.max_length:
                raise ArgumentError(
                    f"Sampler.draw: prompt {number} has {len(prompt)} tokens, the model reads from 1 to {self.model.max_length}; "
                    "leave it out of the data set, or shorten it"
                )
        rollouts = [Rollout(list(prompt)) for prompt in prompts]
        if log is not None:
            self._take_up(rollouts, seeds, log)
        was_training = self.model.training
        self.model.train(False)
        try:
            self._finish(rollouts, seeds, log)
        finally:
            self.model.train(was_training)
        return rollouts

    # -- the log
    def _fingerprint(self, rollouts: Sequence[Rollout], seeds: Sequence[int]) -> str:
        asked = [[rollout.prompt for rollout in rollouts], list(seeds), repr(self.config)]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    def _take_up(self, rollouts: Sequence[Rollout], seeds: Sequence[int], log: WriteAheadLog) -> None:
        fingerprint = self._fingerprint(rollouts, seeds)
        if not log.records or log.records[0].get("begin") != fingerprint:
            log.restart()
            log.append({"begin": fingerprint})
            return
        for record in log.records[1:]:
            for at, row in enumerate(record["rows"]):
                sets = record["sets"][at] if self._keep_sets else None
                self._note(rollouts[row], record["tokens"][at], record["logprobs"][at], sets)

    @staticmethod
    def _record(rows: Sequence[int], choice: Choice) -> Record:
        record: Record = {"rows": list(rows), "tokens": choice.tokens, "logprobs": choice.drawn_logprobs}
        return record if choice.sets is None else {**record, "sets": choice.sets}

    # -- the loop
    def _note(self, rollout: Rollout, token: int, logprob: float, kept: list[int] | None) -> None:
        rollout.tokens.append(token)
        rollout.logprobs.append(logprob)
        if kept is not None:
            rollout.sets.append(kept)
        if token in self._ends:
            rollout.finish = "stop"
        elif len(rollout.tokens) >= self.config.max_new_tokens:
            rollout.finish = "length"
        elif len(rollout.prompt) + len(rollout.tokens) >= self.model.max_length:
            rollout.finish = "context"

    def _finish(self, rollouts: Sequence[Rollout], seeds: Sequence[int], log: WriteAheadLog | None) -> None:
        live = [row for row, rollout in enumerate(rollouts) if rollout.finish is None]
        held = live  # the rows of the cache: those that live, then some that ended, where this keeps the number of rows
        cache: Cache | None = None
        while live:
            if cache is None:
                cache, logits = self._read([[*rollouts[row].prompt, *rollouts[row].tokens] for row in live])
            else:
                logits = self._forward([rollouts[row].tokens[-1:] for row in held], cache)[: len(live)]
            choice = choose(logits, self._options, [seeds[row] for row in live], [len(rollouts[row].tokens) for row in live])
            if log is not None:
                log.append(self._record(live, choice))
            assert choice.drawn_logprobs is not None
            for at, row in enumerate(live):
                self._note(rollouts[row], choice.tokens[at], choice.drawn_logprobs[at], None if choice.sets is None else choice.sets[at])
            going = [at for at, row in enumerate(live) if rollouts[row].finish is None]
            if going and len(going) < len(live):
                ended = sorted(set(range(len(held))) - set(going))
                chosen = [*going, *ended[: min(len(held), recurring_count(len(going), logits.device)) - len(going)]]
                cache, held = cache.select(chosen), [held[at] for at in chosen]
            live = [live[at] for at in going]

    def _read(self, texts: list[list[int]]) -> tuple[Cache, Tensor]:
        """A cache of all rows and their logits; texts that occur several times are read once."""
        places: dict[tuple[int, ...], int] = {}
        of_row = [places.setdefault(tuple(text), len(places)) for text in texts]
        device = next(iter(self.model.parameters())).device
        room = min(self.model.max_length, recurring_width(max(map(len, texts)) + self.config.max_new_tokens, device))
        cache = self.model.new_cache(len(places), room)
        logits = self._forward(list(places), cache)
        if len(places) < len(texts):
            cache, logits = cache.select(of_row), logits[al.tensor(of_row, device=logits.device)]
        return cache, logits

    def _forward(self, rows: Sequence[Sequence[int]], cache: Cache) -> Tensor:
        device = next(iter(self.model.parameters())).device
        longest = max(map(len, rows))
        width = longest if longest == 1 else min(self.model.max_length, recurring_width(longest, device))
        padded = al.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
        lengths = [len(row) for row in rows]
        with no_grad():
            hidden = self.model.hidden(padded, cache=cache, lengths=None if min(lengths) == width else lengths)  # (B, T, C)
            last = hidden[al.arange(len(rows), device=device), al.tensor(lengths, device=device) - 1]
            logits: Tensor = self.model.head(last.unsqueeze(1))  # every row on its own, as in training
        return logits[:, 0]
