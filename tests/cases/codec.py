"""Rows of the four-bit codec; every code is compared with ml_dtypes."""

from __future__ import annotations

import ml_dtypes
import numpy as np

import ascendlite as al
from tests.opcase import Case, const, raises

_VALUES = np.concatenate([np.linspace(-8, 8, 513), [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], [np.inf, -np.inf, 1e-30, -0.0]]).astype(np.float32)
_BYTES = np.arange(256, dtype=np.uint8)


def _nibbles(x):
    codes = x.astype(np.float32).astype(ml_dtypes.float4_e2m1fn).view(np.uint8) & 15
    return codes[..., 0::2] | codes[..., 1::2] << 4


def _values(x):
    codes = np.stack([x & 15, x >> 4], -1).reshape(*x.shape[:-1], -1).astype(np.uint8)
    return codes.view(ml_dtypes.float4_e2m1fn).astype(np.float64)


_FIXED = {"dtypes": ("float32",), "grad": False, "layouts": False}
CASES = [
    Case(
        "fp4_encode", _nibbles, [const(_VALUES)], fn=lambda x: al.fp4_encode(x).view(al.uint8), out_dtype="uint8", meta=False,
        errors=[raises(lambda: al.fp4_encode(al.ones(3)), RuntimeError, "not even"), raises(lambda: al.fp4_encode(al.ones(2).half()), TypeError, "cast")],
        **_FIXED,
    ),
    Case(
        "fp4_decode", _values, [const(_BYTES, "uint8")], fn=lambda x: al.fp4_decode(x.view(al.float4_e2m1fn_x2)), out_dtype="float32", meta=False,
        errors=[raises(lambda: al.fp4_decode(al.ones(2)), TypeError, "float4_e2m1fn_x2")], **_FIXED,
    ),
]  # fmt: skip
