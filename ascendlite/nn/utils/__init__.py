"""Tools for training and for weights: clipping gradients, parameters as one vector, parametrizations, fusion."""

from __future__ import annotations

from typing import Any

from ...absent import absent as _absent
from . import parametrizations, parametrize, prune, rnn, stateless
from .clip_grad import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .convert_parameters import parameters_to_vector, vector_to_parameters
from .fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval, fuse_linear_bn_weights, skip_init
from .reading import gated_residual, reading_weights, side_by_side
from .reparametrize import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "gated_residual",
    "get_total_norm",
    "parametrizations",
    "parameters_to_vector",
    "parametrize",
    "prune",
    "remove_spectral_norm",
    "remove_weight_norm",
    "reading_weights",
    "rnn",
    "side_by_side",
    "skip_init",
    "spectral_norm",
    "stateless",
    "vector_to_parameters",
    "weight_norm",
]


def __getattr__(name: str) -> Any:
    raise _absent("nn.utils", name)
