"""Smooth activation functions: a forward and a one-pass backward kernel each; second gradients are made of ops."""

from __future__ import annotations

import math

from ascendlite.core import FLOATONLY, Op, Tensor, deliver, function, normalize_dim, pointwise, require_tensor
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.compare import refuse_integers, where
from ascendlite.ops.pointwise import exp, sigmoid, tanh
from ascendlite.ops.rectifier import (
    celu,
    elu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    prelu,
    relu,
    relu6,
    rrelu,
    selu,
    softshrink,
    threshold,
)

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "swiglu",
    "tanhshrink",
    "threshold",
]

# Each backward op is linear in its first input, so its own first rule is itself.


# ---- silu and swiglu ----


def _silu_curvature(x: Tensor) -> Tensor:
    s = sigmoid(x)
    return s * (1 - s) * (x * (1 - s * 2) + 2)


_silu_backward = pointwise(
    "silu_backward",
    FLOATONLY,
    vjp=(lambda gg, _y, _g, x: _silu_backward(gg, x), lambda gg, _y, g, x: gg * g * _silu_curvature(x)),
    public=False,
)
_silu = pointwise("silu", FLOATONLY, vjp=(lambda g, _y, x: _silu_backward(g, x),), public=False)


@function(methods=("silu",), inplace=lambda self: _silu.inplace(self), toplevel=False)
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return _silu.inplace(input) if inplace else _silu(input)


def _swiglu_rule(
    g: Tensor, y: Tensor, gate: Tensor, up: Tensor, needs: tuple[bool, ...]
) -> tuple[Tensor, ...]:
    return tuple(_swiglu_backward(g, gate, up))


