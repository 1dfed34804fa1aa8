"""The rows that write, and the model's cache of them: one token of each a step. It knows no texts of prompts and collects nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import ascendlite as al
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.models.cache import Cache, CausalLM
from ascendlite.models.shapes import recurring_count, recurring_width

from .config import GenerationConfig
from .protocol import TextCodec
from .sampling import Choice, choose
from .text import TextStream


@dataclass(frozen=True)
class Token:
    """One written token. `text` is what it makes certain of the text; `finish` is set on a row's last one.

    `guessed`: a draft that was right (speculate).
    `finish`: "stop" (a stop token or text), "length" (max_new_tokens), "context" (the model's length).
    """

    row: int
    token: int
    text: str = ""
    finish: str | None = None
    logprob: float | None = None
    drawn_logprob: float | None = None
    kept: list[int] | None = None
    guessed: bool = False


@dataclass
class Row:
    """One text that is being written."""

    number: int
    seed: int
    prompt: list[int]
    window: list[int]  # what the cache holds, or will hold after the next call
    text: TextStream | None
    written: list[int] = field(default_factory=list)


@dataclass
class Past:
    """What an earlier run left of one text, for the next one to go on from: a chat reads only what is new."""

    tokens: list[int] = field(default_factory=list)
    cache: Cache | None = None

    def shared(self, text: Sequence[int]) -> int:
        """How many tokens at the beginning of a text the cache holds; the last token of the text is always left to be read."""
        held = 0 if self.cache is None else min(self.cache.lengths[0], len(text) - 1)
        return next((n for n in range(held) if self.tokens[n] != text[n]), held)


class Run:
    """The rows that still write, and the model's cache of them."""

    recurs = True  # whether the cache may keep rows that ended, so that shapes recur

    def __init__(
        self,
        model: CausalLM,
        prompts: list[list[int]],
        config: GenerationConfig,
        codec: TextCodec | None,
        past: Past | None = None,
    ) -> None:
        self.model, self.config, self.past = model, config, past
        if past is not None and len(prompts) * config.samples != 1:
            raise ArgumentError(f"generate: {len(prompts) * config.samples} rows with the past of one text; give one prompt and samples=1")
        self.device = next(iter(model.parameters())).device
        self.limit = model.max_length
        if config.stop_texts and codec is None:
            raise ArgumentError("generate: stop holds texts but there is no tokenizer; pass tokenizer=, or use stop_tokens")
        for number, prompt in enumerate(prompts):
            if not prompt:
                raise ArgumentError(f"generate: prompt {number} is empty; give at least one token, such as the one that begins a text")
            if len(prompt) > self.limit and config.overflow == "stop":
                raise ArgumentError(
                    f"generate: prompt {number} has {len(prompt)} tokens, the model's length is {self.limit}; cut it, or pass overflow='slide'"
                )
        texts = [prompt for prompt in prompts for _ in range(config.samples)]
        self.rows = [
            Row(number, seed, prompt, prompt[-self.limit :], None if codec is None else TextStream(codec, config.stop_texts))
            for number, (seed, prompt) in enumerate(zip(config.seeds(len(texts)), texts, strict=True))
        ]
        self.stop_tokens = config.ends(codec)
        self.cache: Cache | None = None
        self._spare = 0  # rows of the cache behind those that write

    # -- the model
    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, list[int] | None]:
        """Tokens, (B, T), padded on the right, and how many of each row are real (None: all)."""
        longest = max(map(len, rows))
        width = longest if longest == 1 or not self.recurs else min(self.limit, recurring_width(longest, self.device))
        lengths = [len(row) for row in rows]
        tokens = al.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self.device)
        return tokens, None if min(lengths) == width else lengths

    def columns(self, x: Tensor, at: Sequence[int]) -> Tensor:
        """Column at[b] of each row b of (B, T, C): (B, 1, C)."""
        return x[al.arange(len(at), device=self.device), al.tensor(list(at), device=self.device)].unsqueeze(1)

    def _forward(self, rows: Sequence[Sequence[int]], cache: Cache) -> Tensor:
        tokens, lengths = self.padded(rows)
        with no_grad():
            hidden = self.model.hidden(tokens, cache=cache, lengths=lengths)  # (B, T, C)
            logits: Tensor = self.model.head(self.columns(hidden, [len(row) - 1 for row in rows]))
        return logits[:, 0]

    def room(self) -> int:
        """The length of a cache for what may come."""
        if self.config.overflow == "slide":
            return self.limit
        return min(self.limit, recurring_width(max(len(row.window) for row in self.rows) + self.config.max_new_tokens, self.device))

    def slide(self) -> bool:
        """Cut windows that are full to their last half; true if any was."""
        full = [row for row in self.rows if len(row.window) > self.limit]
        for row in full:
            row.window = row.window[-max(1, self.limit // 2) :]
        return bool(full)

    def _read(self) -> Tensor:
        """Logits after the windows of all rows, with a new cache; rows that are the same text are read once."""
        if self.past is not None:
            return self._read_on(self.past, self.rows[0])
        distinct: dict[tuple[int, ...], int] = {}
        places = [distinct.setdefault(tuple(row.window), len(distinct)) for row in self.rows]
        cache = self.model.new_cache(len(distinct), self.room())
        logits = self._forward(list(distinct), cache)
        if len(distinct) < len(places):
            cache, logits = cache.select(places), logits[al.tensor(places, device=self.device)]
        self.cache, self._spare = cache, 0
        return logits

    def _read_on(self, past: Past, row: Row) -> Tensor:
        """Logits after the window of the only row, of which what the past holds is not read again."""
        known = past.shared(row.window)
        try:
            if past.cache is not None:
                past.cache.rewind([known])
        except ArgumentError:  # it can't forget so much
            past.cache = None
        if past.cache is None:
            known, past.cache = 0, self.model.new_cache(1, self.limit)
        self.cache, past.tokens = past.cache, row.window  # which grows as the row is written
        return self._forward([row.window[known:]], past.cache)

    def logits(self) -> Tensor:
        """Logits after what each row holds."""
        if self.slide() or self.cache is None:
            return self._read()
        return self._forward([row.window[-1:] for row in self.rows] + [[0]] * self._spare, self.cache)[: len(self.rows)]

    # -- the rows
    def _end(self, row: Row, token: int) -> str | None:
        if token in self.stop_tokens or (row.text is not None and row.text.stopped):
            return "stop"
        if len(row.written) >= self.config.max_new_tokens:
            return "length"
        return "context" if len(row.window) > self.limit and self.config.overflow == "stop" else None

    def note(self, row: Row, at: int, choice: Choice, *, guessed: bool = False) -> Token:
        """Add entry `at` of a choice to a row."""
        token = choice.tokens[at]
        row.written.append(token)
        row.window.append(token)
        text = "" if row.text is None or token in self.stop_tokens else row.text.push(token)
        finish = self._end(row, token)
        if finish is not None and row.text is not None:
            text += row.text.finish()
        return Token(
            row.number, token, text, finish,
            None if choice.logprobs is None else choice.logprobs[at],
            None if choice.drawn_logprobs is None else choice.drawn_logprobs[at],
            None if choice.sets is None else choice.sets[at],
            guessed,
        )  # fmt: skip

    def choose(self, rows: Sequence[Row], logits: Tensor, config: GenerationConfig | None = None) -> Choice:
        """The next token of each of these rows."""
        config = config or self.config
        seen = None if config.repetition_penalty == 1 else [row.prompt + row.written for row in rows]
        return choose(logits, config, [row.seed for row in rows], [len(row.written) for row in rows], seen)

    def keep(self, live: Sequence[int]) -> None:
        """Go on with these of the rows only; the cache keeps as many spare rows as `recurs` and the device ask for."""
        if len(live) == len(self.rows):
            return
        total = len(self.rows) + self._spare
        self.rows = [self.rows[at] for at in live]
        if not live or self.cache is None:
            self.cache, self._spare = None, 0
            return
        self._spare = min(total, recurring_count(len(live), self.device)) - len(live) if self.recurs else 0
        others = sorted(set(range(total)) - set(live))
        self.cache = self.cache.select([*live, *others[: self._spare]])

    def step(self) -> list[Token]:
        """One token of each row that still writes."""
        choice = self.choose(self.rows, self.logits())
        tokens = [self.note(row, at, choice) for at, row in enumerate(self.rows)]
        self.keep([at for at, token in enumerate(tokens) if token.finish is None])
        return tokens
