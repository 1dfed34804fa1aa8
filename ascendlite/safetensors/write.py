"""Writing safetensors: the file takes the place of the earlier one whole, or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import safetensors as library

from ascendlite.core import Tensor
from ascendlite.errors import DTypeError, ShapeError
from ascendlite.files import replacing
from ascendlite.interop.raw import tensor_bytes

from .header import NAMES, FilePath


def _specs(tensors: Mapping[str, Tensor], op: str) -> tuple[dict[str, library.TensorSpec], list[Tensor]]:
    specs, kept = {}, []
    for name, t in tensors.items():
        if not isinstance(name, str) or not isinstance(t, Tensor):
            raise TypeError(f"{op}: expected names and tensors, got {name!r}: {type(t).__name__}; ascendlite.save takes nested values")
        if t.dtype.name not in NAMES:
            raise DTypeError(f"{op}: {name!r} is {t.dtype!r}, which the format can't name; ascendlite.save can store it")
        whole = t.detach().cpu().contiguous()
        kept.append(whole)
        nbytes = len(tensor_bytes(whole, op))
        specs[name] = library.TensorSpec(
            dtype=t.dtype.name, shape=list(t.shape), data_ptr=whole.data_ptr() if nbytes else 0, data_len=nbytes
        )
    return specs, kept


def _check_unshared(tensors: Mapping[str, Tensor], op: str) -> None:
    if not isinstance(tensors, Mapping):
        raise TypeError(f"{op}: expected a dict of names and tensors, got {type(tensors).__name__}; ascendlite.save takes other values")
    seen: dict[int, str] = {}
    for name, t in tensors.items():
        if not isinstance(t, Tensor) or t.nbytes == 0 or t.device.type != "cpu":
            continue
        first = seen.setdefault(t.untyped_storage().data_ptr(), name)
        if first != name:
            raise ShapeError(
                f"{op}: {first!r} and {name!r} share memory, which the format can't say; clone() one, or use ascendlite.save"
            )


def write(specs_of: Mapping[str, Tensor], path: FilePath, metadata: Mapping[str, str] | None, op: str) -> None:
    """Write a file in place of `path`, whole or not at all."""
    specs, kept = _specs(specs_of, op)
    with replacing(path) as aside:
        try:
            library.serialize_file(specs, aside, metadata=dict(metadata) if metadata else None)
        except library.SafetensorError as error:
            raise _disk_error(error, path, op) from error
    del kept


def _disk_error(error: Exception, path: FilePath, op: str) -> Exception:
    """A full disk and its kin as the OSError that they are; the library only tells in words."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    if found is None:
        return error
    number = int(found[1])
    return OSError(number, f"{op}: {os.strerror(number)}; the earlier file is as it was", os.fspath(path))


def save(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file with these tensors."""
    _check_unshared(tensors, "safetensors.save")
    return to_bytes(tensors, metadata, "safetensors.save")


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None, op: str) -> bytes:
    """The content of a file with these tensors, which may share memory."""
    specs, kept = _specs(tensors, op)
    content = library.serialize(specs, metadata=dict(metadata) if metadata else None)
    del kept
    return content


def save_file(tensors: Mapping[str, Tensor], filename: FilePath, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in place of `filename`, whole or not at all."""
    _check_unshared(tensors, "safetensors.save_file")
    write(tensors, filename, metadata, "safetensors.save_file")
