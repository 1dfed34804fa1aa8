"""Reading safetensors: whole files, single tensors and slices."""

from __future__ import annotations

import ctypes
import io
import mmap
import os
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import BinaryIO

import safetensors as library

from ascendlite.core import Device, Tensor, empty, from_pointer
from ascendlite.errors import FileFormatError
from ascendlite.interop.raw import tensor_bytes

from .header import NAMES, Entry, FilePath, check, read_header
from .shards import shard_files

Index = int | slice | EllipsisType | None


def _read(file: BinaryIO, entry: Entry, name: str, path: str) -> Tensor:
    t = empty(entry.shape, dtype=entry.dtype, device="cpu")
    view = tensor_bytes(t, "safetensors")
    if len(view) != entry.nbytes:
        raise FileFormatError(f"safetensors: {path}: {name!r} has {entry.nbytes} bytes, its shape {entry.shape} needs {len(view)}")
    file.seek(entry.start)
    filled = 0
    while filled < len(view):
        got = file.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            raise FileFormatError(f"safetensors: {path}: the file ends inside {name!r}: {filled} of {len(view)} bytes are there")
        filled += got
    return t


class SafeSlice:
    """A tensor of an open file of which only the indexed part is read."""

    def __init__(self, whole: Tensor, kind: str) -> None:
        self._whole, self._kind = whole, kind

    def get_shape(self) -> list[int]:
        """The sizes of the whole tensor."""
        return list(self._whole.shape)

    def get_dtype(self) -> str:
        """The file's name of the dtype, such as "BF16"."""
        return self._kind

    def __getitem__(self, key: Index | tuple[Index, ...]) -> Tensor:
        return self._whole[key].clone()


class safe_open:
    """An open safetensors file, shard index (`*.index.json`) or folder of shards: tensors are read when asked for.

    >>> with safe_open("model.safetensors") as f:  # doctest: +SKIP
    ...     first_rows = f.get_slice("embedding.weight")[:10]
    """

    def __init__(self, filename: FilePath, framework: str = "ascendlite", device: str | Device = "cpu") -> None:
        if framework != "ascendlite":
            raise ValueError(f"safe_open: framework is {framework!r}; this one gives ascendlite's tensors: leave it out")
        self._device = device
        self._files: list[BinaryIO] = []
        self._maps: dict[int, mmap.mmap] = {}
        self._where: dict[str, tuple[int, Entry]] = {}
        self._metadata: dict[str, str] = {}
        self._path = os.fspath(filename)
        try:
            for path, expected in shard_files(Path(filename)):
                self._add(path, expected)
        except BaseException:
            self.close()
            raise

    def _add(self, path: Path, expected: list[str] | None) -> None:
        check(path)
        self._files.append(open(path, "rb"))  # noqa: SIM115 - closed by close()
        header = read_header(self._files[-1], str(path))
        for name in header.entries if expected is None else expected:
            if name not in header.entries:
                raise FileFormatError(f"safetensors: {path}: the index promises {name!r} here, but it is not in the file")
            self._where[name] = (len(self._files) - 1, header.entries[name])
        self._metadata.update(header.metadata)

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; tensors that were read stay valid."""
        for file in self._files:
            file.close()
        self._files, self._where = [], {}
        self._maps.clear()

    def keys(self) -> list[str]:
        """The tensors' names, in the file's order."""
        return list(self._where)

    def metadata(self) -> dict[str, str]:
        """The texts that the writer added."""
        return dict(self._metadata)

    def _find(self, name: str) -> tuple[int, Entry]:
        if name not in self._where:
            raise KeyError(f"{self._path}: there is no tensor {name!r}; keys() lists the {len(self._where)} that are there")
        return self._where[name]

    def nbytes(self, name: str) -> int:
        """How many bytes of the file a tensor takes."""
        return self._find(name)[1].nbytes

    def get_tensor(self, name: str) -> Tensor:
        """Read one tensor."""
        number, entry = self._find(name)
        return _read(self._files[number], entry, name, self._path).to(self._device)

    def get_slice(self, name: str) -> SafeSlice:
        """A tensor to be indexed: `get_slice(name)[10:20]` reads these rows only."""
        number, entry = self._find(name)
        kind = NAMES[entry.dtype.name]
        if entry.nbytes == 0:
            return SafeSlice(empty(entry.shape, dtype=entry.dtype), kind)
        if number not in self._maps:
            self._maps[number] = mmap.mmap(self._files[number].fileno(), 0, access=mmap.ACCESS_COPY)
        mapped = self._maps[number]
        address = _address(mapped) + entry.start
        strides = _contiguous_strides(entry.shape)
        whole = from_pointer(address, entry.nbytes, entry.shape, strides, entry.dtype, mapped, readonly=True)
        return SafeSlice(whole, kind)


def _address(mapped: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(mapped))


def _contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file's content."""
    return from_bytes(data, "<bytes>")[0]


def from_bytes(data: bytes, path: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file's content; `path` is for error texts."""
    try:
        library.deserialize(data)  # type: ignore[no-untyped-call]  # the library declares none
    except (library.SafetensorError, ValueError, OverflowError) as error:
        raise FileFormatError(f"safetensors: {path}: not a whole safetensors file ({error})") from error
    file = io.BytesIO(data)
    header = read_header(file, path)
    return {name: _read(file, entry, name, path) for name, entry in header.entries.items()}, header.metadata


def load_file(filename: FilePath, device: str | Device = "cpu") -> dict[str, Tensor]:
    """All tensors of a safetensors file, shard index or folder of shards."""
    with safe_open(filename, device=device) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
