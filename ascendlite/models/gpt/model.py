"""The GPT module: pre-norm blocks of causal attention and a two-layer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

import ascendlite as al
from ascendlite import nn
from ascendlite.core import Tensor
from ascendlite.generation.mixin import Generates
from ascendlite.models.key_values import KeyValueCache, LayerCache, Places, places_of
from ascendlite.nn import functional as F

from .config import GPTConfig

Rotation = tuple[Tensor, Tensor] | None  # cosines and sines of the places; None where positions are learned


class CausalAttention(nn.Module):
    """Every place looks at itself and what came before, in several heads."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.bias)
        self.out = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor, rotation: Rotation, places: Places, cache: LayerCache | None) -> Tensor:
        B, T, C = x.shape
        H = self.config.heads
        qkv = self.qkv(x).view(B, T, 3, H, C // H).permute(2, 0, 3, 1, 4)  # (3, B, H, T, D)
        q, k, v = qkv.unbind(0)
        if rotation is not None:
            q, k = al.rope(q, *rotation), al.rope(k, *rotation)
        if cache is not None:
            k, v = cache.append(k, v, places)
        dropout = self.config.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, places.mask, dropout, places.causal)  # (B, H, T, D)
        return self.out(y.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    """Attention, then a perceptron, each added to what comes in."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, bias=config.bias)
        self.attention = CausalAttention(config)
        self.mlp_norm = nn.LayerNorm(config.width, bias=config.bias)
        self.up = nn.Linear(config.width, 4 * config.width, bias=config.bias)
        self.down = nn.Linear(4 * config.width, config.width, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, rotation: Rotation, places: Places, cache: LayerCache | None) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), rotation, places, cache))
        return x + self.dropout(self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh")))


class GPT(Generates):
    """Logits of the next token at every place.

    >>> model = GPT(GPTConfig(vocab_size=10, length=8, layers=1, heads=2, width=16))
    >>> model(al.tensor([[1, 2, 3]])).shape
    (1, 3, 10)
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        if config.positions == "learned":
            self.positions = nn.Embedding(config.length, config.width)
        else:
            cos, sin = al.rope_tables(config.length, config.head_size)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.width, bias=config.bias)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        self._initialise()
        if config.tied:
            self.head.weight = self.embedding.weight

    def _initialise(self) -> None:
        # GPT-2's: 0.02 everywhere, and what adds to the residual stream shrinks with the number of additions.
        residual = 0.02 / math.sqrt(2 * self.config.layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=residual if name.endswith(("out.weight", "down.weight")) else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @property
    def max_length(self) -> int:
        """The most tokens of one text."""
        return self.config.length

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self.config.vocab_size

    def new_cache(self, batch: int, max_length: int, *, rewind: int = 0) -> KeyValueCache:
        """An empty cache for `batch` rows of at most `max_length` tokens; any number of tokens can be forgotten again."""
        c, weight = self.config, self.head.weight
        return KeyValueCache(
            batch, min(max_length, c.length), layers=c.layers, heads=c.heads, head_size=c.head_size, dtype=weight.dtype, device=weight.device
        )

    def hidden(
        self,
        input_ids: Tensor,
        *,
        cache: KeyValueCache | None = None,
        lengths: Sequence[int] | None = None,
        documents: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """What the head reads, (B, T, width), for tokens, (B, T); see `ascendlite.models.cache.CausalLM` for cache and lengths.

        `documents`: the lengths of texts that lie packed behind one another in each row; none sees another.
        """
        places = places_of("GPT", input_ids, cache, lengths, self.config.length, documents)
        x = self.embedding(input_ids)  # (B, T, C)
        rotation = None
        if self.config.positions == "learned":
            x = x + places.take(self.positions.weight)
        else:
            rotation = places.take_rows(self.cos), places.take_rows(self.sin)
        x = self.dropout(x)
        for number, block in enumerate(self.blocks):
            x = block(x, rotation, places, None if cache is None else cache.layers[number])
        if cache is not None:
            cache.commit(places)
        return self.norm(x)

    def forward(self, input_ids: Tensor, *, cache: KeyValueCache | None = None, lengths: Sequence[int] | None = None) -> Tensor:
        """Logits, (B, T, vocabulary), for tokens, (B, T); with a cache the tokens follow those that it has seen."""
        return self.head(self.hidden(input_ids, cache=cache, lengths=lengths))

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy in nats of the targets, (B, T), after the tokens, (B, T)."""
        logits = self(tokens)
        return F.cross_entropy(logits.view(-1, self.config.vocab_size), targets.view(-1))

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def estimate_flops(self) -> int:
        """Floating-point operations of forward and backward for one token of a full-length sequence.

        Six for each weight of a product, and twelve for each layer, width and place of attention, as in the PaLM paper.
        """
        config = self.config
        lookups = 0 if config.tied else self.embedding.weight.numel()
        if config.positions == "learned":
            lookups += self.positions.weight.numel()
        return 6 * (self.parameter_count() - lookups) + 12 * config.layers * config.width * config.length
