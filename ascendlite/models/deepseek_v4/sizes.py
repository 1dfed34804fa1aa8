"""How large a DeepSeek-V4 is: parameters by part, bytes of a checkpoint and of the cache, FLOPs of training and decoding.

Counts are read from the model itself, built on the `meta` device; only the FLOPs of attention are formulas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import ascendlite as al
from ascendlite.core import Tensor

from .config import CSA, HCA, WINDOW, DeepseekV4Config
from .formats import native_format
from .model import DeepseekV4

# What a cached entry takes: fp8 elements, bfloat16 ones that are turned, and a byte of scale for 64 fp8 ones. An indexer's is fp4.
_SCALE_BLOCK = 64

_PARTS = (
    ("embedding", r"^embed\."),
    ("head", r"^head\."),
    ("routed experts", r"ffn\.experts\."),
    ("shared experts", r"ffn\.shared_experts\."),
    ("indexers", r"attn\.indexer\."),
    ("compressors", r"attn\.compressor\."),
    ("hyper-connections", r"\bhc_"),
    ("routers", r"ffn\.gate\."),
    ("norms", r"(^norm|attn_norm|ffn_norm)\."),
    ("attention", r"\.attn\."),
)


@dataclass(frozen=True)
class Sizes:
    """`parts` add up to `main`; MTP is apart. `active`: what one token's way through the model touches, its embedding row's table too."""

    parts: dict[str, int]
    main: int
    active: int
    mtp: int
    tables: int  # numbers that are not learned: token tables and balancing biases, MTP's too
    checkpoint_bytes: int
    kv_bytes: float  # a token, in the published mixed precision
    kv_bytes_bf16: float
    window_bytes: int  # a sequence, whatever its length
    tail_bytes: int  # a sequence: float32 tails of unfinished blocks


def _part(name: str) -> str:
    return next(part for part, pattern in _PARTS if re.search(pattern, name))


def sizes_of(config: DeepseekV4Config) -> Sizes:
    """The sizes of a config, without making its weights."""
    with al.device("meta"):
        model = DeepseekV4(config)
    parts = dict.fromkeys((part for part, _ in _PARTS), 0)
    mtp = 0
    for name, p in model.named_parameters():
        if name.startswith("mtp."):
            mtp += p.numel()
        else:
            parts[_part(name)] += p.numel()
    state: dict[str, Tensor] = model.state_dict()
    main = sum(parts.values())
    idle = parts["routed experts"] * (config.n_routed_experts - config.num_experts_per_tok) // config.n_routed_experts
    return Sizes(
        parts=parts,
        main=main,
        active=main - idle,
        mtp=mtp,
        tables=sum(t.numel() for t in state.values()) - main - mtp,
        checkpoint_bytes=sum(native_format(name, config.expert_dtype).nbytes(t.shape) for name, t in state.items()),
        kv_bytes=_kv_bytes(config, mixed=True),
        kv_bytes_bf16=_kv_bytes(config, mixed=False),
        window_bytes=config.sliding_window * _entry_bytes(config) * config.num_hidden_layers,
        tail_bytes=_tail_bytes(config),
    )


def _entry_bytes(config: DeepseekV4Config) -> int:
    plain = config.head_dim - config.qk_rope_head_dim
    return plain + 2 * config.qk_rope_head_dim + -(-plain // _SCALE_BLOCK)


def _kv_bytes(config: DeepseekV4Config, mixed: bool) -> float:
    entry = _entry_bytes(config) if mixed else 2 * config.head_dim
    index = config.index_head_dim // 2 + config.index_head_dim // 32 if mixed else 2 * config.index_head_dim
    per_token = 0.0
    for i in range(config.num_hidden_layers):
        ratio = config.layer_ratio(i)
        if ratio:
            per_token += (entry + (index if config.layer_kind(i) == CSA else 0)) / ratio
    return per_token


def _tail_bytes(config: DeepseekV4Config) -> int:
    """Values and scores in float32: a block of HCA; two of CSA, both halves, and as much for the indexer."""
    total = 0
    for i in range(config.num_hidden_layers):
        ratio, kind = config.layer_ratio(i), config.layer_kind(i)
        copies = 4 if kind == CSA else 1  # two blocks of two halves
        width = config.head_dim + (config.index_head_dim if kind == CSA else 0)
        total += 2 * 4 * ratio * copies * width
    return total


@dataclass(frozen=True)
class Flops:
    """FLOPs of one token: products with weights, attention to what it sees, and the indexers' scores."""

    linear: float
    attention: float
    indexer: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.linear + self.attention + self.indexer


def _flops(config: DeepseekV4Config, linear: float, seen: dict[str, float], scored: float, times: int) -> Flops:
    """`seen`: rows that a token attends to in a layer of each kind; `times`: how often a forward pass counts."""
    # Every layer has its window besides.
    rows = config.num_hidden_layers * seen[WINDOW] + sum(config.layers_of(kind) * seen[kind] for kind in (CSA, HCA))
    attention = 4 * config.num_attention_heads * config.head_dim * rows
    indexer = 2 * config.index_n_heads * config.index_head_dim * config.layers_of(CSA) * scored
    return Flops(times * linear, times * attention, times * indexer)


def _hca_ratio(config: DeepseekV4Config) -> int:
    return max(config.compress_ratios) or 1


def _linear(config: DeepseekV4Config, sizes: Sizes) -> int:
    return 2 * (sizes.active - sizes.parts["embedding"])


def decode_flops(config: DeepseekV4Config, sizes: Sizes, length: int) -> Flops:
    """FLOPs of decoding one token after `length` others, without MTP."""
    blocks = length / config.csa_ratio
    seen = {WINDOW: min(length, config.sliding_window), CSA: min(config.index_topk, blocks), HCA: length / _hca_ratio(config)}
    return _flops(config, _linear(config, sizes), seen, blocks, 1)


def training_flops(config: DeepseekV4Config, sizes: Sizes, length: int) -> Flops:
    """FLOPs a token of a forward and a backward pass (twice a forward) over texts of `length` tokens: a mean over their places."""

    def mean_of_least(most: float) -> float:
        """The mean over places i of min(i, most)."""
        return length / 2 if length <= most else most - most * most / (2 * length)

    chosen = mean_of_least(config.index_topk * config.csa_ratio) / config.csa_ratio
    seen = {WINDOW: mean_of_least(config.sliding_window), CSA: chosen, HCA: length / 2 / _hca_ratio(config)}
    return _flops(config, _linear(config, sizes), seen, length / 2 / config.csa_ratio, 3)


def mtp_training_flops(config: DeepseekV4Config, sizes: Sizes) -> Flops:
    """What MTP adds to `training_flops`, its use of the shared head included."""
    if not sizes.mtp:
        return Flops(0.0, 0.0, 0.0)
    idle = (config.n_routed_experts - config.num_experts_per_tok) * 3 * config.hidden_size * config.moe_intermediate_size
    window = 4 * config.num_attention_heads * config.head_dim * config.sliding_window
    return Flops(6 * (sizes.mtp - idle + sizes.parts["head"]), 3 * window, 0.0)
