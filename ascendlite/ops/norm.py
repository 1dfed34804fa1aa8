"""layer_norm and rms_norm: one fused kernel each way.

The fused backward has no gradient of its own: when the backward pass is recorded, its rule is plain ops.
"""

from __future__ import annotations

import math
from typing import Any

from ascendlite.core import DType, Op, Tensor, finfo, float32, float64, function, is_grad_enabled, sum_to
from ascendlite.errors import DTypeError, ShapeError
from ascendlite.ops.compare import refuse_integers


def _accumulator(x: Any) -> DType:
    return float64 if x.dtype == float64 else float32


def _goes_with(x: Any, parameter: Any) -> bool:
    """Whether the kernel reads a parameter of that dtype beside x: float64 goes with itself, the narrower floats with each other."""
    return parameter.dtype.is_floating_point and (parameter.dtype is float64) == (x.dtype is float64)


def _forward_specs(x, weight, bias, n, centred, eps):
    for parameter in (weight, bias):
        if parameter is not None and not _goes_with(x, parameter):
            raise DTypeError(f"layer_norm: mixed dtypes: input is {x.dtype.name}, a parameter is {parameter.dtype.name}; cast one with .to()")
    statistic = (x.numel() // n if n else 0,), _accumulator(x)  # one number a row
    return [x, statistic, statistic]


def _backward_specs(g, x, weight, mean, rstd, n, centred, has_weight, has_bias):
    dtype = x.dtype if weight is None else weight.dtype
    return [x, ((n if has_weight else 0,), dtype), ((n if has_bias else 0,), x.dtype)]


def _plain_gradients(g, x, weight, n, centred, eps):
    """The same gradients in ops that can be differentiated; x is (rows, n)."""
    if centred:
        x = x - x.mean(1, True)
    rstd = (x.square().mean(1, True) + eps).rsqrt()
    unit = x * rstd
    scaled = g if weight is None else g * weight
    dx = scaled - unit * (scaled * unit).mean(1, True)
    return (dx - scaled.mean(1, True) if centred else dx) * rstd, g * unit, g


def _gradients(g, y, x, weight, _bias, n, centred, eps, *, needs):
    g = g[0]
    if is_grad_enabled():
        flat = None if weight is None else weight.reshape(-1)
        dx, dweight, dbias = _plain_gradients(g.reshape(-1, n), x.reshape(-1, n), flat, n, centred, eps)
        dweight, dbias = sum_to(dweight, (n,)), sum_to(dbias, (n,))
    else:
        dx, dweight, dbias = _row_norm_backward(g, x, weight, y[1], y[2], n, centred, needs[1], needs[2])
    return (
        dx.reshape(x.shape) if needs[0] else None,
        dweight.reshape(weight.shape) if needs[1] else None,
        dbias.reshape(_bias.shape) if needs[2] else None,
    )


_row_norm = Op("row_norm", inputs=3, infer=_forward_specs, cast="float32", vjp_all=_gradients)
_row_norm_backward = Op("row_norm_backward", inputs=5, infer=_backward_specs)


def _apply(
    name: str,
    x: Tensor,
    shape: int | tuple[int, ...] | list[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    centred: bool,
) -> Tensor:
    if not x.dtype.is_floating_point:
        refuse_integers(name, x)
    shape, dims = (shape,) if isinstance(shape, int) else tuple(shape), x.shape
    if not shape or dims[len(dims) - len(shape) :] != shape or len(shape) > len(dims):
        raise ShapeError(
            f"{name}: given normalized_shape={list(shape)}, expected input with trailing dims {shape}, "
            f"but got input of size {list(x.shape)}"
        )
    if weight is not None and weight.shape != shape:
        _refuse_shape(name, "weight", weight, shape)
    if bias is not None and bias.shape != shape:
        _refuse_shape(name, "bias", bias, shape)
    return _row_norm(x, weight, bias, math.prod(shape), centred, float(eps))[0]


def _refuse_shape(name: str, what: str, t: Tensor, shape: tuple[int, ...]) -> None:
    raise ShapeError(
        f"{name}: expected {what} to be of same shape as normalized_shape, but got {what} of shape "
        f"{list(t.shape)} and normalized_shape = {list(shape)}"
    )


@function()
def layer_norm(
    input: Tensor,
    normalized_shape: int | tuple[int, ...] | list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the trailing dims `normalized_shape`."""
    return _apply("layer_norm", input, normalized_shape, weight, bias, eps, True)


@function()
def rms_norm(
    input: Tensor,
    normalized_shape: int | tuple[int, ...] | list[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the trailing dims; eps is the dtype's epsilon unless given."""
    eps = finfo(input.dtype).eps if eps is None else eps
    if isinstance(weight, Tensor) and input.dtype.is_floating_point and not _goes_with(input, weight):
        weight = weight.to(input.dtype)
    return _apply("rms_norm", input, normalized_shape, weight, None, eps, False)
