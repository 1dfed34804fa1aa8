"""The range and precision of dtypes, by name."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ascendlite.core._core import DType, get_default_dtype


@dataclass(frozen=True)
class FloatInfo:
    """What `finfo` gives: torch's attributes."""

    dtype: str
    bits: int
    eps: float
    max: float
    tiny: float  # the smallest normal number
    smallest_subnormal: float

    @property
    def min(self) -> float:
        return -self.max

    @property
    def smallest_normal(self) -> float:
        return self.tiny

    @property
    def resolution(self) -> float:
        return float(10.0 ** -math.floor(-math.log10(self.eps)))


@dataclass(frozen=True)
class IntInfo:
    """What `iinfo` gives: torch's attributes."""

    dtype: str
    bits: int
    min: int
    max: int


_FLOATS = {  # name: eps, max, smallest normal, smallest subnormal
    "float16": (2.0**-10, 65504.0, 2.0**-14, 2.0**-24),
    "bfloat16": (2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126, 2.0**-133),
    "float32": (2.0**-23, (2 - 2.0**-23) * 2.0**127, 2.0**-126, 2.0**-149),
    "float64": (2.0**-52, (2 - 2.0**-52) * 2.0**1023, 2.0**-1022, 2.0**-1074),
    "float8_e4m3fn": (2.0**-3, 448.0, 2.0**-6, 2.0**-9),
    "float8_e5m2": (2.0**-2, 57344.0, 2.0**-14, 2.0**-16),
    "float8_e8m0fnu": (1.0, 2.0**127, 2.0**-127, 2.0**-127),
    "float4_e2m1fn_x2": (0.5, 6.0, 1.0, 0.5),
    "hifloat8": (2.0**-3, 2.0**15, 2.0**-15, 2.0**-22),
}


def finfo(type: DType | None = None) -> FloatInfo:
    """The limits of a float dtype (the default float unless given).

    >>> al.finfo(al.float16).max
    65504.0
    """
    dtype = get_default_dtype() if type is None else type
    if not isinstance(dtype, DType) or not dtype.is_floating_point:
        raise TypeError(f"finfo: takes a floating-point dtype, got {dtype!r}; use iinfo for integers")
    eps, largest, tiny, subnormal = _FLOATS[dtype.name]
    return FloatInfo(dtype.name, dtype.itemsize * 8, eps, largest, tiny, subnormal)


def iinfo(type: DType) -> IntInfo:
    """The limits of an integer dtype."""
    if not isinstance(type, DType) or type.is_floating_point or type.name == "bool":
        raise TypeError(f"iinfo: takes an integer dtype, got {type!r}; use finfo for floats")
    bits = type.itemsize * 8
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if type.is_signed else (0, 2**bits - 1)
    return IntInfo(type.name, bits, low, high)
