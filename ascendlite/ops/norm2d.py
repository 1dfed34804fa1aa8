"""Norms with statistics per channel or group of channels: batch, group and instance norm.

Statistics and parameters are kept in float32 for 16-bit inputs. First gradients come from one fused kernel; the
second from `_second_gradient`, which is written with other ops and so can be differentiated again.
"""

from __future__ import annotations

from math import prod
from operator import index

from ascendlite.core import Op, Tensor, float32, function, no_grad
from ascendlite.errors import ArgumentError, DTypeError, ShapeError


def compute_dtype(dtype):
    return float32 if dtype.itemsize < 4 else dtype


def _batch_shapes(x, w, b, eps):
    channel = ((x.shape[1],), compute_dtype(x.dtype))
    return [(x.shape, x.dtype), channel, channel, channel]


def _backward_shapes(g, x, *rest):
    channel = ((x.shape[1],), compute_dtype(x.dtype))
    return [(x.shape, x.dtype), channel, channel]


def _group_shapes(x, w, b, groups, eps):
    moments = ((x.shape[0] * groups,), compute_dtype(x.dtype))
    return [(x.shape, x.dtype), moments, moments]


def _second_gradient(cotangents, g, x, w, eps, dims, affine_dims):
    """Gradients of the backward pass for g, x and w, all shaped so that `dims` are what statistics run over.

    With P(t) = t - mean(t) - xhat mean(t xhat) the backward pass is dx = r P(g w), dw = sum(g xhat), db = sum(g);
    dr = -r^2 mean(xhat dx) and d mean(t xhat) = r P(t) / n give the rest. w and the cotangents of dw and db come
    shaped to broadcast over x.
    """
    for_dx, for_dw, for_db = cotangents

    def mean(t):
        return t.mean(dims, keepdim=True)

    centred = x - mean(x)
    inverse = (mean(centred * centred) + eps).rsqrt()
    normal = centred * inverse

    def project(t):
        return t - mean(t) - normal * mean(t * normal)

    grads = [None, None, None]

    def add(i, t):
        grads[i] = t if grads[i] is None else grads[i] + t

    if for_dx is not None:
        scaled = g if w is None else g * w
        through = project(for_dx)
        for_scaled = inverse * through
        add(0, for_scaled if w is None else for_scaled * w)
        if w is not None:
            add(2, (g * for_scaled).sum(affine_dims))
        slopes = through * mean(scaled * normal) + project(scaled) * mean(for_dx * normal)
        add(1, -inverse * inverse * (normal * mean(through * scaled) + slopes))
    if for_dw is not None:
        add(0, for_dw * normal)
        add(1, inverse * project(for_dw * g))
    if for_db is not None:
        add(0, for_db)
    return grads


def _wide(t):
    return None if t is None else t.to(compute_dtype(t.dtype))


def _batch_second(g, y, grad, x, _mean, _inverse, w, eps, *, needs):
    N, C = x.shape[:2]
    rows = (N, C, -1) if x.numel() else (N, C, prod(x.shape[2:]))

    def full(t):
        return None if t is None else _wide(t).reshape(rows)

    def channel(t):
        return None if t is None else t.reshape((C, 1))

    cotangents = (full(g[0]), channel(g[1]), channel(g[2]))
    dg, dx, dw = _second_gradient(cotangents, full(grad), full(x), channel(w), eps, (0, 2), (0, 2))
    return (_like(dg, grad), _like(dx, x), None, None, dw)


def _like(t, like):
    N, C = like.shape[:2]
    return None if t is None else t.broadcast_to((N, C, prod(like.shape[2:]))).reshape(like.shape)


