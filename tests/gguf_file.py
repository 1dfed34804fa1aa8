"""Writes GGUF files of the Llama family for tests, with the `gguf` package, from weights by Hugging Face names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ascendlite.models.llama import LlamaConfig

BLOCK = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}  # fmt: skip
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name: str) -> str:
    """llama.cpp's name."""
    stem, leaf = name.rsplit(".", 1)
    if stem == "rope_freqs":
        return name
    if stem in TOP:
        return f"{TOP[stem]}.{leaf}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{BLOCK[rest]}.{leaf}"


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order of the rows of q and k: neighbours turn."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write(path: Path, config: LlamaConfig, weights: Mapping[str, np.ndarray], kind: str = "F32", arch: str = "llama", **values: object) -> Path:
    """Write a file whose matrices have the GGUF type `kind`; `values` are more keys, with dots as double underscores."""
    import gguf

    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.key_value_heads)
    writer.add_key_length(config.head_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    for key, value in values.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, list: writer.add_array}
        add[type(value)](key.replace("__", "."), value)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.key_value_heads}
    for name, weight in weights.items():
        layer = name.split(".")[-2]
        w = permuted(weight, heads[layer]) if arch == "llama" and layer in heads else weight
        w = np.ascontiguousarray(w, dtype=np.float32)
        if w.ndim < 2 or kind == "F32":
            writer.add_tensor(gguf_name(name), w)
        else:
            quantised = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(w, quantised), raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
