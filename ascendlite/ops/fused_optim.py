"""Optimizer steps over many tensors in one pass over memory. They write to what they are given.

What is written must be contiguous; moments have the dtype of the parameters, or float32 for 16-bit ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ascendlite.core import Device, Op, Tensor, dense_alike, float32, float64, no_grad, tensor, zeros
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.movement import stack

Tensors = Sequence[Tensor]

_adam = Op("adam_step", inputs=None)
_sgd = Op("sgd_step", inputs=None)
_total_norm = Op("total_norm", inputs=None)
_scale = Op("scale_all", inputs=None)


def _check(op: str, params: tuple[Tensor, ...], **groups: tuple[Tensor, ...]) -> None:
    """One item per parameter, of its shape, and memory that can be walked straight through."""
    if dense_alike(params, *groups.values()):
        return
    for name, items in groups.items():
        if len(items) != len(params):
            raise ArgumentError(
                f"{op}: {len(params)} parameters but {len(items)} {name}; give one per parameter"
            )
        for k, (param, item) in enumerate(zip(params, items)):
            if item.shape != param.shape:
                raise ShapeError(f"{op}: {name}[{k}] has shape {tuple(item.shape)}, its parameter {tuple(param.shape)}")
            if (item.dtype == float64) != (params[0].dtype == float64) or not item.dtype.is_floating_point:
                raise DTypeError(f"{op}: {name}[{k}] is {item.dtype}, the first parameter {params[0].dtype}")
            if not item.is_contiguous():
                raise ArgumentError(f"{op}: {name}[{k}] has strides {item.stride()}; it must be contiguous")


def adamw_(
    params: Tensors,
    grads: Tensors,
    exp_avgs: Tensors,
    exp_avg_sqs: Tensors,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
    max_exp_avg_sqs: Tensors | None = None,
) -> None:
    """One step of AdamW (`decoupled` decay) or Adam on all parameters; `max_exp_avg_sqs` makes it AMSGrad."""
    params, grads, largest = tuple(params), _dense(grads), tuple(max_exp_avg_sqs or ())
    state = {"exp_avgs": tuple(exp_avgs), "exp_avg_sqs": tuple(exp_avg_sqs), **({"max_exp_avg_sqs": largest} if largest else {})}
    _check("adamw_", params, parameters=params, grads=grads, **state)
    step_size, root_correction = lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
    floats = (step_size, root_correction, beta1, beta2, eps, weight_decay, lr)
    attrs = (len(params), decoupled, maximize, bool(largest), *map(float, floats))
    _adam.launch((*params, *exp_avgs, *exp_avg_sqs, *largest), grads, attrs)


def sgd_(
    params: Tensors,
    grads: Tensors,
    momentum_buffers: Tensors | None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first_step: bool,
) -> None:
    """One step of SGD on all parameters; on the first step the momentum buffers are only written."""
    params, grads, buffers = tuple(params), _dense(grads), tuple(momentum_buffers or ())
    _check("sgd_", params, parameters=params, grads=grads, **({"momentum_buffers": buffers} if buffers else {}))
    attrs = (len(params), bool(buffers), nesterov, maximize, first_step)
    floats = tuple(map(float, (lr, momentum, dampening, weight_decay)))
    _sgd.launch((*params, *buffers), grads, attrs + floats)


def _dense(tensors: Tensors) -> tuple[Tensor, ...]:
    return tuple([t.contiguous() for t in tensors])


def grad_norm(grads: Tensors, norm_type: float = 2.0) -> Tensor:
    """The norm of all tensors together, as if they were one vector; 0-d, on the first one's device."""
    order = float(norm_type)
    home = grads[0].device if grads else None
    if len({g.device for g in grads}) > 1:
        norms = [g.norm(order) for g in grads]
        return stack([norm.to(home) for norm in norms]).norm(order)
    dtype = float64 if float64 in {g.dtype for g in grads} else float32
    result = zeros((), dtype=dtype, device=home)
    if not grads:
        return result
    if order in (2.0, math.inf):
        _total_norm.launch((result,), _dense(grads), (order == math.inf,))
        return result
    with no_grad():
        total = zeros((), dtype=dtype, device=home)
        for g in grads:
            total = total + g.to(dtype).abs().pow(order).sum()
        return total ** (1 / order)


def scale_(tensors: Tensors, factor: Tensor | float) -> None:
    """Multiply all tensors by one factor, in place; a factor of exactly one touches nothing in host memory."""
    with no_grad():
        homes: dict[Device, list[Tensor]] = {}
        for t in tensors:
            homes.setdefault(t.device, []).append(t)
        for device, here in homes.items():
            dtype = float64 if device.type == "cpu" else float32
            held = factor.detach().to(device, dtype) if isinstance(factor, Tensor) else tensor(float(factor), dtype=dtype).to(device)
            dense = [t for t in here if t.is_contiguous()]
            if dense:
                _scale.launch(tuple(dense), (held,))
            for t in here:
                if not t.is_contiguous():
                    t.mul_(held.to(t.dtype))
