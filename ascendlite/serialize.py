"""`save` and `load`: nested values with tensors in one safetensors file. No pickle; loading runs no code.

Tensors are entries of the file, under the dotted path at which they stand; the structure around them is JSON in the
file's metadata, with the device of those that were not on the CPU. A flat dict of tensors is thus an ordinary safetensors file, and any safetensors file loads as one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import BinaryIO, cast

import ascendlite.safetensors.write as writer
from ascendlite.core import Device, Tensor, dtype_of_name
from ascendlite.errors import DeviceError, FileFormatError
from ascendlite.structure import Leaf, Value, decode, encode

from .interop.raw import window
from .safetensors.read import from_bytes, safe_open

FileLike = str | os.PathLike[str] | BinaryIO
_KEY = "ascendlite"
_VERSION = 1
# First bytes of files that people try to load here, and where these belong.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive, as torch.save and numpy.savez write; for the former use ascendlite.load_torch",
    b"\x80\x02": "a pickle, which is never read here because it can run code; for torch files use ascendlite.load_torch",
    b"\x80\x04": "a pickle, which is never read here because it can run code; convert it where it was made",
    b"\x80\x05": "a pickle, which is never read here because it can run code; convert it where it was made",
    b"\x93NUMPY": "a NumPy array; use numpy.load and ascendlite.from_numpy",
}


# ---- saving


class _Gathered:
    """The entries of a file to be, each storage once."""

    def __init__(self, tensors: list[tuple[str, Tensor]]) -> None:
        self.entries: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}  # by id of a tensor
        self.blocks: dict[tuple[int, str], tuple[str, int]] = {}  # (storage, dtype) -> its entry and first element
        groups: dict[tuple[int, str], list[tuple[str, Tensor]]] = {}
        for name, t in tensors:
            groups.setdefault(_storage_key(t), []).append((name, t))
        for key, members in groups.items():
            self._add(key, members)

    def _add(self, key: tuple[int, str], members: list[tuple[str, Tensor]]) -> None:
        name, first = members[0]
        if all(_same_window(first, t) for _, t in members):
            self.entries[name] = first
            self.names.update({id(t): name for _, t in members})
            return
        low = min(t.storage_offset() for _, t in members)
        high = max(_end(t) for _, t in members)
        self.entries[name] = first.detach().as_strided((high - low,), (1,), low)
        self.blocks[key] = (name, low)

    def describe(self, name: str, t: Tensor) -> Leaf:
        """The JSON of one tensor: its entry, and its window if it shares the entry with others."""
        leaf: Leaf = {"requires_grad": True} if t.requires_grad else {}
        if t.dtype.name not in writer.NAMES:
            leaf["dtype"] = t.dtype.name
        if t.device.type != "cpu":
            leaf["device"] = str(t.device)
        key = _storage_key(t)
        if key in self.blocks:
            entry, low = self.blocks[key]
            window = {"shape": list(t.shape), "stride": list(t.stride()), "offset": t.storage_offset() - low}
            return {"tensor": entry, **window, **leaf}
        return {"tensor": self.names[id(t)], **leaf}


def _storage_key(t: Tensor) -> tuple[int, str]:
    # Tensors without elements share nothing that matters: each is an entry of its own.
    address = t.untyped_storage().data_ptr() if t.numel() else -id(t)
    return address, t.dtype.name


def _same_window(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.shape, a.stride(), a.storage_offset()) == (b.shape, b.stride(), b.storage_offset())


def _end(t: Tensor) -> int:
    return t.storage_offset() + 1 + int(sum((size - 1) * step for size, step in zip(t.shape, t.stride(), strict=True)))


def _file_content(obj: Value) -> tuple[dict[str, Tensor], dict[str, str]]:
    found: list[tuple[str, Tensor]] = []
    named: dict[int, str] = {}
    taken = {"__metadata__"}

    def collect(path: str, t: Tensor) -> Leaf:
        if id(t) not in named:
            name, number = path or "tensor", 2
            while name in taken:
                name, number = f"{path or 'tensor'}#{number}", number + 1
            taken.add(name)
            named[id(t)] = name
            found.append((name, t))
        return {}

    encode(obj, collect)
    gathered = _Gathered(found)
    tree = encode(obj, lambda path, t: gathered.describe(named[id(t)], t))
    text = json.dumps({"version": _VERSION, "root": tree}, allow_nan=False)
    entries = {name: t if t.dtype.name in writer.NAMES else t.view(dtype_of_name("uint8")) for name, t in gathered.entries.items()}
    return entries, {_KEY: text}


def save(obj: Value, f: FileLike) -> None:
    """Write nested dicts, lists and tuples of tensors, numbers, strings, bools and None to a path or a binary file.

    A path's earlier file is replaced at the very end, so a crash leaves it whole. Tensors that share memory are stored
    once and share it again when loaded.

    >>> import ascendlite as al
    >>> al.save({"step": 3, "weights": [al.zeros(2), al.ones(3)]}, "state.safetensors")  # doctest: +SKIP
    """
    entries, metadata = _file_content(obj)
    if isinstance(f, (str, os.PathLike)):
        writer.write(entries, f, metadata, "save")
        return
    if not hasattr(f, "write"):
        raise TypeError(f"save: expected a path or a binary file, got {type(f).__name__}")
    f.write(writer.to_bytes(entries, metadata, "save"))


# ---- loading


def _refuse_foreign(start: bytes, path: str) -> None:
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            raise FileFormatError(f"load: {path}: this is {what}")


def _window_of(entry: Tensor, spec: Mapping[str, object], path: str) -> Tensor:
    shape, stride, offset = spec["shape"], spec["stride"], spec["offset"]
    numbers = [*shape, *stride, offset]  # type: ignore[misc]
    if any(type(n) is not int or n < 0 for n in numbers) or len(shape) != len(stride):  # type: ignore[arg-type]
        raise FileFormatError(f"load: {path}: {spec['tensor']!r}: shape {shape}, stride {stride}, offset {offset} are no window")
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))  # type: ignore[arg-type, call-overload, operator]
    if 0 not in shape and last >= entry.numel():  # type: ignore[operator]
        raise FileFormatError(
            f"load: {path}: {spec['tensor']!r}: shape {shape}, stride {stride}, offset {offset} reach beyond its {entry.numel()} elements"
        )
    return entry.as_strided(tuple(shape), tuple(stride), cast(int, offset)).detach()  # type: ignore[arg-type]


def _rebuild(entries: dict[str, Tensor], metadata: Mapping[str, str], path: str, device: str | Device | None) -> Value:
    """device: None puts tensors where they were when they were saved."""
    if _KEY not in metadata:
        return cast(Value, {name: t.to(device or "cpu") for name, t in entries.items()})
    done: dict[str, Tensor] = {}
    moved: dict[str, Tensor] = {}  # entries on their devices: windows on one go on sharing it

    def placed(t: Tensor, spec: Mapping[str, object]) -> Tensor:
        wanted = str(device or spec.get("device", "cpu"))
        key = json.dumps([spec["tensor"], spec.get("dtype"), wanted])
        if key not in moved:
            try:
                moved[key] = t.to(wanted)
            except DeviceError as error:
                raise DeviceError(f"load: {path}: {spec['tensor']!r} goes to {wanted}: {error}; choose a device by map_location") from None
        return moved[key]

    def tensor(spec: Mapping[str, object]) -> Tensor:
        key = json.dumps(spec)
        if key not in done:
            name = spec["tensor"]
            if name not in entries:
                raise FileFormatError(f"load: {path}: the structure names the tensor {name!r}, which is not in the file")
            t = entries[name]
            if "dtype" in spec:
                t = window(t.reshape(-1), dtype_of_name(cast(str, spec["dtype"])), t.shape, t.stride(), 0)
            t = placed(t, spec)
            if "shape" in spec:
                t = _window_of(t, spec, path)
            done[key] = t.requires_grad_() if spec.get("requires_grad") is True else t
        return done[key]

    try:
        raw = json.loads(metadata[_KEY])
        if raw["version"] != _VERSION:
            raise FileFormatError(f"load: {path}: version {raw['version']} of the format; this release reads version {_VERSION}")
        return decode(raw["root"], tensor)
    except DeviceError:
        raise
    except FileFormatError as error:
        if path in str(error):
            raise
        raise FileFormatError(f"load: {path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, RuntimeError) as error:
        raise FileFormatError(f"load: {path}: the structure is damaged ({type(error).__name__}: {error})") from error


def load(f: FileLike, map_location: str | Device | None = None) -> Value:
    """Read what `save` wrote, from a path or a binary file.

    `map_location` is the device to put tensors on; without it each goes to where it was when it was saved, those of other safetensors files to
    the CPU.
    """
    if isinstance(f, (str, os.PathLike)):
        path = os.fspath(f)
        with open(f, "rb") as file:
            _refuse_foreign(file.read(8), path)
        with safe_open(f, device="cpu") as opened:
            entries = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return _rebuild(entries, opened.metadata(), path, map_location)
    if not hasattr(f, "read"):
        raise TypeError(f"load: expected a path or a binary file, got {type(f).__name__}")
    data = f.read()
    path = str(getattr(f, "name", "<file>"))
    _refuse_foreign(data[:8], path)
    entries, metadata = from_bytes(data, path)
    return _rebuild(entries, metadata, path, map_location)


__all__ = ["load", "save"]
