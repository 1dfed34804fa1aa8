"""Attention of DeepSeek-V4: one vector a token is key and value of all heads; a window of tokens and compressed entries share a softmax."""

from __future__ import annotations

import ascendlite as al
from ascendlite import nn
from ascendlite.core import DType, Tensor, float32, no_grad
from ascendlite.nn import functional as F

from . import rotary
from .cache import LayerCache, write_rows
from .compressor import Compressor
from .config import CSA, DeepseekV4Config
from .indexer import Choice, Indexer, index_loss
from .layers import Norm, Projection
from .places import Places, behind, joined
from .quantize import NONE, Quantization
from .side import Side


class Attention(nn.Module):
    """The attention of one layer; the last elements of its result are turned back by the query's position."""

    def __init__(self, config: DeepseekV4Config, layer: int, dtype: DType | None = None) -> None:
        super().__init__()
        self.config, self.layer, self.ratio = config, layer, config.layer_ratio(layer)
        d, H, D, std = config.hidden_size, config.num_attention_heads, config.head_dim, config.initializer_range
        self.wq_a = Projection(d, config.q_lora_rank, std, dtype)
        self.q_norm = Norm(config.q_lora_rank, config.rms_norm_eps)
        self.wq_b = Projection(config.q_lora_rank, H * D, std, dtype)
        self.wkv = Projection(d, D, std, dtype)
        self.kv_norm = Norm(D, config.rms_norm_eps)
        self.wo_a = Projection(H * D // config.o_groups, config.o_groups * config.o_lora_rank, std, dtype)
        self.wo_b = Projection(config.o_groups * config.o_lora_rank, d, std, dtype)
        self.attn_sink = nn.Parameter(al.zeros(H, dtype=float32))
        self.quantization: Quantization = NONE
        self.frequency = rotary.frequencies(config, D, compressed=self.ratio > 0)
        overlap = config.layer_kind(layer) == CSA
        self.compressor = Compressor(config, D, self.ratio, overlap) if self.ratio else None
        self.indexer = Indexer(config, self.ratio, dtype) if overlap else None

    def forward(self, x: Tensor, places: Places, cache: LayerCache | None, side: Side) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(B, T, d) to the same; then the indexer's loss, where `side` asks for it, and the chosen entries."""
        B, T, _ = x.shape
        H, D = self.config.num_attention_heads, self.config.head_dim
        latent = self.q_norm(self.wq_a(x))
        cos, sin = places.rotation(self.frequency, "compress" if self.ratio else "window")
        heads = cos.unsqueeze(2), sin.unsqueeze(2)
        q = self.wq_b(latent).view(B, T, H, D)
        q = rotary.turn(F.rms_norm(q, (D,), eps=self.config.rms_norm_eps).to(q.dtype), heads)
        kv = self._rounded(rotary.turn(self.kv_norm(self.wkv(x)), (cos, sin)))  # (B, T, D)
        index, rows = self._window(kv, places, cache)
        entries, choice = self._entries(x, latent, places, cache, side)
        entries = None if entries is None else entries.to(kv.dtype)  # autocast has made the projections' results narrower
        if choice is not None and entries is not None:
            index = self._index(index, choice, rows.shape[1], places, cache)
        y = F.sparse_attention(q, rows, index, entries=entries, sinks=self.attn_sink)  # (B, T, H, D)
        loss = None
        if choice is not None and choice.scores is not None and entries is not None:
            with no_grad():
                mass = F.sparse_attention_mass(q, rows, index, entries=entries, sinks=self.attn_sink)
            loss = index_loss(choice, mass[..., -choice.entries.shape[-1] :], places.real())
        chosen = choice.entries if choice is not None and self.indexer is not None else None
        return self._out(rotary.turn(y, heads, inverse=True)), loss, chosen

    def _index(self, window: Tensor, choice: Choice, rows: int, places: Places, cache: LayerCache | None) -> Tensor:
        """What the tokens see of the rows, and of the entries behind them."""
        if not choice.all:
            return joined(window, behind(choice.entries, rows))
        ring = 0 if cache is None else cache.ring
        return places.window_and_entries(self.config.sliding_window, ring, self.ratio, choice.entries.shape[-1], rows)

    def _rounded(self, entries: Tensor) -> Tensor:
        return self.quantization.entry(entries, self.config.qk_rope_head_dim)

    def _window(self, kv: Tensor, places: Places, cache: LayerCache | None) -> tuple[Tensor, Tensor]:
        """Which rows the window covers, and the rows."""
        if cache is None:
            return places.window(self.config.sliding_window, 0), kv
        rows = al.cat((cache.window, kv.to(cache.window.dtype)), 1)
        write_rows(cache.window, places.ring_slots(cache.ring), kv)
        return places.window(self.config.sliding_window, cache.ring), rows

    def _entries(
        self, x: Tensor, latent: Tensor, places: Places, cache: LayerCache | None, side: Side
    ) -> tuple[Tensor | None, Choice | None]:
        """The compressed entries and which of them each token sees; None where there are none yet."""
        if self.compressor is None:
            return None, None
        held = cache.compressor if cache is not None else None
        entries = self.compressor(x, places, self.frequency, held, self._rounded)
        most = places.entries(self.ratio)
        if held is not None:
            entries = held.entries[:, :most]
        if self.indexer is None:
            return entries, Choice(places.all_entries(self.ratio, most), None, all=True) if most else None
        replayed = side.replayed_entries(self.layer)
        learn = side.index_loss and cache is None
        choice = self.indexer(x, latent, places, cache.indexer if cache is not None else None, learn=learn, dense=side.dense)
        if replayed is not None:
            choice = Choice(replayed, choice.scores)
        return entries, choice if most else None

    def _out(self, y: Tensor) -> Tensor:
        """Heads in groups, each group through its own matrix, then all through one: (B, T, H, D) to (B, T, d)."""
        B, T, H, D = y.shape
        g, rank = self.config.o_groups, self.config.o_lora_rank
        grouped = y.reshape(B * T, g, H * D // g).transpose(0, 1)  # (g, B T, H D / g)
        weight = self.quantization.weight(self.wo_a.weight).view(g, rank, H * D // g)
        low = self.quantization.activation(grouped) @ weight.transpose(1, 2)  # (g, B T, rank)
        return self.wo_b(low.transpose(0, 1).reshape(B, T, g * rank))
