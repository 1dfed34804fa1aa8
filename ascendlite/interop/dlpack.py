"""DLPack both ways: memory is shared with NumPy, torch, JAX and others without a copy, bfloat16 and 8-bit floats included."""

from __future__ import annotations

from typing import Protocol, cast

from ascendlite import _native
from ascendlite.core import Device, Tensor, add_method, dtype_of_name, from_pointer, function
from ascendlite.errors import DeviceError, DTypeError, ShapeError

CPU = (1, 0)  # kDLCPU, device 0
_READ_ONLY, _COPIED = 1, 2  # flags of version 1.0
_MAX_DIMS = 16

# (type code, bits, lanes) of each dtype, from dlpack.h.
_CODES = {
    "bool": (6, 8, 1), "uint8": (1, 8, 1), "int8": (0, 8, 1), "int16": (0, 16, 1), "int32": (0, 32, 1),
    "int64": (0, 64, 1), "float16": (2, 16, 1), "bfloat16": (4, 16, 1), "float32": (2, 32, 1), "float64": (2, 64, 1),
    "float8_e4m3fn": (10, 8, 1), "float8_e5m2": (12, 8, 1), "float8_e8m0fnu": (14, 8, 1), "float4_e2m1fn_x2": (17, 4, 2),
}  # fmt: skip
_NAMES = {code: name for name, code in _CODES.items()}


class SupportsDLPack(Protocol):
    """An array that can be exchanged."""

    def __dlpack__(self, *, max_version: tuple[int, int] | None = None) -> object: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """Where the tensor is, as DLPack's (type, number)."""
    if self.device.type != "cpu":
        raise BufferError(f"__dlpack_device__: a tensor on '{self.device}' has no memory that another library could read")
    return CPU


def dlpack(
    self: Tensor,
    *,
    stream: int | None = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> object:
    """A capsule over the tensor's memory, to be taken once by the other library's `from_dlpack`."""
    if self.requires_grad:
        raise BufferError("__dlpack__: Can't export tensors that require gradient, use tensor.detach()")
    where = dlpack_device(self)
    if dl_device is not None and tuple(dl_device) != where:
        raise BufferError(f"__dlpack__: the tensor is on device {where} and can't be exported to {tuple(dl_device)}; move it first")
    if stream is not None:
        raise BufferError(f"__dlpack__: stream is {stream!r}; the CPU has none: pass None")
    if self.dtype.name not in _CODES:
        raise BufferError(f"__dlpack__: {self.dtype!r} has no DLPack counterpart; cast it first")
    versioned = max_version is not None and max_version[0] >= 1
    source = self.clone() if copy else self
    read_only = source.untyped_storage().readonly
    if read_only and not versioned:
        raise BufferError("__dlpack__: the memory is read-only, which this consumer's DLPack version can't say; clone() the tensor")
    flags = (_READ_ONLY if read_only else 0) | (_COPIED if copy else 0)
    code = _CODES[self.dtype.name]
    return _native.dlpack_export(
        source, source.data_ptr(), list(source.shape), list(source.stride()), *code, versioned, flags
    )


def _capsule(array: object) -> object:
    if not hasattr(array, "__dlpack__"):
        if type(array).__name__ == "PyCapsule":
            return array
        raise TypeError(f"from_dlpack: expected an array with __dlpack__, got {type(array).__name__}")
    source = cast(SupportsDLPack, array)
    where = tuple(source.__dlpack_device__())
    if where[0] != CPU[0]:
        raise DeviceError(f"from_dlpack: the array is on DLPack device {where}; only CPU memory {CPU} can be shared: move it first")
    try:
        return source.__dlpack__(max_version=(1, 0))
    except TypeError:  # a producer from before version 1.0
        return source.__dlpack__()


def _extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))


@function()
def from_dlpack(ext_tensor: SupportsDLPack, *, device: str | Device | None = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's array.

    >>> import ascendlite as al, numpy as np
    >>> al.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    owner, address, shape, strides, code, where, flags = _native.dlpack_import(_capsule(ext_tensor))
    if where[0] != CPU[0]:
        raise DeviceError(f"from_dlpack: the array is on DLPack device {where}; only CPU memory {CPU} can be shared: move it first")
    if code not in _NAMES:
        raise DTypeError(f"from_dlpack: DLPack type (code, bits, lanes) = {code} has no counterpart here; cast it first")
    if len(shape) > _MAX_DIMS or min((0, *shape)) < 0:
        raise ShapeError(f"from_dlpack: shape {shape} can't be held; at most {_MAX_DIMS} dimensions, none negative")
    if min((0, *strides)) < 0:
        raise ShapeError(f"from_dlpack: strides {strides} are negative; copy the array first, as with numpy.ascontiguousarray")
    dtype = dtype_of_name(_NAMES[code])
    nbytes = _extent(shape, strides) * dtype.itemsize
    t = from_pointer(address, nbytes, shape, strides, dtype, owner, readonly=bool(flags & _READ_ONLY))
    t = t.clone() if copy else t
    return t if device is None else t.to(device)


add_method("__dlpack__", dlpack)
add_method("__dlpack_device__", dlpack_device)
