"""What the array API standard asks a namespace about itself: its dtypes, kinds, devices and capabilities."""

from __future__ import annotations

from ascendlite.core import Device, DType, dtype_of_name, get_default_dtype

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
