"""Hugging Face folders: config.json and safetensors, whole or sharded. Weights are read one at a time, never twice in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import ascendlite as al
from ascendlite import nn
from ascendlite.core import Device, DType, Tensor
from ascendlite.errors import ArgumentError, FileFormatError, ShapeError
from ascendlite.files import replacing_folder
from ascendlite.safetensors import safe_open
from ascendlite.safetensors.shards import of_model, write_shards

from .config import LlamaConfig, config_from_hf, config_to_hf
from .model import Llama

FilePath = str | os.PathLike[str]
_HEAD = "lm_head.weight"
_IGNORED = ".rotary_emb.inv_freq"  # that some old files hold: it is computed


def read_json(path: Path) -> dict[str, object]:
    """The object of a JSON file; whatever is wrong names the file."""
    try:
        raw = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file; a Hugging Face folder has one") from None
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: not JSON ({str(error)[:100]}); download the file again") from error
    if not isinstance(raw, dict):
        raise FileFormatError(f"{path}: a {type(raw).__name__} where an object was expected")
    return raw


def fill(
    model: Llama,
    names: Iterable[str],
    read: Callable[[str], Tensor],
    source: str,
    *,
    dtype: DType | None = None,
    device: Device | str = "cpu",
    shape_of: Callable[[str], tuple[int, ...]] | None = None,
) -> Llama:
    """Give a model on `meta` its weights: `read(name)` one by one, in `dtype` (None: as read). All problems of names are told at once."""
    wanted = {name: tuple(p.shape) for name, p in model.named_parameters()}
    given = {name for name in names if not name.endswith(_IGNORED)}
    if model.config.tie_word_embeddings:
        given.discard(_HEAD)
    missing, strange = sorted(set(wanted) - given), sorted(given - set(wanted))
    problems = [f"{len(some)} {what}, such as {', '.join(some[:3])}" for some, what in ((missing, "are missing"), (strange, "are unknown")) if some]
    if problems:
        raise FileFormatError(f"{source}: the weights do not fit the config: {'; '.join(problems)}")
    for name, shape in wanted.items():
        found = None if shape_of is None else shape_of(name)
        weight = read(name) if found is None or found == shape else None
        if weight is None or tuple(weight.shape) != shape:
            raise FileFormatError(f"{source}: {name} has the shape {found if weight is None else tuple(weight.shape)}, the config makes it {shape}")
        _put(model, name, weight.to(device) if dtype is None else weight.to(device, dtype))
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model


def _put(model: nn.Module, name: str, weight: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    model.get_submodule(path)._parameters[leaf] = nn.Parameter(weight)


def empty_model(config: LlamaConfig, weights: int, source: str) -> Llama:
    """The module without memory for its weights; a file with fewer `weights` than blocks is refused before blocks are made."""
    if config.num_hidden_layers > weights:
        raise FileFormatError(f"{source}: the config tells of {config.num_hidden_layers} blocks, but there are only {weights} weights")
    try:
        with al.device("meta"):
            return Llama(config)
    except ShapeError as error:
        raise FileFormatError(f"{source}: the sizes of the config are no model's ({error})") from error


def load_hf(folder: FilePath, *, dtype: DType | None = None, device: Device | str = "cpu") -> Llama:
    """The model of a Hugging Face folder; weights keep the file's dtype unless `dtype` is given."""
    root = Path(folder)
    file = root / "config.json"
    raw = read_json(file)
    try:
        config = config_from_hf(raw, str(file))
    except ArgumentError as error:
        raise FileFormatError(str(error)) from error
    if raw.get("quantization_config"):
        raise FileFormatError(f"{file}: the weights are quantised; take the folder of the unquantised model, or a GGUF file")
    with safe_open(_weights_in(root)) as weights:

        def shape_of(name: str) -> tuple[int, ...]:
            return tuple(weights.get_slice(name).get_shape())

        names = weights.keys()
        model = empty_model(config, len(names), str(root))
        return fill(model, names, weights.get_tensor, str(root), dtype=dtype, device=device, shape_of=shape_of)


def _weights_in(root: Path) -> Path:
    for name in ("model.safetensors.index.json", "model.safetensors"):
        if (root / name).is_file():
            return root / name
    others = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in root.glob(pattern))
    hint = f"; {others[0]} is a pickle, which is not read: take the safetensors of the model" if others else ""
    raise FileNotFoundError(f"{root}: there is neither model.safetensors nor model.safetensors.index.json{hint}")


def save_hf(model: Llama, folder: FilePath, *, max_shard_bytes: int = 5_000_000_000) -> Path:
    """Write config.json and safetensors that `load_hf` and transformers read; returns the folder.

    The folder takes the place of an earlier one as a whole; what else lies there, such as a tokenizer, stays.
    """
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    config = config_to_hf(model.config) | {"dtype": next(iter(weights.values())).dtype.name}
    with replacing_folder(folder, of_model) as aside:
        write_shards(weights, aside, max_shard_bytes, {"format": "pt"})
        (aside / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return Path(folder)
