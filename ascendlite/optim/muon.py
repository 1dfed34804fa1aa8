"""Muon as DeepSeek-V4 uses it: momentum whose matrix is replaced by (nearly) its orthogonal factor.

What differs from torch.optim.Muon, unless one of its own arguments (ns_coefficients, ns_steps, adjust_lr_fn) asks for its form:
- the momentum is a plain sum, M <- mu M + G (torch averages; normalised it is the same);
- hybrid Newton-Schulz: 8 fast steps and 2 that settle the singular values at 1 (torch: 5 fast ones);
- the update is scaled by sqrt(max(n, m)) * gamma: its RMS is AdamW's, so one learning rate serves both;
- float32 throughout (torch: bfloat16).
In both forms, batches of matrices (3-d parameters, such as experts) are taken, each matrix on its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..core import Tensor, float32, float64, zeros_like
from ..ops.matmul import addmm, baddbmm
from .optimizer import Group, Optimizer, Params, check_at_least_zero, with_grad

Coefficients = tuple[float, float, float]
# (steps, coefficients): fast growth of small singular values, then convergence to 1 (DeepSeek-V4 report, 2.4)
FAST: Coefficients = (3.4445, -4.7750, 2.0315)
HYBRID: tuple[tuple[int, Coefficients], ...] = ((8, FAST), (2, (2.0, -1.5, 0.5)))
# torch's factors of the learning rate for an n x m matrix
ADJUST_LR: dict[str | None, Callable[[int, int], float]] = {
    None: lambda n, m: math.sqrt(max(1, n / m)),
    "original": lambda n, m: math.sqrt(max(1, n / m)),
    "match_rms_adamw": lambda n, m: 0.2 * math.sqrt(max(n, m)),
}


class Muon(Optimizer):
    """Orthogonalised momentum for matrices; give embeddings, heads, norms and biases to AdamW.

    DeepSeek-V4's form; with `ns_steps` (torch: 5), `ns_coefficients` or `adjust_lr_fn`, torch.optim.Muon's.

    >>> weight = al.nn.Parameter(al.ones(4, 2))
    >>> optimizer = al.optim.Muon([weight], lr=0.02)
    >>> weight.sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Coefficients | None = None,
        eps: float = 1e-7,
        ns_steps: int | None = None,
        adjust_lr_fn: str | None = None,
        *,
        gamma: float = 0.18,
        ns_schedule: tuple[tuple[int, Coefficients], ...] = HYBRID,
        maximize: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, weight_decay=weight_decay, momentum=momentum, gamma=gamma, eps=eps)
        if adjust_lr_fn not in ADJUST_LR:
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported; use one of {[*ADJUST_LR]}")
        if ns_steps is None and (ns_coefficients is not None or adjust_lr_fn is not None):
            ns_steps = 5  # torch's default
        if ns_steps is not None and not 0 <= ns_steps < 100:
            raise ValueError(f"Muon: ns_steps is {ns_steps}; number of steps must be less than 100 for computational efficiency")
        if ns_coefficients is not None and len(ns_coefficients) != 3:
            raise ValueError(f"Muon: ns_coefficients must be a tuple of exactly 3 values, got {ns_coefficients}")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": FAST if ns_coefficients is None else ns_coefficients,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
                "gamma": gamma,
                "ns_schedule": ns_schedule,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            if param.ndim not in (2, 3):
                self.param_groups.pop()
                raise ValueError(
                    "Muon: only matrices (2-d) and batches of matrices (3-d) can be orthogonalised, got a "
                    f"parameter of shape {tuple(param.shape)}; give it to AdamW"
                )

    def _update_group(self, group: Group) -> None:
        lr = float(group["lr"])
        rule = _report_update if group.get("ns_steps") is None else _torch_update
        for param, grad in with_grad(group):
            state = self.state[param]
            if not state:
                state["momentum_buffer"] = zeros_like(param)
            update, scale = rule(group, grad, state["momentum_buffer"])
            if group["weight_decay"]:
                param.mul_(1 - lr * group["weight_decay"])
            param.add_(update.to(param.dtype), alpha=-lr * scale)


def _report_update(group: Group, grad: Tensor, buffer: Tensor) -> tuple[Tensor, float]:
    """The direction and the factor of its learning rate, in DeepSeek-V4's form."""
    mu = group["momentum"]
    buffer.mul_(mu).add_(grad)
    update = grad.add(buffer, alpha=mu) if group["nesterov"] else buffer
    scale = math.sqrt(max(grad.shape[-2:])) * group["gamma"]
    return orthogonalize(update, group["ns_schedule"], group["eps"]), scale


def _torch_update(group: Group, grad: Tensor, buffer: Tensor) -> tuple[Tensor, float]:
    """The same in torch's form."""
    mu = group["momentum"]
    buffer.lerp_(grad, 1 - mu)
    update = grad.lerp(buffer, mu) if group["nesterov"] else buffer
    scale = ADJUST_LR[group["adjust_lr_fn"]](*grad.shape[-2:])
    return _orthogonalize_in_bfloat16(update, group["ns_coefficients"], group["ns_steps"], group["eps"]), scale


def _orthogonalize_in_bfloat16(matrix: Tensor, coefficients: Coefficients, steps: int, eps: float) -> Tensor:
    a, b, c = coefficients
    blend = addmm if matrix.ndim == 2 else baddbmm
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT.bfloat16() if tall else matrix.bfloat16()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = blend(x, blend(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def orthogonalize(
    matrix: Tensor, schedule: tuple[tuple[int, Coefficients], ...] = HYBRID, eps: float = 1e-7
) -> Tensor:
    """Newton-Schulz iterations from U S V^T towards U V^T, for (*, n, m), in float32 or wider."""
    x = matrix if matrix.dtype == float64 else matrix.to(float32)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x  # the product below is the smaller of the two
    x = x / x.square().sum((-2, -1), keepdim=True).sqrt().clamp(min=eps)
    for steps, (a, b, c) in schedule:
        for _ in range(steps):
            gram = x @ x.mT
            x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x
