"""Activation functions made of pieces: the families of relu and elu, the hard forms, thresholds."""

from __future__ import annotations

from ascendlite.core import FLOATONLY, NUMERIC, Tensor, deliver, empty_like, function, pointwise, require_tensor
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.compare import refuse_bool, where
from ascendlite.ops.pointwise import exp, zero

Number = int | float


# ---- relu, threshold, leaky_relu ----

_threshold_backward = pointwise(
    "threshold_backward",
    FLOATONLY,
    vjp=(lambda gg, _y, _g, x, limit: _threshold_backward(gg, x, limit), zero, None),
    public=False,
)
_relu = pointwise("relu", NUMERIC, vjp=(lambda g, y: _threshold_backward(g, y, 0.0),), public=False)
_threshold = pointwise(
    "threshold",
    NUMERIC,
    vjp=(lambda g, _y, x, limit: _threshold_backward(g, x, limit), None, None),
    public=False,
)


@function(methods=("relu",), inplace=lambda self: _relu.inplace(self))
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0).

    >>> al.relu(al.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return _relu.inplace(input) if inplace else _relu(input)


@function()
def threshold(input: Tensor, threshold: Number, value: Number, inplace: bool = False) -> Tensor:
    """x where it is above `threshold`, `value` elsewhere."""
    if not input.dtype.is_floating_point:
        refuse_bool("threshold", input)
        threshold, value = int(threshold), int(value)
    return _threshold.inplace(input, threshold, value) if inplace else _threshold(input, threshold, value)


_leaky_relu_backward = pointwise(
    "leaky_relu_backward",
    FLOATONLY,
    vjp=(
        lambda gg, _y, _g, x, slope: _leaky_relu_backward(gg, x, slope),
        zero,
        lambda gg, _y, g, x: where(x > 0, 0.0, gg * g),
    ),
    public=False,
)
_leaky_relu = pointwise(
    "leaky_relu",
    FLOATONLY,
    vjp=(
        lambda g, _y, x, slope: _leaky_relu_backward(g, x, slope),
        lambda g, _y, x: where(x > 0, 0.0, g * x),
    ),
    public=False,
)


@function(toplevel=False)
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where it is above 0, negative_slope * x elsewhere."""
    return _leaky_relu.inplace(input, negative_slope) if inplace else _leaky_relu(input, negative_slope)


@function(methods=("prelu",))
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """leaky_relu with a learnt slope: one value, or one a channel (dimension 1)."""
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.ndim != 1 or weight.numel() != channels:
            raise ShapeError(
                f"prelu: weight has shape {tuple(weight.shape)}, input has {channels} channels in shape {tuple(input.shape)}; "
                "give one slope, or one a channel"
            )
        weight = weight.reshape((channels,) + (1,) * (input.ndim - 2))
    elif weight.ndim:
        weight = weight.reshape(())
    if weight.dtype is not input.dtype:
        raise DTypeError(
            f"prelu: dtypes differ: input is {input.dtype.name}, weight is {weight.dtype.name}; cast one with .to()"
        )
    return _leaky_relu(input, weight)


@function()
def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """leaky_relu whose slopes are drawn from [lower, upper] in training, and are their mean otherwise."""
    if lower > upper:
        raise ArgumentError(
            f"rrelu: Lower bound should be less than or equal to the upper bound: got {lower} and {upper}"
        )
    slope = empty_like(input).uniform_(lower, upper) if training else (lower + upper) / 2
    return _leaky_relu.inplace(input, slope) if inplace else _leaky_relu(input, slope)


# ---- elu, selu, celu: scale * (x or alpha * (e^(input_scale x) - 1)) ----


def _elu_curvature(g: Tensor, x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    return where(x > 0, 0.0, g * exp(x * input_scale) * (alpha * scale * input_scale * input_scale))


_elu_backward = pointwise(
    "elu_backward",
    FLOATONLY,
    vjp=(
        lambda gg, _y, _g, x, alpha, scale, input_scale: _elu_backward(gg, x, alpha, scale, input_scale),
        lambda gg, _y, g, x, alpha, scale, input_scale: _elu_curvature(gg * g, x, alpha, scale, input_scale),
        None,
        None,
        None,
    ),
    public=False,
)
_elu = pointwise(
    "elu",
    FLOATONLY,
    vjp=(
        lambda g, _y, x, alpha, scale, input_scale: _elu_backward(g, x, alpha, scale, input_scale),
        None,
        None,
        None,
    ),
    public=False,
)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848, 1.0507009873554804934  # Klambauer et al. 2017


def _run_elu(input: Tensor, inplace: bool, alpha: float, scale: float, input_scale: float) -> Tensor:
    run = _elu.inplace if inplace else _elu
    return run(input, alpha, scale, input_scale)


@function(toplevel=False)
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is above 0, alpha * (e^x - 1) elsewhere."""
    return _run_elu(input, inplace, alpha, 1.0, 1.0)


@function()
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """elu with the two constants that keep mean 0 and variance 1 through layers."""
    return _run_elu(input, inplace, SELU_ALPHA, SELU_SCALE, 1.0)


@function()
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is above 0, alpha * (e^(x / alpha) - 1) elsewhere."""
    if alpha == 0:
        raise ArgumentError("celu: ZeroDivisionError: alpha is 0; give another")
    return _run_elu(input, inplace, alpha, 1.0, 1.0 / alpha)


# ---- the hard forms ----

_hardtanh_backward = pointwise(
    "hardtanh_backward",
    FLOATONLY,
    vjp=(lambda gg, _y, _g, x, low, high: _hardtanh_backward(gg, x, low, high), zero, None, None),
    public=False,
)
_hardtanh = pointwise(
    "hardtanh",
    NUMERIC,
    vjp=(lambda g, _y, x, low, high: _hardtanh_backward(g, x, low, high), None, None),
    kernel="clamp",
    public=False,
)


@function(toplevel=False)
def hardtanh(input: Tensor, min_val: Number = -1.0, max_val: Number = 1.0, inplace: bool = False) -> Tensor:
    """x, kept in [min_val, max_val]; its gradient is 0 on the bounds."""
    require_tensor("hardtanh", input)
    if min_val > max_val:
        raise ArgumentError(
            f"hardtanh: min_val cannot be greater than max_val: {min_val} > {max_val}; swap them"
        )
    if not input.dtype.is_floating_point:
        refuse_bool("hardtanh", input)
        if min_val < 0 and not input.dtype.is_signed:
            raise DTypeError(
                f"hardtanh: limit {min_val} is negative, dtype {input.dtype.name} has no sign; cast first"
            )
        min_val, max_val = int(min_val), int(max_val)
    run = _hardtanh.inplace if inplace else _hardtanh
    return run(input, min_val, max_val)


@function(toplevel=False)
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x, kept in [0, 6]."""
    return hardtanh(input, 0.0, 6.0, inplace)


_hardswish_backward = pointwise(
    "hardswish_backward",
    FLOATONLY,
    vjp=(
        lambda gg, _y, _g, x: _hardswish_backward(gg, x),
        lambda gg, _y, g, x: where((x > -3) & (x < 3), gg * g / 3, 0.0),
    ),
    public=False,
)
_hardswish = pointwise(
    "hardswish", FLOATONLY, vjp=(lambda g, _y, x: _hardswish_backward(g, x),), public=False
)
_hardsigmoid_backward = pointwise(
    "hardsigmoid_backward",
    FLOATONLY,
    vjp=(lambda gg, _y, _g, x: _hardsigmoid_backward(gg, x), zero),
    public=False,
)
_hardsigmoid = pointwise(
    "hardsigmoid", FLOATONLY, vjp=(lambda g, _y, x: _hardsigmoid_backward(g, x),), public=False
)


@function(toplevel=False)
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6."""
    return _hardswish.inplace(input) if inplace else _hardswish(input)


@function(toplevel=False)
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return _hardsigmoid.inplace(input) if inplace else _hardsigmoid(input)


# ---- shrinking ----


def _require_float(op: str, input: Tensor) -> None:
    require_tensor(op, input)
    if not input.dtype.is_floating_point:
        raise DTypeError(
            f"{op}: not implemented for dtype {input.dtype.name}; cast to a float dtype, as with .float()"
        )


@function(methods=("hardshrink",))
def hardshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """x, but 0 in [-lambd, lambd]."""
    _require_float("hardshrink", input)
    return deliver(where(input.abs() <= lambd, 0.0, input), out)


@function(toplevel=False)
def softshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """x moved towards 0 by lambd."""
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}")
    _require_float("softshrink", input)
    inner = where(input < -lambd, input + lambd, input * 0.0)
    return where(input > lambd, input - lambd, inner, out=out)
