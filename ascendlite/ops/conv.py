"""Convolutions and transposed convolutions of 1 to 3 dimensions.

Forward, input gradient and weight gradient are the three derivatives of one trilinear form in (x, w, y), so each
one's gradient rules are the other two and every order of derivative exists.
"""

from __future__ import annotations

from math import prod

from ascendlite.core import Op, Tensor, function
from ascendlite.core import bool as bool_
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.integer_windows import convolve, convolve_transposed
from ascendlite.ops.sizes import Size, check_positive, spread

# Attributes of all three ops: (stride, padding before, dilation, groups, spatial size of the result).


def _check_dtypes(op, x, w, b):
    for name, other in (("weight", w), ("bias", b)):
        if other is not None and other.dtype != x.dtype:
            raise DTypeError(
                f"{op}: Input type ({x.dtype.name}) and {name} type ({other.dtype.name}) should be the same; "
                "cast one of them"
            )


def _conv_shape(x, w, b, stride, padding, dilation, groups, size):
    _check_dtypes("conv", x, w, b)  # here and not at the front door: autocast has made them equal by now
    return (x.shape[0], w.shape[0], *size), x.dtype


def _conv_input_shape(y, w, b, stride, padding, dilation, groups, size):
    _check_dtypes("conv_transpose", y, w, b)
    return (y.shape[0], w.shape[1] * groups, *size), y.dtype


