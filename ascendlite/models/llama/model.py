"""The Llama module: pre-norm blocks of grouped-query attention with rotary positions and a gated perceptron.

Modules have the names of Hugging Face's, so that weights load by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import ascendlite as al
from ascendlite import nn
from ascendlite.core import Tensor
from ascendlite.generation.mixin import Generates
from ascendlite.models.key_values import KeyValueCache, LayerCache, Places, places_of
from ascendlite.nn import functional as F
from ascendlite.nn.hooks import is_untouched

from .config import LlamaConfig
from .rope import RotaryTables

Rotation = tuple[Tensor, Tensor]  # cosines and sines of the places of a call


class Attention(nn.Module):
    """Causal attention in which several heads of queries share one of keys and values."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        c = config
        self.config = c
        width, size = c.hidden_size, c.head_size
        self.q_proj = nn.Linear(width, c.num_attention_heads * size, bias=c.attention_bias)
        self.k_proj = nn.Linear(width, c.key_value_heads * size, bias=c.attention_bias)
        self.v_proj = nn.Linear(width, c.key_value_heads * size, bias=c.attention_bias)
        self.o_proj = nn.Linear(c.num_attention_heads * size, width, bias=c.output_bias)
        self.q_norm = nn.RMSNorm(size, c.rms_norm_eps) if c.qk_norm else None
        self.k_norm = nn.RMSNorm(size, c.rms_norm_eps) if c.qk_norm else None

    def forward(self, x: Tensor, rotation: Rotation, places: Places, cache: LayerCache | None) -> Tensor:
        B, T, _ = x.shape
        D = self.config.head_size
        q, k, v = nn.utils.side_by_side(x, self.q_proj, self.k_proj, self.v_proj)
        q, k, v = q.view(B, T, -1, D), k.view(B, T, -1, D), v.view(B, T, -1, D).transpose(1, 2)  # v: (B, G, T, D)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = al.rope(q.transpose(1, 2), *rotation), al.rope(k.transpose(1, 2), *rotation)
        if cache is not None:
            k, v = cache.append(k, v, places)
        y = F.scaled_dot_product_attention(q, k, v, places.mask, is_causal=places.causal, enable_gqa=True)  # (B, H, T, D)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1))


class Perceptron(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(width, inner, bias=config.mlp_bias)
        self.up_proj = nn.Linear(width, inner, bias=config.mlp_bias)
        self.down_proj = nn.Linear(inner, width, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.swiglu(*nn.utils.side_by_side(x, self.gate_proj, self.up_proj)))


class Block(nn.Module):
    """Attention, then a perceptron, each added to what comes in."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = Perceptron(config)

    def forward(self, x: Tensor, rotation: Rotation, places: Places, cache: LayerCache | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, places, cache)
        norm, mlp = self.post_attention_layernorm, self.mlp
        if is_untouched(mlp, Perceptron):
            return nn.utils.gated_residual(x, norm, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        return x + mlp(norm(x))


class Trunk(nn.Module):
    """Embedding, blocks and the last norm."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([Block(config) for _ in range(config.num_hidden_layers)])
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)


class Llama(Generates):
    """Logits of the next token at every place.

    >>> model = Llama(LlamaConfig(vocab_size=10, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2))
    >>> model(al.tensor([[1, 2, 3]])).shape
    (1, 3, 10)
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self._tables = RotaryTables(config)
        self._initialise()
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=self.config.initializer_range)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @property
    def head(self) -> nn.Linear:
        """What makes logits of hidden states."""
        return self.lm_head

    @property
    def max_length(self) -> int:
        """The most tokens of one text."""
        return self.config.max_position_embeddings

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self.config.vocab_size

    def new_cache(self, batch: int, max_length: int, *, rewind: int = 0) -> KeyValueCache:
        """An empty cache for `batch` rows of at most `max_length` tokens; any number of tokens can be forgotten again."""
        c, like = self.config, self.model.norm.weight
        assert like is not None
        length = min(max_length, c.max_position_embeddings)
        return KeyValueCache(
            batch, length, layers=c.num_hidden_layers, heads=c.key_value_heads, head_size=c.head_size, dtype=like.dtype, device=like.device
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
        places = places_of("Llama", input_ids, cache, lengths, self.max_length, documents)
        cos, sin = self._tables.upto(places.end, input_ids.device)
        rotation = places.take_rows(cos), places.take_rows(sin)
        x = self.model.embed_tokens(input_ids)  # (B, T, C)
        for number, block in enumerate(self.model.layers):
            x = block(x, rotation, places, None if cache is None else cache.layers[number])
        if cache is not None:
            cache.commit(places)
        return self.model.norm(x)

    def forward(self, input_ids: Tensor, *, cache: KeyValueCache | None = None, lengths: Sequence[int] | None = None) -> Tensor:
        """Logits, (B, T, vocabulary), for tokens, (B, T); with a cache the tokens follow those that it has seen."""
        return self.head(self.hidden(input_ids, cache=cache, lengths=lengths))

    def loss(self, input_ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy in nats of the targets, (B, T), after the tokens, (B, T)."""
        return F.cross_entropy(self(input_ids).view(-1, self.config.vocab_size), targets.view(-1))

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())
