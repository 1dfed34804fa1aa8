"""Loading what `torch.save` wrote, zip archive or the older stream, without running anything that is in it.

Only containers, numbers, strings, tensors and parameters come out; whatever else a file asks for is refused by name.
"""

from __future__ import annotations

import errno
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from ascendlite.core import Device, DType, Size, Tensor, dtype_of_name, empty
from ascendlite.errors import DTypeError, FileFormatError

from .machine import Machine, Safe
from .raw import memory, window

_MAGIC = 0x1950A86A20F9469CFC6C  # of the stream that torch wrote before 1.6
_STREAM_PROTOCOL = 1001
_MAX_PROGRAM_BYTES = 1 << 28
_MAX_DIMS = 16

_STORAGE_DTYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "Untyped": "uint8",
}  # fmt: skip
_DTYPE_NAMES = [
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "float8_e4m3fn",
    "float8_e5m2", "float8_e8m0fnu", "float4_e2m1fn_x2",
]  # fmt: skip


@dataclass(frozen=True)
class _Storage:
    """Bytes of the file, and what its tensors read them as unless they say otherwise."""

    block: Tensor
    dtype: DType


@dataclass(frozen=True)
class _Kind:
    """A storage class that the file names."""

    dtype: DType


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _window(storage: object, offset: object, shape: object, stride: object, dtype: DType | None) -> Tensor:
    if not isinstance(storage, _Storage) or type(shape) is not tuple or type(stride) is not tuple:
        raise FileFormatError("a tensor without a storage, shape or stride")
    sizes, steps = cast("tuple[int, ...]", shape), cast("tuple[int, ...]", stride)
    if not all(map(_is_size, (*sizes, *steps, offset))) or len(sizes) != len(steps) or len(sizes) > _MAX_DIMS:
        raise FileFormatError(f"a tensor of shape {sizes}, stride {steps}, offset {offset}, which can't be")
    dtype = dtype or storage.dtype
    count = storage.block.shape[0] // dtype.itemsize
    last = cast(int, offset) + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    product = 1
    for size in sizes:
        product *= size
    if product >= 2**62 or (product and last >= count):
        raise FileFormatError(
            f"a tensor of shape {sizes}, stride {steps}, offset {offset} reaches beyond the {count} elements of its storage"
        )
    return window(storage.block, dtype, sizes, steps, cast(int, offset) if product else 0)


def _flag(t: Tensor, requires_grad: object) -> Tensor:
    return t.requires_grad_() if requires_grad is True and t.is_floating_point() else t


def _tensor_v1(storage: object, offset: object, shape: object, stride: object) -> Tensor:
    return _window(storage, offset, shape, stride, None)


def _tensor_v2(
    storage: object,
    offset: object,
    shape: object,
    stride: object,
    requires_grad: object,
    hooks: object,
    metadata: object = None,
) -> Tensor:
    return _flag(_window(storage, offset, shape, stride, None), requires_grad)


def _tensor_v3(
    storage: object,
    offset: object,
    shape: object,
    stride: object,
    requires_grad: object,
    hooks: object,
    dtype: object,
    metadata: object = None,
) -> Tensor:
    if not isinstance(dtype, DType):
        raise FileFormatError("a tensor without a dtype")
    return _flag(_window(storage, offset, shape, stride, dtype), requires_grad)


def _parameter(data: object, requires_grad: object, hooks: object) -> Tensor:
    if not isinstance(data, Tensor):
        raise FileFormatError("a parameter without a tensor")
    return _flag(data, requires_grad)


def _ordered_dict(items: object = ()) -> OrderedDict[object, object]:
    if type(items) not in (tuple, list):
        raise FileFormatError("an ordered dict made from something else than a list")
    return OrderedDict(cast("list[tuple[object, object]]", items))


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise FileFormatError("bytes in an encoding other than latin1")
    return text.encode("latin-1")


def _device(kind: object, index: object = None) -> Device:
    return Device("cpu")  # where it was is not where it is loaded


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor_v1,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": Size,
    "torch.device": _device,
    "_codecs.encode": _encoded,
}


def _globals() -> dict[str, Safe]:
    table = {name: Safe(name, call) for name, call in _FUNCTIONS.items()}
    for kind, dtype in _STORAGE_DTYPES.items():
        for module in ("torch", "torch.storage"):
            name = f"{module}.{kind}Storage"
            table[name] = Safe(name, value=_Kind(dtype_of_name(dtype)))
    for dtype in _DTYPE_NAMES:
        table[f"torch.{dtype}"] = Safe(f"torch.{dtype}", value=dtype_of_name(dtype))
    return table


