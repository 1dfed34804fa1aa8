"""The safetensors files of a checkpoint, opened together and compared with their index before anything is read."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from ascendlite.core import Tensor
from ascendlite.errors import FileFormatError
from ascendlite.safetensors import safe_open
from ascendlite.safetensors.shards import read_index


class CheckpointFiles:
    """Every key, the file it is in, its dtype and shape. `path`: a folder, an index, or a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[Path, safe_open] = {}
        self._where: dict[str, Path] = {}
        self._used: set[str] = set()
        index = _index_of(path)
        try:
            if index is None:
                self._open(_single(path), None)
            else:
                self._open_indexed(index)
        except BaseException:
            self.close()
            raise

    def _open(self, file: Path, expected: set[str] | None) -> None:
        if not file.is_file():
            raise FileFormatError(f"{file}: the index names this file, but it is not there; copy it again")
        opened = self._files[file] = safe_open(file)
        for key in opened.keys():  # noqa: SIM118
            if key in self._where:
                raise FileFormatError(f"{file}: {key!r} is here and in {self._where[key].name}; only one of the two can be right")
            if expected is not None and key not in expected:
                raise FileFormatError(f"{file}: {key!r} is here, but the index does not say so; the index or the file is of another model")
            self._where[key] = file
        for key in sorted(expected or ()):
            if key not in self._where:
                raise FileFormatError(f"{file}: the index promises {key!r} here, but it is not in the file; copy the file again")

    def _open_indexed(self, index: Path) -> None:
        by_file: dict[str, set[str]] = {}
        for key, file in read_index(index).items():
            by_file.setdefault(file, set()).add(key)
        for file, keys in sorted(by_file.items()):
            self._open(index.parent / file, keys)
        promised = json.loads(index.read_bytes()).get("metadata", {}).get("total_size")
        found = sum(self.nbytes(key) for key in self._where)
        if promised is not None and promised != found:
            raise FileFormatError(f"{index}: total_size is {promised}, but the tensors have {found} bytes; the index is of another model")

    def __enter__(self) -> CheckpointFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def keys(self) -> list[str]:
        """All keys."""
        return list(self._where)

    def unused(self) -> list[str]:
        """Keys that nobody has read."""
        return [key for key in self._where if key not in self._used]

    def file_of(self, key: str) -> Path:
        """The file that a key is in."""
        return self._where[key]

    def dtype(self, key: str) -> str:
        """The file's name of a dtype, such as "BF16"."""
        return self._files[self._where[key]].get_slice(key).get_dtype()

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape that the file says."""
        return tuple(self._files[self._where[key]].get_slice(key).get_shape())

    def nbytes(self, key: str) -> int:
        """Bytes of a tensor."""
        return self._files[self._where[key]].nbytes(key)

    def read(self, key: str, rows: tuple[int, int] | None = None, item: int | None = None) -> Tensor:
        """A tensor; of a stack one item, and of that some rows."""
        self._used.add(key)
        opened = self._files[self._where[key]]
        if rows is None and item is None:
            return opened.get_tensor(key)
        part = opened.get_slice(key)
        picks = slice(*rows) if rows is not None else slice(None)
        return part[item, picks] if item is not None else part[picks]


def _index_of(path: Path) -> Path | None:
    if path.name.endswith(".index.json"):
        return path
    found = sorted(path.glob("*.index.json")) if path.is_dir() else []
    if len(found) > 1:
        raise FileFormatError(f"{path}: there are {len(found)} indices, {found[0].name} and {found[1].name}; name the one to read")
    return found[0] if found else None


def _single(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        raise FileFormatError(f"{path}: expected an index or one *.safetensors, but there are {len(found)} without index; name the file to read")
    return found[0]
