"""ascendlite: tensors and autograd with PyTorch's names, on the CPU and on an emulated Ascend NPU."""

from __future__ import annotations

import importlib
import math as _math
from typing import Any

from ascendlite import _native, errors
from ascendlite.core import (
    DType, Device, Generator, Size, Tensor, arange, as_strided, as_tensor, asarray, broadcast_shapes, can_cast, default_generator, detect_anomaly,
    empty, empty_like, empty_strided, enable_grad, finfo, from_numpy, full, full_like, get_default_device, get_default_dtype, iinfo, inference_mode,
    is_anomaly_enabled, is_grad_enabled, is_inference_mode_enabled, no_grad, ones, ones_like, promote_types, result_type,
    set_default_device, set_default_dtype, set_detect_anomaly, set_grad_enabled, tensor, zeros, zeros_like,
)
from ascendlite.absent import absent as _absent
from ascendlite.core import FUNCTIONAL as _FUNCTIONAL
from ascendlite.core import FUNCTIONS as _FUNCTIONS
from ascendlite.core._core import DTYPE_NAMES as _DTYPE_NAMES
from ascendlite.core import require_tensor as _require_tensor
from ascendlite import ops as _ops
from ascendlite import interop as _interop  # adds the protocols of other libraries to Tensor

__version__ = "0.1.0"

dtype = DType
device = Device
globals().update(_DTYPE_NAMES)  # ascendlite.float32 and its kin
float = _DTYPE_NAMES["float32"]
double = _DTYPE_NAMES["float64"]
half = _DTYPE_NAMES["float16"]
int = _DTYPE_NAMES["int32"]
long = _DTYPE_NAMES["int64"]
short = _DTYPE_NAMES["int16"]
strided = "strided"
contiguous_format = "contiguous_format"
preserve_format = "preserve_format"
inf, nan, pi, e, newaxis = _math.inf, _math.nan, _math.pi, _math.e, None
globals().update({name: fn for name, fn in _FUNCTIONS.items() if name not in _FUNCTIONAL})

# Imported when first used: they are not needed to compute.
_LAZY = ("accelerator", "amp", "autograd", "backends", "checkpoint", "compile", "cpu", "data", "func", "generation", "info", "interop", "linalg", "meta", "models", "nn", "npu", "optim", "posttrain", "printing", "profiler", "safetensors", "serialize", "signal", "special", "testing", "text", "utils")
_LAZY_NAMES = {
    "save": "serialize", "load": "serialize", "from_dlpack": "interop.dlpack", "set_printoptions": "printing", "autocast": "amp",
    "load_torch": "interop.torch_file", "vmap": "func",
    **dict.fromkeys((
        "OutOfMemoryError", "alpha_dropout_", "are_deterministic_algorithms_enabled", "clear_autocast_cache", "dropout_", "feature_alpha_dropout_", "frombuffer", "get_autocast_cpu_dtype", "get_autocast_dtype", "get_deterministic_debug_mode", "get_device",
        "get_float32_matmul_precision", "get_num_interop_threads", "is_autocast_cache_enabled", "is_autocast_cpu_enabled", "set_autocast_dtype", "is_autocast_enabled", "is_conj", "is_deterministic_algorithms_warn_only_enabled",
        "is_inference", "is_neg", "is_signed", "is_storage", "is_warn_always_enabled", "layout", "memory_format",
        "range", "set_autocast_enabled", "set_deterministic_debug_mode", "set_float32_matmul_precision", "set_flush_denormal", "set_num_interop_threads", "set_warn_always", "sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum", "to_dlpack",
        "typename", "use_deterministic_algorithms",
    ), "compat"),
    **dict.fromkeys((
        "adaptive_avg_pool1d", "adaptive_max_pool1d", "alpha_dropout", "avg_pool1d", "bilinear", "celu_", "channel_shuffle", "feature_alpha_dropout", "max_pool1d",
        "max_pool2d", "max_pool3d", "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle", "relu_", "rrelu_", "selu_", "threshold_",
    ), "nn.functional"),
}
# Functions that write into their first argument: the methods, by torch's choice of names.
_IN_PLACE = frozenset((
    "abs_", "acos_", "acosh_", "addmv_", "as_strided_", "arccos_", "arccosh_", "arcsin_", "arcsinh_", "arctan_", "arctanh_", "asin_", "asinh_", "atan_", "atanh_",
    "ceil_", "clamp_", "clamp_max_", "clamp_min_", "clip_", "conj_physical_", "cos_", "cosh_", "deg2rad_", "detach_", "erf_", "erfc_", "exp2_", "exp_",
    "expm1_", "fill_", "fix_", "floor_", "frac_", "gcd_", "i0_", "lcm_", "ldexp_", "log10_", "log1p_", "log2_", "log_", "logit_", "nan_to_num_", "neg_",
    "negative_", "rad2deg_", "reciprocal_", "round_", "rsqrt_", "sigmoid_", "sin_", "sinc_", "sinh_", "sqrt_", "square_", "tan_", "tanh_", "trunc_",
    "xlogy_", "zero_", "detach", "resize_as_",
))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"ascendlite.{name}")
    if name in _LAZY_NAMES:
        value = getattr(importlib.import_module(f"ascendlite.{_LAZY_NAMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _IN_PLACE:
        return getattr(Tensor, name)
    raise _absent("", name)


def get_device_module(device: Any = None) -> Any:
    """The module that looks after a kind of device (`ascendlite.npu`, `ascendlite.cpu`, `ascendlite.meta`); None: of the accelerator."""
    return importlib.import_module(f"ascendlite.{'npu' if device is None else Device(device).type}")


def get_num_threads() -> Any:
    """The number of threads that kernels use."""
    return _native.get_num_threads()


def set_num_threads(n: Any) -> None:
    """Use `n` threads in kernels. No result depends on it."""
    if not isinstance(n, type(1)) or n < 1:
        raise errors.ArgumentError(f"set_num_threads: expects a positive integer, got {n!r}")
    _native.set_num_threads(n)


def manual_seed(seed: Any) -> Generator:
    """Start the default random sequence of `seed`; returns the default generator."""
    return default_generator.manual_seed(seed)


def seed() -> Any:
    """Start the default random sequence from a seed of the operating system; returns it."""
    return default_generator.seed()


def initial_seed() -> Any:
    """The seed that the default random sequence started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default random sequence, for `set_rng_state`."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Go back to a state of the default random sequence."""
    default_generator.set_state(new_state)


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the tensor's dtype is a float."""
    _require_tensor("is_floating_point", input)
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Always False: there are no complex numbers here."""
    return False


def numel(input: Tensor) -> Any:
    """The number of elements."""
    _require_tensor("numel", input)
    return input.numel()
