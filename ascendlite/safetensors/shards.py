"""Tensors spread over several safetensors files behind an index.json, as model hubs lay them out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ascendlite.core import Tensor
from ascendlite.errors import FileFormatError
from ascendlite.files import replacing

from .header import FilePath, no_duplicates
from .write import save_file


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
    """Write tensors into files of at most `max_shard_bytes` each (one tensor at least) and an index; returns the index's path."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
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
    index = target / "model.safetensors.index.json"
    total = sum(t.nbytes for t in tensors.values())
    with replacing(index) as aside:
        aside.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2) + "\n")
    return index
