"""The compiled core and the little Python around it. It imports nothing of the package but `errors` and the native runtime."""

import os as _os

from ascendlite import _native

if not hasattr(_native, "loaded_instruction_set"):
    for _isa in ("avx2", "neon", "baseline"):
        _path = _os.path.join(_os.path.dirname(_native.__file__), f"_cpu_{_isa}.so")
        if _os.path.exists(_path):
            _native.load_library(_path)
            break

from ascendlite.core._core import *  # noqa: F403
from ascendlite.core._core import (
    FUNCTIONS, OPS, AccumulateGrad, Node, Op, Spec, Tensor, add_listener, deliver, exchange_grad, from_pointer, get_autocast, make_subclass,
    next_philox, normalize_dim, normalize_dims, set_autocast, sum_to,
)
from ascendlite.core.autograd import backward, grad
from ascendlite.core.modes import detect_anomaly, enable_grad, inference_mode, no_grad, set_detect_anomaly, set_grad_enabled
from ascendlite.core.limits import finfo, iinfo
from ascendlite.core.registry import FUNCTIONAL, METHODS, add_method, function, pointwise, register
from ascendlite.core import views as _views
from ascendlite.core._core import DTYPE_NAMES as _DTYPE_NAMES

globals().update(_DTYPE_NAMES)  # float32 and its kin, for the ops
