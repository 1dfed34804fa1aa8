"""Adam and AdamW. One fused pass over a group; plain ops where `fused=False` or memory is not dense."""

from __future__ import annotations

import math
from typing import Any

from ..core import Device, Tensor, dense_alike, float64, zeros_like
from ..ops import fused_optim
from .optimizer import Group, Optimizer, Params, check_at_least_zero, check_betas, check_unsupported

Entry = tuple[Tensor, Tensor, dict[str, Any]]


class Adam(Optimizer):
    """Adam; weight decay is added to the gradient unless `decoupled_weight_decay`."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        check_unsupported(type(self).__name__, capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _update_group(self, group: Group) -> None:
        # a parameter that got no gradient for a while is behind: one pass for each step count, arithmetic and device
        passes: dict[tuple[int, bool, Device], list[Entry]] = {}
        for param in group["params"]:
            grad = param.grad
            if grad is not None:
                state = self._state_of(param, group["amsgrad"])
                state["step"] += 1
                passes.setdefault((state["step"], param.dtype == float64, param.device), []).append((param, grad, state))
        for (step, _, device), entries in passes.items():
            fused = [] if group["fused"] is False or device.type == "meta" else _dense(entries, group)
            if fused:
                _fused_update(fused, group, step)
            if len(fused) < len(entries):
                done = {id(param) for param, *_ in fused}
                for entry in entries:
                    if id(entry[0]) not in done:
                        _plain_update(entry, group)

    def _state_of(self, param: Tensor, amsgrad: bool) -> dict[str, Any]:
        state = self.state[param]
        if not state:
            state["step"] = 0
            state["exp_avg"] = zeros_like(param)
            state["exp_avg_sq"] = zeros_like(param)
        if amsgrad and "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = zeros_like(param)
        return state


class AdamW(Adam):
    """Adam with decoupled weight decay.

    >>> weight = al.nn.Parameter(al.ones(2))
    >>> optimizer = al.optim.AdamW([weight], lr=0.1)
    >>> weight.sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


def _written(entry: Entry, group: Group) -> tuple[Tensor, ...]:
    """What a step writes: the parameter, both moments, and with AMSGrad the largest second moment."""
    param, _, state = entry
    moments = (param, state["exp_avg"], state["exp_avg_sq"])
    return (*moments, state["max_exp_avg_sq"]) if group["amsgrad"] else moments


def _dense(entries: list[Entry], group: Group) -> list[Entry]:
    """The entries whose written tensors lie in memory without gaps."""

    def dense(some: list[Entry]) -> bool:
        params, *moments = zip(*(_written(e, group) for e in some), strict=True)
        return dense_alike(params, params, *moments)

    return entries if dense(entries) else [e for e in entries if dense([e])]


def _fused_update(entries: list[Entry], group: Group, step: int) -> None:
    beta1, beta2 = group["betas"]
    params, exp_avgs, exp_avg_sqs, *largest = zip(*(_written(e, group) for e in entries), strict=True)
    fused_optim.adamw_(
        params,
        [grad for _, grad, _ in entries],
        exp_avgs,
        exp_avg_sqs,
        step=step,
        lr=float(group["lr"]),
        beta1=float(beta1),
        beta2=float(beta2),
        eps=group["eps"],
        weight_decay=group["weight_decay"],
        decoupled=group["decoupled_weight_decay"],
        maximize=group["maximize"],
        max_exp_avg_sqs=largest[0] if largest else None,
    )


def _plain_update(entry: Entry, group: Group) -> None:
    param, grad, state = entry
    step = state["step"]
    lr, decay = float(group["lr"]), group["weight_decay"]
    beta1, beta2 = (float(beta) for beta in group["betas"])
    if group["maximize"]:
        grad = -grad
    if decay and group["decoupled_weight_decay"]:
        param.mul_(1 - lr * decay)
    elif decay:
        grad = grad.add(param, alpha=decay)
    state["exp_avg"].lerp_(grad, 1 - beta1)
    state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    square = state["exp_avg_sq"]
    if group["amsgrad"]:
        square = state["max_exp_avg_sq"].copy_(state["max_exp_avg_sq"].maximum(square))
    denominator = (square.sqrt() / math.sqrt(1 - beta2**step)).add_(group["eps"])
    param.addcdiv_(state["exp_avg"], denominator, value=-lr / (1 - beta1**step))
