"""Windows for signals: sums of cosines, triangles, bells. The top level counts a period; `ascendlite.signal` takes symmetric ones too."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ascendlite.core import DType, Tensor, arange, float64, function, get_default_device, get_default_dtype
from ascendlite.errors import ArgumentError, DTypeError
from ascendlite.ops.gamma import i0

HANN, HAMMING, BLACKMAN = (0.5, 0.5), (0.54, 0.46), (0.42, 0.5, 0.08)
NUTTALL = (0.3635819, 0.4891775, 0.1365995, 0.0106411)  # A. Nuttall, "Some windows with very good sidelobe behavior" (1981)


def places(op: str, length: int, symmetric: bool) -> tuple[Tensor, int]:
    """0, 1, ... in float64, and the length of the period (which a symmetric window holds less often by one)."""
    if isinstance(length, bool) or not isinstance(length, int):
        raise TypeError(f"{op}: the length of a window must be int, not {type(length).__name__}")
    if length < 0:
        raise ArgumentError(f"{op}: requires non-negative window_length, got window_length={length}")
    return arange(length, dtype=float64, device="cpu"), max(length - 1, 0) if symmetric or length < 2 else length


def made(op: str, window: Tensor, dtype: DType | None, device: object, requires_grad: bool) -> Tensor:
    """The window in the dtype and place that were asked for."""
    dtype = dtype or get_default_dtype()
    if not dtype.is_floating_point:
        raise DTypeError(f"{op}: expected floating point dtype, but got: {dtype}")
    return window.to(dtype).to(get_default_device() if device is None else device).requires_grad_(requires_grad)


def cosines(op: str, length: int, weights: Iterable[float], symmetric: bool) -> Tensor:
    """a0 - a1 cos(x) + a2 cos(2x) - ..., x from 0 to 2 pi."""
    k, period = places(op, length, symmetric)
    window = k * 0
    for i, a in enumerate(weights):
        window = window + a * (-1) ** i * (k * (2 * math.pi * i / max(period, 1))).cos()
    return window if length > 1 else k * 0 + 1


def triangle(op: str, length: int, symmetric: bool) -> Tensor:
    """From 0 to 1 and back."""
    k, period = places(op, length, symmetric)
    return 1 - (k * (2 / max(period, 1)) - 1).abs() if length > 1 else k * 0 + 1


def bessel(op: str, length: int, beta: float, symmetric: bool) -> Tensor:
    """I0 over an ellipse: J. Kaiser's approximation of the prolate spheroid."""
    k, period = places(op, length, symmetric)
    x = k * (2 / max(period, 1)) - 1
    return i0(beta * (1 - x * x).clamp(min=0).sqrt()) / i0(k.new_full((), beta)) if length > 1 else k * 0 + 1


@function()
def hann_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """0.5 - 0.5 cos(x).

    >>> al.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return made("hann_window", cosines("hann_window", window_length, HANN, not periodic), dtype, device, requires_grad)


@function()
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: DType | None = None, device: object = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """alpha - beta cos(x)."""
    return made("hamming_window", cosines("hamming_window", window_length, (alpha, beta), not periodic), dtype, device, requires_grad)


@function()
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """0.42 - 0.5 cos(x) + 0.08 cos(2x)."""
    window = cosines("blackman_window", window_length, BLACKMAN, not periodic).clamp(min=0)
    return made("blackman_window", window, dtype, device, requires_grad)


@function()
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """A triangle."""
    return made("bartlett_window", triangle("bartlett_window", window_length, not periodic), dtype, device, requires_grad)


@function()
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: DType | None = None, device: object = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A bell whose width beta sets."""
    return made("kaiser_window", bessel("kaiser_window", window_length, beta, not periodic), dtype, device, requires_grad)
