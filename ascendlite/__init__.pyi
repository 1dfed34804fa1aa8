# Written by tools/make_stubs.py; do not edit.
import builtins
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, SupportsIndex, overload

from ascendlite import _native as _native
from ascendlite.core._core import Number as Number
from ascendlite import accelerator as accelerator
from ascendlite import amp as amp
from ascendlite import autograd as autograd
from ascendlite import backends as backends
from ascendlite import checkpoint as checkpoint
from ascendlite import compile as compile
from ascendlite import core as core
from ascendlite import cpu as cpu
from ascendlite import data as data
from ascendlite import errors as errors
from ascendlite import func as func
from ascendlite import generation as generation
from ascendlite import info as info
from ascendlite import interop as interop
from ascendlite import linalg as linalg
from ascendlite import meta as meta
from ascendlite import models as models
from ascendlite import nn as nn
from ascendlite import npu as npu
from ascendlite import ops as ops
from ascendlite import optim as optim
from ascendlite import posttrain as posttrain
from ascendlite import printing as printing
from ascendlite import profiler as profiler
from ascendlite import safetensors as safetensors
from ascendlite import serialize as serialize
from ascendlite import signal as signal
from ascendlite import special as special
from ascendlite import testing as testing
from ascendlite import text as text
from ascendlite import utils as utils
from ascendlite.compat import OutOfMemoryError as OutOfMemoryError
from ascendlite.nn.functional import adaptive_avg_pool1d as adaptive_avg_pool1d
from ascendlite.nn.functional import adaptive_max_pool1d as adaptive_max_pool1d
from ascendlite.nn.functional import alpha_dropout as alpha_dropout
from ascendlite.compat import alpha_dropout_ as alpha_dropout_
from ascendlite.compat import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from ascendlite.amp import autocast as autocast
from ascendlite.nn.functional import avg_pool1d as avg_pool1d
from ascendlite.nn.functional import bilinear as bilinear
from ascendlite.nn.functional import celu_ as celu_
from ascendlite.nn.functional import channel_shuffle as channel_shuffle
from ascendlite.compat import clear_autocast_cache as clear_autocast_cache
from ascendlite.compat import dropout_ as dropout_
from ascendlite.nn.functional import feature_alpha_dropout as feature_alpha_dropout
from ascendlite.compat import feature_alpha_dropout_ as feature_alpha_dropout_
from ascendlite.interop.dlpack import from_dlpack as from_dlpack
from ascendlite.compat import frombuffer as frombuffer
from ascendlite.compat import get_autocast_cpu_dtype as get_autocast_cpu_dtype
from ascendlite.compat import get_autocast_dtype as get_autocast_dtype
from ascendlite.compat import get_deterministic_debug_mode as get_deterministic_debug_mode
from ascendlite.compat import get_device as get_device
from ascendlite.compat import get_float32_matmul_precision as get_float32_matmul_precision
from ascendlite.compat import get_num_interop_threads as get_num_interop_threads
from ascendlite.compat import is_autocast_cache_enabled as is_autocast_cache_enabled
from ascendlite.compat import is_autocast_cpu_enabled as is_autocast_cpu_enabled
from ascendlite.compat import is_autocast_enabled as is_autocast_enabled
from ascendlite.compat import is_conj as is_conj
from ascendlite.compat import is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled
from ascendlite.compat import is_inference as is_inference
from ascendlite.compat import is_neg as is_neg
from ascendlite.compat import is_signed as is_signed
from ascendlite.compat import is_storage as is_storage
from ascendlite.compat import is_warn_always_enabled as is_warn_always_enabled
from ascendlite.compat import layout as layout
from ascendlite.serialize import load as load
from ascendlite.interop.torch_file import load_torch as load_torch
from ascendlite.nn.functional import max_pool1d as max_pool1d
from ascendlite.nn.functional import max_pool2d as max_pool2d
from ascendlite.nn.functional import max_pool3d as max_pool3d
from ascendlite.compat import memory_format as memory_format
from ascendlite.nn.functional import pairwise_distance as pairwise_distance
from ascendlite.nn.functional import pdist as pdist
from ascendlite.nn.functional import pixel_shuffle as pixel_shuffle
from ascendlite.nn.functional import pixel_unshuffle as pixel_unshuffle
from ascendlite.compat import range as range
from ascendlite.nn.functional import relu_ as relu_
from ascendlite.nn.functional import rrelu_ as rrelu_
from ascendlite.serialize import save as save
from ascendlite.nn.functional import selu_ as selu_
from ascendlite.compat import set_autocast_dtype as set_autocast_dtype
from ascendlite.compat import set_autocast_enabled as set_autocast_enabled
from ascendlite.compat import set_deterministic_debug_mode as set_deterministic_debug_mode
from ascendlite.compat import set_float32_matmul_precision as set_float32_matmul_precision
from ascendlite.compat import set_flush_denormal as set_flush_denormal
from ascendlite.compat import set_num_interop_threads as set_num_interop_threads
from ascendlite.printing import set_printoptions as set_printoptions
from ascendlite.compat import set_warn_always as set_warn_always
from ascendlite.compat import sym_float as sym_float
from ascendlite.compat import sym_int as sym_int
from ascendlite.compat import sym_ite as sym_ite
from ascendlite.compat import sym_max as sym_max
from ascendlite.compat import sym_min as sym_min
from ascendlite.compat import sym_not as sym_not
from ascendlite.compat import sym_sqrt as sym_sqrt
from ascendlite.compat import sym_sum as sym_sum
from ascendlite.nn.functional import threshold_ as threshold_
from ascendlite.compat import to_dlpack as to_dlpack
from ascendlite.compat import typename as typename
from ascendlite.compat import use_deterministic_algorithms as use_deterministic_algorithms
from ascendlite.func import vmap as vmap
from typing import Any as Any
from ascendlite.core._core import DType as DType
from ascendlite.core._core import Device as Device
from ascendlite.core._core import Generator as Generator
from ascendlite.core._core import Size as Size
from ascendlite.core._core import Tensor as Tensor
from ascendlite.ops.arithmetic import add as add
from ascendlite.ops.matmul import addbmm as addbmm
from ascendlite.ops.blend import addcdiv as addcdiv
from ascendlite.ops.blend import addcmul as addcmul
from ascendlite.ops.matmul import addmm as addmm
from ascendlite.ops.matmul import addmv as addmv
from ascendlite.ops.matmul import addr as addr
from ascendlite.core.views import adjoint as adjoint
from ascendlite.ops.pieces import alias_copy as alias_copy
from ascendlite.ops.reduce import all as all
from ascendlite.ops.compare import allclose as allclose
from ascendlite.ops.extremum import amax as amax
from ascendlite.ops.extremum import amin as amin
from ascendlite.ops.extremum import aminmax as aminmax
from ascendlite.ops.real import angle as angle
from ascendlite.ops.reduce import any as any
from ascendlite.core._core import arange as arange
from ascendlite.ops.extremum import argmax as argmax
from ascendlite.ops.extremum import argmin as argmin
from ascendlite.ops.sort import argsort as argsort
from ascendlite.ops.nonzero import argwhere as argwhere
from ascendlite.core._core import as_strided as as_strided
from ascendlite.ops.pieces import as_strided_copy as as_strided_copy
from ascendlite.ops.pieces import as_strided_scatter as as_strided_scatter
from ascendlite.core._core import as_tensor as as_tensor
from ascendlite.core._core import asarray as asarray
from ascendlite.ops.movement import atleast_1d as atleast_1d
from ascendlite.ops.movement import atleast_2d as atleast_2d
from ascendlite.ops.movement import atleast_3d as atleast_3d
from ascendlite.ops.matmul import baddbmm as baddbmm
from ascendlite.ops.windows import bartlett_window as bartlett_window
from ascendlite.ops.draw import bernoulli as bernoulli
from ascendlite.ops.search import bincount as bincount
from ascendlite.ops.windows import blackman_window as blackman_window
from ascendlite.ops.combine import block_diag as block_diag
from ascendlite.ops.matmul import bmm as bmm
from ascendlite.core._core import broadcast_shapes as broadcast_shapes
from ascendlite.ops.turning import broadcast_tensors as broadcast_tensors
from ascendlite.core.views import broadcast_to as broadcast_to
from ascendlite.ops.search import bucketize as bucketize
from ascendlite.core._core import can_cast as can_cast
from ascendlite.ops.triangle import cartesian_prod as cartesian_prod
from ascendlite.ops.movement import cat as cat
from ascendlite.ops.distance import cdist as cdist
from ascendlite.ops.rectifier import celu as celu
from ascendlite.ops.linear_algebra import cholesky as cholesky
from ascendlite.ops.linear_algebra import cholesky_inverse as cholesky_inverse
from ascendlite.ops.linear_algebra import cholesky_solve as cholesky_solve
from ascendlite.core.views import chunk as chunk
from ascendlite.ops.arithmetic import clamp as clamp
from ascendlite.ops.arithmetic import clamp as clip
from ascendlite.core._core import clone as clone
from ascendlite.ops.movement import column_stack as column_stack
from ascendlite.ops.combine import combinations as combinations
from ascendlite.ops.movement import concat as concat
from ascendlite.ops.movement import concatenate as concatenate
from ascendlite.ops.real import conj as conj
from ascendlite.ops.real import conj_physical as conj_physical
from ascendlite.ops.splits import constant_pad_nd as constant_pad_nd
from ascendlite.ops.conv import conv1d as conv1d
from ascendlite.ops.conv import conv2d as conv2d
from ascendlite.ops.conv import conv3d as conv3d
from ascendlite.ops.conv import conv_transpose1d as conv_transpose1d
from ascendlite.ops.conv import conv_transpose2d as conv_transpose2d
from ascendlite.ops.conv import conv_transpose3d as conv_transpose3d
from ascendlite.ops.covariance import corrcoef as corrcoef
from ascendlite.ops.loss import cosine_similarity as cosine_similarity
from ascendlite.ops.reduce import count_nonzero as count_nonzero
from ascendlite.ops.covariance import cov as cov
from ascendlite.ops.combine import cross as cross
from ascendlite.ops.scan import cummax as cummax
from ascendlite.ops.scan import cummin as cummin
from ascendlite.ops.scan import cumprod as cumprod
from ascendlite.ops.scan import cumsum as cumsum
from ascendlite.ops.differences import cumulative_trapezoid as cumulative_trapezoid
from ascendlite.ops.parts import deg2rad as deg2rad
from ascendlite.ops.linear_algebra import det as det
from ascendlite.core.modes import detect_anomaly as detect_anomaly
from ascendlite.ops.triangle import diag as diag
from ascendlite.ops.triangle import diag_embed as diag_embed
from ascendlite.ops.triangle import diagflat as diagflat
from ascendlite.core._core import diagonal as diagonal
from ascendlite.ops.pieces import diagonal_copy as diagonal_copy
from ascendlite.ops.splits import diagonal_scatter as diagonal_scatter
from ascendlite.ops.differences import diff as diff
from ascendlite.ops.distance import dist as dist
from ascendlite.ops.arithmetic import div as div
from ascendlite.ops.arithmetic import div as divide
from ascendlite.ops.matmul import dot as dot
from ascendlite.ops.random import dropout as dropout
from ascendlite.ops.splits import dsplit as dsplit
from ascendlite.ops.movement import dstack as dstack
from ascendlite.ops.einsum import einsum as einsum
from ascendlite.core._core import empty as empty
from ascendlite.core._core import empty_like as empty_like
from ascendlite.ops.splits import empty_permuted as empty_permuted
from ascendlite.core._core import empty_strided as empty_strided
from ascendlite.core.modes import enable_grad as enable_grad
from ascendlite.ops.compare import equal as equal
from ascendlite.ops.pieces import expand_copy as expand_copy
from ascendlite.ops.index import expand_mask as expand_mask
from ascendlite.ops.create import eye as eye
from ascendlite.ops.splits import fill as fill
from ascendlite.core.limits import finfo as finfo
from ascendlite.core.views import flatten as flatten
from ascendlite.ops.turning import flip as flip
from ascendlite.ops.turning import fliplr as fliplr
from ascendlite.ops.turning import flipud as flipud
from ascendlite.ops.arithmetic import float_power as float_power
from ascendlite.ops.arithmetic import floor_divide as floor_divide
from ascendlite.ops.arithmetic import fmod as fmod
from ascendlite.ops.codec import fp4_decode as fp4_decode
from ascendlite.ops.codec import fp4_encode as fp4_encode
from ascendlite.ops.parts import frexp as frexp
from ascendlite.interop.dlpack import from_dlpack as from_dlpack
from ascendlite.core._core import from_numpy as from_numpy
from ascendlite.core._core import full as full
from ascendlite.core._core import full_like as full_like
from ascendlite.ops.scatter import gather as gather
from ascendlite.ops.linear_algebra import geqrf as geqrf
from ascendlite.ops.matmul import outer as ger
from ascendlite.core._core import get_default_device as get_default_device
from ascendlite.core._core import get_default_dtype as get_default_dtype
from ascendlite.ops.differences import gradient as gradient
from ascendlite.ops.norm2d import group_norm as group_norm
from ascendlite.ops.grouped import grouped_mm as grouped_mm
from ascendlite.ops.windows import hamming_window as hamming_window
from ascendlite.ops.windows import hann_window as hann_window
from ascendlite.ops.rectifier import hardshrink as hardshrink
from ascendlite.ops.parts import heaviside as heaviside
from ascendlite.ops.search import histc as histc
from ascendlite.ops.histogram import histogram as histogram
from ascendlite.ops.splits import hsplit as hsplit
from ascendlite.ops.movement import hstack as hstack
from ascendlite.core.limits import iinfo as iinfo
from ascendlite.ops.index import index as index
from ascendlite.ops.index_write import index_add as index_add
from ascendlite.ops.index_write import index_copy as index_copy
from ascendlite.ops.index_write import index_fill as index_fill
from ascendlite.ops.index import index_put as index_put
from ascendlite.ops.index import index_put_ as index_put_
from ascendlite.ops.index_reduce import index_reduce as index_reduce
from ascendlite.ops.index import index_select as index_select
from ascendlite.core.modes import inference_mode as inference_mode
from ascendlite.ops.matmul import inner as inner
from ascendlite.ops.linear_algebra import inverse as inverse
from ascendlite.core._core import is_anomaly_enabled as is_anomaly_enabled
from ascendlite.core._core import is_grad_enabled as is_grad_enabled
from ascendlite.core._core import is_inference_mode_enabled as is_inference_mode_enabled
from ascendlite.ops.real import is_nonzero as is_nonzero
from ascendlite.ops.real import is_same_size as is_same_size
from ascendlite.ops.compare import isclose as isclose
from ascendlite.ops.search import isin as isin
from ascendlite.ops.parts import isreal as isreal
from ascendlite.ops.windows import kaiser_window as kaiser_window
from ascendlite.ops.combine import kron as kron
from ascendlite.ops.sort import kthvalue as kthvalue
from ascendlite.ops.norm import layer_norm as layer_norm
from ascendlite.ops.parts import ldexp as ldexp
from ascendlite.ops.blend import lerp as lerp
from ascendlite.ops.create import linspace as linspace
from ascendlite.ops.softmax import log_softmax as log_softmax
from ascendlite.ops.scan import logcumsumexp as logcumsumexp
from ascendlite.ops.linear_algebra import logdet as logdet
from ascendlite.ops.pointwise import logit as logit
from ascendlite.ops.create import logspace as logspace
from ascendlite.ops.reduce import logsumexp as logsumexp
from ascendlite.ops.linear_algebra import lu_unpack as lu_unpack
from ascendlite.ops.compare import masked_fill as masked_fill
from ascendlite.ops.index_write import masked_scatter as masked_scatter
from ascendlite.ops.index import masked_select as masked_select
from ascendlite.ops.matmul import matmul as matmul
from ascendlite.ops.linear_algebra import matrix_exp as matrix_exp
from ascendlite.ops.matrix_power import matrix_power as matrix_power
from ascendlite.ops.extremum import max as max
from ascendlite.ops.reduce import mean as mean
from ascendlite.ops.extremum import median as median
from ascendlite.ops.triangle import meshgrid as meshgrid
from ascendlite.ops.extremum import min as min
from ascendlite.ops.matmul import mm as mm
from ascendlite.ops.quantile import mode as mode
from ascendlite.ops.turning import moveaxis as moveaxis
from ascendlite.core.views import movedim as movedim
from ascendlite.ops.sort import msort as msort
from ascendlite.ops.draw import multinomial as multinomial
from ascendlite.ops.matmul import mv as mv
from ascendlite.ops.gamma import mvlgamma as mvlgamma
from ascendlite.ops.special import nan_to_num as nan_to_num
from ascendlite.ops.reduce import nanmean as nanmean
from ascendlite.ops.extremum import nanmedian as nanmedian
from ascendlite.ops.quantile import nanquantile as nanquantile
from ascendlite.ops.reduce import nansum as nansum
from ascendlite.core._core import narrow as narrow
from ascendlite.ops.pieces import narrow_copy as narrow_copy
from ascendlite.ops.special import nextafter as nextafter
from ascendlite.core.modes import no_grad as no_grad
from ascendlite.ops.nonzero import nonzero as nonzero
from ascendlite.ops.nonzero import nonzero_static as nonzero_static
from ascendlite.ops.vector_norm import norm as norm
from ascendlite.ops.random import normal as normal
from ascendlite.core._core import ones as ones
from ascendlite.core._core import ones_like as ones_like
from ascendlite.ops.linear_algebra import orgqr as orgqr
from ascendlite.ops.matmul import outer as outer
from ascendlite.ops.linear_algebra import pca_lowrank as pca_lowrank
from ascendlite.core._core import permute as permute
from ascendlite.ops.pieces import permute_copy as permute_copy
from ascendlite.ops.linear_algebra import pinverse as pinverse
from ascendlite.ops.draw import poisson as poisson
from ascendlite.ops.gamma import polygamma as polygamma
from ascendlite.ops.special import positive as positive
from ascendlite.ops.arithmetic import pow as pow
from ascendlite.ops.rectifier import prelu as prelu
from ascendlite.ops.reduce import prod as prod
from ascendlite.core._core import promote_types as promote_types
from ascendlite.ops.index_write import put as put
from ascendlite.ops.linear_algebra import qr as qr
from ascendlite.ops.quantile import quantile as quantile
from ascendlite.ops.special import rad2deg as rad2deg
from ascendlite.ops.random import rand as rand
from ascendlite.ops.random import rand_like as rand_like
from ascendlite.ops.random import randint as randint
from ascendlite.ops.random import randint_like as randint_like
from ascendlite.ops.random import randn as randn
from ascendlite.ops.random import randn_like as randn_like
from ascendlite.ops.random import randperm as randperm
from ascendlite.core.views import ravel as ravel
from ascendlite.ops.real import real as real
from ascendlite.ops.rectifier import relu as relu
from ascendlite.ops.arithmetic import remainder as remainder
from ascendlite.ops.vector_norm import renorm as renorm
from ascendlite.ops.repeat import repeat as repeat
from ascendlite.ops.repeat import repeat_interleave as repeat_interleave
from ascendlite.core._core import reshape as reshape
from ascendlite.ops.real import resolve_conj as resolve_conj
from ascendlite.ops.real import resolve_neg as resolve_neg
from ascendlite.core._core import result_type as result_type
from ascendlite.ops.norm import rms_norm as rms_norm
from ascendlite.ops.turning import roll as roll
from ascendlite.ops.rope import rope as rope
from ascendlite.ops.rope import rope_tables as rope_tables
from ascendlite.ops.turning import rot90 as rot90
from ascendlite.ops.pointwise import round as round
from ascendlite.ops.movement import row_stack as row_stack
from ascendlite.ops.rectifier import rrelu as rrelu
from ascendlite.ops.arithmetic import rsub as rsub
from ascendlite.ops.resize import scalar_tensor as scalar_tensor
from ascendlite.ops.scatter import scatter as scatter
from ascendlite.ops.scatter import scatter_add as scatter_add
from ascendlite.ops.scatter import scatter_reduce as scatter_reduce
from ascendlite.ops.search import searchsorted as searchsorted
from ascendlite.core._core import select as select
from ascendlite.ops.pieces import select_scatter as select_scatter
from ascendlite.ops.rectifier import selu as selu
from ascendlite.core._core import set_default_device as set_default_device
from ascendlite.core._core import set_default_dtype as set_default_dtype
from ascendlite.core.modes import set_detect_anomaly as set_detect_anomaly
from ascendlite.core.modes import set_grad_enabled as set_grad_enabled
from ascendlite.ops.special import sinc as sinc
from ascendlite.ops.sinkhorn import sinkhorn as sinkhorn
from ascendlite.ops.pieces import slice_scatter as slice_scatter
from ascendlite.ops.linear_algebra import slogdet as slogdet
from ascendlite.ops.softmax import softmax as softmax
from ascendlite.ops.sort import sort as sort
from ascendlite.core.views import split as split
from ascendlite.ops.pieces import split_copy as split_copy
from ascendlite.core.views import split as split_with_sizes
from ascendlite.ops.pieces import split_with_sizes_copy as split_with_sizes_copy
from ascendlite.core.views import squeeze as squeeze
from ascendlite.ops.pieces import squeeze_copy as squeeze_copy
from ascendlite.ops.movement import stack as stack
from ascendlite.ops.reduce import std as std
from ascendlite.ops.reduce import std_mean as std_mean
from ascendlite.ops.arithmetic import sub as sub
from ascendlite.ops.arithmetic import sub as subtract
from ascendlite.ops.reduce import sum as sum
from ascendlite.ops.linear_algebra import svd as svd
from ascendlite.ops.linear_algebra import svd_lowrank as svd_lowrank
from ascendlite.ops.turning import swapaxes as swapaxes
from ascendlite.ops.turning import swapdims as swapdims
from ascendlite.ops.activation import swiglu as swiglu
from ascendlite.core.views import t as t
from ascendlite.ops.pieces import t_copy as t_copy
from ascendlite.ops.index import take as take
from ascendlite.ops.scatter import take_along_dim as take_along_dim
from ascendlite.core._core import tensor as tensor
from ascendlite.core.views import tensor_split as tensor_split
from ascendlite.ops.tensordot import tensordot as tensordot
from ascendlite.ops.rectifier import threshold as threshold
from ascendlite.ops.repeat import tile as tile
from ascendlite.ops.sort import topk as topk
from ascendlite.ops.triangle import trace as trace
from ascendlite.core._core import transpose as transpose
from ascendlite.ops.pieces import transpose_copy as transpose_copy
from ascendlite.ops.integral import trapezoid as trapezoid
from ascendlite.ops.integral import trapezoid as trapz
from ascendlite.ops.linear_algebra import triangular_solve as triangular_solve
from ascendlite.ops.triangle import tril as tril
from ascendlite.ops.create import tril_indices as tril_indices
from ascendlite.ops.triangle import triu as triu
from ascendlite.ops.create import triu_indices as triu_indices
from ascendlite.ops.arithmetic import div as true_divide
from ascendlite.core.views import unbind as unbind
from ascendlite.ops.pieces import unbind_copy as unbind_copy
from ascendlite.core.views import unflatten as unflatten
from ascendlite.ops.pieces import unfold_copy as unfold_copy
from ascendlite.ops.unique import unique as unique
from ascendlite.ops.unique import unique_consecutive as unique_consecutive
from ascendlite.ops.resize import unravel_index as unravel_index
from ascendlite.core.views import unsafe_chunk as unsafe_chunk
from ascendlite.core.views import unsafe_split as unsafe_split
from ascendlite.core.views import unsafe_split_with_sizes as unsafe_split_with_sizes
from ascendlite.core._core import unsqueeze as unsqueeze
from ascendlite.ops.pieces import unsqueeze_copy as unsqueeze_copy
from ascendlite.ops.integral import vander as vander
from ascendlite.ops.reduce import var as var
from ascendlite.ops.reduce import var_mean as var_mean
from ascendlite.ops.matmul import vdot as vdot
from ascendlite.ops.vector_norm import vector_norm as vector_norm
from ascendlite.ops.pieces import view_copy as view_copy
from ascendlite.ops.pieces import vsplit as vsplit
from ascendlite.ops.movement import vstack as vstack
from ascendlite.ops.compare import where as where
from ascendlite.core._core import zeros as zeros
from ascendlite.core._core import zeros_like as zeros_like
__version__: builtins.str
def abs(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def absolute(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def acos(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def acosh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
annotations: Any
def arccos(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def arccosh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def arcsin(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def arcsinh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def arctan(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def arctan2(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def arctanh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def asin(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def asinh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def atan(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def atan2(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def atanh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
bfloat16: DType
def bitwise_and(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def bitwise_left_shift(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def bitwise_not(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def bitwise_or(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def bitwise_right_shift(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def bitwise_xor(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
bool: DType
def ceil(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def clamp_max(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def clamp_min(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
contiguous_format: builtins.str
def copysign(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def cos(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def cosh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
default_generator: Any
device = Device
def digamma(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
double: DType
dtype = DType
e: builtins.float
def eq(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def erf(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def erfc(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def erfinv(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def exp(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def exp2(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def expm1(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def fix(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
float: DType
float16: DType
float32: DType
float4_e2m1fn_x2: DType
float64: DType
float8_e4m3fn: DType
float8_e5m2: DType
float8_e8m0fnu: DType
def floor(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def fmax(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def fmin(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def frac(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def gcd(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def ge(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def get_device_module(device: Any=None) -> Any: ...
def get_num_threads() -> Any: ...
def get_rng_state() -> Tensor: ...
def greater(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def greater_equal(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def gt(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
half: DType
hifloat8: DType
def hypot(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def i0(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def igamma(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def igammac(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
inf: builtins.float
def initial_seed() -> Any: ...
int: DType
int16: DType
int32: DType
int64: DType
int8: DType
def is_complex(input: Tensor) -> builtins.bool: ...
def is_floating_point(input: Tensor) -> builtins.bool: ...
def is_tensor(obj: Any) -> builtins.bool: ...
def isfinite(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def isinf(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def isnan(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def isneginf(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def isposinf(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def lcm(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def le(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def less(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def less_equal(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def lgamma(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def log(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def log10(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def log1p(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def log2(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def logaddexp(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def logaddexp2(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def logical_and(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def logical_not(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def logical_or(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def logical_xor(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
long: DType
def lt(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def manual_seed(seed: Any) -> Generator: ...
def maximum(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def minimum(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def mul(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def multiply(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
nan: builtins.float
def ne(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def neg(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def negative(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
newaxis: None
def not_equal(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def numel(input: Tensor) -> Any: ...
pi: builtins.float
preserve_format: builtins.str
def reciprocal(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def rsqrt(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def seed() -> Any: ...
def set_num_threads(n: Any) -> None: ...
def set_rng_state(new_state: Tensor) -> None: ...
def sgn(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
short: DType
def sigmoid(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def sign(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def signbit(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def sin(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def sinh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def sqrt(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def square(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
strided: builtins.str
def tan(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def tanh(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def trunc(input: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
uint8: DType
def xlogy(input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None) -> Tensor: ...
def abs_(self: Tensor, *others: Any) -> Tensor: ...
def acos_(self: Tensor, *others: Any) -> Tensor: ...
def acosh_(self: Tensor, *others: Any) -> Tensor: ...
def addmv_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def arccos_(self: Tensor, *others: Any) -> Tensor: ...
def arccosh_(self: Tensor, *others: Any) -> Tensor: ...
def arcsin_(self: Tensor, *others: Any) -> Tensor: ...
def arcsinh_(self: Tensor, *others: Any) -> Tensor: ...
def arctan_(self: Tensor, *others: Any) -> Tensor: ...
def arctanh_(self: Tensor, *others: Any) -> Tensor: ...
def as_strided_(self: Tensor, size: Sequence[builtins.int], stride: Sequence[builtins.int], storage_offset: builtins.int | None=None) -> Tensor: ...
def asin_(self: Tensor, *others: Any) -> Tensor: ...
def asinh_(self: Tensor, *others: Any) -> Tensor: ...
def atan_(self: Tensor, *others: Any) -> Tensor: ...
def atanh_(self: Tensor, *others: Any) -> Tensor: ...
def ceil_(self: Tensor, *others: Any) -> Tensor: ...
def clamp_(self: Tensor, *args: object, **options: object) -> Tensor: ...
def clamp_max_(self: Tensor, *others: Any) -> Tensor: ...
def clamp_min_(self: Tensor, *others: Any) -> Tensor: ...
def clip_(self: Tensor, *args: object, **options: object) -> Tensor: ...
def conj_physical_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def cos_(self: Tensor, *others: Any) -> Tensor: ...
def cosh_(self: Tensor, *others: Any) -> Tensor: ...
def deg2rad_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def detach(self: Any) -> Tensor: ...
def detach_(self: Any) -> Tensor: ...
def erf_(self: Tensor, *others: Any) -> Tensor: ...
def erfc_(self: Tensor, *others: Any) -> Tensor: ...
def exp2_(self: Tensor, *others: Any) -> Tensor: ...
def exp_(self: Tensor, *others: Any) -> Tensor: ...
def expm1_(self: Tensor, *others: Any) -> Tensor: ...
def fill_(self: Any, value: Any) -> Tensor: ...
def fix_(self: Tensor, *others: Any) -> Tensor: ...
def floor_(self: Tensor, *others: Any) -> Tensor: ...
def frac_(self: Tensor, *others: Any) -> Tensor: ...
def gcd_(self: Tensor, *others: Any) -> Tensor: ...
def i0_(self: Tensor, *others: Any) -> Tensor: ...
def lcm_(self: Tensor, *others: Any) -> Tensor: ...
def ldexp_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def log10_(self: Tensor, *others: Any) -> Tensor: ...
def log1p_(self: Tensor, *others: Any) -> Tensor: ...
def log2_(self: Tensor, *others: Any) -> Tensor: ...
def log_(self: Tensor, *others: Any) -> Tensor: ...
def logit_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def nan_to_num_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def neg_(self: Tensor, *others: Any) -> Tensor: ...
def negative_(self: Tensor, *others: Any) -> Tensor: ...
def rad2deg_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def reciprocal_(self: Tensor, *others: Any) -> Tensor: ...
def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: str | None=None) -> Tensor: ...
def round_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def rsqrt_(self: Tensor, *others: Any) -> Tensor: ...
def sigmoid_(self: Tensor, *others: Any) -> Tensor: ...
def sin_(self: Tensor, *others: Any) -> Tensor: ...
def sinc_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor: ...
def sinh_(self: Tensor, *others: Any) -> Tensor: ...
def sqrt_(self: Tensor, *others: Any) -> Tensor: ...
def square_(self: Tensor, *others: Any) -> Tensor: ...
def tan_(self: Tensor, *others: Any) -> Tensor: ...
def tanh_(self: Tensor, *others: Any) -> Tensor: ...
def trunc_(self: Tensor, *others: Any) -> Tensor: ...
def xlogy_(self: Tensor, *others: Any) -> Tensor: ...
def zero_(self: Any) -> Tensor: ...
