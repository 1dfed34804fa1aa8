"""Everything stateless that layers are made of, by torch's names; imported as F."""

from __future__ import annotations

from typing import Any

from ..absent import absent as _absent
from ..core import FUNCTIONS
from ..core.registry import found_at, name_wrong_types
from ..ops.activation import gelu, glu, logsigmoid, mish, silu, softplus, softsign, swiglu, tanhshrink
from ..ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from ..ops.attention import scaled_dot_product_attention
from ..ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from ..ops.cross_entropy import cross_entropy, nll_loss
from ..ops.embedding import embedding, one_hot
from ..ops.fold import fold, unfold
from ..ops.fractional_pool import fractional_max_pool2d, fractional_max_pool3d
from ..ops.grid import affine_grid, grid_sample
from ..ops.grouped import grouped_mm
from ..ops.interpolate import interpolate
from ..ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_similarity,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    normalize,
    smooth_l1_loss,
)
from ..ops.matmul import linear
from ..ops.movement import pad
from ..ops.norm import layer_norm, rms_norm
from ..ops.norm2d import batch_norm, group_norm, instance_norm
from ..ops.pointwise import sigmoid, tanh
from ..ops.pool import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from ..ops.random import dropout
from ..ops.rectifier import (
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
from ..ops.rope import rope
from ..ops.sinkhorn import sinkhorn
from ..ops.softmax import log_softmax, softmax, softmin
from ..ops.sparse_attention import sparse_attention, sparse_attention_mass
from ..ops.unpool import max_unpool1d, max_unpool2d, max_unpool3d
from .attention_function import multi_head_attention_forward
from .class_margins import (
    multi_margin_loss,
    multilabel_margin_loss,
    pdist,
    triplet_margin_with_distance_loss,
)
from .composites import (
    alpha_dropout,
    bilinear,
    channel_shuffle,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
    gumbel_softmax,
    local_response_norm,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    pixel_shuffle,
    pixel_unshuffle,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)
from .inplace import celu_, elu_, hardtanh_, leaky_relu_, relu_, rrelu_, selu_, threshold_
from .linear_loss import linear_cross_entropy
from .margin_losses import (
    cosine_embedding_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multilabel_soft_margin_loss,
    pairwise_distance,
    poisson_nll_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from .sequence_losses import ctc_loss, embedding_bag

__all__ = [
    "ADAPTIVE_AVG_POOLS",
    "ADAPTIVE_MAX_POOLS",
    "AVG_POOLS",
    "CONVOLUTIONS",
    "LP_POOLS",
    "MAX_POOLS",
    "MAX_UNPOOLS",
    "TRANSPOSED_CONVOLUTIONS",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "affine_grid",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "elu_",
    "embedding",
    "embedding_bag",
    "feature_alpha_dropout",
    "fold",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "grid_sample",
    "group_norm",
    "grouped_mm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "linear_cross_entropy",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "mish",
    "mse_loss",
    "multi_head_attention_forward",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pdist",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu_",
    "relu6",
    "rms_norm",
    "rope",
    "rrelu",
    "rrelu_",
    "scaled_dot_product_attention",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "sinkhorn",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "sparse_attention",
    "sparse_attention_mass",
    "swiglu",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "unfold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

# By the number of spatial dimensions, for layers that differ in nothing else.
CONVOLUTIONS = {1: conv1d, 2: conv2d, 3: conv3d}
TRANSPOSED_CONVOLUTIONS = {1: conv_transpose1d, 2: conv_transpose2d, 3: conv_transpose3d}
MAX_POOLS = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}
MAX_UNPOOLS = {1: max_unpool1d, 2: max_unpool2d, 3: max_unpool3d}
AVG_POOLS = {2: avg_pool2d, 3: avg_pool3d}
LP_POOLS = {1: lp_pool1d, 2: lp_pool2d, 3: lp_pool3d}
ADAPTIVE_AVG_POOLS = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
FRACTIONAL_MAX_POOLS = {2: fractional_max_pool2d, 3: fractional_max_pool3d}
ADAPTIVE_MAX_POOLS = {1: adaptive_max_pool1d, 2: adaptive_max_pool2d, 3: adaptive_max_pool3d}

# What users call names the argument that has a wrong type.
globals().update({name: fn for name, fn in FUNCTIONS.items() if getattr(fn, "__wrapped__", fn) is globals().get(name)})
globals().update({name: found_at(name_wrong_types(globals()[name], name), __name__, name) for name in __all__ if callable(globals()[name]) and not hasattr(globals()[name], "__wrapped__")})


def __getattr__(name: str) -> Any:
    raise _absent("nn.functional", name)
