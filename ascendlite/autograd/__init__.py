"""Automatic differentiation for users: gradients, custom functions, recomputation, checks."""

from ascendlite.autograd import functional
from ascendlite.autograd.checkpoint import checkpoint, checkpoint_sequential
from ascendlite.autograd.function import Function, FunctionCtx, once_differentiable
from ascendlite.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from ascendlite.core.autograd import backward, grad
from ascendlite.core.modes import detect_anomaly, enable_grad, inference_mode, no_grad, set_detect_anomaly, set_grad_enabled

__all__ = [
    "Function", "FunctionCtx", "GradcheckError", "backward", "checkpoint", "checkpoint_sequential", "detect_anomaly", "enable_grad", "functional", "grad",
    "gradcheck", "gradgradcheck", "inference_mode", "no_grad", "once_differentiable", "set_detect_anomaly", "set_grad_enabled",
]
