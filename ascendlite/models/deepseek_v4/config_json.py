"""config.json of a DeepSeek-V4, in two dialects: the published one (`compress_ratios`) and that of transformers (`layer_types`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ascendlite.errors import ArgumentError, FileFormatError

from .config import CSA, HCA, WINDOW, DeepseekV4Config
from .names import NATIVE

Json = dict[str, Any]

_KINDS = {"sliding_attention": WINDOW, "compressed_sparse_attention": CSA, "heavily_compressed_attention": HCA}
_KIND_NAMES = {kind: name for name, kind in _KINDS.items()}
_PUBLISHED_RATIOS = {WINDOW: 0, CSA: 4, HCA: 128}
# What has one value only; another one would be another model.
_FIXED = {
    "hidden_act": "silu", "attention_bias": False, "tie_word_embeddings": False, "scoring_func": "sqrtsoftplus", "norm_topk_prob": True,
    "num_key_value_heads": 1, "mlp_bias": False, "attention_dropout": 0.0,
}  # fmt: skip
# Ours that have another name, or a place inside something, in files.
_ELSEWHERE = {"compress_ratios", "csa_ratio", "rope_factor", "rope_original_length", "rope_beta_fast", "rope_beta_slow", "num_hash_layers"}
_YARN = {
    "rope_factor": "factor", "rope_original_length": "original_max_position_embeddings", "rope_beta_fast": "beta_fast", "rope_beta_slow": "beta_slow",
}  # fmt: skip


def config_from_json(raw: Mapping[str, Any], path: str) -> DeepseekV4Config:
    """The config that a config.json tells; what it leaves out is V4-Flash's, as transformers takes it."""
    try:
        return _read(raw)
    except ArgumentError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise FileFormatError(f"{path}: a value has not the form that it should have ({type(error).__name__}: {error})") from error


def _read(raw: Mapping[str, Any]) -> DeepseekV4Config:
    if raw.get("model_type", "deepseek_v4") != "deepseek_v4":
        raise ArgumentError(f"model_type is {raw['model_type']!r}; it must be deepseek_v4")
    for name, value in _FIXED.items():
        if raw.get(name, value) not in (value, None):
            raise ArgumentError(f"{name} is {raw[name]!r}; only {value!r} is known")
    values: Json = {f.name: raw[f.name] for f in fields(DeepseekV4Config) if raw.get(f.name) is not None and f.name not in _ELSEWHERE}
    for name in ("eos_token_id", "bos_token_id"):
        if isinstance(values.get(name), list):
            values[name] = values[name][0]
    values.update(_rope(raw))
    layers = int(raw.get("num_hidden_layers", DeepseekV4Config.num_hidden_layers))
    rates = dict(raw.get("compress_rates") or {})
    csa = int(raw.get("compress_rate_csa") or rates.get(_KIND_NAMES[CSA], 4))
    hca = int(raw.get("compress_rate_hca") or rates.get(_KIND_NAMES[HCA], 128))
    values["csa_ratio"] = csa
    values["compress_ratios"] = _ratios(raw, layers, {WINDOW: 0, CSA: csa, HCA: hca})
    values["num_hash_layers"] = _hash_layers(raw, layers)
    quantization = raw.get("quantization_config") or {}
    if "expert_dtype" in quantization:
        values["expert_dtype"] = quantization["expert_dtype"]
    return DeepseekV4Config(**values)


def _rope(raw: Mapping[str, Any]) -> Json:
    yarn = raw.get("rope_scaling") or (raw.get("rope_parameters") or {}).get("compress") or {}
    values = {ours: yarn[theirs] for ours, theirs in _YARN.items() if theirs in yarn}
    nested = raw.get("rope_parameters") or {}
    for ours, part in (("rope_theta", "main"), ("compress_rope_theta", "compress")):
        if isinstance(nested.get(part), Mapping) and "rope_theta" in nested[part]:
            values[ours] = nested[part]["rope_theta"]
    if yarn and yarn.get("rope_type", yarn.get("type", "yarn")) != "yarn":
        raise ArgumentError(f"the rotary scaling is {yarn.get('rope_type', yarn.get('type'))!r}; only 'yarn' is known")
    if "qk_rope_head_dim" not in raw and raw.get("partial_rotary_factor"):
        values["qk_rope_head_dim"] = int(raw.get("head_dim", DeepseekV4Config.head_dim) * raw["partial_rotary_factor"])
    return values


