"""Generation: one token at a time, with the keys and values of what came before kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import ascendlite as al
from ascendlite.core import Generator, Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.nn import functional as F

from .config import GPTConfig


class LayerCache:
    """Keys and values of one layer, (B, H, places, D)."""

    def __init__(self, batch: int, config: GPTConfig, like: Tensor) -> None:
        shape = (batch, config.heads, config.length, config.head_size)
        self.keys = al.zeros(shape, dtype=like.dtype, device=like.device)
        self.values = al.zeros(shape, dtype=like.dtype, device=like.device)
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep these and give all so far."""
        start, end = self.length, self.length + keys.shape[2]
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class KeyValueCache:
    """What a GPT has seen, so that the next token costs one place only."""

    def __init__(self, batch: int, config: GPTConfig, like: Tensor) -> None:
        self.layers = [LayerCache(batch, config, like) for _ in range(config.layers)]

    @property
    def length(self) -> int:
        """How many places are kept."""
        return self.layers[0].length


class LanguageModel(Protocol):
    """What `generate` needs of a model."""

    config: GPTConfig

    def __call__(self, tokens: Tensor, cache: KeyValueCache | None = None) -> Tensor: ...

    def parameters(self) -> Iterator[Tensor]: ...


def sample(logits: Tensor, temperature: float, top_k: int | None, generator: Generator | None) -> Tensor:
    """One token a row, (B, 1), of logits, (B, vocabulary)."""
    if temperature == 0.0:
        return logits.argmax(-1, keepdim=True)
    logits = logits.float() / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        lowest = al.topk(logits, top_k)[0][:, -1:]
        logits = logits.masked_fill(logits < lowest, -al.inf)
    return al.multinomial(F.softmax(logits, -1), 1, generator=generator)


def generate(
    model: LanguageModel,
    tokens: Tensor,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """The tokens, (B, T), and `count` more after them; temperature 0 takes the likeliest.

    A text longer than the model's length goes on from its last half.
    """
    if tokens.ndim != 2 or tokens.shape[1] == 0:
        raise ArgumentError(f"generate: tokens have the shape {tuple(tokens.shape)}; give at least one token a row, (B, T)")
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ArgumentError(f"generate: temperature {temperature} and top_k {top_k}; temperature is at least 0, top_k at least 1")
    like, length = next(model.parameters()), model.config.length
    cache, fresh = KeyValueCache(tokens.shape[0], model.config, like), tokens[:, -length:]
    with no_grad():
        for _ in range(count):
            if cache.length + fresh.shape[1] > length:
                cache = KeyValueCache(tokens.shape[0], model.config, like)
                fresh = tokens[:, -max(1, length // 2) :]
            logits = model(fresh, cache)[:, -1]
            fresh = sample(logits, temperature, top_k, generator)
            tokens = al.cat((tokens, fresh), dim=1)
    return tokens
