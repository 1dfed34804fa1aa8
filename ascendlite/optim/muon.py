"""Muon as DeepSeek-V4 uses it: momentum whose matrix is replaced by (nearly) its orthogonal factor.

What differs from torch.optim.Muon:
- the momentum is a plain sum, M <- mu M + G (torch averages; normalised it is the same);
- hybrid Newton-Schulz: 8 fast steps and 2 that settle the singular values at 1 (torch: 5 fast ones);
- the update is scaled by sqrt(max(n, m)) * gamma: its RMS is AdamW's, so one learning rate serves both;
- batches of matrices (3-d parameters, such as experts) are taken, each matrix on its own.
"""

from __future__ import annotations

import math

from ..core import Tensor, float32, float64, zeros_like
from .optimizer import Group, Optimizer, Params, check_at_least_zero, with_grad

Coefficients = tuple[float, float, float]
# (steps, coefficients): fast growth of small singular values, then convergence to 1 (DeepSeek-V4 report, 2.4)
HYBRID: tuple[tuple[int, Coefficients], ...] = ((8, (3.4445, -4.7750, 2.0315)), (2, (2.0, -1.5, 0.5)))


class Muon(Optimizer):
    """Orthogonalised momentum for matrices; give embeddings, heads, norms and biases to AdamW.

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
        *,
        gamma: float = 0.18,
        ns_schedule: tuple[tuple[int, Coefficients], ...] = HYBRID,
        eps: float = 1e-7,
        maximize: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, weight_decay=weight_decay, momentum=momentum, gamma=gamma, eps=eps)
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
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
        lr, mu = float(group["lr"]), group["momentum"]
        for param, grad in with_grad(group):
            state = self.state[param]
            if not state:
                state["momentum_buffer"] = zeros_like(param)
            buffer = state["momentum_buffer"].mul_(mu).add_(grad)
            update = grad.add(buffer, alpha=mu) if group["nesterov"] else buffer
            update = orthogonalize(update, group["ns_schedule"], group["eps"])
            scale = math.sqrt(max(param.shape[-2:])) * group["gamma"]
            if group["weight_decay"]:
                param.mul_(1 - lr * group["weight_decay"])
            param.add_(update.to(param.dtype), alpha=-lr * scale)


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
