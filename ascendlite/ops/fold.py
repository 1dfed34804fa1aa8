"""Sliding blocks of images as columns, and back: `torch.nn.functional.unfold` and `fold`."""

from __future__ import annotations

from ascendlite.core import Op, Tensor, float32, function
from ascendlite.core import bool as bool_
from ascendlite.errors import DTypeError, ShapeError
from ascendlite.ops.sizes import Size, check_positive, spread


def _grid(image, kernel, dilation, padding, stride):
    return tuple(
        (i + 2 * p - d * (k - 1) - 1) // s + 1
        for i, k, d, p, s in zip(image, kernel, dilation, padding, stride, strict=True)
    )


def _columns(x, kernel, dilation, padding, stride):
    rows, cols = _grid(x.shape[2:], kernel, dilation, padding, stride)
    return (x.shape[0], x.shape[1] * kernel[0] * kernel[1], rows * cols), x.dtype


def _image(y, kernel, dilation, padding, stride, size):
    return (y.shape[0], y.shape[1] // (kernel[0] * kernel[1]), *size), y.dtype


_im2col = Op(
    "im2col",
    inputs=1,
    infer=_columns,
    vjp=(
        lambda g, y, _x, kernel, dilation, padding, stride: _col2im(
            g, kernel, dilation, padding, stride, _x.shape[2:]
        ),
    ),
)
_col2im = Op(
    "col2im",
    inputs=1,
    infer=_image,
    vjp=(lambda g, x, _y, kernel, dilation, padding, stride: _im2col(g, kernel, dilation, padding, stride),),
)


def _windows(
    op: str, image: tuple[int, ...], kernel_size: Size, dilation: Size, padding: Size, stride: Size
) -> tuple[tuple[int, ...], ...]:
    """The four attributes, checked, and the grid of blocks."""
    kernel, dilation = spread(op, "kernel_size", kernel_size, 2), spread(op, "dilation", dilation, 2)
    padding, stride = spread(op, "padding", padding, 2), spread(op, "stride", stride, 2)
    for name, value in (("kernel_size", kernel), ("dilation", dilation), ("stride", stride)):
        check_positive(op, name, value)
    grid = _grid(image, kernel, dilation, padding, stride)
    if any(n < 1 for n in grid):
        raise ShapeError(
            f"{op}: Given spatial size {image}, kernel_size={kernel}, dilation={dilation}, padding={padding}, "
            f"stride={stride}, calculated shape of the array of sliding blocks as {grid}, but its components must "
            "be at least one; take smaller windows or more padding"
        )
    return kernel, dilation, padding, stride, grid


def _check_float(op: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise DTypeError(f"{op}: not implemented for dtype {input.dtype.name}; cast to a float dtype first")


@function(toplevel=False)
def unfold(
    input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Sliding blocks of (N, C, H, W) as columns (N, C * kernel, blocks); the batch may be left out.

    >>> al.nn.functional.unfold(al.ones(1, 2, 4, 4), 3).shape
    (1, 18, 4)
    """
    if input.ndim not in (3, 4):
        raise ShapeError(
            f"unfold: Expected 3D or 4D (batch mode) tensor for input, but got: {list(input.shape)}"
        )
    if input.dtype is bool_:
        return unfold(input.to(float32), kernel_size, dilation, padding, stride).to(bool_)
    _check_float("unfold", input)
    windows = _windows("unfold", tuple(input.shape[-2:]), kernel_size, dilation, padding, stride)[:4]
    if input.ndim == 3:
        return _im2col(input.unsqueeze(0), *windows).squeeze(0)
    return _im2col(input, *windows)


@function(toplevel=False)
def fold(
    input: Tensor, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Adds columns (N, C * kernel, blocks) up into an image (N, C, H, W) where they came from.

    >>> al.nn.functional.fold(al.ones(1, 18, 4), 4, 3).shape
    (1, 2, 4, 4)
    """
    if input.ndim not in (2, 3):
        raise ShapeError(f"fold: Expected 2D or 3D (batch mode) tensor for input, but got: {list(input.shape)}")
    _check_float("fold", input)
    size = spread("fold", "output_size", output_size, 2)
    *windows, grid = _windows("fold", size, kernel_size, dilation, padding, stride)
    window, blocks = windows[0][0] * windows[0][1], grid[0] * grid[1]
    if input.shape[-2] % window:
        raise ShapeError(
            f"fold: Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={input.shape[-2]} and kernel_size={windows[0]}"
        )
    if input.shape[-1] != blocks:
        raise ShapeError(
            f"fold: Given output_size={size}, kernel_size={windows[0]}, dilation={windows[1]}, padding={windows[2]}, "
            f"stride={windows[3]}, expected size of input's dimension 2 to match the calculated number of sliding "
            f"blocks {grid[0]} * {grid[1]} = {blocks}, but got input.size(2)={input.shape[-1]}"
        )
    if input.ndim == 2:
        return _col2im(input.unsqueeze(0), *windows, size).squeeze(0)
    return _col2im(input, *windows, size)
