"""Reading a DeepSeek-V4: config.json and weights in any of the three dialects, quantised or not, one tensor at a time.

The model is made without memory; each weight gets its own when its turn comes, so that nothing is there twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ascendlite as al
from ascendlite import nn
from ascendlite.core import Device, DType, Tensor
from ascendlite.errors import FileFormatError, ShapeError

from .codecs import decode
from .config import DeepseekV4Config
from .config_json import config_from_json
from .files import CheckpointFiles
from .formats import FP4, FP8, Format
from .model import DeepseekV4
from .names import Source, dialect_of, sources

FilePath = str | os.PathLike[str]
_PLAIN = {"F32", "BF16", "F16", "F64"}
_QUANTISED = {"F8_E4M3": FP8, "I8": FP4, "F4": FP4}
_INTEGERS = {"I64", "I32"}


def load_config(folder: FilePath) -> DeepseekV4Config:
    """The config of a folder's config.json."""
    file = Path(folder) / "config.json"
    try:
        raw = json.loads(file.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{file}: not JSON ({str(error)[:100]}); copy the file again") from error
    if not isinstance(raw, dict):
        raise FileFormatError(f"{file}: a {type(raw).__name__} where an object was expected")
    return config_from_json(raw, str(file))


def load_hf(folder: FilePath, *, dtype: DType | None = None, device: Device | str = "cpu") -> DeepseekV4:
    """The model of a folder; matrices are in `dtype`, or in that of the file (bfloat16 where it is quantised).

    Files without MTP's weights give a model without MTP. Scales of quantised weights are remembered for writing.
    """
    config = load_config(folder)
    with CheckpointFiles(Path(folder)) as files:
        if config.num_nextn_predict_layers and not any(key.startswith("mtp.") for key in files.keys()):  # noqa: SIM118
            config = replace(config, num_nextn_predict_layers=0)
        return read_weights(files, config, dtype=dtype, device=device)


def read_weights(files: CheckpointFiles, config: DeepseekV4Config, *, dtype: DType | None = None, device: Device | str = "cpu") -> DeepseekV4:
    """The model of a config with the weights of opened files."""
    dialect = dialect_of(files.keys(), str(files.path))
    embedding = sources("embed.weight", dialect, 1)[0].key
    dtype = dtype or {"F32": al.float32, "F16": al.float16}.get(files.dtype(embedding), al.bfloat16)
    try:
        with al.device("meta"):
            model = DeepseekV4(config, dtype=dtype)
    except ShapeError as error:
        raise FileFormatError(f"{files.path}: the sizes of the config are no model's ({error})") from error
    wanted = {name: sources(name, dialect, config.n_routed_experts) for name in model.state_dict()}
    _check_keys(files, [source.key for found in wanted.values() for source in found])
    for name, target in model.state_dict().items():
        _fill(model, name, target, wanted[name], files, device)
    _check_unused(files, config)
    return model


def _check_keys(files: CheckpointFiles, keys: list[str]) -> None:
    missing = [key for key in dict.fromkeys(keys) if key not in files]
    if missing:
        raise FileFormatError(
            f"{files.path}: {len(missing)} weights that the config asks for are missing, such as {', '.join(missing[:3])}; "
            "the files are of another config, or not all there"
        )


def _check_unused(files: CheckpointFiles, config: DeepseekV4Config) -> None:
    strange = [key for key in files.unused() if config.num_nextn_predict_layers or not key.startswith("mtp.")]
    if strange:
        raise FileFormatError(
            f"{files.file_of(strange[0])}: {len(strange)} weights are unknown to the config, such as {', '.join(strange[:3])}; it is another model's"
        )


def _fill(model: DeepseekV4, name: str, like: Tensor, found: list[Source], files: CheckpointFiles, device: Device | str) -> None:
    _check_size(like, found, files)
    target = al.empty(like.shape, dtype=like.dtype, device=device)
    scales: list[Tensor] = []
    for part, key, value, scale in _values(target, found, files):
        if value.dtype.is_floating_point != like.dtype.is_floating_point:
            raise FileFormatError(f"{files.file_of(key)}: {key!r} is {value.dtype.name}, but it must be {like.dtype.name}")
        if tuple(value.shape) != tuple(part.shape):
            raise FileFormatError(
                f"{files.file_of(key)}: {key!r} has the shape {tuple(value.shape)}, but the config makes it {tuple(part.shape)}"
            )
        part.copy_(value)
        if scale is not None:
            scales.append(scale)
    if name.endswith("tid2eid"):
        _check_table(target, model.config, found[0].key, files)
    if scales:
        model.stored_scales[name] = al.stack(scales) if len(scales) > 1 else scales[0]
    owner, _, leaf = name.rpartition(".")
    module = model.get_submodule(owner)
    if leaf in module._buffers:
        module._buffers[leaf] = target
    else:
        module._parameters[leaf] = nn.Parameter(target)


def _check_size(like: Tensor, found: list[Source], files: CheckpointFiles) -> None:
    """Refuse a config that asks for more numbers than a file can hold (two a byte at most) before there is memory for them."""
    keys = {source.key for source in found}
    nbytes = sum(files.nbytes(key) for key in keys)
    if like.numel() > 2 * nbytes:
        key = min(keys)
        raise FileFormatError(
            f"{files.file_of(key)}: {key!r} has the shape {files.shape(key)} and {files.nbytes(key)} bytes, but the config makes it "
            f"{tuple(like.shape)}; the file or the config is another model's"
        )


def _values(target: Tensor, found: list[Source], files: CheckpointFiles) -> Iterator[tuple[Tensor, str, Tensor, Tensor | None]]:
    """Parts of the target, the key that each comes from, its value, and its scales where it was quantised."""
    for source in found:
        if not source.stacked:
            part = target if source.expert is None else target[source.expert]
            yield (part, source.key, *_read(files, source.key))
            continue
        stack, rows = files.shape(source.key), target.shape[1]
        expected = (target.shape[0], rows * (1 if source.half is None else 2), target.shape[2])
        if stack != expected or files.dtype(source.key) not in _PLAIN:
            raise FileFormatError(
                f"{files.file_of(source.key)}: {source.key!r} is {files.dtype(source.key)} of shape {stack}; it must be unquantised, {expected}"
            )
        start = rows * (source.half or 0)
        for e in range(stack[0]):
            yield target[e], source.key, files.read(source.key, (start, start + rows), e), None


def _read(files: CheckpointFiles, key: str) -> tuple[Tensor, Tensor | None]:
    """A value, and its scales where it was quantised."""
    dtype = files.dtype(key)
    if dtype in _PLAIN or dtype in _INTEGERS:
        return files.read(key), None
    if dtype not in _QUANTISED:
        raise FileFormatError(f"{files.file_of(key)}: {key!r} is {dtype}; known: {', '.join(sorted({*_PLAIN, *_INTEGERS, *_QUANTISED}))}")
    return _dequantised(files, key, _QUANTISED[dtype])


def _dequantised(files: CheckpointFiles, key: str, kind: Format) -> tuple[Tensor, Tensor]:
    scale_key = key.removesuffix(".weight") + ".scale"
    if scale_key not in files:
        raise FileFormatError(f"{files.file_of(key)}: {key!r} is {files.dtype(key)}, but its scales, {scale_key!r}, are nowhere")
    if files.dtype(scale_key) != "F8_E8M0":
        raise FileFormatError(f"{files.file_of(scale_key)}: {scale_key!r} is {files.dtype(scale_key)}; scales must be F8_E8M0")
    codes, scale = files.read(key), files.read(scale_key)
    if codes.ndim != 2:
        raise FileFormatError(f"{files.file_of(key)}: {key!r} has the shape {tuple(codes.shape)}, but must be a matrix")
    if not bool(scale.float().isfinite().all()):
        raise FileFormatError(f"{files.file_of(scale_key)}: {scale_key!r} has scales that are no number; copy the file again")
    try:
        return decode(codes, scale, kind), scale
    except ShapeError as error:
        raise FileFormatError(f"{files.file_of(scale_key)}: {scale_key!r}: {error}") from error


def _check_table(table: Tensor, config: DeepseekV4Config, key: str, files: CheckpointFiles) -> None:
    low, high = int(table.min()), int(table.max())
    if low < 0 or high >= config.n_routed_experts:
        raise FileFormatError(
            f"{files.file_of(key)}: {key!r} names experts from {low} to {high}, but there are {config.n_routed_experts}; it is another model's"
        )
