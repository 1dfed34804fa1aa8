"""Adafactor: second moments of matrices kept as one row and one column (Shazeer and Stern, arXiv:1804.04235).

As torch, and unlike the paper: lr bounds the relative step and scales the decay, eps[0] bounds the estimates instead of being added.
"""

from __future__ import annotations

import math

from ..core import Tensor, finfo, zeros_like
from .optimizer import Group, Optimizer, Params, check_at_least_zero, with_grad


def _rms(x: Tensor) -> float:
    return float(x.norm(2).item()) / math.sqrt(x.numel())


class Adafactor(Optimizer):
    """Steps relative to the size of the parameter; updates of root mean square above `d` are scaled down."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, weight_decay=weight_decay)
        if beta2_decay > 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if (eps[0] is not None and eps[0] < 0) or eps[1] < 0:
            raise ValueError(f"epsilon1 and epsilon2 should be >= 0 but are: {eps}")
        if d < 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        options = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, options)

    def _update_group(self, group: Group) -> None:
        lr = float(group["lr"])
        for param, grad in with_grad(group):
            state = self.state[param]
            if not state:
                state["step"] = 0
                if grad.ndim > 1:
                    state["row_var"] = grad.new_zeros((*grad.shape[:-1], 1))
                    state["col_var"] = grad.new_zeros((*grad.shape[:-2], 1, grad.shape[-1]))
                else:
                    state["variance"] = zeros_like(grad)
            state["step"] += 1
            step = state["step"]
            eps1, eps2 = group["eps"]
            eps1 = float(finfo(param.dtype).eps) if eps1 is None else eps1
            alpha = max(eps2, _rms(param)) * min(lr, step**-0.5)
            if group["weight_decay"]:
                param.mul_(1 - lr * group["weight_decay"])
            estimate = _second_moment(state, grad, step ** group["beta2_decay"], eps1)
            update = estimate.clamp_(min=eps1 * eps1).rsqrt_().mul_(grad)
            param.add_(update, alpha=-alpha / max(1.0, _rms(update) / group["d"]))


def _second_moment(state: Group, grad: Tensor, fresh: float, eps1: float) -> Tensor:
    squares = grad * grad
    if grad.ndim < 2:
        return state["variance"].lerp_(squares, fresh).clone()  # type: ignore[no-any-return]
    rows = state["row_var"].lerp_(squares.mean(-1, keepdim=True), fresh)
    columns = state["col_var"].lerp_(squares.mean(-2, keepdim=True), fresh)
    return (rows @ columns).div_(rows.mean(-2, keepdim=True).clamp_(min=eps1))  # type: ignore[no-any-return]
