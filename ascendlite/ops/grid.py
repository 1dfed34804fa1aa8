"""Sampling images and volumes at given places, as torch's grid_sample, and the places that an affine map asks for."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence

from ascendlite.core import Tensor, arange, bfloat16, float16, float32, function, int64, require_tensor
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.compare import where
from ascendlite.ops.movement import stack

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")
_CUBIC = -0.75  # torch's constant of the cubic convolution


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    require_tensor("grid_sample", input, grid)
    if mode not in _MODES:
        raise ValueError(f"grid_sample: expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in _PADDINGS:
        raise ValueError(f"grid_sample: expected padding_mode to be 'zeros', 'border', or 'reflection', but got: '{padding_mode}'")
    if input.dtype != grid.dtype or not input.dtype.is_floating_point:
        raise DTypeError(f"grid_sample: expected input and grid to have the same float dtype, but got {input.dtype} and {grid.dtype}; cast one")
    n = input.ndim - 2
    if n not in (2, 3) or grid.ndim != input.ndim or grid.shape[0] != input.shape[0] or grid.shape[-1] != n:
        raise ShapeError(
            f"grid_sample: expected 4D or 5D input and grid with same number of dimensions and the same batch, and a last size of grid of "
            f"{max(n, 0)}, but got input {tuple(input.shape)} and grid {tuple(grid.shape)}"
        )
    if mode == "bicubic" and n != 2:
        raise ShapeError(f"grid_sample: bicubic interpolation only supports 4D input, but got {tuple(input.shape)}")
    if any(size == 0 for size in input.shape[1:]):
        raise ShapeError(f"grid_sample: expected input to have non-empty dimensions, but input has shape {tuple(input.shape)}")


def _reflected(x: Tensor, size: int, align_corners: bool) -> Tensor:
    low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
    if span == 0:
        return x * 0
    away = (x - low).abs()
    flips = (away / span).detach().floor()
    rest = away - flips * span
    return where(flips % 2 == 0, rest, span - rest) + low


def _padded(x: Tensor, size: int, padding: str, align_corners: bool) -> Tensor:
    """Coordinates moved into the image, unless zeros surround it."""
    if padding == "zeros":
        return x
    if padding == "reflection":
        x = _reflected(x, size, align_corners)
    return where(x <= 0, 0.0, where(x >= size - 1, float(size - 1), x))


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Weights of the neighbours -1 to 2 at fractions t: R. Keys, "Cubic convolution interpolation" (1981)."""
    a = _CUBIC

    def near(d: Tensor) -> Tensor:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Tensor) -> Tensor:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


Taps = list[tuple[Tensor, Tensor | None]]  # a coordinate (a whole number) and its weight


def _taps(x: Tensor, size: int, mode: str, padding: str, align_corners: bool) -> Taps:
    """The neighbours along one dim."""
    if mode == "nearest":
        return [(_padded(x, size, padding, align_corners).detach().round(), None)]
    if mode == "bilinear":
        x = _padded(x, size, padding, align_corners)
        low = x.detach().floor()
        return [(low, 1 - (x - low)), (low + 1, x - low)]
    low = x.detach().floor()
    return [(_padded(low + k - 1, size, padding, align_corners).round(), w) for k, w in enumerate(_cubic_weights(x - low))]


