"""DeepSeek-V4 (arXiv:2606.19348): every layer is attention, then experts, both inside hyper-connections. Text in, logits out.

What is kept in float32 whatever the model's dtype: hyper-connections, norms, sinks, compressors, the router, and the logits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

from ascendlite import nn
from ascendlite.autograd import checkpoint
from ascendlite.core import Device, DType, Tensor, is_grad_enabled, set_grad_enabled
from ascendlite.errors import ArgumentError
from ascendlite.generation.mixin import Generates
from ascendlite.models.cache import row_lengths
from ascendlite.nn import convert
from ascendlite.nn import functional as F

from .attention import Attention
from .cache import DeepseekV4Cache, LayerCache, make_cache
from .config import DeepseekV4Config
from .experts import MoE, balance_loss, loads_of
from .hyper import HyperConnection, HyperHead, join
from .layers import Norm, Projection, full_precision
from .places import Places
from .quantize import NONE, Quantization
from .side import Side

_WIDE = re.compile(r"norm\.|hc_|attn_sink|compressor\.|gate\.")  # names of what stays float32


class BlockResult(NamedTuple):
    """What a layer gives: the streams, and what `Side` collects."""

    x: Tensor  # (B, T, n, d)
    index_loss: Tensor | None
    balance_loss: Tensor | None
    load: Tensor | None
    experts: Tensor
    entries: Tensor | None


class Block(nn.Module):
    """One layer on streams, (B, T, n, d)."""

    def __init__(self, config: DeepseekV4Config, layer: int, dtype: DType | None = None) -> None:
        super().__init__()
        self.hc_attn = HyperConnection(config)
        self.attn_norm = Norm(config.hidden_size, config.rms_norm_eps)
        self.attn = Attention(config, layer, dtype)
        self.hc_ffn = HyperConnection(config)
        self.ffn_norm = Norm(config.hidden_size, config.rms_norm_eps)
        self.ffn = MoE(config, layer, dtype)

    def forward(self, x: Tensor, tokens: Tensor, places: Places, cache: LayerCache | None, side: Side) -> BlockResult:
        inner, post, mix = self.hc_attn(x)
        y, index_loss, entries = self.attn(self.attn_norm(inner), places, cache, side)
        x = join(x, y, post, mix)
        inner, post, mix = self.hc_ffn(x)
        y, routes = self.ffn(self.ffn_norm(inner), tokens, side)
        x = join(x, y, post, mix)
        B, T = tokens.shape
        balance = load = None
        if side.balance and self.ffn.gate.bias is not None:
            balance, load = balance_loss(routes, places.real(), B), loads_of(routes, places.real())
        return BlockResult(x, index_loss, balance, load, routes.experts.view(B, T, -1), entries)


class Head(nn.Linear):
    """Logits, in float32 always."""

    def forward(self, input: Tensor) -> Tensor:
        with full_precision():
            return F.linear(input.float(), self.weight.float())


class MTP(nn.Module):
    """Multi-token prediction: one layer more, that sees the streams at a token and the token after it, and guesses the one after that."""

    def __init__(self, config: DeepseekV4Config, dtype: DType | None = None) -> None:
        super().__init__()
        d, std = config.hidden_size, config.initializer_range
        self.enorm, self.hnorm, self.norm = (Norm(d, config.rms_norm_eps) for _ in range(3))
        self.e_proj, self.h_proj = Projection(d, d, std, dtype), Projection(d, d, std, dtype)
        self.block = Block(config, config.num_hidden_layers, dtype)
        self.hc_head = HyperHead(config)

    def forward(self, x: Tensor, embedded: Tensor, run: Callable[[Block, Tensor], BlockResult]) -> tuple[Tensor, BlockResult]:
        """What the head reads, (B, T, d), of streams (B, T, n, d) and the embedding, (B, T, d), of the next tokens.

        `run` runs the layer on streams: the model knows where they stand, and whether to compute them again.
        """
        result = run(self.block, self.e_proj(self.enorm(embedded)).unsqueeze(2) + self.h_proj(self.hnorm(x)))
        return self.norm(self.hc_head(result.x)), result


class DeepseekV4(Generates):
    """Logits of the next token at every place. See `ascendlite.models.cache.CausalLM` for `cache` and `lengths`.

    `quantization`: numbers to round, with gradients straight through. `recompute`: keep only what goes from layer to layer, and
    compute the rest again in the backward pass.

    >>> from ascendlite.models.deepseek_v4 import config_of
    >>> model = DeepseekV4(config_of("tiny"))
    >>> model(al.tensor([[1, 2, 3]])).shape
    (1, 3, 256)
    """

    def __init__(
        self, config: DeepseekV4Config, *, dtype: DType | None = None, recompute: bool = False, quantization: Quantization = NONE
    ) -> None:
        super().__init__()
        self.config, self.recompute = config, recompute
        self.stored_scales: dict[str, Tensor] = {}  # e8m0, of the checkpoint that was read: see save_hf
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size, dtype=dtype)
        nn.init.normal_(self.embed.weight, std=config.initializer_range)
        self.layers = nn.ModuleList([Block(config, i, dtype) for i in range(config.num_hidden_layers)])
        self.hc_head = HyperHead(config)
        self.norm = Norm(config.hidden_size, config.rms_norm_eps)
        self.head = Head(config.hidden_size, config.vocab_size, bias=False, dtype=dtype)
        nn.init.normal_(self.head.weight, std=config.initializer_range)
        self.mtp = nn.ModuleList([MTP(config, dtype) for _ in range(config.num_nextn_predict_layers)])

        self.quantize(quantization)

    def quantize(self, quantization: Quantization) -> None:
        """Round from now on what `quantization` says, wherever the model has it."""
        for module in self.modules():
            if hasattr(module, "quantization"):
                module.quantization = quantization
        self.quantization = quantization

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device and a dtype; a 16-bit dtype is for the matrices only, see the first lines of this module."""
        device, dtype = convert.parse_to(args, kwargs)
        if dtype is None or dtype.itemsize > 2:
            return super().to(device, dtype)
        super().to(device)
        for name, p in self.named_parameters():
            if not _WIDE.search(name):
                grad, p.grad = p.grad, None
                p.data = p.detach().to(dtype)
                p.grad = None if grad is None else grad.to(dtype)
        return self

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self.config.vocab_size

    @property
    def max_length(self) -> int:
        """How many tokens a text may have."""
        return self.config.max_position_embeddings

    def new_cache(self, batch: int, max_length: int, *, rewind: int = 0) -> DeepseekV4Cache:
        """An empty cache; up to `rewind` newest tokens of a row can be forgotten again. It has room for the MTP layer's part."""
        if batch < 1 or not 1 <= max_length <= self.max_length or rewind < 0:
            raise ArgumentError(
                f"new_cache: batch {batch}, max_length {max_length}, rewind {rewind}; at least one row, 1 to {self.max_length} tokens, and 0"
            )
        like = self.embed.weight
        layers = self.config.num_hidden_layers + len(self.mtp)
        return make_cache(self.config, layers, batch, max_length, rewind, like.dtype, like.device)

    def places(
        self, input_ids: Tensor, cache: DeepseekV4Cache | None = None, lengths: Sequence[int] | None = None,
        documents: Sequence[Sequence[int]] | None = None,
    ) -> Places:  # fmt: skip
        """Where the tokens stand, checked. `documents`: the lengths of texts that lie packed behind one another in each row."""
        start = None if cache is None else cache.lengths
        if documents is not None:
            if cache is not None or lengths is not None:
                raise ArgumentError("DeepseekV4: documents are for packed rows without cache and lengths; leave these away")
            lengths = [sum(row) for row in documents]
        most = self.max_length if cache is None else cache.max_length
        counts = row_lengths("DeepseekV4", input_ids, lengths, start, most)
        B, T = input_ids.shape
        return Places((B, T), counts, input_ids.device, start, documents)

    def streams(self, input_ids: Tensor, places: Places, cache: DeepseekV4Cache | None = None, side: Side | None = None) -> Tensor:
        """The residual streams behind the last layer, (B, T, n, d); the cache is not advanced."""
        side = Side() if side is None else side
        x = self.embed(input_ids).unsqueeze(2).expand(-1, -1, self.config.hc_mult, -1)
        for number, block in enumerate(self.layers):
            layer = None if cache is None else cache.layers[number]
            result = self._run(block, x, input_ids, places, layer, side)
            self._collect(number, result, side)
            x = result.x
        return x

    def _run(self, block: nn.Module, x: Tensor, tokens: Tensor, places: Places, cache: LayerCache | None, side: Side) -> BlockResult:
        if not (self.recompute and is_grad_enabled() and cache is None):
            return block(x, tokens, places, cache, side)
        absent: list[bool] = []

        def run(x: Tensor) -> tuple[Tensor, ...]:
            given = block(x, tokens, places, None, side)
            absent[:] = [t is None for t in given]
            return tuple(t for t in given if t is not None)

        found = iter(checkpoint(run, x))
        return BlockResult(*(None if a else next(found) for a in absent))  # type: ignore[arg-type]

    def _collect(self, layer: int, result: BlockResult, side: Side) -> None:
        if result.index_loss is not None:
            side.index_losses.append(result.index_loss)
        if result.balance_loss is not None and result.load is not None:
            side.balance_losses.append(result.balance_loss)
            side.loads[layer] = result.load
        if side.record:
            side.experts[layer] = result.experts
            if result.entries is not None:
                side.entries[layer] = result.entries

    def hidden(
        self, input_ids: Tensor, *, cache: DeepseekV4Cache | None = None, lengths: Sequence[int] | None = None,
        documents: Sequence[Sequence[int]] | None = None, side: Side | None = None,
    ) -> Tensor:  # fmt: skip
        """What the head reads, (B, T, d): `model.head(model.hidden(ids))` are the logits."""
        places = self.places(input_ids, cache, lengths, documents)
        with set_grad_enabled(cache is None and is_grad_enabled()):
            x = self.streams(input_ids, places, cache, side)
            if side is not None and side.keep_streams:
                side.streams, side.places = x, places
            x = self.norm(self.hc_head(x))
        if cache is not None:
            cache.advance(places.counts)
        return x

    def drafting(self) -> Side:
        """A `Side` that a pass fills for `draft` to go on from: speculative decoding asks for it."""
        return Side(keep_streams=True)

    def draft_hidden(self, side: Side, next_ids: Tensor, cache: DeepseekV4Cache | None = None) -> Tensor:
        """What the head reads to guess the token after `next_ids`, (B, T), which follow the tokens of the pass that filled `side`.

        That pass needs `Side(keep_streams=True)`; give the cache that it had. It is not advanced: MTP sees the same places.
        """
        if not self.mtp or side.streams is None or side.places is None:
            why = "no pass has filled side" if self.mtp else "num_nextn_predict_layers is 0"
            raise ArgumentError(f"draft: {why}; draft with an MTP layer, after a pass with Side(keep_streams=True)")
        layer = None if cache is None else cache.layers[self.config.num_hidden_layers]
        with set_grad_enabled(cache is None and is_grad_enabled()):
            places = side.places
            x, result = self.mtp[0](
                side.streams, self.embed(next_ids), lambda block, x: self._run(block, x, next_ids, places, layer, side)
            )
            self._collect(self.config.num_hidden_layers, result, side)
        return x

    def draft(self, side: Side, next_ids: Tensor, cache: DeepseekV4Cache | None = None) -> Tensor:
        """Logits, (B, T, vocabulary), of the token after `next_ids`; see `draft_hidden`."""
        return self.head(self.draft_hidden(side, next_ids, cache))

    def forward(
        self, input_ids: Tensor, *, cache: DeepseekV4Cache | None = None, lengths: Sequence[int] | None = None,
        documents: Sequence[Sequence[int]] | None = None, side: Side | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits, (B, T, vocabulary), float32, for tokens, (B, T); with a cache the tokens follow those that it has seen."""
        return self.head(self.hidden(input_ids, cache=cache, lengths=lengths, documents=documents, side=side))

    def loss(self, tokens: Tensor, targets: Tensor, *, lengths: Sequence[int] | None = None) -> Tensor:
        """Mean cross entropy in nats of the targets, (B, T), after the tokens, (B, T); see `objective` for all losses of training."""
        logits = self(tokens, lengths=lengths)
        return F.cross_entropy(logits.view(-1, self.vocab_size), targets.reshape(-1))

    def parameter_count(self) -> int:
        """How many numbers are learned, MTP's among them."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def device(self) -> Device:
        """Where the weights are."""
        return self.embed.weight.device
