"""Four-bit floats in bytes: two e2m1 values each, the first in the low half. Values are 0, 0.5, 1, 1.5, 2, 3, 4, 6 with a sign."""

from __future__ import annotations

from ascendlite.core import Op, Tensor, float4_e2m1fn_x2, float32, function
from ascendlite.errors import DTypeError, ShapeError


def _packed(x):
    if x.ndim == 0 or x.shape[-1] % 2:
        raise ShapeError(f"fp4_encode: the last dim of shape {tuple(x.shape)} is not even, but two values share a byte; pad it")
    return (*x.shape[:-1], x.shape[-1] // 2), float4_e2m1fn_x2


_encode = Op("fp4_encode", inputs=1, infer=_packed)
_decode = Op("fp4_decode", inputs=1, infer=lambda x: ((*x.shape[:-1], 2 * x.shape[-1]), float32))


@function()
def fp4_encode(input: Tensor) -> Tensor:
    """The nearest e2m1 values, ties to even, saturating at 6, packed: (..., n) float32 to (..., n / 2) float4_e2m1fn_x2.

    >>> al.fp4_encode(al.tensor([1.0, -6.0])).view(al.uint8)
    tensor([242], dtype=ascendlite.uint8)
    """
    if input.dtype != float32:
        raise DTypeError(f"fp4_encode: expected float32, but got {input.dtype}; cast it")
    return _encode(input.detach())


@function()
def fp4_decode(input: Tensor) -> Tensor:
    """The values of packed e2m1: (..., n) float4_e2m1fn_x2 to (..., 2 n) float32.

    >>> al.fp4_decode(al.fp4_encode(al.tensor([0.6, 5.2])))
    tensor([0.5000, 6.0000])
    """
    if input.dtype != float4_e2m1fn_x2:
        raise DTypeError(f"fp4_decode: expected float4_e2m1fn_x2, but got {input.dtype}; view() bytes as that")
    if input.ndim == 0:
        raise ShapeError("fp4_decode: a tensor without dims holds two values; reshape it to (1,)")
    return _decode(input)