@function(toplevel=False)
def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """The values of (N, C, H, W) at the places (x, y) in [-1, 1] of grid (N, h, w, 2): (N, C, h, w); volumes likewise, with (x, y, z).

    >>> x = al.arange(4.0).reshape(1, 1, 2, 2)
    >>> al.nn.functional.grid_sample(x, al.zeros(1, 1, 1, 2), align_corners=False)
    tensor([[[[1.5000]]]])
    """
    _check(input, grid, mode, padding_mode)
    if align_corners is None:
        warnings.warn("grid_sample: align_corners was not given and is False; pass it to say so", stacklevel=3)
        align_corners = False
    dtype = input.dtype
    if dtype in (float16, bfloat16):
        return grid_sample(input.to(float32), grid.to(float32), mode, padding_mode, align_corners).to(dtype)
    sizes = tuple(input.shape[2:])
    along: list[Taps] = []
    for d, size in enumerate(sizes):
        g = grid[..., len(sizes) - 1 - d]  # x, the last dim of the input, comes first
        x = (g + 1) * ((size - 1) / 2) if align_corners else ((g + 1) * size - 1) / 2
        # NaN and what is far outside count as just outside
        x = where(x.detach().abs() < 2.0**24 if dtype is float32 else x.detach().abs() < 2.0**53, x, -1.0 if padding_mode == "zeros" else 0.0)
        along.append(_taps(x, size, mode, padding_mode, align_corners))
    return _gathered(input, along, sizes, tuple(grid.shape[1:-1]))


def _gathered(input: Tensor, along: list[Taps], sizes: tuple[int, ...], out: tuple[int, ...]) -> Tensor:
    N, C = input.shape[:2]
    flat = input.reshape(N, C, math.prod(sizes))
    result: Tensor | None = None
    for corner in itertools.product(*along):
        place: Tensor | None = None
        weight: Tensor | None = None
        inside: Tensor | None = None
        for (x, w), size in zip(corner, sizes, strict=True):
            here = (x >= 0) & (x <= size - 1)
            inside = here if inside is None else inside & here
            index = x.clamp(0, size - 1).to(int64)
            place = index if place is None else place * size + index
            weight = w if weight is None else weight if w is None else weight * w
        assert place is not None and inside is not None
        places = place.reshape(N, 1, -1).expand(N, C, math.prod(out))
        values = flat.gather(2, places).reshape(N, C, *out)
        part = where(inside.unsqueeze(1), values if weight is None else values * weight.unsqueeze(1), 0.0)
        result = part if result is None else result + part
    assert result is not None
    return result


@function(toplevel=False)
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """For maps theta (N, 2, 3) and a result of size (N, C, H, W): the places (N, H, W, 2) for `grid_sample`; (N, 3, 4) of volumes likewise.

    >>> al.nn.functional.affine_grid(al.eye(2, 3).unsqueeze(0), (1, 1, 1, 2), align_corners=True)
    tensor([[[[-1.,  0.],
              [ 1.,  0.]]]])
    """
    require_tensor("affine_grid", theta)
    if not theta.dtype.is_floating_point:
        raise DTypeError(f"affine_grid: expected theta to have floating point type, but got {theta.dtype}; cast it")
    n = len(size) - 2
    if n not in (2, 3) or tuple(theta.shape) != (size[0], n, n + 1):
        raise ShapeError(
            f"affine_grid: only supports 4D and 5D sizes, with theta of (N, 2, 3) or (N, 3, 4), but got size {tuple(size)} and theta "
            f"{tuple(theta.shape)}"
        )
    if min(size) <= 0:
        raise ArgumentError(f"affine_grid: expected non-zero, positive output size. Got {tuple(size)}")
    if align_corners is None:
        warnings.warn("affine_grid: align_corners was not given and is False; pass it to say so", stacklevel=3)
        align_corners = False
    spatial = tuple(size[2:])
    columns = []
    for d in reversed(range(n)):
        line = _line(spatial[d], theta, align_corners)
        columns.append(line.reshape(*(-1 if k == d else 1 for k in range(n))).expand(*spatial))
    base = stack([*columns, columns[0].new_ones(spatial)], -1).reshape(-1, n + 1)
    return (base @ theta.mT).reshape(size[0], *spatial, n)


def _line(size: int, like: Tensor, align_corners: bool) -> Tensor:
    steps = arange(size, dtype=like.dtype, device=like.device)
    if align_corners:
        return steps * (2 / (size - 1)) - 1 if size > 1 else steps
    return (steps * 2 + (1 - size)) / size
