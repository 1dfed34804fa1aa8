"""Resampling of images and sequences, as in `torch.nn.functional.interpolate`."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from ascendlite.core import Op, Tensor, function, uint8
from ascendlite.errors import DTypeError, ShapeError
from ascendlite.ops.pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

# Attributes: (spatial size of the result), mode, align_corners, three scales as given (0: from the sizes).


def _resized(x, size, mode, align, *scales):
    return (*x.shape[: x.ndim - len(size)], *size), x.dtype


_interpolate = Op(
    "interpolate",
    inputs=1,
    infer=_resized,
    vjp=(
        lambda g, y, _x, size, mode, align, sd, sh, sw: _interpolate_backward(
            g, _x.shape[2:], mode, align, sd, sh, sw
        ),
    ),
)
_interpolate_backward = Op(
    "interpolate_backward",
    inputs=1,
    infer=_resized,
    vjp=(
        lambda g, y, _x, size, mode, align, sd, sh, sw: _interpolate(g, _x.shape[2:], mode, align, sd, sh, sw),
    ),
)

# Mode: number in the kernel, and the input dimensions it is for (None: 3, 4 or 5).
_MODES = {
    "nearest": (0, None),
    "nearest-exact": (1, None),
    "linear": (2, 3),
    "bilinear": (2, 4),
    "trilinear": (2, 5),
    "bicubic": (3, 4),
}
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def _listed(name: str, value: float | Sequence[float], n: int, shape: tuple[int, ...]) -> list[float]:
    if isinstance(value, (int, float)):
        return [value] * n
    if len(value) != n:
        raise ValueError(
            f"interpolate: Input and {name} must have the same number of spatial dimensions, but got input "
            f"{list(shape)} with {n} and {name}={list(value)} of {len(value)}"
        )
    return list(value)


def _target(
    input: Tensor, size: int | Sequence[int] | None, scale_factor: float | Sequence[float] | None, recompute: bool
) -> tuple[tuple[int, ...], list[float]]:
    """The size of the result, and the scales that positions are computed from (0: from the sizes)."""
    n = input.ndim - 2
    if size is not None and scale_factor is not None:
        raise ValueError("interpolate: only one of size or scale_factor should be defined: got both; drop one")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor is not meaningful with an explicit size")
        return tuple(int(s) for s in _listed("size", size, n, input.shape)), [0.0] * n
    if scale_factor is None:
        raise ValueError("interpolate: either size or scale_factor should be defined: got neither")
    scales = [float(s) for s in _listed("scale_factor", scale_factor, n, input.shape)]
    target = tuple(floor(i * s) for i, s in zip(input.shape[2:], scales, strict=True))
    return target, [0.0] * n if recompute else scales


def _check_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not implemented; blur the input first or use 'area'")
    if mode not in _MODES and mode != "area":
        raise NotImplementedError(f"interpolate: unknown mode {mode!r}; use one of {[*_MODES, 'area']}")
    if input.ndim not in (3, 4, 5):
        raise NotImplementedError(
            f"interpolate: got {input.ndim}D input of shape {list(input.shape)}; 3D, 4D and 5D are supported "
            "(batch, channels, then spatial dimensions)"
        )
    wanted = _MODES[mode][1] if mode != "area" else None
    if wanted is not None and input.ndim != wanted:
        raise NotImplementedError(f"interpolate: got {input.ndim}D input, but {mode} mode needs {wanted}D input")
    if mode in ("nearest", "nearest-exact", "area") and align_corners is not None:
        raise ValueError(
            f"interpolate: align_corners={align_corners} can only be set with the interpolating modes: linear | "
            f"bilinear | bicubic | trilinear; got mode={mode!r}"
        )
    if not input.dtype.is_floating_point and not (input.dtype is uint8 and mode != "area"):
        raise DTypeError(f"interpolate: not implemented for dtype {input.dtype.name}; cast to a float dtype first")


def _bytes(input: Tensor, target: tuple[int, ...], mode: int, align_corners: bool, scales: Sequence[float]) -> Tensor:
    """The last dim first, one at a time, and rounded to bytes after each, as torch does."""
    n = len(target)
    for d in reversed(range(n)):
        size = tuple(target[d] if k == d else input.shape[2 + k] for k in range(n))
        factors = [scales[k] if k == d else 0.0 for k in range(n)]
        wide = _interpolate(input.float(), size, mode, align_corners, *[0.0] * (3 - n), *factors)
        input = (wide + 0.5).floor().clamp(0, 255).to(uint8)
    return input


@function(toplevel=False)
def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dimensions of (N, C, L), (N, C, H, W) or (N, C, D, H, W) to `size` or by `scale_factor`.

    Modes: nearest, nearest-exact, linear, bilinear, trilinear, bicubic, area.

    >>> al.nn.functional.interpolate(al.ones(1, 1, 2, 2), scale_factor=2, mode="bilinear").shape
    (1, 1, 4, 4)
    """
    _check_mode(input, mode, align_corners, antialias)
    target, scales = _target(input, size, scale_factor, bool(recompute_scale_factor))
    if any(s <= 0 for s in (*target, *input.shape[1:])):
        raise ShapeError(
            f"interpolate: Input and output sizes should be greater than 0, but got input {list(input.shape)} and "
            f"output size {list(target)}"
        )
    n = len(target)
    if mode == "area":
        return _AREA[n](input, target)
    if input.dtype is uint8:
        return _bytes(input, target, _MODES[mode][0], bool(align_corners), scales)
    return _interpolate(input, target, _MODES[mode][0], bool(align_corners), *[0.0] * (3 - n), *scales)
