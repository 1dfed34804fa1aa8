"""Max and average pooling of 1 to 3 dimensions, over fixed windows. Adaptive windows are in adaptive_pool.py."""

from __future__ import annotations

from ascendlite.core import Op, Tensor, deliver, doubles_on_npu, float64, function, int64
from ascendlite.core import bool as bool_
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    check_planes,
    window_scatter,
)
from ascendlite.ops.integer_windows import averages
from ascendlite.ops.sizes import Size, check_positive, spread

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]


def _max_shapes(x, kernel, stride, padding, dilation, size):
    shape = (*x.shape[: x.ndim - len(size)], *size)
    return [(shape, x.dtype), (shape, int64)]


def _avg_shape(x, kernel, stride, padding, include_pad, divisor, size):
    return (*x.shape[: x.ndim - len(size)], *size), x.dtype


_max_pool = Op(
    "max_pool",
    inputs=1,
    holds=True,
    infer=_max_shapes,
    vjp=(
        lambda g, y, _x, kernel, stride, padding, dilation: window_scatter(
            g[0], y[1], _x.shape[_x.ndim - len(kernel) :], kernel, stride, padding, dilation
        ),
    ),
)
# Attributes: kernel, stride, padding, count_include_pad, divisor_override (0: none), spatial size of the result.
_avg_pool = Op(
    "avg_pool",
    inputs=1,
    holds=True,
    infer=_avg_shape,
    vjp=(
        lambda g, y, _x, kernel, stride, padding, include_pad, divisor: _avg_pool_backward(
            g, kernel, stride, padding, include_pad, divisor, _x.shape[_x.ndim - len(kernel) :]
        ),
    ),
)
_avg_pool_backward = Op(
    "avg_pool_backward",
    inputs=1,
    infer=_avg_shape,
    vjp=(
        lambda g, y, _x, kernel, stride, padding, include_pad, divisor: _avg_pool(
            g, kernel, stride, padding, include_pad, divisor, _x.shape[_x.ndim - len(kernel) :]
        ),
    ),
)


def _pooled_size(
    op: str,
    input: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
) -> tuple[int, ...]:
    size = []
    for i, k, s, p, d in zip(input.shape[-len(kernel) :], kernel, stride, padding, dilation, strict=True):
        out = (i + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (out - 1) * s >= i + p:  # the last window must start inside the input or its left padding
            out -= 1
        size.append(out)
    if any(n < 1 for n in size):
        raise ShapeError(
            f"{op}: Given input size: {list(input.shape)}. Calculated output size: {size}. Output size is too small; "
            "take a smaller kernel or more padding"
        )
    return tuple(size)


def _check_windows(
    op: str, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]
) -> None:
    check_positive(op, "kernel_size", kernel)
    check_positive(op, "stride", stride)
    check_positive(op, "dilation", dilation)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(p < 0 or p > r // 2 for p, r in zip(padding, reach, strict=True)):
        raise ArgumentError(
            f"{op}: pad should be at least zero and at most half of effective kernel size, but got pad={padding}, "
            f"kernel_size={kernel} and dilation={dilation}"
        )


def _exact_float(op: str, input: Tensor) -> Tensor:
    """Integers as float64, which holds them exactly; larger ones are refused."""
    wide = input.to(float64)
    if input.dtype is int64 and input.device.type != "meta" and bool((wide.abs() >= 2**53).any()):
        raise ArgumentError(f"{op}: an element is beyond 2^53, which is the most for integers here; scale them down")
    return wide


def _max(
    op: str,
    n: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
    return_indices: bool,
) -> Tensor | tuple[Tensor, Tensor]:
    if not input.dtype.is_floating_point and input.dtype is not bool_:
        with doubles_on_npu():
            wide, options = _exact_float(op, input), (kernel_size, stride, padding, dilation, ceil_mode, True)
            values, places = _max(op, n, wide, *options)
            return (values.to(input.dtype), places) if return_indices else values.to(input.dtype)
    check_planes(op, n, input)
    kernel, padding = spread(op, "kernel_size", kernel_size, n), spread(op, "padding", padding, n)
    stride = kernel if stride is None or stride == () or stride == [] else spread(op, "stride", stride, n)
    dilation = spread(op, "dilation", dilation, n)
    _check_windows(op, kernel, stride, padding, dilation)
    size = _pooled_size(op, input, kernel, stride, padding, dilation, ceil_mode)
    values, places = _max_pool(input, kernel, stride, padding, dilation, size)
    return (values, places) if return_indices else values


def _avg(
    op: str,
    n: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    check_planes(op, n, input, integers=True)
    kernel, padding = spread(op, "kernel_size", kernel_size, n), spread(op, "padding", padding, n)
    stride = kernel if stride is None or stride == () or stride == [] else spread(op, "stride", stride, n)
    ones = (1,) * n
    _check_windows(op, kernel, stride, padding, ones)
    if divisor_override == 0:
        raise ArgumentError(f"{op}: divisor must be not zero, got divisor_override=0")
    size = _pooled_size(op, input, kernel, stride, padding, ones, ceil_mode)
    run = _avg_pool if input.dtype.is_floating_point else averages
    return run(input, kernel, stride, padding, bool(count_include_pad), divisor_override or 0, size)


@function(toplevel=False)
def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima of windows of (N, C, L), with their flat positions in the plane if asked; stride is the window by default.

    >>> al.nn.functional.max_pool1d(al.ones(1, 2, 6), 2).shape
    (1, 2, 3)
    """
    return _max(
        "max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@function(toplevel=False)
def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima of windows of (N, C, H, W), with their flat positions in the plane if asked; stride is the window by default.

    >>> al.nn.functional.max_pool2d(al.ones(1, 2, 6, 6), 2).shape
    (1, 2, 3, 3)
    """
    return _max(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@function(toplevel=False)
def max_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima of windows of (N, C, D, H, W), with their flat positions in the plane if asked; stride is the window by default.

    >>> al.nn.functional.max_pool3d(al.ones(1, 2, 6, 6, 6), 2).shape
    (1, 2, 3, 3, 3)
    """
    return _max(
        "max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@function(toplevel=False)
def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Means of windows of (N, C, L); stride is the window by default.

    >>> al.nn.functional.avg_pool1d(al.ones(1, 2, 6), 2).shape
    (1, 2, 3)
    """
    return _avg(
        "avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad
    )


@function(toplevel=False)
def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Means of windows of (N, C, H, W); stride is the window by default.

    >>> al.nn.functional.avg_pool2d(al.ones(1, 2, 6, 6), 2).shape
    (1, 2, 3, 3)
    """
    means = _avg(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return means if out is None else deliver(means, out)


@function(toplevel=False)
def avg_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Means of windows of (N, C, D, H, W); stride is the window by default.

    >>> al.nn.functional.avg_pool3d(al.ones(1, 2, 6, 6, 6), 2).shape
    (1, 2, 3, 3, 3)
    """
    means = _avg(
        "avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return means if out is None else deliver(means, out)