def _ratios(raw: Mapping[str, Any], layers: int, rates: dict[str, int]) -> tuple[int, ...]:
    kinds = raw.get("layer_types")
    if kinds is not None:
        strange = [k for k in kinds if k not in _KINDS]
        if strange:
            raise ArgumentError(f"layer_types has {strange[0]!r}; known: {', '.join(_KINDS)}")
        return tuple(rates[_KINDS[k]] for k in kinds)
    if raw.get("compress_ratios") is None:
        raise ArgumentError("there is neither compress_ratios nor layer_types; one of them must say what each layer attends to")
    moved = {_PUBLISHED_RATIOS[kind]: rate for kind, rate in rates.items()}  # compress_rate_hca says what 128 stands for
    return tuple(moved.get(int(r), int(r)) for r in raw["compress_ratios"][:layers])


def _hash_layers(raw: Mapping[str, Any], layers: int) -> int:
    kinds = raw.get("mlp_layer_types")
    if kinds is None:
        return int(raw.get("num_hash_layers", min(3, layers)))
    count = list(kinds).count("hash_moe")
    if list(kinds) != ["hash_moe"] * count + ["moe"] * (len(kinds) - count):
        raise ArgumentError(f"mlp_layer_types are {kinds}; hash_moe layers must come first, then moe")
    return count


def config_to_json(config: DeepseekV4Config, dialect: str, *, dtype: str, quantized: bool = False) -> Json:
    """What to write: the published dialect ("native") or transformers' own ("saved")."""
    raw: Json = {"architectures": ["DeepseekV4ForCausalLM"], "model_type": "deepseek_v4"}
    raw.update({f.name: getattr(config, f.name) for f in fields(DeepseekV4Config) if f.name not in _ELSEWHERE | {"expert_dtype"}})
    raw.update({**_FIXED, "dtype": dtype})
    yarn = {"type": "yarn", "rope_type": "yarn", **{theirs: getattr(config, ours) for ours, theirs in _YARN.items()}}
    kinds = [config.layer_kind(i) for i in range(config.num_hidden_layers)]
    hca = {config.layer_ratio(i) for i, kind in enumerate(kinds) if kind == HCA} or {128}
    if len(hca) > 1:
        raise ArgumentError(f"config.json: HCA layers have blocks of {sorted(hca)} tokens; files can say one number only")
    rates = {CSA: config.csa_ratio, HCA: hca.pop()}
    if dialect == NATIVE:
        raw |= {"compress_ratios": [_PUBLISHED_RATIOS[kind] for kind in kinds] + [0] * config.num_nextn_predict_layers}
        raw |= {"rope_scaling": yarn, "num_hash_layers": config.num_hash_layers, "expert_dtype": config.expert_dtype}
        raw |= {key: rates[kind] for key, kind in (("compress_rate_csa", CSA), ("compress_rate_hca", HCA)) if rates[kind] != _PUBLISHED_RATIOS[kind]}
    else:
        raw |= {"layer_types": [_KIND_NAMES[kind] for kind in kinds], "compress_rates": {_KIND_NAMES[kind]: rate for kind, rate in rates.items()}}
        raw["mlp_layer_types"] = ["hash_moe" if i < config.num_hash_layers else "moe" for i in range(config.num_hidden_layers)]
        part = {"partial_rotary_factor": config.qk_rope_head_dim / config.head_dim}
        main = {"rope_type": "default", "rope_theta": config.rope_theta, **part}
        raw["rope_parameters"] = {"main": main, "compress": {**yarn, "rope_theta": config.compress_rope_theta, "attention_factor": 1.0, **part}}
    if quantized:
        raw["quantization_config"] = {
            "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "scale_fmt": "ue8m0", "weight_block_size": [128, 128],
        }  # fmt: skip
    return raw