def _storage_key(key: object) -> tuple[DType, str, int]:
    # ("storage", class, key, location, number of elements[, view]): anything else is not from torch.save.
    fits = type(key) is tuple and len(key) in (5, 6) and key[0] == "storage" and isinstance(key[1], _Kind)
    if not fits or type(key[2]) is not str or not _is_size(key[4]) or (len(key) == 6 and key[5] is not None):  # type: ignore[index, arg-type]
        raise FileFormatError(f"a storage key of another form than torch.save's: {str(key)[:80]}")
    return key[1].dtype, key[2], key[4]  # type: ignore[index]


# ---- the zip archive


def _members(archive: zipfile.ZipFile, path: str) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename in members:
            raise FileFormatError(f"load_torch: {path}: {info.filename!r} is in the archive twice")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise FileFormatError(f"load_torch: {path}: {info.filename!r} is compressed or encrypted; torch.save does neither")
        members[info.filename] = info
    programs = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(programs) != 1:
        raise FileFormatError(f"load_torch: {path}: {len(programs)} members are called data.pkl; a torch file has one")
    return programs[0].removesuffix("data.pkl"), members


def _read_zip(file: BinaryIO, path: str) -> object:
    with zipfile.ZipFile(file) as archive:
        root, members = _members(archive, path)
        if f"{root}byteorder" in members and archive.read(members[f"{root}byteorder"]) != b"little":
            raise FileFormatError(f"load_torch: {path}: written on a big-endian machine; load and save it on a little-endian one")
        blocks: dict[str, Tensor] = {}

        def storage(key: object) -> _Storage:
            dtype, name, count = _storage_key(key)
            info = members.get(f"{root}data/{name}")
            if info is None or info.file_size != count * dtype.itemsize:
                found = "is missing" if info is None else f"has {info.file_size} bytes"
                raise FileFormatError(f"storage {name!r} should have {count} x {dtype.itemsize} bytes and {found}")
            if name not in blocks:
                blocks[name] = empty((info.file_size,), dtype=dtype_of_name("uint8"))
                with archive.open(info) as member:
                    _fill(cast(BinaryIO, member), blocks[name], name)
            return _Storage(blocks[name], dtype)

        info = members[f"{root}data.pkl"]
        if info.file_size > _MAX_PROGRAM_BYTES:
            raise FileFormatError(f"load_torch: {path}: the pickle has {info.file_size} bytes; at most {_MAX_PROGRAM_BYTES} are read")
        return Machine(archive.read(info), path, _globals(), storage).run()


def _fill(source: BinaryIO, block: Tensor, name: str) -> None:
    view = memory(block.data_ptr(), block.nbytes)
    filled = 0
    while filled < len(view):
        got = source.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            raise FileFormatError(f"the file ends inside storage {name!r}: {filled} of {len(view)} bytes are there")
        filled += got


# ---- the stream of before 1.6


def _read_stream(file: BinaryIO, path: str) -> object:
    content = file.read()
    blocks: dict[str, _Storage] = {}

    def storage(key: object) -> _Storage:
        dtype, name, count = _storage_key(key)
        if count * dtype.itemsize > len(content):
            raise FileFormatError(f"storage {name!r} is said to have {count} elements, more than the file's {len(content)} bytes")
        if name not in blocks:
            blocks[name] = _Storage(empty((count * dtype.itemsize,), dtype=dtype_of_name("uint8")), dtype)
        return blocks[name]

    machine = Machine(content, path, _globals(), storage)
    if machine.run() != _MAGIC or machine.run() != _STREAM_PROTOCOL:
        raise machine.fail("not a file of torch.save")
    system = machine.run()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise machine.fail("written on a big-endian machine")
    value, names = machine.run(), machine.run()
    if not isinstance(names, list) or {str(name) for name in names} != set(blocks) or len(names) != len(blocks):
        raise machine.fail("the list of storages does not name those that the tensors use")
    for name in names:
        held = blocks[name]
        count = machine.number("q")
        if count * held.dtype.itemsize != held.block.nbytes:
            raise machine.fail(f"storage {name!r} has {count} elements here, {held.block.nbytes // held.dtype.itemsize} before")
        memory(held.block.data_ptr(), held.block.nbytes)[:] = machine.take(held.block.nbytes)
    return value


def load_torch(path: str | os.PathLike[str]) -> object:
    """Read a `.pt` or `.pth` file of tensors, such as a state dict, without running code from it.

    Raises FileFormatError when the file is damaged or asks for anything but tensors and plain containers.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        try:
            return _read_zip(file, name) if start == b"PK\x03\x04" else _read_stream(file, name)
        except FileFormatError as error:
            if name in str(error):
                raise
            raise FileFormatError(f"load_torch: {name}: {error}") from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # which a place before the beginning of the file gives
                raise
            raise FileFormatError(f"load_torch: {name}: damaged: a member lies outside the file; copy it again") from error
        except (zipfile.BadZipFile, ValueError, TypeError, KeyError, EOFError, NotImplementedError, DTypeError) as error:
            raise FileFormatError(f"load_torch: {name}: damaged or not a torch file ({type(error).__name__}: {error})") from error