def _conv_weight_shape(x, y, stride, padding, dilation, groups, size):
    return (y.shape[1], x.shape[1] // groups, *size), x.dtype


def _conv_cost(x, w, b, stride, padding, dilation, groups, size):
    return 2 * x.shape[0] * prod(size) * prod(w.shape)


def _conv_input_cost(y, w, b, stride, padding, dilation, groups, size):
    return 2 * y.shape[0] * prod(y.shape[2:]) * prod(w.shape)


def _conv_weight_cost(x, y, stride, padding, dilation, groups, size):
    return 2 * y.numel() * (x.shape[1] // groups) * prod(size)


def _bias_grad(g):
    return g.sum((0, *range(2, g.ndim)))


_conv = Op(
    "conv",
    inputs=3,
    infer=_conv_shape,
    cost=_conv_cost,
    cast="low",
    vjp=(
        lambda g, y, _x, w, _b, stride, padding, dilation, groups, size: _conv_input(
            g, w, None, stride, padding, dilation, groups, _x.shape[2:]
        ),
        lambda g, y, x, _w, _b, stride, padding, dilation, groups, size: _conv_weight(
            x, g, stride, padding, dilation, groups, _w.shape[2:]
        ),
        lambda g, y: _bias_grad(g),
    ),
)
_conv_input = Op(
    "conv_input",
    inputs=3,
    infer=_conv_input_shape,
    cost=_conv_input_cost,
    cast="low",
    vjp=(
        lambda g, y, _x, w, _b, stride, padding, dilation, groups, size: _conv(
            g, w, None, stride, padding, dilation, groups, _x.shape[2:]
        ),
        lambda g, y, x, _w, _b, stride, padding, dilation, groups, size: _conv_weight(
            g, x, stride, padding, dilation, groups, _w.shape[2:]
        ),
        lambda g, y: _bias_grad(g),
    ),
)
_conv_weight = Op(
    "conv_weight",
    inputs=2,
    infer=_conv_weight_shape,
    cost=_conv_weight_cost,
    vjp=(
        lambda g, w, _x, y, stride, padding, dilation, groups, size: _conv_input(
            y, g, None, stride, padding, dilation, groups, _x.shape[2:]
        ),
        lambda g, w, x, _y, stride, padding, dilation, groups, size: _conv(
            x, g, None, stride, padding, dilation, groups, _y.shape[2:]
        ),
    ),
)


def _check_operands(op: str, n: int, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(
            f"{op}: Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {op}, but got input of size: "
            f"{list(input.shape)}"
        )
    if weight.ndim != n + 2:
        raise ShapeError(
            f"{op}: expected {n + 2}-dimensional weight for {n + 1 if input.ndim == n + 1 else n + 2}-dimensional "
            f"input {list(input.shape)}, but got weight of size {list(weight.shape)}"
        )
    floating = input.dtype.is_floating_point
    if input.dtype is bool_ or (floating and input.dtype.itemsize == 1) or (not floating and input.device.type == "npu"):
        raise DTypeError(
            f"{op}: not implemented for dtype {input.dtype.name}; cast the input to a float dtype"
        )
    if not floating:
        _check_dtypes(op, input, weight, bias)
    if groups <= 0:
        raise ArgumentError(f"{op}: non-positive groups is not supported, got groups={groups}")
    if weight.shape[0] % groups:
        raise ShapeError(
            f"{op}: Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
            f"weight of size {list(weight.shape)} instead"
        )


def _check_channels(op: str, input: Tensor, channels: int, wanted: int, groups: int, weight: Tensor) -> None:
    if channels != wanted:
        raise ShapeError(
            f"{op}: Given groups={groups}, weight of size {list(weight.shape)}, expected input"
            f"{list(input.shape)} to have {wanted} channels, but got {channels} channels instead"
        )


def _check_bias(op: str, bias: Tensor | None, channels: int, weight: Tensor) -> None:
    if bias is not None and tuple(bias.shape) != (channels,):
        raise ShapeError(
            f"{op}: Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
            f"{channels} elements, but got bias of size {list(bias.shape)} instead"
        )


def _check_steps(op: str, stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]) -> None:
    check_positive(op, "stride", stride)
    check_positive(op, "dilation", dilation)
    if any(p < 0 for p in padding):
        raise ArgumentError(f"{op}: negative padding is not supported, got padding={list(padding)}")


def _named_padding(
    op: str, padding: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros before, and before and after together."""
    if padding == "valid":
        return (0,) * len(kernel), (0,) * len(kernel)
    if padding != "same":
        raise ArgumentError(f"{op}: Invalid padding string: '{padding}'; use 'valid' or 'same'")
    if any(s != 1 for s in stride):
        raise ArgumentError(
            f"{op}: padding='same' is not supported for strided convolutions: stride={list(stride)}; give numbers"
        )
    total = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return tuple(t // 2 for t in total), total


def _convolve(
    op: str,
    n: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
) -> Tensor:
    _check_operands(op, n, input, weight, bias, groups)
    stride, dilation = spread(op, "stride", stride, n), spread(op, "dilation", dilation, n)
    kernel = tuple(weight.shape[2:])
    if isinstance(padding, str):
        before, total = _named_padding(op, padding, kernel, stride, dilation)
    else:
        before = spread(op, "padding", padding, n)
        total = tuple(2 * p for p in before)
    _check_steps(op, stride, before, dilation)
    _check_channels(op, input, input.shape[-n - 1], weight.shape[1] * groups, groups, weight)
    _check_bias(op, bias, weight.shape[0], weight)
    padded = tuple(i + t for i, t in zip(input.shape[-n:], total, strict=True))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    if any(r > p for r, p in zip(reach, padded, strict=True)):
        raise ShapeError(
            f"{op}: Calculated padded input size per channel: {padded}. Kernel size: {reach}. "
            "Kernel size can't be greater than actual input size; add padding or take a smaller kernel"
        )
    size = tuple((p - r) // s + 1 for p, r, s in zip(padded, reach, stride, strict=True))
    run = _conv if input.dtype.is_floating_point else convolve
    if input.ndim == n + 1:
        return run(input.unsqueeze(0), weight, bias, stride, before, dilation, groups, size).squeeze(0)
    return run(input, weight, bias, stride, before, dilation, groups, size)


def _convolve_transposed(
    op: str,
    n: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    output_padding: Size,
    groups: int,
    dilation: Size,
) -> Tensor:
    _check_operands(op, n, input, weight, bias, groups)
    stride, dilation = spread(op, "stride", stride, n), spread(op, "dilation", dilation, n)
    padding, extra = spread(op, "padding", padding, n), spread(op, "output_padding", output_padding, n)
    _check_steps(op, stride, padding, dilation)
    _check_channels(op, input, input.shape[-n - 1], weight.shape[0], groups, weight)
    _check_bias(op, bias, weight.shape[1] * groups, weight)
    if any(e < 0 or e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ArgumentError(
            f"{op}: output padding must be smaller than either stride or dilation, but got output_padding="
            f"{list(extra)}, stride={list(stride)}, dilation={list(dilation)}"
        )
    size = tuple(
        (i - 1) * s - 2 * p + d * (k - 1) + e + 1
        for i, s, p, d, k, e in zip(
            input.shape[-n:], stride, padding, dilation, weight.shape[2:], extra, strict=True
        )
    )
    if any(i <= 0 for i in (*size, *input.shape[-n:])):
        raise ShapeError(
            f"{op}: Given input size per channel: {tuple(input.shape[-n:])}. Calculated output size per channel: "
            f"{size}. Output size is too small; take less padding"
        )
    run = _conv_input if input.dtype.is_floating_point else convolve_transposed
    if input.ndim == n + 1:
        return run(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups, size).squeeze(0)
    return run(input, weight, bias, stride, padding, dilation, groups, size)


@function()
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over (N, C, L) or (C, L) with weight (O, C / groups, K).

    >>> al.conv1d(al.ones(1, 2, 5), al.ones(3, 2, 2)).shape
    (1, 3, 4)
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@function()
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over (N, C, H, W) or (C, H, W) with weight (O, C / groups, KH, KW); padding may be "same" or "valid".

    On the CPU, sums in float32 over 3x3 taps at unit stride and dilation, of one group and 16 channels or more, go by Winograd's F(2x2, 3x3)
    where that is faster, gradients too. An output still depends on what it reads alone. With X the largest input that it reads, W the sum of
    the |weights| that it is multiplied by and u = 2^-24, its error is below 16 (C + 12) u X W; that of direct sums is below 9 C u X W.
    On normal numbers both are some 3e-7 of the outputs. `al.backends.set_convolution("direct")` asks for direct sums.

    >>> al.conv2d(al.ones(1, 3, 8, 8), al.ones(4, 3, 3, 3), padding=1, stride=2).shape
    (1, 4, 4, 4)
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@function()
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over (N, C, D, H, W) or (C, D, H, W) with weight (O, C / groups, KD, KH, KW).

    >>> al.conv3d(al.ones(1, 1, 4, 4, 4), al.ones(2, 1, 3, 3, 3)).shape
    (1, 2, 2, 2, 2)
    """
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@function()
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """Transposed convolution of (N, C, L) or (C, L) with weight (C, O / groups, K).

    >>> al.conv_transpose1d(al.ones(1, 2, 5), al.ones(2, 3, 4), stride=2).shape
    (1, 3, 12)
    """
    return _convolve_transposed(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@function()
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """Transposed convolution of (N, C, H, W) or (C, H, W) with weight (C, O / groups, KH, KW).

    >>> al.conv_transpose2d(al.ones(1, 2, 4, 4), al.ones(2, 3, 2, 2), stride=2).shape
    (1, 3, 8, 8)
    """
    return _convolve_transposed(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@function()
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """Transposed convolution of (N, C, D, H, W) or (C, D, H, W) with weight (C, O / groups, KD, KH, KW).

    >>> al.conv_transpose3d(al.ones(1, 1, 2, 2, 2), al.ones(1, 2, 2, 2, 2), stride=2).shape
    (1, 2, 4, 4, 4)
    """
    return _convolve_transposed(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )
