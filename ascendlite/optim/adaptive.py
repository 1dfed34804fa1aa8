"""RMSprop and Adagrad: step sizes by the history of squared gradients."""

from __future__ import annotations

from ..core import full_like, zeros_like
from .optimizer import Group, Optimizer, Params, check_at_least_zero, check_unsupported, with_grad


class RMSprop(Optimizer):
    """Gradient divided by the root of a running mean of its squares (of its variance if `centered`)."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        check_unsupported("RMSprop", capturable, differentiable)
        options = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, options)

    def _update_group(self, group: Group) -> None:
        lr, alpha, decay = float(group["lr"]), group["alpha"], group["weight_decay"]
        for param, grad in with_grad(group):
            state = self.state[param]
            if not state:
                state["step"] = 0
                state["square_avg"] = zeros_like(param)
                if group["momentum"] > 0:
                    state["momentum_buffer"] = zeros_like(param)
                if group["centered"]:
                    state["grad_avg"] = zeros_like(param)
            state["step"] += 1
            if decay:
                grad = grad.add(param, alpha=decay)
            square = state["square_avg"].mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
            if group["centered"]:
                mean = state["grad_avg"].lerp_(grad, 1 - alpha)
                square = square.addcmul(mean, mean, value=-1)
            root = square.sqrt().add_(group["eps"])
            if group["momentum"] > 0:
                buffer = state["momentum_buffer"].mul_(group["momentum"]).addcdiv_(grad, root)
                param.add_(buffer, alpha=-lr)
            else:
                param.addcdiv_(grad, root, value=-lr)


class Adagrad(Optimizer):
    """Gradient divided by the root of the sum of its squares so far."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_at_least_zero(
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        check_unsupported("Adagrad", False, differentiable)
        options = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, options)
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param] = {
                    "step": 0,
                    "sum": full_like(param, group["initial_accumulator_value"]).detach(),
                }

    def _update_group(self, group: Group) -> None:
        for param, grad in with_grad(group):
            state = self.state[param]
            if not state:
                state.update(step=0, sum=full_like(param, group["initial_accumulator_value"]))
            state["step"] += 1
            if group["weight_decay"]:
                grad = grad.add(param, alpha=group["weight_decay"])
            lr = float(group["lr"]) / (1 + (state["step"] - 1) * group["lr_decay"])
            root = state["sum"].addcmul_(grad, grad, value=1).sqrt().add_(group["eps"])
            param.addcdiv_(grad, root, value=-lr)
