"""Source to native code. The only file that imports Numba, when the first chain is compiled."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import binding as _llvm
from numba import types
from numba.extending import intrinsic

# Chains have more arrays than the vectoriser would compare by itself.
_llvm.set_option("ascendlite", "-runtime-memory-check-threshold=512")

_SIGNATURE = types.void(types.CPointer(types.voidptr), types.int64, types.int64)  # type: ignore[no-untyped-call]


@intrinsic
def _bits_to_float(typingctx: Any, bits: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.int32), codegen


@numba.njit(inline="always", error_model="numpy")  # type: ignore[misc]
def _exp_float32(x: Any) -> Any:
    """e^x as csrc/simd/vmath.h computes it: x = n ln 2 + r, a polynomial in r, and 2^n in two steps."""
    c = min(max(x, np.float32(-104.0)), np.float32(89.0))
    n = np.float32(np.rint(c * np.float32(1.44269504)))
    r = (c - n * np.float32(0.693145752)) - n * np.float32(1.42860677e-6)
    p = np.float32(1.9915032e-4)
    p = p * r + np.float32(1.394206e-3)
    p = p * r + np.float32(8.333271e-3)
    p = p * r + np.float32(4.166634e-2)
    p = p * r + np.float32(1.6666667e-1)
    p = p * r + np.float32(0.5)
    y = (p * r) * r + r + np.float32(1.0)
    k = np.int32(n)
    half = k >> np.int32(1)
    low: Any = _bits_to_float(np.int32((half + np.int32(127)) << np.int32(23)))  # type: ignore[call-arg]
    high: Any = _bits_to_float(np.int32((k - half + np.int32(127)) << np.int32(23)))  # type: ignore[call-arg]
    y = y * low * high
    return x if x != x else y


def build(source: str) -> Any:
    """A C function of `kernel(data, begin, end)` in the source; its `address` lives as long as it does."""
    single = source.startswith("T = float32")
    scope: dict[str, Any] = {"math": math, "carray": numba.carray, "float32": np.float32, "float64": np.float64, "boolean": np.bool_,
                             "exp": _exp_float32 if single else math.exp}
    exec(compile(source, "<fused>", "exec"), scope)
    return numba.cfunc(_SIGNATURE, error_model="numpy")(scope["kernel"])


