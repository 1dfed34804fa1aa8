"""The compiled core and the little Python around it. It imports nothing of the package but `errors` and the native runtime."""

from ascendlite import backends as _backends  # loads the kernels before ops look for them
from ascendlite.core._core import *  # noqa: F403
from ascendlite.core._core import (
    FUNCTIONS, OPS, AccumulateGrad, Contents, Node, Op, Size, Spec, Tensor, add_listener, deliver, exchange_grad, from_pointer, get_autocast, is_capturing,
    is_plain, make_subclass, next_philox, normalize_dim, normalize_dims, set_autocast, sum_to,
)
from ascendlite.core.autograd import backward, grad
from ascendlite.core.modes import detect_anomaly, doubles_on_npu, enable_grad, inference_mode, no_grad, set_detect_anomaly, set_grad_enabled
from ascendlite.core.limits import finfo, iinfo
from ascendlite.core.registry import FUNCTIONAL, METHODS, add_method, function, pointwise, register, require_tensor
from ascendlite.core import views as _views
from ascendlite.core._core import DTYPE_NAMES as _DTYPE_NAMES

globals().update(_DTYPE_NAMES)  # float32 and its kin, for the ops
