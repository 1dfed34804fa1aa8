"""The loop that writes tokens: prompts are read once, rows end by themselves, what ended is not computed any more."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Unpack

from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError
from ascendlite.models.cache import CausalLM
from ascendlite.nn import Module
from ascendlite.nn.panels import Panels
from ascendlite.nn.utils import reading_weights

from .config import GenerationConfig, Options
from .names import options_of
from .protocol import TextCodec
from .run import Past, Run, Token
from .speculative import SpeculativeRun

_LAID_OUT = 16  # tokens: laying the weights out takes the time of two to three of them

Prompts = Tensor | str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]


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


def _as_rows(prompts: Prompts, codec: TextCodec | None) -> list[list[int]]:
    if isinstance(prompts, Tensor):
        if prompts.ndim not in (1, 2):
            raise ArgumentError(f"generate: prompts have the shape {tuple(prompts.shape)}; give (B, T), (T,), or a list of lists")
        return [prompts.tolist()] if prompts.ndim == 1 else prompts.tolist()
    if isinstance(prompts, str):
        return _as_rows([prompts], codec)
    items = list(prompts)
    if not items:
        raise ArgumentError("generate: there are no prompts; give at least one")
    if items and all(isinstance(item, str) for item in items):
        if codec is None:
            raise ArgumentError("generate: prompts are texts but there is no tokenizer; pass tokenizer=, or give token numbers")
        return [[int(t) for t in codec.encode(text)] for text in items]  # type: ignore[arg-type]
    if items and all(isinstance(item, int) for item in items):
        return [[int(t) for t in items]]  # type: ignore[call-overload]
    return [_tokens(row) for row in items]


def _tokens(row: object) -> list[int]:
    try:
        return [operator.index(token) for token in row]  # type: ignore[attr-defined]
    except TypeError as error:
        raise ArgumentError(f"generate: a prompt is {str(row)[:60]!r} ({error}); it must be a text or whole numbers, one for each token") from error


def _config(config: GenerationConfig | None, options: Options) -> GenerationConfig:
    found = options_of(options, GenerationConfig.__dataclass_fields__)
    return replace(config or GenerationConfig(), **found)  # type: ignore[arg-type]


def stream(
    model: CausalLM,
    prompts: Prompts,
    config: GenerationConfig | None = None,
    *,
    tokenizer: TextCodec | None = None,
    past: Past | None = None,
    **options: Unpack[Options],
) -> Iterator[Token]:
    """Tokens as they are written: one of each row that has not ended, row by row; see `GenerationConfig` for the options.

    `past`, for one prompt: what it holds of the prompt's beginning is not read again, and it takes what is read and written now.

    >>> from ascendlite.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(10, length=8, layers=1, heads=1, width=8))
    >>> [token.finish for token in stream(model, [1, 2], max_new_tokens=2)]
    [None, 'length']
    """
    chosen = _config(config, options)
    kind = SpeculativeRun if chosen.speculate else Run
    return _written(kind(model, _as_rows(prompts, tokenizer), chosen, tokenizer, past))


def _written(run: Run) -> Iterator[Token]:
    if run.config.max_new_tokens == 0:
        return
    with _read_in_order(run):
        while run.rows:
            with _evaluating(run.model):
                tokens = run.step()
            yield from tokens


def _read_in_order(run: Run) -> contextlib.AbstractContextManager[object]:
    """Weights laid out for one or two rows, where so much is written that it pays."""
    pays = len(run.rows) <= Panels.ROWS and run.config.max_new_tokens >= _LAID_OUT
    return reading_weights(run.model) if pays and isinstance(run.model, Module) else contextlib.nullcontext()


@contextlib.contextmanager
def _evaluating(model: CausalLM) -> Iterator[None]:
    """Dropout and its kin are off inside; nothing is touched if they are already."""
    if not model.training:
        yield
        return
    model.train(False)
    try:
        yield
    finally:
        model.train(True)


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
    with _evaluating(model):
        for token in stream(model, rows, config, tokenizer=tokenizer):
            completions[token.row].add(token)
    return completions
