"""SGD with momentum, dampening, Nesterov and weight decay."""

from __future__ import annotations

from .optimizer import Group, Optimizer, Params, check_at_least_zero, check_unsupported, with_grad


class SGD(Optimizer):
    """Stochastic gradient descent.

    >>> weight = al.nn.Parameter(al.ones(2))
    >>> optimizer = al.optim.SGD([weight], lr=0.1)
    >>> weight.sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_at_least_zero(lr=lr, momentum=momentum, weight_decay=weight_decay)
        check_unsupported("SGD", False, differentiable)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening: "
                f"momentum is {momentum}, dampening {dampening}"
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _update_group(self, group: Group) -> None:
        lr, momentum, decay = float(group["lr"]), group["momentum"], group["weight_decay"]
        for param, grad in with_grad(group):
            if decay:
                grad = grad.add(param, alpha=decay)
            if momentum:
                state = self.state[param]
                buffer = state.get("momentum_buffer")
                if buffer is None:
                    buffer = state["momentum_buffer"] = grad.detach().clone()
                else:
                    buffer.mul_(momentum).add_(grad, alpha=1 - group["dampening"])
                grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
            param.add_(grad, alpha=-lr)
