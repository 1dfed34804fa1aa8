"""Functions of `functional` that are made of other ops: shuffles, channel dropouts, Lp pools, bilinear."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core import Tensor, empty_like, zeros
from ..errors import ShapeError
from ..ops.interpolate import interpolate
from ..ops.movement import pad
from ..ops.pool import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from ..ops.random import dropout
from ..ops.softmax import softmax
from .sizes import Size, spread

_AVG_POOLS = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
_MAX_POOLS = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C * r^2, H, W) -> (*, C, H * r, W * r) for r = upscale_factor."""
    r = upscale_factor
    if input.ndim < 3 or r <= 0 or input.shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: input of shape {tuple(input.shape)} needs 3 or more dimensions and channels "
            f"divisible by upscale_factor^2 = {r * r}; change one of them"
        )
    *lead, C, H, W = input.shape
    parts = input.reshape(*lead, C // (r * r), r, r, H, W)
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    shuffled = parts.permute(*order).reshape(*lead, C // (r * r), H * r, W * r)
    return shuffled.clone() if r == 1 else shuffled  # never a view of the input


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H * r, W * r) -> (*, C * r^2, H, W) for r = downscale_factor."""
    r = downscale_factor
    if input.ndim < 3 or r <= 0 or input.shape[-1] % r or input.shape[-2] % r:
        raise ShapeError(
            f"pixel_unshuffle: input of shape {tuple(input.shape)} needs 3 or more dimensions and height and "
            f"width divisible by downscale_factor {r}; change one of them"
        )
    *lead, C, H, W = input.shape
    n = len(lead)
    parts = input.reshape(*lead, C, H // r, r, W // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    shuffled = parts.permute(*order).reshape(*lead, C * r * r, H // r, W // r)
    return shuffled.clone() if r == 1 else shuffled


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channel i of group g becomes channel i * groups + g."""
    if input.ndim < 3 or groups <= 0 or input.shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle: input of shape {tuple(input.shape)} needs 3 or more dimensions and channels "
            f"divisible by groups {groups}; change one of them"
        )
    N, C, *rest = input.shape
    return input.reshape(N, groups, C // groups, *rest).transpose(1, 2).reshape(N, C, *rest)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input1 @ weight[k] @ input2 + bias[k] for every k: (*, in1), (*, in2) -> (*, out)."""
    if weight.ndim != 3:
        raise ShapeError(f"bilinear: weight must be (out, in1, in2), but its shape is {tuple(weight.shape)}")
    K, M, N = weight.shape
    lead = tuple(input1.shape[:-1])
    if tuple(input2.shape[:-1]) != lead or input1.shape[-1] != M or input2.shape[-1] != N:
        raise ShapeError(
            f"bilinear: inputs of shapes {tuple(input1.shape)} and {tuple(input2.shape)} do not fit weight "
            f"{tuple(weight.shape)}; they need equal leading dimensions, then {M} and {N}"
        )
    left = input1.reshape(-1, M) @ weight.permute(1, 0, 2).reshape(M, K * N)
    out = (left.reshape(-1, K, N) * input2.reshape(-1, 1, N)).sum(-1, dtype=input1.dtype).reshape(*lead, K)
    return out if bias is None else out + bias


def _lp_pool(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None, ceil_mode: bool, spatial: int
) -> Tensor:
    kernel = spread(kernel_size, spatial)
    if math.isinf(norm_type):
        sign = math.copysign(1.0, norm_type)
        top: Any = _MAX_POOLS[spatial](input.abs() * sign, kernel, stride, 0, 1, ceil_mode)
        return top * sign  # type: ignore[no-any-return]
    mean = _AVG_POOLS[spatial](input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return (mean * math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """p-norm of windows of (N, C, L)."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """p-norm of windows of (N, C, H, W)."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """p-norm of windows of (N, C, D, H, W)."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """input / (k + alpha * mean of squares over `size` neighbouring channels) ** beta."""
    if input.ndim < 3:
        raise ValueError(
            f"local_response_norm: expected 3D or higher dimensionality input (got {input.ndim} dimensions, "
            f"shape {tuple(input.shape)})"
        )
    if input.numel() == 0:
        return input
    N, C, *_ = input.shape
    squares = input.square().reshape(N, 1, C, -1)
    padded = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = avg_pool2d(padded, (size, 1), stride=1).reshape(input.shape)
    return input / (mean * alpha + k).pow(beta)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Softmax of (logits + Gumbel noise) / tau; `hard` gives one-hot values with the soft gradient."""
    noise = -empty_like(logits).exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = zeros(tuple(logits.shape), dtype=logits.dtype, device=logits.device).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft


def _check_chance(p: float, name: str) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: dropout probability has to be between 0 and 1, but got {p}")


def _channel_dropout(
    input: Tensor, p: float, training: bool, inplace: bool, name: str, spatial: int
) -> Tensor:
    _check_chance(p, name)
    if input.ndim not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"{name}: expected {spatial + 1} or {spatial + 2} dimensions, got shape {tuple(input.shape)}"
        )
    if not training or p == 0.0:
        return input
    kept = (*input.shape[: input.ndim - spatial], *(1,) * spatial)
    mask = dropout(input.new_ones(kept), p)
    return input.mul_(mask) if inplace else input * mask


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N, C, L) or (C, L) with probability p."""
    return _channel_dropout(input, p, training, inplace, "dropout1d", 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N, C, H, W) or (C, H, W) with probability p."""
    return _channel_dropout(input, p, training, inplace, "dropout2d", 2)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N, C, D, H, W) or (C, D, H, W) with probability p."""
    return _channel_dropout(input, p, training, inplace, "dropout3d", 3)


# -scale * alpha of SELU: where it saturates (Klambauer et al. 2017, "Self-normalizing neural networks")
_SELU_FLOOR = -1.7580993408473766


def _alpha_dropout(
    input: Tensor, p: float, training: bool, mask_shape: tuple[int, ...], inplace: bool, name: str
) -> Tensor:
    _check_chance(p, name)
    if not training or p == 0.0:
        return input
    kept = (dropout(input.new_ones(mask_shape), p) != 0).to(input.dtype)
    scale = 0.0 if p == 1.0 else 1.0 / math.sqrt((1.0 - p) * (1.0 + p * _SELU_FLOOR * _SELU_FLOOR))
    shift = (1.0 - kept) * (scale * _SELU_FLOOR) - p * scale * _SELU_FLOOR
    if inplace:
        return input.mul_(kept * scale).add_(shift)
    return input * (kept * scale) + shift


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout to SELU's floor that keeps mean and variance."""
    return _alpha_dropout(input, p, training, tuple(input.shape), inplace, "alpha_dropout")


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """alpha_dropout of whole channels of (N, C, *)."""
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return _alpha_dropout(input, p, training, shape, inplace, "feature_alpha_dropout")


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """torch's older name of `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """`interpolate` by the nearest element."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """`interpolate` between 2 x 2 neighbours, with aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)
