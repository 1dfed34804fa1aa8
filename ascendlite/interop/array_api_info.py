"""What the array API standard asks a namespace about itself: its dtypes, kinds, devices and capabilities."""

from __future__ import annotations

import functools
from typing import Any

from ascendlite.core import Device, DType, Tensor, dtype_of_name, get_default_dtype, promote_types
from ascendlite.core import finfo as _finfo
from ascendlite.core import iinfo as _iinfo

# The standard's kinds; 16-bit floats are ours beside the standard's.
_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8",),
    "integral": ("int8", "int16", "int32", "int64", "uint8"),
    "real floating": ("float32", "float64"),
    "complex floating": (),
    "numeric": ("int8", "int16", "int32", "int64", "uint8", "float32", "float64"),
}
_EXTRA_FLOATS = ("float16", "bfloat16")


def isdtype(dtype: DType, kind: DType | str | tuple[DType | str, ...]) -> bool:
    """Whether a dtype is, or is of, a kind."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    if isinstance(kind, DType):
        return dtype is kind
    if kind not in _KINDS:
        raise ValueError(f"isdtype: kind {kind!r} is unknown; known: {', '.join(_KINDS)}")
    names = _KINDS[kind] + (_EXTRA_FLOATS if kind in ("real floating", "numeric") else ())
    return dtype.name in names


def _dtype(x: Tensor | DType) -> DType:
    return x.dtype if isinstance(x, Tensor) else x


def finfo(type: Tensor | DType, /) -> Any:
    """The limits of a floating dtype, or of a tensor's."""
    return _finfo(_dtype(type))


def iinfo(type: Tensor | DType, /) -> Any:
    """The limits of an integer dtype, or of a tensor's."""
    return _iinfo(_dtype(type))


def can_cast(from_: Tensor | DType, to: DType, /) -> bool:
    """Whether the standard's promotion leads from one dtype to the other."""
    return promote_types(_dtype(from_), to) is to


def result_type(*arrays_and_dtypes: Tensor | DType | bool | int | float) -> DType:
    """The dtype of operands together; a Python number counts only where it is of a higher kind."""
    dtypes = [_dtype(x) for x in arrays_and_dtypes if isinstance(x, (Tensor, DType))]
    if not dtypes:
        raise ValueError("result_type: give at least one tensor or dtype")
    dtype = functools.reduce(promote_types, dtypes)
    for x in arrays_and_dtypes:
        if isinstance(x, (bool, Tensor, DType)):
            continue
        if isinstance(x, float) and not dtype.is_floating_point:
            dtype = get_default_dtype()
        elif isinstance(x, int) and dtype.name == "bool":
            dtype = dtype_of_name("int64")
    return dtype


class NamespaceInfo:
    """What this namespace can do."""

    def capabilities(self) -> dict[str, bool | int]:
        """Which optional behaviours are there."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 16}

    def default_device(self) -> Device:
        """Where tensors are born."""
        return Device("cpu")

    def devices(self) -> list[Device]:
        """Where tensors with values can be."""
        return [Device("cpu")]

    def default_dtypes(self, *, device: str | Device | None = None) -> dict[str, DType]:
        """The dtypes that tensors are born with."""
        whole = dtype_of_name("int64")
        return {"real floating": get_default_dtype(), "integral": whole, "indexing": whole}

    def dtypes(self, *, device: str | Device | None = None, kind: str | tuple[str, ...] | None = None) -> dict[str, DType]:
        """The standard's dtypes, all or of a kind."""
        kinds = ("bool", "numeric") if kind is None else (kind,) if isinstance(kind, str) else kind
        return {name: dtype_of_name(name) for one in kinds for name in _KINDS[one]}


def __array_namespace_info__() -> NamespaceInfo:
    """What this namespace can do."""
    return NamespaceInfo()
