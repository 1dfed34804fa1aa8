"""Llama-family weights from GGUF files: names and layouts of llama.cpp turned into Hugging Face's."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TypeVar

from ascendlite.core import Device, DType, Tensor
from ascendlite.errors import ArgumentError, FileFormatError

from .config import LlamaConfig, RopeScaling
from .gguf_file import GGUFFile, Value
from .hub import empty_model, fill
from .model import Llama

FilePath = str | os.PathLike[str]
T = TypeVar("T", int, float, str)

# By architecture: whether rows of q and k were reordered for rotation by neighbours (llama.cpp's convert_hf_to_gguf.py, permute).
_REORDERED = {"llama": True, "qwen2": False, "qwen3": False}
_TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
_OF_BLOCK = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")
_FACTORS = "rope_freqs.weight"


def _hf_name(name: str) -> str:
    found = _BLOCK.fullmatch(name)
    if found and found[2] in _OF_BLOCK:
        return f"model.layers.{found[1]}.{_OF_BLOCK[found[2]]}.{found[3]}"
    return _TOP.get(name, name)


class _Keys:
    """The values of a file, by what they must be; errors name file and key."""

    def __init__(self, file: GGUFFile) -> None:
        self._file, self.kind = file, ""
        self.kind = self.get("general.architecture", str)
        if self.kind not in _REORDERED:
            raise FileFormatError(f"gguf: {file.path}: general.architecture is {self.kind!r}; the Llama family has {', '.join(_REORDERED)}")

    def get(self, name: str, wanted: type[T], default: T | None = None) -> T:
        value: Value | None = self._file.values.get(name.replace("{}", self.kind), default)
        if value is None:
            raise FileFormatError(f"gguf: {self._file.path}: the key {name.replace('{}', self.kind)!r} is missing")
        if isinstance(value, bool) or not isinstance(value, (int, float) if wanted is float else wanted):
            raise FileFormatError(
                f"gguf: {self._file.path}: the key {name.replace('{}', self.kind)!r} is {str(value)[:60]!r}; it must be of type {wanted.__name__}"
            )
        return wanted(value)


def config_of(file: GGUFFile) -> LlamaConfig:
    """The config that a file's keys and tensors tell."""
    keys, entries = _Keys(file), file.entries
    heads = keys.get("{}.attention.head_count", int)
    width = keys.get("{}.embedding_length", int)
    embedding = entries.get("token_embd.weight")
    if embedding is None:
        raise FileFormatError(f"gguf: {file.path}: the tensor 'token_embd.weight' is missing")
    size = keys.get("{}.attention.key_length", int, width // max(heads, 1))
    try:
        return LlamaConfig(
            vocab_size=embedding.shape[0],
            hidden_size=width,
            intermediate_size=keys.get("{}.feed_forward_length", int),
            num_hidden_layers=keys.get("{}.block_count", int),
            num_attention_heads=heads,
            num_key_value_heads=keys.get("{}.attention.head_count_kv", int, heads),
            head_dim=size,
            max_position_embeddings=keys.get("{}.context_length", int),
            rms_norm_eps=keys.get("{}.attention.layer_norm_rms_epsilon", float),
            rope_theta=keys.get("{}.rope.freq_base", float, 10000.0),
            rope_scaling=_scaling(keys, file),
            rotary_share=keys.get("{}.rope.dimension_count", int, size) / max(size, 1),
            tie_word_embeddings="output.weight" not in entries,
            attention_bias="blk.0.attn_q.bias" in entries,
            output_bias="blk.0.attn_output.bias" in entries,
            mlp_bias="blk.0.ffn_down.bias" in entries,
            qk_norm="blk.0.attn_q_norm.weight" in entries,
        )
    except ArgumentError as error:
        raise FileFormatError(f"gguf: {file.path}: {error}") from error


def _scaling(keys: _Keys, file: GGUFFile) -> RopeScaling:
    if _FACTORS in file.entries:
        return RopeScaling("factors", factors=tuple(file.read(_FACTORS).tolist()))
    kind = keys.get("{}.rope.scaling.type", str, "none")
    if kind == "none":
        return RopeScaling()
    return RopeScaling(
        kind,
        factor=keys.get("{}.rope.scaling.factor", float),
        original_length=keys.get("{}.rope.scaling.original_context_length", int, 0),
    )


def _by_halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of a head from (pair, first or second of it) to (first or second, pair): the order of rotation by halves."""
    rows, *rest = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, *rest).transpose(1, 2).reshape(rows, *rest).contiguous()


def load_gguf(path: FilePath, *, dtype: DType | None = None, device: Device | str = "cpu") -> Llama:
    """The model of a GGUF file (F32, F16, BF16, Q8_0, Q4_0, Q4_1), its weights decoded to `dtype` (None: float32, or the file's floats)."""
    with GGUFFile(path) as file:
        return read_gguf(file, dtype=dtype, device=device)


def read_gguf(file: GGUFFile, *, dtype: DType | None = None, device: Device | str = "cpu") -> Llama:
    """The model of an open file, see `load_gguf`."""
    config = config_of(file)
    names = {_hf_name(name): name for name in file.entries if name != _FACTORS}
    model = empty_model(config, len(names), file.path)
    return fill(
        model, names, _reader(file, names, config), file.path, dtype=dtype, device=device, shape_of=lambda name: file.entries[names[name]].shape
    )


def _reader(file: GGUFFile, names: dict[str, str], config: LlamaConfig) -> Callable[[str], Tensor]:
    reordered = _REORDERED[str(file.values["general.architecture"])]
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.key_value_heads}

    def read(name: str) -> Tensor:
        weight = file.read(names[name])
        layer = name.split(".")[-2]
        return _by_halves(weight, heads[layer]) if reordered and layer in heads else weight

    return read