def _group_second(g, y, grad, x, _mean, _inverse, w, groups, eps, *, needs):
    N, C = x.shape[:2]
    rows = (N, groups, C // groups, prod(x.shape[2:]))

    def full(t):
        return None if t is None else _wide(t).reshape(rows)

    def channel(t):
        return None if t is None else t.reshape((groups, C // groups, 1))

    cotangents = (full(g[0]), channel(g[1]), channel(g[2]))
    dg, dx, dw = _second_gradient(cotangents, full(grad), full(x), channel(w), eps, (2, 3), (0, 3))
    dg, dx = (None if t is None else t.broadcast_to(rows).reshape(x.shape) for t in (dg, dx))
    return (dg, dx, None, None, None if dw is None else dw.reshape((C,)))


def _batch_first(g, y, x, w, _b, eps, *, needs):
    return _batch_norm_backward(g[0], x, y[1], y[2], w, eps)


def _group_first(g, y, x, w, _b, groups, eps, *, needs):
    return _group_norm_backward(g[0], x, y[1], y[2], w, groups, eps)


_batch_norm = Op("batch_norm", inputs=3, infer=_batch_shapes, vjp_all=_batch_first)
_batch_norm_backward = Op("batch_norm_backward", inputs=5, infer=_backward_shapes, vjp_all=_batch_second)
_group_norm = Op("group_norm", inputs=3, infer=_group_shapes, vjp_all=_group_first)
_group_norm_backward = Op("group_norm_backward", inputs=5, infer=_backward_shapes, vjp_all=_group_second)


def _over_channels(t, like):
    return t.reshape((-1, *(1,) * (like.ndim - 2)))


def _sum_channels(t):
    return t.sum((0, *range(2, t.ndim)))


_channel_affine = Op(
    "channel_affine",
    inputs=3,
    infer=lambda x, scale, shift: x,
    vjp=(
        lambda g, y, x, scale, _shift: g * _over_channels(scale, g),
        lambda g, y, x, _scale, _shift: _sum_channels(_wide(g) * _wide(x)),
        lambda g, y, x, _scale, _shift: _sum_channels(_wide(g)),
    ),
)


def _check_input(op: str, input: Tensor) -> None:
    if input.ndim < 2:
        raise ShapeError(
            f"{op}: Expected at least 2 dimensions for input tensor but received {input.ndim}: {list(input.shape)}"
        )
    if not input.dtype.is_floating_point:
        raise DTypeError(f"{op}: not implemented for dtype {input.dtype.name}; cast to a float dtype first")


def _check_channels(op: str, channels: int, **named: Tensor | None) -> None:
    for name, t in named.items():
        if t is not None and tuple(t.shape) != (channels,):
            raise ShapeError(
                f"{op}: {name} should contain {channels} elements, one per channel of the input, not shape "
                f"{list(t.shape)}"
            )


def _check_count(count: int, shape: tuple[int, ...]) -> None:
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(shape)}; take a larger "
            "batch or use running statistics"
        )


def _parameter(t: Tensor | None, input: Tensor) -> Tensor | None:
    return t if t is None else t.to(compute_dtype(input.dtype))


def _follow(running: Tensor | None, value: Tensor, momentum: float) -> None:
    if running is not None:
        running.mul_(1 - momentum).add_((value * momentum).to(running.dtype))


def _from_running(
    input: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    wide = compute_dtype(input.dtype)
    scale = (var.to(wide) + eps).rsqrt()
    if weight is not None:
        scale = scale * weight.to(wide)
    shift = -mean.to(wide) * scale
    if bias is not None:
        shift = shift + bias.to(wide)
    return _channel_affine(input, scale, shift)


@function(toplevel=False)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises (N, C, ...) per channel: by the batch when training, moving the running statistics; else by these.

    >>> y = al.nn.functional.batch_norm(al.tensor([[1.0], [3.0]]), None, None, training=True)
    >>> y
    tensor([[-1.0000],
            [ 1.0000]])
    """
    _check_input("batch_norm", input)
    if not eps > 0:
        raise ArgumentError(f"batch_norm: eps must be positive, but got {eps}")
    channels = input.shape[1]
    _check_channels(
        "batch_norm", channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: running_mean and running_var must be defined in evaluation mode; pass both, or training=True"
            )
        return _from_running(input, running_mean, running_var, weight, bias, eps)
    count = input.numel() // max(channels, 1)
    _check_count(count, input.shape)
    y, mean, _, var = _batch_norm(input, _parameter(weight, input), _parameter(bias, input), float(eps))
    if running_mean is not None or running_var is not None:
        with no_grad():
            _follow(running_mean, mean, momentum)
            _follow(running_var, var * (count / max(count - 1, 1)), momentum)
    return y


@function()
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalises (N, C, ...) over each of `num_groups` groups of neighbouring channels of a sample.

    >>> al.nn.functional.group_norm(al.tensor([[1.0, 3.0]]), 1, eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    _check_input("group_norm", input)
    channels, num_groups = input.shape[1], index(num_groups)
    if num_groups <= 0 or channels % num_groups:
        raise ShapeError(
            f"group_norm: Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    _check_channels("group_norm", channels, weight=weight, bias=bias)
    _check_count(input.numel() // num_groups, input.shape)
    return _group_norm(input, _parameter(weight, input), _parameter(bias, input), num_groups, float(eps))[0]


@function(toplevel=False)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises every channel of every sample of (N, C, ...) over its spatial dimensions.

    >>> al.nn.functional.instance_norm(al.tensor([[[1.0, 3.0]]]), eps=0.0).tolist()
    [[[-1.0, 1.0]]]
    """
    _check_input("instance_norm", input)
    N, C, *spatial = input.shape
    _check_channels("instance_norm", C, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "instance_norm: Expected running_mean and running_var to be defined when use_input_stats is false"
            )
        return _from_running(input, running_mean, running_var, weight, bias, eps)
    if C == 0:
        return input.clone()
    count = prod(spatial)
    if count == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {list(input.shape)}; a single "
            "element is its own mean"
        )
    y, mean, inverse = _group_norm(input, _parameter(weight, input), _parameter(bias, input), C, float(eps))
    if running_mean is not None or running_var is not None:
        with no_grad():
            var = inverse.square().reciprocal() - eps
            _follow(running_mean, mean.reshape((N, C)).mean(0), momentum)
            _follow(running_var, var.reshape((N, C)).mean(0) * (count / max(count - 1, 1)), momentum)
    return y
