"""The header of a GGUF file, read strictly: every count and length is held against the file before it is believed.

Errors name the file and the key. Blocks of quantised weights are decoded by the `gguf` package.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ascendlite.core import Tensor, from_numpy
from ascendlite.errors import FileFormatError

if TYPE_CHECKING:
    import numpy as np

FilePath = str | os.PathLike[str]
Value = int | float | bool | str | list[int] | list[float] | list[bool] | list[str]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # value types of the format
_STRING, _ARRAY = 8, 9
_MAX_DIMS = 4
# Weight types by number: name, elements of a block, bytes of a block.
_TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 8: ("Q8_0", 32, 34), 30: ("BF16", 1, 2)}


@dataclass(frozen=True)
class Entry:
    """One tensor: `shape` as ours, slowest dim first; `start` and `nbytes` from the beginning of the file."""

    kind: str
    shape: tuple[int, ...]
    start: int
    nbytes: int


class _Cursor:
    """Reads little-endian values one after another; a value beyond the end of the file is an error that names what was read."""

    def __init__(self, data: mmap.mmap, path: str) -> None:
        self.data, self.path, self.at, self.what = data, path, 0, "the header"

    def fail(self, problem: str) -> FileFormatError:
        return FileFormatError(f"gguf: {self.path}: {self.what} {problem}; download the file again")

    def take(self, code: str, count: int = 1) -> tuple[int | float | bool, ...]:
        size = struct.calcsize("<" + code)
        if size * count > len(self.data) - self.at:
            raise self.fail(f"needs {size * count} bytes at byte {self.at}, but the file has {len(self.data)}")
        start, self.at = self.at, self.at + size * count
        return struct.unpack(f"<{count}{code}", self.data[start : self.at])

    def number(self, code: str) -> int:
        try:  # 100,000 texts of a vocabulary have their lengths read by this
            (value,) = struct.unpack_from("<" + code, self.data, self.at)
        except struct.error:
            self.take(code)  # raises, in words
            raise
        self.at += struct.calcsize("<" + code)
        return int(value)

    def text(self) -> str:
        length = self.number("Q")
        if length > len(self.data) - self.at:
            raise self.fail(f"is a text of {length} bytes at byte {self.at}, but the file has {len(self.data)}")
        raw = self.data[self.at : self.at + length]
        self.at += length
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(f"is no UTF-8 text ({error.reason} at its byte {error.start})") from None

    def value(self, kind: int) -> Value:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise self.fail(f"has the value type {kind}, which the format does not know")
        return self.take(_SCALARS[kind])[0]

    def _array(self) -> Value:
        kind, count = self.number("I"), self.number("Q")
        if kind in _SCALARS:
            return list(self.take(_SCALARS[kind], count))  # type: ignore[return-value]
        if kind != _STRING:
            raise self.fail(f"is an array of the type {kind}, which is not supported")
        if 8 * count > len(self.data) - self.at:
            raise self.fail(f"is an array of {count} texts, but the file has {len(self.data)} bytes")
        return [self.text() for _ in range(count)]


class GGUFFile:
    """An open GGUF file: `values` by key, tensors read one by one.

    >>> with GGUFFile("model.gguf") as file:  # doctest: +SKIP
    ...     file.values["general.architecture"], file.read("token_embd.weight").shape
    """

    def __init__(self, path: FilePath) -> None:
        self.path = os.fspath(path)
        size = Path(path).stat().st_size
        with open(path, "rb") as file:
            if file.read(4) != _MAGIC:
                raise FileFormatError(f"gguf: {self.path}: the file does not start with GGUF; it is of another format or was cut")
            self._data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        self.values: dict[str, Value] = {}
        self.entries: dict[str, Entry] = {}
        try:
            self._read_header()
        except BaseException:
            self._data.close()
            raise

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()

    def _read_header(self) -> None:
        cursor = _Cursor(self._data, self.path)
        cursor.at = 4
        version = cursor.number("I")
        if version not in _VERSIONS:
            raise FileFormatError(f"gguf: {self.path}: version {version} of the format; versions 2 and 3, little-endian, are read")
        tensors, keys = cursor.number("Q"), cursor.number("Q")
        for number in range(keys):
            cursor.what = f"the name of key {number} of {keys}"
            name = cursor.text()
            cursor.what = f"the key {name!r}"
            if name in self.values:
                raise cursor.fail("is there twice")
            self.values[name] = cursor.value(cursor.number("I"))
        self._read_entries(cursor, tensors)

    def _read_entries(self, cursor: _Cursor, count: int) -> None:
        raw = []
        for number in range(count):
            cursor.what = f"the name of tensor {number} of {count}"
            name = cursor.text()
            cursor.what = f"the tensor {name!r}"
            if name in self.entries:
                raise cursor.fail("is there twice")
            dims = cursor.number("I")
            if not 1 <= dims <= _MAX_DIMS:
                raise cursor.fail(f"has {dims} dims; 1 to {_MAX_DIMS} are possible")
            sizes = tuple(int(n) for n in cursor.take("Q", dims))
            raw.append((name, sizes, cursor.number("I"), cursor.number("Q")))
            self.entries[name] = Entry("", (), 0, 0)  # known; measured below
        step = self.values.get("general.alignment", 32)
        if not isinstance(step, int) or step < 1 or step & (step - 1):
            raise FileFormatError(f"gguf: {self.path}: general.alignment is {step!r}; it must be a power of two")
        base = (cursor.at + step - 1) // step * step
        for name, sizes, kind, offset in raw:
            cursor.what = f"the tensor {name!r}"
            self.entries[name] = self._entry(cursor, sizes, kind, base + offset)

    def _entry(self, cursor: _Cursor, sizes: tuple[int, ...], number: int, start: int) -> Entry:
        if number not in _TYPES:
            known = ", ".join(name for name, *_ in _TYPES.values())
            raise FileFormatError(
                f"gguf: {self.path}: {cursor.what} has weights of type {number}, which is not supported; known: {known}: "
                "take a file with one of these"
            )
        kind, elements, size = _TYPES[number]
        count = 1
        for n in sizes:
            count *= n
        if sizes[0] % elements:
            raise cursor.fail(f"has rows of {sizes[0]} weights, which is not a multiple of the {elements} that {kind} packs")
        nbytes = count // elements * size
        if start + nbytes > len(self._data):
            raise cursor.fail(f"ends at byte {start + nbytes}, but the file has {len(self._data)}: it was cut")
        return Entry(kind, sizes[::-1], start, nbytes)

    def read(self, name: str) -> Tensor:
        """One tensor, float32 (float16 and bfloat16 as they are stored)."""
        import numpy

        entry = self.entries[name]
        raw = numpy.frombuffer(self._data[entry.start : entry.start + entry.nbytes], dtype=numpy.uint8)
        return _DECODERS[entry.kind](raw, entry)


def gguf_package() -> ModuleType:
    """The `gguf` package, or an error that says how to get it."""
    try:
        import gguf
    except ImportError:
        raise ImportError("gguf: quantised GGUF files need the package 'gguf': pip install 'ascendlite[text]'") from None
    return gguf


def _plain(dtype: str) -> Callable[[np.ndarray, Entry], Tensor]:
    return lambda raw, entry: from_numpy(raw.view(dtype).reshape(entry.shape).copy())


def _bfloat16(raw: np.ndarray, entry: Entry) -> Tensor:
    import ascendlite as al

    return from_numpy(raw.view("<i2").reshape(entry.shape).copy()).view(al.bfloat16)


def _blocks(raw: np.ndarray, entry: Entry) -> Tensor:
    quants = gguf_package().quants
    kind = gguf_package().GGMLQuantizationType[entry.kind]
    return from_numpy(quants.dequantize(raw, kind).reshape(entry.shape))


_DECODERS: dict[str, Callable[[np.ndarray, Entry], Tensor]] = {
    "F32": _plain("<f4"), "F16": _plain("<f2"), "BF16": _bfloat16, "Q4_0": _blocks, "Q4_1": _blocks, "Q8_0": _blocks,
}  # fmt: skip
