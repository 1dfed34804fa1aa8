"""Folding batch normalisation into the layer before it, and modules without initial values."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

from ...core import Tensor
from ..module import Module
from ..parameter import Parameter


def _scale(var: Tensor, eps: float, weight: Tensor | None) -> Tensor:
    scale = (var + eps).rsqrt()
    return scale if weight is None else scale * weight


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None, bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """Weight and bias of the convolution that does what a convolution and a batch normalisation by running statistics did."""
    scale = _scale(bn_rv, bn_eps, bn_w)
    shape = (1, -1) if transpose else (-1, 1)
    weight = conv_w * scale.reshape(*shape, *(1,) * (conv_w.ndim - 2))
    bias = (-bn_rm if conv_b is None else conv_b - bn_rm) * scale
    return Parameter(weight.to(conv_w.dtype), conv_w.requires_grad), Parameter(bias if bn_b is None else bias + bn_b, conv_w.requires_grad)


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None, bn_b: Tensor | None
) -> tuple[Parameter, Parameter]:
    """The same for a linear layer."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _fused(layer: Any, bn: Any, name: str, transpose: bool = False) -> Any:
    if layer.training or bn.training:
        raise RuntimeError(f"{name}: fusion is only for eval mode; call .eval() on both modules first")
    fused = copy.deepcopy(layer)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Any:
    """One convolution for a convolution followed by batch normalisation, both in eval mode."""
    return _fused(conv, bn, "fuse_conv_bn_eval", transpose)


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Any:
    """One linear layer for a linear layer followed by batch normalisation, both in eval mode."""
    return _fused(linear, bn, "fuse_linear_bn_eval")


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Any:
    """A module whose parameters have no initial values: for weights that are loaded next."""
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"skip_init: expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError(f"skip_init: {module_cls.__name__} must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", None) or "cpu"
    make: Callable[..., Module] = module_cls
    module = make(*args, **kwargs, device="meta")
    for part in module.modules():
        for table in (part._parameters, part._buffers):
            for value in table.values():
                if value is not None:
                    value.data = value.new_empty(value.shape, device=device)
    return module