def _swiglu_backward_rule(
    gs: tuple[Tensor | None, Tensor | None],
    ys: object,
    g: Tensor,
    gate: Tensor,
    up: Tensor,
    needs: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    # y_gate = g up silu'(gate), y_up = g silu(gate)
    to_gate, to_up = gs
    grads: list[Tensor | None] = [None, None, None]

    def add(i: int, term: Tensor) -> None:
        held = grads[i]
        grads[i] = term if held is None else held + term

    if to_gate is not None:
        slope = _silu_backward(to_gate, gate)
        add(0, slope * up)
        add(1, to_gate * g * up * _silu_curvature(gate))
        add(2, slope * g)
    if to_up is not None:
        add(0, to_up * _silu(gate))
        add(1, _silu_backward(to_up * g, gate))
    return tuple(grads)


_swiglu_backward = Op(
    "swiglu_backward", inputs=3, infer=lambda g, gate, up: [gate, up], vjp_all=_swiglu_backward_rule
)
_swiglu = Op("swiglu", inputs=2, infer=lambda gate, up: gate, vjp_all=_swiglu_rule)


@function()
def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up in one pass, and one pass backward; both of one shape and float dtype.

    >>> al.swiglu(al.zeros(2), al.ones(2))
    tensor([0., 0.])
    """
    if gate.shape != up.shape:
        raise ShapeError(f"swiglu: shapes differ: gate is {tuple(gate.shape)}, up is {tuple(up.shape)}; make them equal")
    if gate.dtype is not up.dtype or not gate.dtype.is_floating_point:
        raise ArgumentError(
            f"swiglu: gate and up must have one float dtype: gate is {gate.dtype.name}, up is {up.dtype.name}"
        )
    return _swiglu(gate, up)


# ---- gelu ----

_gelu_backward = pointwise(
    "gelu_backward",
    FLOATONLY,
    vjp=(
        lambda gg, _y, _g, x: _gelu_backward(gg, x),
        lambda gg, _y, g, x: gg * g * (exp(x * x * -0.5) * (2 - x * x) * (1 / math.sqrt(2 * math.pi))),
    ),
    public=False,
)
_gelu = pointwise("gelu", FLOATONLY, vjp=(lambda g, _y, x: _gelu_backward(g, x),), public=False)

_SLOPE, _CUBE = 2 * math.sqrt(2 / math.pi), 0.044715


def _gelu_tanh_curvature(x: Tensor) -> Tensor:
    # f = x s(v), v = SLOPE (x + CUBE x^3): f'' = 2 s' v' + x (s'' v'^2 + s' v'')
    z = x * x
    v1 = (z * (3 * _CUBE) + 1) * _SLOPE
    v2 = x * (6 * _CUBE * _SLOPE)
    s = sigmoid(x * (z * _CUBE + 1) * _SLOPE)
    s1 = s * (1 - s)
    return s1 * (v1 * 2 + x * ((1 - s * 2) * v1 * v1 + v2))


_gelu_tanh_backward = pointwise(
    "gelu_tanh_backward",
    FLOATONLY,
    vjp=(
        lambda gg, _y, _g, x: _gelu_tanh_backward(gg, x),
        lambda gg, _y, g, x: gg * g * _gelu_tanh_curvature(x),
    ),
    public=False,
)
_gelu_tanh = pointwise(
    "gelu_tanh", FLOATONLY, vjp=(lambda g, _y, x: _gelu_tanh_backward(g, x),), public=False
)
GELU = {"none": _gelu, "tanh": _gelu_tanh}


@function(toplevel=False)
def gelu(input: Tensor, *, approximate: str = "none", out: Tensor | None = None) -> Tensor:
    """x times the standard normal's distribution function; `approximate="tanh"` takes the older closed form.

    >>> al.nn.functional.gelu(al.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8413])
    """
    if approximate not in GELU:
        raise ArgumentError(f"gelu: approximate argument must be either none or tanh: it is {approximate!r}")
    return deliver(GELU[approximate](input), out)


# ---- softplus and its kin ----

_softplus_backward = pointwise(
    "softplus_backward",
    FLOATONLY,
    vjp=(
        lambda gg, _y, _g, x, beta, threshold: _softplus_backward(gg, x, beta, threshold),
        lambda gg, _y, g, x, beta, threshold: _softplus_curvature(gg * g, x, beta, threshold),
        None,
        None,
    ),
    public=False,
)


def _softplus_curvature(g: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    s = sigmoid(x * beta)
    return where(x * beta > threshold, 0.0, g * s * (1 - s) * beta)


_softplus = pointwise(
    "softplus",
    FLOATONLY,
    vjp=(lambda g, _y, x, beta, threshold: _softplus_backward(g, x, beta, threshold), None, None),
    cast="float32",
    public=False,
)


@function(toplevel=False)
def softplus(
    input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, out: Tensor | None = None
) -> Tensor:
    """log(1 + e^(beta x)) / beta; the identity where beta x is above `threshold`."""
    return _softplus(input, beta, threshold, out=out)


_logsigmoid_backward = pointwise(
    "logsigmoid_backward",
    FLOATONLY,
    vjp=(
        lambda gg, _y, _g, x: _logsigmoid_backward(gg, x),
        lambda gg, _y, g, x: -gg * g * sigmoid(x) * sigmoid(-x),
    ),
    public=False,
)
_logsigmoid = pointwise(
    "logsigmoid", FLOATONLY, vjp=(lambda g, _y, x: _logsigmoid_backward(g, x),), public=False
)


@function(toplevel=False)
def logsigmoid(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(sigmoid(x)), without overflow."""
    return deliver(_logsigmoid(input), out)


def _mish_curvature(x: Tensor) -> Tensor:
    # f = x t, t = tanh(softplus(x)), t' = (1 - t^2) s: f'' = 2 t' + x t' (1 - s - 2 t s)
    s, t = sigmoid(x), tanh(_softplus(x, 1.0, 20.0))
    t1 = (1 - t * t) * s
    return t1 * (x * (1 - s - t * s * 2) + 2)


_mish_backward = pointwise(
    "mish_backward",
    FLOATONLY,
    vjp=(lambda gg, _y, _g, x: _mish_backward(gg, x), lambda gg, _y, g, x: gg * g * _mish_curvature(x)),
    public=False,
)
_mish = pointwise("mish", FLOATONLY, vjp=(lambda g, _y, x: _mish_backward(g, x),), public=False)


@function(toplevel=False)
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return _mish.inplace(input) if inplace else _mish(input)


# ---- gates ----


@function(toplevel=False)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along `dim` times the sigmoid of the second."""
    size = input.shape[normalize_dim(dim, input.ndim)] if input.ndim else 0
    if not input.ndim or size % 2:
        raise ShapeError(f"glu: halving dimension must be even, but dimension {dim} is size {size}; pad it")
    refuse_integers("glu", input)
    half = size // 2
    return input.narrow(dim, 0, half) * sigmoid(input.narrow(dim, half, half))


@function(toplevel=False)
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    require_tensor("softsign", input)
    return input / (input.abs() + 1)


@function(toplevel=False)
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - tanh(input)
