"""Writing a DeepSeek-V4: in the published names and formats, or as transformers writes it. One shard at a time is in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ascendlite as al
from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError
from ascendlite.files import replacing_folder
from ascendlite.safetensors import save_file
from ascendlite.safetensors.shards import INDEX, of_model

from .codecs import encode
from .config_json import config_to_json
from .formats import F32, FP4, FP8, I64, Format, native_format
from .model import DeepseekV4
from .names import NATIVE, SAVED, sources

FilePath = str | os.PathLike[str]
_DIALECTS = (NATIVE, SAVED)


@dataclass(frozen=True)
class _Item:
    """One weight of a file, or a weight and its scales: how many bytes, and how to make them."""

    nbytes: int
    make: Callable[[], dict[str, Tensor]]


def save_hf(
    model: DeepseekV4, folder: FilePath, *, dialect: str = NATIVE, quantized: bool | None = None, max_shard_bytes: int = 5_000_000_000
) -> Path:
    """Write config.json, safetensors and their index; returns the folder, which takes the place of an earlier one as a whole.

    "native": the published names; quantised (the default) also in the published formats, else in the model's dtype.
    "saved": what transformers' save_pretrained writes, unquantised; MTP, which transformers does not know, keeps its published names.
    """
    quantized = dialect == NATIVE if quantized is None else quantized
    if dialect not in _DIALECTS or (quantized and dialect != NATIVE):
        raise ArgumentError(f"save_hf: dialect {dialect!r}, quantized {quantized}; dialects are {', '.join(_DIALECTS)}, and only native can be quantised")
    if max_shard_bytes < 1:
        raise ArgumentError(f"save_hf: max_shard_bytes is {max_shard_bytes}; it must be positive")
    dtype = "bfloat16" if quantized else model.embed.weight.dtype.name
    raw = config_to_json(model.config, dialect, dtype=dtype, quantized=quantized)
    with replacing_folder(folder, of_model) as aside:
        _write_shards(list(_items(model, dialect, quantized)), aside, max_shard_bytes)
        (aside / "config.json").write_text(json.dumps(raw, indent=2) + "\n")
    return Path(folder)


def _items(model: DeepseekV4, dialect: str, quantized: bool) -> Iterator[_Item]:
    for name, t in model.state_dict().items():
        kind = native_format(name, model.config.expert_dtype) if quantized else None
        hint = model.stored_scales.get(name) if quantized else None
        for source in sources(name, dialect, model.config.n_routed_experts):
            value = t if source.expert is None else t[source.expert]
            scale = hint if hint is None or source.expert is None else hint[source.expert]
            nbytes = value.nbytes if kind is None else kind.nbytes(value.shape)
            yield _Item(nbytes, _maker(source.key, value, kind, scale, part=source.expert is not None))


def _maker(key: str, value: Tensor, kind: Format | None, hint: Tensor | None, *, part: bool) -> Callable[[], dict[str, Tensor]]:
    def make() -> dict[str, Tensor]:
        host = value.detach().to("cpu")
        if kind in (FP8, FP4):
            made = encode(host, kind, hint)
            return {key: made.codes, key.removesuffix(".weight") + ".scale": made.scale}
        if kind is not None and kind is not I64:
            host = host.to(al.float32 if kind is F32 else al.bfloat16)
        return {key: host.clone() if part else host}  # a file's tensors must not share memory

    return make


def _groups(items: list[_Item], most: int) -> list[list[_Item]]:
    groups: list[list[_Item]] = [[]]
    used = 0
    for item in items:
        if groups[-1] and used + item.nbytes > most:
            groups.append([])
            used = 0
        groups[-1].append(item)
        used += item.nbytes
    return groups


def _write_shards(items: list[_Item], root: Path, most: int) -> None:
    groups = _groups(items, most)
    places: dict[str, str] = {}
    for number, group in enumerate(groups, start=1):
        file = f"model-{number:05}-of-{len(groups):05}.safetensors"
        tensors = {key: t for item in group for key, t in item.make().items()}
        save_file(tensors, root / file, {"format": "pt"})
        places.update(dict.fromkeys(tensors, file))
    total = sum(item.nbytes for item in items)
    (root / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2) + "\n")
