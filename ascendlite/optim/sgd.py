"""SGD with momentum, dampening, Nesterov and weight decay, in one fused pass over a group."""

from __future__ import annotations

from ..core import Device, Tensor, float32, float64, zeros_like
from ..ops import fused_optim
from .optimizer import Group, Optimizer, Params, check_at_least_zero, check_unsupported

Entry = tuple[Tensor, Tensor, Tensor | None]


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
        passes: dict[tuple[bool, bool, Device], list[Entry]] = {}
        for param in group["params"]:
            if param.grad is None:
                continue
            buffer, first = self._buffer_of(param) if group["momentum"] else (None, True)
            entry = (param, param.grad, buffer)
            runs = param.is_cpu or (param.is_npu and param.dtype == param.grad.dtype == float32)
            dense = runs and param.is_contiguous() and (buffer is None or buffer.is_contiguous())
            if group["fused"] is not False and dense:
                passes.setdefault((first, param.dtype == float64, param.device), []).append(entry)
            else:
                _plain_update(entry, group, first)
        for (first, *_), entries in passes.items():
            _fused_update(entries, group, first)

    def _buffer_of(self, param: Tensor) -> tuple[Tensor, bool]:
        """The momentum of a parameter, and whether this is its first step: then it becomes the gradient."""
        state = self.state[param]
        first = state.get("momentum_buffer") is None
        if first:
            state["momentum_buffer"] = zeros_like(param)
        return state["momentum_buffer"], first


def _fused_update(entries: list[Entry], group: Group, first: bool) -> None:
    buffers = [buffer for _, _, buffer in entries if buffer is not None]
    fused_optim.sgd_(
        [param for param, _, _ in entries],
        [grad for _, grad, _ in entries],
        buffers or None,
        lr=float(group["lr"]),
        momentum=group["momentum"],
        dampening=group["dampening"],
        weight_decay=group["weight_decay"],
        nesterov=group["nesterov"],
        maximize=group["maximize"],
        first_step=first,
    )


def _plain_update(entry: Entry, group: Group, first: bool) -> None:
    param, grad, buffer = entry
    grad = -grad if group["maximize"] else grad
    if group["weight_decay"]:
        grad = grad.add(param, alpha=group["weight_decay"])
    if buffer is not None:
        momentum = group["momentum"]
        if first:
            buffer.copy_(grad)
        else:
            buffer.mul_(momentum).add_(grad, alpha=1 - group["dampening"])
        grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
    param.add_(grad, alpha=-float(group["lr"]))
