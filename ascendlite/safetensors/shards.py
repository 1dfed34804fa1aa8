"""Tensors spread over several safetensors files behind an index.json, as model hubs lay them out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ascendlite.core import Tensor
from ascendlite.errors import FileFormatError
from ascendlite.files import replacing_folder

from .header import FilePath, no_duplicates
from .write import save_file

INDEX = "model.safetensors.index.json"


def shard_files(path: Path) -> list[tuple[Path, list[str] | None]]:
    """The files behind a path and the names wanted of each (None: all)."""
    if path.is_dir():
        return shard_files(_index_in(path))
    if not path.name.endswith(".index.json"):
        return [(path, None)]
    by_file: dict[str, list[str]] = {}
    for name, file in read_index(path).items():
        by_file.setdefault(file, []).append(name)
    return [(path.parent / file, names) for file, names in by_file.items()]


def _index_in(folder: Path) -> Path:
    found = sorted(folder.glob("*.index.json")) or sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise FileFormatError(
            f"safetensors: {folder}: expected one *.index.json or one *.safetensors, found {len(found)}; name the file to read"
        )
    return found[0]


def read_index(path: FilePath) -> dict[str, str]:
    """The tensor-to-file map of a shard index, checked to stay inside its folder."""
    try:
        raw = json.loads(Path(path).read_bytes().decode("utf-8"), object_pairs_hook=no_duplicates(str(path)))
        places: dict[str, str] = raw["weight_map"]
        pairs = list(places.items())
    except FileFormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        kind = type(error).__name__
        raise FileFormatError(f"safetensors: {path}: not a shard index with a weight_map ({kind}: {str(error)[:100]})") from error
    for name, file in pairs:
        plain = isinstance(file, str) and file not in ("", ".", "..") and not set(file) & set("/\\\0:")
        if not plain:
            raise FileFormatError(f"safetensors: {path}: {name!r} is said to be in {file!r}; shards lie beside their index")
    return places


def save_sharded(
    tensors: Mapping[str, Tensor],
    folder: FilePath,
    max_shard_bytes: int = 5_000_000_000,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write tensors into files of at most `max_shard_bytes` each (one tensor at least) and an index; returns the index's path.

    Whatever is killed when, the folder holds the earlier files or the new ones. Files of other names stay.
    """
    with replacing_folder(folder, of_model) as aside:
        write_shards(tensors, aside, max_shard_bytes, metadata)
    return Path(folder) / INDEX


def of_model(name: str) -> bool:
    """Whether a file of a model's folder holds weights or their index, which writing the weights again replaces."""
    return name == INDEX or re.fullmatch(r"model(-\d+-of-\d+)?\.safetensors", name) is not None


def write_shards(tensors: Mapping[str, Tensor], target: Path, max_shard_bytes: int, metadata: Mapping[str, str] | None) -> None:
    """The files of `save_sharded` in a new folder."""
    groups: list[dict[str, Tensor]] = [{}]
    used = 0
    for name, t in tensors.items():
        if groups[-1] and used + t.nbytes > max_shard_bytes:
            groups.append({})
            used = 0
        groups[-1][name] = t
        used += t.nbytes
    places = {}
    for number, group in enumerate(groups, start=1):
        file = f"model-{number:05}-of-{len(groups):05}.safetensors"
        save_file(group, target / file, metadata)
        places.update(dict.fromkeys(group, file))
    total = sum(t.nbytes for t in tensors.values())
    (target / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2) + "\n")
