"""The header of a safetensors file: read, and checked beyond what the `safetensors` library checks.

The library's checks come first; ours are duplicate names, and dtypes and shapes that a tensor can't have.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import safetensors as library

from ascendlite.core import DType, dtype_of_name
from ascendlite.errors import FileFormatError

FilePath = str | os.PathLike[str]

# The file's name of each dtype. hifloat8 has none: `ascendlite.save` stores its bytes.
NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0", "float4_e2m1fn_x2": "F4",
}  # fmt: skip
_DTYPES = {name: dtype for dtype, name in NAMES.items()}
_MAX_DIMS = 16
_MAX_HEADER_BYTES = 100_000_000  # the library's own limit


@dataclass(frozen=True)
class Entry:
    """One tensor of a file; `start` and `nbytes` locate it from the beginning of the file."""

    dtype: DType
    shape: tuple[int, ...]
    start: int
    nbytes: int


@dataclass(frozen=True)
class Header:
    """What a file holds."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


def no_duplicates(path: str) -> Callable[[list[tuple[str, object]]], dict[str, object]]:
    """A hook for JSON objects that refuses a name that is there twice."""

    def build(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise FileFormatError(f"safetensors: {path}: the name {twice!r} is there twice; only one of the two can be right")
        return found

    return build


def _entry(name: str, raw: dict[str, object], data_start: int, path: str) -> Entry:
    kind, shape, (start, stop) = raw["dtype"], raw["shape"], raw["data_offsets"]  # type: ignore[misc]
    if kind not in _DTYPES:
        raise FileFormatError(
            f"safetensors: {path}: {name!r} has the dtype {kind}, which has no counterpart here; known: {', '.join(_DTYPES)}"
        )
    if len(shape) > _MAX_DIMS:  # type: ignore[arg-type]
        raise FileFormatError(
            f"safetensors: {path}: {name!r} has {len(shape)} dimensions; at most {_MAX_DIMS} are supported"  # type: ignore[arg-type]
        )
    sizes = list(shape)  # type: ignore[call-overload]
    product = 1
    for size in sizes:  # the count without its zeros must stay a count, or strides would wrap
        product *= max(size, 1)
    if product >= 2**62:
        raise FileFormatError(f"safetensors: {path}: {name!r} has the shape {tuple(sizes)}, more elements than can be counted")
    if kind == "F4":
        sizes[-1] //= 2
    return Entry(dtype_of_name(_DTYPES[kind]), tuple(sizes), data_start + start, stop - start)  # type: ignore[index, has-type]


def read_header(file: BinaryIO, path: str) -> Header:
    """The checked header of an open file whose bytes the library has accepted."""
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MAX_HEADER_BYTES:
        raise FileFormatError(f"safetensors: {path}: the header is said to have {length} bytes; at most {_MAX_HEADER_BYTES} are read")
    text = file.read(length)
    if not text.startswith(b"{"):
        raise FileFormatError(f"safetensors: {path}: the header starts with {text[:8]!r}, not with a brace; the file must be made again")
    try:
        raw = json.loads(text.decode("utf-8"), object_pairs_hook=no_duplicates(path))
        metadata = raw.pop("__metadata__", None) or {}
        return Header({name: _entry(name, spec, 8 + length, path) for name, spec in raw.items()}, metadata)
    except FileFormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"safetensors: {path}: the header is damaged ({error}); the file must be made again") from error


def check(path: FilePath) -> None:
    """Let the library compare the header with the size of the file."""
    try:
        with library.safe_open(path, framework="np"):
            pass
    except FileNotFoundError:
        raise
    except (library.SafetensorError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileFormatError(
            f"safetensors: {os.fspath(path)}: not a whole safetensors file ({error}); it must be copied or made again"
        ) from error
