"""The number formats of a core's memories. Their codes are those of the executor; it knows a few that tensors don't have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """A number format: `code` as in csrc/abi.h (32 and up: formats of local memory only), `itemsize` in bytes.

    The 4-bit formats hold two numbers in an element (`f4e2m1x2`, `i4x2`).
    """

    name: str
    code: int
    itemsize: int
    kind: str  # "f" float, "i" signed, "u" unsigned, "b" bool

    def __repr__(self) -> str:
        return self.name

    @property
    def numbers(self) -> int:
        """Numbers in an element."""
        return 2 if self.name.endswith("x2") else 1

    def bytes_of(self, count: int) -> int:
        """Bytes of so many numbers."""
        return -(-count // self.numbers) * self.itemsize

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"


bool8 = DType("bool", 0, 1, "b")
u8, i8 = DType("u8", 1, 1, "u"), DType("i8", 2, 1, "i")
i16, i32, i64 = DType("i16", 3, 2, "i"), DType("i32", 4, 4, "i"), DType("i64", 5, 8, "i")
f16, bf16, f32, f64 = DType("f16", 6, 2, "f"), DType("bf16", 7, 2, "f"), DType("f32", 8, 4, "f"), DType("f64", 9, 8, "f")
f8e4m3, f8e5m2, f8e8m0 = DType("f8e4m3", 10, 1, "f"), DType("f8e5m2", 11, 1, "f"), DType("f8e8m0", 12, 1, "f")
f4e2m1x2, hif8 = DType("f4e2m1x2", 13, 1, "f"), DType("hif8", 14, 1, "f")
u16, u32, u64 = DType("u16", 32, 2, "u"), DType("u32", 33, 4, "u"), DType("u64", 34, 8, "u")
i4x2, f4e1m2x2 = DType("i4x2", 35, 1, "i"), DType("f4e1m2x2", 36, 1, "f")

ALL = (bool8, u8, i8, i16, i32, i64, f16, bf16, f32, f64, f8e4m3, f8e5m2, f8e8m0, f4e2m1x2, hif8, u16, u32, u64, i4x2, f4e1m2x2)
BY_CODE = {d.code: d for d in ALL}
BY_NAME = {d.name: d for d in ALL}

# What NumPy, ascendlite and ml_dtypes call them.
_FOREIGN = {
    "bool": bool8, "uint8": u8, "int8": i8, "int16": i16, "int32": i32, "int64": i64, "uint16": u16, "uint32": u32, "uint64": u64,
    "float16": f16, "bfloat16": bf16, "float32": f32, "float64": f64, "half": f16, "float": f32, "float8_e4m3fn": f8e4m3,
    "float8_e5m2": f8e5m2, "float8_e8m0fnu": f8e8m0, "float4_e2m1fn_x2": f4e2m1x2, "hifloat8": hif8,
}


def as_dtype(dtype: object) -> DType:
    """The format of that name: one of ours, NumPy's or ascendlite's dtype, or a string.

    Raises TypeError for a format that the emulated cores do not have.
    """
    if isinstance(dtype, DType):
        return dtype
    name = dtype if isinstance(dtype, str) else dtype.__name__ if isinstance(dtype, type) else str(getattr(dtype, "name", dtype))
    found = BY_NAME.get(name) or _FOREIGN.get(name.rsplit(".", 1)[-1])
    if found is None:
        raise TypeError(f"as_dtype: the cores have no format {dtype!r}; they have {', '.join(BY_NAME)}")
    return found
