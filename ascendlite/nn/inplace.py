"""Activations that write into their input: the functions with inplace=True, by torch's names."""

from __future__ import annotations

from ..core import Tensor
from ..ops.rectifier import celu, elu, hardtanh, leaky_relu, relu, rrelu, selu
from ..ops.rectifier import threshold as _threshold


def relu_(input: Tensor) -> Tensor:
    """In-place form of relu."""
    return relu(input, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """In-place form of selu."""
    return selu(input, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place form of elu."""
    return elu(input, alpha, inplace=True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place form of celu."""
    return celu(input, alpha, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place form of leaky_relu."""
    return leaky_relu(input, negative_slope, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place form of hardtanh."""
    return hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """In-place form of threshold."""
    return _threshold(input, threshold, value, inplace=True)


def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """In-place form of rrelu."""
    return rrelu(input, lower, upper, training, inplace=True)
