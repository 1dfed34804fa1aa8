"""Windows by the names of `torch.signal.windows`: of length M, symmetric unless `sym=False`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ascendlite.core import DType, Tensor, float32, float64, get_default_dtype
from ascendlite.errors import ArgumentError
from ascendlite.ops import windows
from ascendlite.ops.windows import BLACKMAN, HAMMING, HANN, NUTTALL, bessel, cosines, places, triangle

Window = Callable[..., Tensor]


def made(op: str, window: Tensor, dtype: DType | None, device: object, requires_grad: bool) -> Tensor:
    """The window in the dtype, float32 or float64, and place that were asked for."""
    dtype = dtype or get_default_dtype()
    if dtype not in (float32, float64):
        raise ArgumentError(f"{op}: expects float32 or float64 dtypes, got: {dtype}")
    return windows.made(op, window, dtype, device, requires_grad)


def _fixed(name: str, weights: tuple[float, ...]) -> Window:
    def window(M: int, *, sym: bool = True, dtype: DType | None = None, device: object = None, requires_grad: bool = False) -> Tensor:
        return made(name, cosines(name, M, weights, sym), dtype, device, requires_grad)

    window.__name__ = window.__qualname__ = name
    window.__doc__ = f"The {name} window: a sum of cosines with weights {weights}."
    return window


hann = _fixed("hann", HANN)
blackman = _fixed("blackman", BLACKMAN)
nuttall = _fixed("nuttall", NUTTALL)


def hamming(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """0.54 - 0.46 cos(x)."""
    return made("hamming", cosines("hamming", M, HAMMING, sym), dtype, device, requires_grad)


def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """alpha - (1 - alpha) cos(x)."""
    return made("general_hamming", cosines("general_hamming", M, (alpha, 1 - alpha), sym), dtype, device, requires_grad)


def general_cosine(
    M: int, *, a: Iterable[float], sym: bool = True, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """a[0] - a[1] cos(x) + a[2] cos(2x) - ..."""
    weights = tuple(a) if isinstance(a, Iterable) else None
    if weights is None:
        raise TypeError(f"general_cosine: coefficients must be a list/tuple, got {type(a).__name__}")
    if not weights:
        raise ArgumentError("general_cosine: coefficients cannot be empty")
    return made("general_cosine", cosines("general_cosine", M, weights, sym), dtype, device, requires_grad)


def bartlett(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """A triangle."""
    return made("bartlett", triangle("bartlett", M, sym), dtype, device, requires_grad)


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """A bell whose width beta sets."""
    if beta < 0:
        raise ArgumentError(f"kaiser: beta must be non-negative, got: {beta} instead")
    return made("kaiser", bessel("kaiser", M, beta, sym), dtype, device, requires_grad)


def cosine(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """Half a wave of the sine."""
    k, period = places("cosine", M, sym)
    return made("cosine", ((k + 0.5) * (math.pi / (period + 1))).sin(), dtype, device, requires_grad)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: DType | None = None, device: object = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """exp(-|k - center| / tau)."""
    if tau <= 0:
        raise ArgumentError(f"exponential: tau must be positive, got: {tau} instead")
    if sym and center is not None:
        raise ArgumentError("exponential: center must be None for symmetric windows")
    k, period = places("exponential", M, sym)
    middle = period / 2 if center is None else center
    return made("exponential", (-(k - middle).abs() / tau).exp(), dtype, device, requires_grad)


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """exp(-(k - middle)^2 / (2 std^2))."""
    if std <= 0:
        raise ArgumentError(f"gaussian: standard deviation must be positive, got: {std} instead")
    k, period = places("gaussian", M, sym)
    return made("gaussian", (-(((k - period / 2) / std) ** 2) / 2).exp(), dtype, device, requires_grad)
