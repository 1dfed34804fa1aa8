"""Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms", program 1)."""

from __future__ import annotations

from ..core import zeros_like
from .optimizer import Group, Optimizer, Params, check_at_least_zero, check_betas, with_grad


class Lion(Optimizer):
    """Steps of one size in every coordinate: the sign of momentum and gradient mixed; decoupled decay."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(
            params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        )

    def _update_group(self, group: Group) -> None:
        lr, (beta1, beta2) = float(group["lr"]), group["betas"]
        for param, grad in with_grad(group):
            state = self.state[param]
            if not state:
                state["exp_avg"] = zeros_like(param)
            momentum = state["exp_avg"]
            if group["weight_decay"]:
                param.mul_(1 - lr * group["weight_decay"])
            param.add_(momentum.lerp(grad, 1 - beta1).sign_(), alpha=-lr)
            momentum.lerp_(grad, 1 - beta2)
