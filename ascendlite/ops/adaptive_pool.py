"""Adaptive pooling, whose windows follow from the output size, and what all pools share."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import Op, Tensor, function, int64
from ascendlite.core import bool as bool_
from ascendlite.errors import ArgumentError, DTypeError, ShapeError

OutputSize = int | None | Sequence[int | None]


def _scattered(g, index, size):
    return (*g.shape[: g.ndim - len(size)], *size), g.dtype


def _gathered(x, index, nd):
    return index.shape, x.dtype


# Adds each gradient to the position of its plane that the maximum came from; and reads those positions.
plane_scatter = Op(
    "plane_scatter",
    inputs=2,
    infer=_scattered,
    vjp=(lambda g, y, _g, index, size: _plane_gather(g, index, len(size)), None),
)
# The same for places that the windows of a pool gave: kernel, stride, padding and dilation follow the size; nothing: adaptive windows.
window_scatter = Op(
    "window_scatter",
    inputs=2,
    kernel="plane_scatter",
    infer=lambda g, index, size, *windows: _scattered(g, index, size),
    vjp=(lambda g, y, _g, index, size: _plane_gather(g, index, len(size)), None),
)
_plane_gather = Op(
    "plane_gather",
    inputs=2,
    infer=_gathered,
    vjp=(lambda g, y, _x, index, nd: plane_scatter(g, index, _x.shape[_x.ndim - nd :]), None),
)


def _adaptive_shape(x, size):
    return (*x.shape[: x.ndim - len(size)], *size), x.dtype


def _adaptive_max_shapes(x, size):
    shape, dtype = _adaptive_shape(x, size)
    return [(shape, dtype), (shape, int64)]


_adaptive_max = Op(
    "adaptive_max_pool",
    inputs=1,
    holds=True,
    infer=_adaptive_max_shapes,
    vjp=(lambda g, y, _x, size: window_scatter(g[0], y[1], _x.shape[_x.ndim - len(size) :]),),
)
_adaptive_avg = Op(
    "adaptive_avg_pool",
    inputs=1,
    holds=True,
    infer=_adaptive_shape,
    vjp=(lambda g, y, _x, size: _adaptive_avg_backward(g, _x.shape[_x.ndim - len(size) :]),),
)
_adaptive_avg_backward = Op(
    "adaptive_avg_pool_backward",
    inputs=1,
    infer=_adaptive_shape,
    vjp=(lambda g, y, _x, size: _adaptive_avg(g, _x.shape[_x.ndim - len(size) :]),),
)


def check_planes(op: str, n: int, input: Tensor, integers: bool = False) -> None:
    """A pool over n dimensions takes (N, C, ...) or (C, ...) of a float dtype (some: of integers), with something in every plane."""
    if input.ndim not in (n + 1, n + 2):
        raise ArgumentError(
            f"{op}: Expected {n + 1}D or {n + 2}D (batch mode) tensor for input, but got: {list(input.shape)}"
        )
    if not input.dtype.is_floating_point and not (integers and input.dtype is not bool_ and input.device.type != "npu"):
        raise DTypeError(f"{op}: not implemented for dtype {input.dtype.name}; cast to a float dtype first")
    if 0 in input.shape[-n - 1 :]:
        raise ShapeError(
            f"{op}: Expected input to have non-zero size for non-batch dimensions, but got {list(input.shape)}"
        )


def _output_size(op: str, n: int, input: Tensor, size: OutputSize) -> tuple[int, ...]:
    wanted = (size,) * n if size is None or isinstance(size, int) else tuple(size)
    if len(wanted) != n:
        raise ArgumentError(f"{op}: output_size must have {n} entries, but got {list(wanted)}")
    filled = tuple(int(i if w is None else w) for w, i in zip(wanted, input.shape[-n:], strict=True))
    if any(w < 0 for w in filled):
        raise ArgumentError(f"{op}: elements of output_size must be greater than or equal to 0, got {list(filled)}")
    return filled


def _pool_avg(op: str, n: int, input: Tensor, size: OutputSize) -> Tensor:
    check_planes(op, n, input)
    return _adaptive_avg(input, _output_size(op, n, input, size))


def _pool_max(op: str, n: int, input: Tensor, size: OutputSize, indices: bool) -> Tensor | tuple[Tensor, Tensor]:
    check_planes(op, n, input)
    values, places = _adaptive_max(input, _output_size(op, n, input, size))
    return (values, places) if indices else values


@function(toplevel=False)
def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Means over (N, C, L) in as many windows as `output_size` says; None keeps a dimension.

    >>> al.nn.functional.adaptive_avg_pool1d(al.ones(1, 2, 6), 3).shape
    (1, 2, 3)
    """
    return _pool_avg("adaptive_avg_pool1d", 1, input, output_size)


@function(toplevel=False)
def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Means over (N, C, H, W) in as many windows as `output_size` says; None keeps a dimension.

    >>> al.nn.functional.adaptive_avg_pool2d(al.ones(1, 2, 6, 6), (3, None)).shape
    (1, 2, 3, 6)
    """
    return _pool_avg("adaptive_avg_pool2d", 2, input, output_size)


@function(toplevel=False)
def adaptive_avg_pool3d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Means over (N, C, D, H, W) in as many windows as `output_size` says; None keeps a dimension.

    >>> al.nn.functional.adaptive_avg_pool3d(al.ones(1, 2, 6, 6, 6), (3, None, None)).shape
    (1, 2, 3, 6, 6)
    """
    return _pool_avg("adaptive_avg_pool3d", 3, input, output_size)


@function(toplevel=False)
def adaptive_max_pool1d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima over (N, C, L) in as many windows as `output_size` says, with flat positions in the plane if asked.

    >>> al.nn.functional.adaptive_max_pool1d(al.ones(1, 2, 6), 1).shape
    (1, 2, 1)
    """
    return _pool_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


@function(toplevel=False)
def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima over (N, C, H, W) in as many windows as `output_size` says, with flat positions in the plane if asked.

    >>> al.nn.functional.adaptive_max_pool2d(al.ones(1, 2, 6, 6), 1).shape
    (1, 2, 1, 1)
    """
    return _pool_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


@function(toplevel=False)
def adaptive_max_pool3d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima over (N, C, D, H, W) in as many windows as `output_size` says, with flat positions in the plane if asked.

    >>> al.nn.functional.adaptive_max_pool3d(al.ones(1, 2, 6, 6, 6), 1).shape
    (1, 2, 1, 1, 1)
    """
    return _pool_max("adaptive_max_pool3d", 3, input, output_size, return_indices)
