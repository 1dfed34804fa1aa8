"""Automatic differentiation for users: gradients, custom functions, recomputation, checks."""

from __future__ import annotations

from typing import Any

from ascendlite.absent import absent as _absent
from ascendlite.autograd import functional, graph
from ascendlite.autograd.checkpoint import checkpoint, checkpoint_sequential
from ascendlite.autograd.function import Function, FunctionCtx, once_differentiable
from ascendlite.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from ascendlite.autograd.variable import Variable
from ascendlite.core.autograd import backward, grad
from ascendlite.core.modes import detect_anomaly, enable_grad, inference_mode, no_grad, set_detect_anomaly, set_grad_enabled

__all__ = [
    "Function", "FunctionCtx", "GradcheckError", "Variable", "backward", "checkpoint", "checkpoint_sequential", "detect_anomaly", "enable_grad", "functional", "grad",
    "gradcheck", "gradgradcheck", "graph", "inference_mode", "no_grad", "once_differentiable", "set_detect_anomaly", "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    raise _absent("autograd", name)
