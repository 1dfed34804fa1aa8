"""Blocks of numbers with one power-of-two scale: fp8 (e4m3) in 128 x 128 or 1 x n blocks, fp4 (e2m1) in 1 x 32 blocks.

The scale is the least power of two that brings the block's largest magnitude within the format; it is stored as e8m0, a byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import ascendlite as al
from ascendlite.core import Tensor
from ascendlite.errors import ShapeError

from .formats import FP4, FP8, Format, scale_shape

LARGEST = {FP8.name: 448.0, FP4.name: 6.0}


def exponents(largest: Tensor, limit: float) -> Tensor:
    """ceil(log2(largest / limit)), int32, exactly; 0 for a block of zeros, and at least what e8m0 holds, -127."""
    mantissa, exponent = al.frexp(largest.float())  # mantissa in [0.5, 1)
    limit_mantissa, limit_exponent = math.frexp(limit)
    exponent = exponent - limit_exponent + (mantissa > limit_mantissa).to(exponent.dtype)
    return al.where(largest == 0, 0, exponent.clamp(min=-127))


def power_of_two(exponent: Tensor) -> Tensor:
    """2 ** exponent, float32, exactly."""
    return al.ldexp(al.ones(exponent.shape, device=exponent.device), exponent)


def _blocks(x: Tensor, block: tuple[int, int]) -> Tensor:
    """(..., rows, cols) to (..., R, r, C, c), padded with zeros."""
    rows, cols = x.shape[-2:]
    r, c = block
    if rows % r or cols % c:
        x = al.nn.functional.pad(x, (0, -cols % c, 0, -rows % r))
    return x.unflatten(-1, (-1, c)).unflatten(-3, (-1, r))


def _spread(scale: Tensor, shape: tuple[int, ...], block: tuple[int, int]) -> Tensor:
    """A scale for every element: (..., R, C) to (..., rows, cols)."""
    rows, cols = shape[-2:]
    wide = scale.unsqueeze(-1).expand(*scale.shape, block[1]).flatten(-2)[..., :cols]
    return wide.unsqueeze(-2).expand(*wide.shape[:-1], block[0], cols).flatten(-3, -2)[..., :rows, :]


def block_exponents(x: Tensor, block: tuple[int, int], limit: float) -> Tensor:
    """The exponents of a matrix's scales, (..., R, C)."""
    return exponents(_blocks(x.abs(), block).amax((-3, -1)), limit)


@dataclass(frozen=True)
class Encoded:
    """Codes and their scales, e8m0."""

    codes: Tensor
    scale: Tensor


def encode(x: Tensor, kind: Format, hint: Tensor | None = None) -> Encoded:
    """A matrix, or a stack of them, in `FP8` or `FP4`: codes are float8_e4m3fn, or int8 with two values a byte.

    `hint`: e8m0 scales that are kept where they lose nothing, so that what was read is written as it was. Elsewhere the scale is the
    least one for the rounded values: encoding what was decoded changes no byte.
    """
    assert kind.block is not None
    if kind is FP4 and x.shape[-1] % kind.block[1]:
        raise ShapeError(f"deepseek_v4: fp4 needs rows of a multiple of 32 elements, but the shape is {tuple(x.shape)}; take fp8")
    x = rounded(x.detach().float(), kind)
    exponent = block_exponents(x, kind.block, LARGEST[kind.name])
    if hint is not None:
        held = hint.view(al.uint8).to(al.int32) - 127
        off = (_rounded(x, held, kind) != x).to(al.float32)
        exponent = al.where(_blocks(off, kind.block).amax((-3, -1)) == 0, held, exponent)
    return Encoded(_STORE[kind.name](_scaled(x, exponent, kind)), (exponent + 127).to(al.uint8).view(al.float8_e8m0fnu))


def _scaled(x: Tensor, exponent: Tensor, kind: Format) -> Tensor:
    assert kind.block is not None
    return x / _spread(power_of_two(exponent), tuple(x.shape), kind.block)


def rounded(x: Tensor, kind: Format) -> Tensor:
    """What `encode` and `decode` make of x, without the codes."""
    assert kind.block is not None
    return _rounded(x, block_exponents(x, kind.block, LARGEST[kind.name]), kind)


def _rounded(x: Tensor, exponent: Tensor, kind: Format) -> Tensor:
    """What the codes of x with these scales mean."""
    assert kind.block is not None
    codes = _STORE[kind.name](_scaled(x, exponent, kind))
    return _VALUE[kind.name](codes) * _spread(power_of_two(exponent), tuple(x.shape), kind.block)


def decode(codes: Tensor, scale: Tensor, kind: Format) -> Tensor:
    """The float32 values of codes: exact, for a scale is a power of two."""
    assert kind.block is not None
    values = _VALUE[kind.name](codes)
    wanted = scale_shape(values.shape, kind.block)
    if tuple(scale.shape) != wanted:
        raise ShapeError(f"scales have the shape {tuple(scale.shape)} for values of shape {tuple(values.shape)}; it must be {wanted}")
    return values * _spread(scale.float(), tuple(values.shape), kind.block)


_STORE: dict[str, Callable[[Tensor], Tensor]] = {
    FP8.name: lambda x: x.to(al.float8_e4m3fn),
    FP4.name: lambda x: al.fp4_encode(x).view(al.int8),
}
_VALUE: dict[str, Callable[[Tensor], Tensor]] = {
    FP8.name: lambda x: x.float(),
    FP4.name: lambda x: al.fp4_decode(x.contiguous().view(al.float4_e2m1fn_x2)),
}
