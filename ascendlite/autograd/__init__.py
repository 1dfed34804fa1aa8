"""Automatic differentiation for users: gradients, custom functions, recomputation, checks."""

from ascendlite.core.autograd import backward, grad
from ascendlite.core.modes import detect_anomaly, enable_grad, inference_mode, no_grad, set_detect_anomaly, set_grad_enabled

__all__ = ["backward", "detect_anomaly", "enable_grad", "grad", "inference_mode", "no_grad", "set_detect_anomaly", "set_grad_enabled"]
