"""Names of weights: ours, and the three dialects of checkpoints.

"native": the published files. "saved": what transformers' save_pretrained writes. "modules": what its modules are called in memory.
Ours are native names with dots (`hc_attn.fn` for `hc_attn_fn`), all experts of a matrix in one tensor, and MTP's layer in `block`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ascendlite.errors import ArgumentError

MODULES, SAVED, NATIVE = "modules", "saved", "native"


@dataclass(frozen=True)
class Source:
    """Where one of our tensors, or one expert of it, comes from: a key of a file, and which half of its rows."""

    key: str
    expert: int | None = None  # of ours
    half: int | None = None  # rows of the file's tensor: 0 first half, 1 second
    stacked: bool = False  # the file's tensor holds all experts too


_EXPERT = re.compile(r"(.*ffn\.experts)\.(w[123])")
_HYPER = re.compile(r"\bhc_(attn|ffn|head)\.(fn|base|scale)\b")


def _native_name(name: str) -> str:
    return _HYPER.sub(r"hc_\1_\2", re.sub(r"^(mtp\.\d+)\.block\.", r"\1.", name))


def _saved_name(name: str) -> str:
    if name.startswith(("mtp.", "head.")):
        return _native_name(name)
    name = name.replace("embed.weight", "embed_tokens.weight").replace("attn.kv_norm.weight", "attn.norm.weight")
    if name.startswith("hc_head."):
        return "model.hc_head.hc_" + name.removeprefix("hc_head.")
    return "model." + _native_name(name)


_COMPRESSOR = (
    (r"\.ape$", ".position_bias"),
    (r"compressor\.wkv\.", "compressor.kv_proj."),
    (r"compressor\.wgate\.", "compressor.gate_proj."),
    (r"compressor\.norm\.", "compressor.kv_norm."),
)
_TO_MODULES = (
    (r"^embed\.", "embed_tokens."),
    (r"^hc_head\.", "hc_head.hc_"),
    (r"\.hc_attn\.", ".attn_hc."),
    (r"\.hc_ffn\.", ".ffn_hc."),
    (r"\.attn_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
    (r"\.attn\.attn_sink$", ".attn.sinks"),
    (r"\.attn\.indexer\.compressor\.", ".attn.indexer."),
    (r"indexer\.ape$", "indexer.position_bias"),
    (r"indexer\.wkv\.", "indexer.kv_proj."),
    (r"indexer\.wgate\.", "indexer.gate_proj."),
    (r"indexer\.norm\.", "indexer.kv_norm."),
    (r"indexer\.wq_b\.", "indexer.q_b_proj."),
    (r"indexer\.weights_proj\.", "indexer.scorer.weights_proj."),
    *_COMPRESSOR,
    (r"\.attn\.indexer\.", ".attn.compressor.indexer."),
    (r"\.attn\.wq_a\.", ".attn.q_a_proj."),
    (r"\.attn\.wq_b\.", ".attn.q_b_proj."),
    (r"\.attn\.q_norm\.", ".attn.q_a_norm."),
    (r"\.attn\.wkv\.", ".attn.kv_proj."),
    (r"\.attn\.wo_a\.", ".attn.o_a_proj."),
    (r"\.attn\.wo_b\.", ".attn.o_b_proj."),
    (r"\.attn\.", ".self_attn."),
    (r"\.ffn\.gate\.bias$", ".ffn.gate.e_score_correction_bias"),
    (r"shared_experts\.w1\.", "shared_experts.gate_proj."),
    (r"shared_experts\.w2\.", "shared_experts.down_proj."),
    (r"shared_experts\.w3\.", "shared_experts.up_proj."),
    (r"\.ffn\.", ".mlp."),
)
_FUSED = {"w1": ("gate_up_proj", 0), "w3": ("gate_up_proj", 1), "w2": ("down_proj", None)}


def _module_name(name: str) -> str:
    if name.startswith("mtp."):
        return _native_name(name)
    if name.startswith("head."):
        return "lm_head." + name.removeprefix("head.")
    for pattern, text in _TO_MODULES:
        name = re.sub(pattern, text, name)
    return "model." + name


_NAMERS: dict[str, Callable[[str], str]] = {NATIVE: _native_name, SAVED: _saved_name, MODULES: _module_name}


def sources(name: str, dialect: str, experts: int) -> list[Source]:
    """The keys of a file that one of our tensors is made of, in the order of the experts."""
    namer = _NAMERS[dialect]
    found = _EXPERT.fullmatch(name)
    if found is None:
        return [Source(namer(name))]
    folder, part = found.groups()
    if dialect == MODULES and not name.startswith("mtp."):
        fused, half = _FUSED[part]
        return [Source(f"{namer(folder)}.{fused}", None, half, stacked=True)]
    return [Source(f"{namer(folder)}.{e}.{part}.weight", e) for e in range(experts)]


# A key that only one dialect has.
_TELLTALES = (("model.layers.0.self_attn.sinks", MODULES), ("model.embed_tokens.weight", SAVED), ("embed.weight", NATIVE))


def dialect_of(keys: Iterable[str], path: str) -> str:
    """Which dialect the keys of a checkpoint are."""
    known = set(keys)
    for key, dialect in _TELLTALES:
        if key in known:
            return dialect
    raise ArgumentError(
        f"deepseek_v4: {path}: the keys are of no known dialect: none of {', '.join(key for key, _ in _TELLTALES)} is there; "
        f"the first are {', '.join(sorted(known)[:3])}"
    )
