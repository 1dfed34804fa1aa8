"""The loop that writes tokens: prompts are read once, rows end by themselves, what ended is not computed any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Unpack

import ascendlite as al
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.models.cache import Cache, CausalLM

from .config import GenerationConfig, Options
from .protocol import TextCodec
from .sampling import Choice, choose
from .text import TextStream

Prompts = Tensor | str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]


@dataclass(frozen=True)
class Token:
    """One written token. `text` is what it makes certain of the text; `finish` is set on a row's last one.

    `finish`: "stop" (a stop token or text), "length" (max_new_tokens), "context" (the model's length).
    """

    row: int
    token: int
    text: str = ""
    finish: str | None = None
    logprob: float | None = None
    drawn_logprob: float | None = None
    kept: list[int] | None = None


@dataclass
class Completion:
    """What one row wrote, without its prompt. Logarithms of probabilities are in nats, see `Choice`."""

    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish: str | None = None
    logprobs: list[float] = field(default_factory=list)
    drawn_logprobs: list[float] = field(default_factory=list)
    sets: list[list[int]] = field(default_factory=list)

    def add(self, token: Token) -> None:
        """Note one more token."""
        self.tokens.append(token.token)
        self.text += token.text
        self.finish = token.finish
        if token.logprob is not None and token.drawn_logprob is not None:
            self.logprobs.append(token.logprob)
            self.drawn_logprobs.append(token.drawn_logprob)
        if token.kept is not None:
            self.sets.append(token.kept)


@dataclass
class _Row:
    number: int
    seed: int
    prompt: list[int]
    window: list[int]  # what the cache holds, or will hold after the next call
    text: TextStream | None
    written: list[int] = field(default_factory=list)


def _as_rows(prompts: Prompts, codec: TextCodec | None) -> list[list[int]]:
    if isinstance(prompts, Tensor):
        if prompts.ndim not in (1, 2):
            raise ArgumentError(f"generate: prompts have the shape {tuple(prompts.shape)}; give (B, T), (T,), or a list of lists")
        return [prompts.tolist()] if prompts.ndim == 1 else prompts.tolist()
    if isinstance(prompts, str):
        return _as_rows([prompts], codec)
    items = list(prompts)
    if items and all(isinstance(item, str) for item in items):
        if codec is None:
            raise ArgumentError("generate: prompts are texts but there is no tokenizer; pass tokenizer=, or give token numbers")
        return [[int(t) for t in codec.encode(text)] for text in items]  # type: ignore[arg-type]
    if items and all(isinstance(item, int) for item in items):
        return [[int(t) for t in items]]  # type: ignore[call-overload]
    return [[int(t) for t in row] for row in items]  # type: ignore[union-attr, attr-defined]


class _Run:
    """The rows that still write, and the model's cache of them."""

    def __init__(self, model: CausalLM, prompts: list[list[int]], config: GenerationConfig, codec: TextCodec | None) -> None:
        self.model, self.config = model, config
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
            _Row(number, seed, prompt, prompt[-self.limit :], None if codec is None else TextStream(codec, config.stop_texts))
            for number, (seed, prompt) in enumerate(zip(config.seeds(len(texts)), texts, strict=True))
        ]
        self.stop_tokens = frozenset(int(t) for t in config.stop_tokens)
        self.cache: Cache | None = None

    # -- the model
    def _forward(self, rows: Sequence[Sequence[int]], cache: Cache) -> Tensor:
        width = max(map(len, rows))
        padded = al.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self.device)
        lengths = [len(row) for row in rows]
        with no_grad():
            hidden = self.model.hidden(padded, cache=cache, lengths=None if min(lengths) == width else lengths)  # (B, T, C)
            last = hidden[al.arange(len(rows), device=self.device), al.tensor(lengths, device=self.device) - 1]
            logits: Tensor = self.model.head(last.unsqueeze(1))
        return logits[:, 0]

    def _read(self) -> Tensor:
        """Logits after the windows of all rows, with a new cache; rows that are the same text are read once."""
        distinct: dict[tuple[int, ...], int] = {}
        places = [distinct.setdefault(tuple(row.window), len(distinct)) for row in self.rows]
        longest = max(map(len, distinct))
        room = self.limit if self.config.overflow == "slide" else min(self.limit, longest + self.config.max_new_tokens)
        cache = self.model.new_cache(len(distinct), room)
        logits = self._forward(list(distinct), cache)
        if len(distinct) < len(places):
            cache, logits = cache.select(places), logits[al.tensor(places, device=self.device)]
        self.cache = cache
        return logits

    def logits(self) -> Tensor:
        """Logits after what each row holds."""
        full = [row for row in self.rows if len(row.window) > self.limit]
        for row in full:
            row.window = row.window[-max(1, self.limit // 2) :]
        if self.cache is None or full:
            return self._read()
        return self._forward([row.window[-1:] for row in self.rows], self.cache)

    # -- the rows
    def _end(self, row: _Row, token: int) -> str | None:
        if token in self.stop_tokens or (row.text is not None and row.text.stopped):
            return "stop"
        if len(row.written) >= self.config.max_new_tokens:
            return "length"
        return "context" if len(row.window) > self.limit and self.config.overflow == "stop" else None

    def _note(self, row: _Row, at: int, choice: Choice) -> Token:
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
        )  # fmt: skip

    def step(self) -> list[Token]:
        """One token of each row that still writes."""
        config = self.config
        seen = None if config.repetition_penalty == 1 else [row.prompt + row.written for row in self.rows]
        choice = choose(self.logits(), config, [row.seed for row in self.rows], [len(row.written) for row in self.rows], seen)
        tokens = [self._note(row, at, choice) for at, row in enumerate(self.rows)]
        live = [at for at, token in enumerate(tokens) if token.finish is None]
        if len(live) < len(self.rows):
            self.rows = [self.rows[at] for at in live]
            self.cache = self.cache.select(live) if live and self.cache is not None else None
        return tokens


def _config(config: GenerationConfig | None, options: Options) -> GenerationConfig:
    known = set(GenerationConfig.__dataclass_fields__)
    unknown = sorted(set(options) - known)
    if unknown:
        raise ArgumentError(f"generate: there is no option {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return replace(config or GenerationConfig(), **options)


def stream(
    model: CausalLM,
    prompts: Prompts,
    config: GenerationConfig | None = None,
    *,
    tokenizer: TextCodec | None = None,
    **options: Unpack[Options],
) -> Iterator[Token]:
    """Tokens as they are written: one of each row that has not ended, row by row; see `GenerationConfig` for the options.

    >>> from ascendlite.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(10, length=8, layers=1, heads=1, width=8))
    >>> [token.finish for token in stream(model, [1, 2], max_new_tokens=2)]
    [None, 'length']
    """
    run = _Run(model, _as_rows(prompts, tokenizer), _config(config, options), tokenizer)
    return _written(run)


def _written(run: _Run) -> Iterator[Token]:
    if run.config.max_new_tokens == 0:
        return
    model, was_training = run.model, run.model.training
    while run.rows:
        model.train(False)
        try:
            tokens = run.step()
        finally:
            model.train(was_training)
        yield from tokens


def generate(
    model: CausalLM,
    prompts: Prompts,
    config: GenerationConfig | None = None,
    *,
    tokenizer: TextCodec | None = None,
    **options: Unpack[Options],
) -> list[Completion]:
    """What the model writes after each prompt: texts, token numbers of one text, lists of them, or a tensor (B, T).

    With `samples` n, completions n * i to n * i + n - 1 belong to prompt i. See `GenerationConfig` for the options.

    >>> from ascendlite.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(10, length=8, layers=1, heads=1, width=8))
    >>> [len(completion.tokens) for completion in generate(model, [[1, 2], [3]], max_new_tokens=4, temperature=0.5)]
    [4, 4]
    """
    rows, config = _as_rows(prompts, tokenizer), _config(config, options)
    completions = [Completion(list(row)) for row in rows for _ in range(config.samples)]
    for token in stream(model, rows, config, tokenizer=tokenizer):
        completions[token.row].add(token)
    return completions
