"""Adaptive optimizers from before AdamW, by torch's names and trajectories: Adadelta, Adamax, NAdam, RAdam, Rprop, ASGD."""

from __future__ import annotations

from ..core import Tensor, float32, full_like, ones, ones_like, tensor, zeros_like
from ..ops.compare import where
from .optimizer import Group, Optimizer, Params, check_at_least_zero, check_unsupported, with_grad


def _decayed(param: Tensor, grad: Tensor, group: Group) -> Tensor:
    return grad.add(param, alpha=group["weight_decay"]) if group["weight_decay"] else grad


def _moments(state: dict[str, Tensor], grad: Tensor, betas: tuple[float, float]) -> tuple[Tensor, Tensor]:
    first = state["exp_avg"].lerp_(grad, 1 - betas[0])
    return first, state["exp_avg_sq"].mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])


class Adadelta(Optimizer):
    """Gradient times the ratio of running sizes of updates and of gradients (M. Zeiler, 2012)."""

    def __init__(
        self, params: Params, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0, foreach: bool | None = None,
        *, capturable: bool = False, maximize: bool = False, differentiable: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
        if rho > 1:
            raise ValueError(f"Invalid rho value: {rho}; it must be between 0 and 1")
        check_unsupported("Adadelta", capturable, differentiable)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "capturable": capturable,
                                  "foreach": foreach, "differentiable": differentiable})

    def _update_group(self, group: Group) -> None:
        rho, eps = group["rho"], group["eps"]
        for param, raw in with_grad(group):
            state = self.state[param]
            if not state:
                state.update(step=0, square_avg=zeros_like(param), acc_delta=zeros_like(param))
            state["step"] += 1
            grad = _decayed(param, raw, group)
            root = state["square_avg"].mul_(rho).addcmul_(grad, grad, value=1 - rho).add(eps).sqrt_()
            delta = state["acc_delta"].add(eps).sqrt_().div_(root).mul_(grad)
            state["acc_delta"].mul_(rho).addcmul_(delta, delta, value=1 - rho)
            param.add_(delta, alpha=-float(group["lr"]))


class Adamax(Optimizer):
    """Adam with the running maximum of |gradient| in the place of its root mean square (Kingma and Ba, section 7.1)."""

    def __init__(
        self, params: Params, lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        _check_betas(betas)
        check_unsupported("Adamax", capturable, differentiable)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
                                  "differentiable": differentiable, "capturable": capturable})

    def _update_group(self, group: Group) -> None:
        beta1, beta2 = group["betas"]
        for param, raw in with_grad(group):
            state = self.state[param]
            if not state:
                state.update(step=0, exp_avg=zeros_like(param), exp_inf=zeros_like(param))
            state["step"] += 1
            grad = _decayed(param, raw, group)
            state["exp_avg"].lerp_(grad, 1 - beta1)
            largest = state["exp_inf"].mul(beta2).maximum(grad.abs() + group["eps"])
            state["exp_inf"].copy_(largest)
            param.addcdiv_(state["exp_avg"], largest, value=-float(group["lr"]) / (1 - beta1 ** state["step"]))


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (T. Dozat, 2016)."""

    def __init__(
        self, params: Params, lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        _check_betas(betas)
        check_unsupported("NAdam", capturable, differentiable)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
                                  "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
                                  "capturable": capturable, "differentiable": differentiable})

    def _update_group(self, group: Group) -> None:
        (beta1, beta2), lr, decay = group["betas"], float(group["lr"]), group["momentum_decay"]
        for param, raw in with_grad(group):
            state = self.state[param]
            if not state:  # the product of momenta is a float32 tensor, as in torch's state
                state.update(step=0, mu_product=ones((), dtype=float32), exp_avg=zeros_like(param), exp_avg_sq=zeros_like(param))
            state["step"] += 1
            step = state["step"]
            if group["decoupled_weight_decay"]:
                param.mul_(1 - lr * group["weight_decay"])
            grad = raw if group["decoupled_weight_decay"] else _decayed(param, raw, group)
            mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in (step, step + 1))
            state["mu_product"].mul_(mu)
            product = float(state["mu_product"])
            first, second = _moments(state, grad, group["betas"])
            root = second.div(1 - beta2**step).sqrt_().add_(group["eps"])
            param.addcdiv_(grad, root, value=-lr * (1 - mu) / (1 - product))
            param.addcdiv_(first, root, value=-lr * mu_next / (1 - product * mu_next))


class RAdam(Optimizer):
    """Adam that trusts its second moment only once enough gradients were seen (L. Liu et al., 2019)."""

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        _check_betas(betas)
        check_unsupported("RAdam", capturable, differentiable)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach,
                                  "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable})

    def _update_group(self, group: Group) -> None:
        (beta1, beta2), lr = group["betas"], float(group["lr"])
        for param, raw in with_grad(group):
            state = self.state[param]
            if not state:
                state.update(step=0, exp_avg=zeros_like(param), exp_avg_sq=zeros_like(param))
            state["step"] += 1
            step = state["step"]
            if group["decoupled_weight_decay"]:
                param.mul_(1 - lr * group["weight_decay"])
            grad = raw if group["decoupled_weight_decay"] else _decayed(param, raw, group)
            first, second = _moments(state, grad, group["betas"])
            correction = 1 - beta2**step
            update = first / (1 - beta1**step) * lr
            most = 2 / (1 - beta2) - 1  # the length of the average in the limit, and now
            length = most - 2 * step * beta2**step / correction
            if length > 5:
                rectified = ((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)) ** 0.5
                update = update * (correction**0.5 / second.sqrt().add_(group["eps"])) * rectified
            param.sub_(update)


class Rprop(Optimizer):
    """Steps of a size of their own each: it grows while the gradient keeps its sign (Riedmiller and Braun, 1993)."""

    def __init__(
        self, params: Params, lr: float = 1e-2, etas: tuple[float, float] = (0.5, 1.2), step_sizes: tuple[float, float] = (1e-6, 50), *,
        capturable: bool = False, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr)
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}; 0 < etas[0] < 1 < etas[1] is needed")
        check_unsupported("Rprop", capturable, differentiable)
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
                                  "differentiable": differentiable, "capturable": capturable})

    def _update_group(self, group: Group) -> None:
        (shrink, grow), (least, most) = group["etas"], group["step_sizes"]
        for param, grad in with_grad(group):
            state = self.state[param]
            if not state:
                state.update(step=0, prev=zeros_like(param), step_size=full_like(param, float(group["lr"])).detach())
            state["step"] += 1
            turn = grad * state["prev"]
            one = ones_like(turn)
            factor = where(turn > 0, one * grow, where(turn < 0, one * shrink, one))
            state["step_size"].mul_(factor).clamp_(least, most)
            kept = where(turn < 0, 0.0, grad)
            param.addcmul_(kept.sign(), state["step_size"], value=-1)
            state["prev"].copy_(kept)


class ASGD(Optimizer):
    """Averaged stochastic gradient descent (Polyak and Juditsky, 1992): state "ax" holds the average of the parameters."""

    def __init__(
        self, params: Params, lr: float = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6, weight_decay: float = 0,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:
        check_at_least_zero(lr=lr, weight_decay=weight_decay)
        check_unsupported("ASGD", capturable, differentiable)
        super().__init__(params, {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def _update_group(self, group: Group) -> None:
        lr, decay = float(group["lr"]), group["lambd"]
        for param, raw in with_grad(group):
            state = self.state[param]
            if not state:  # rates are float32 tensors, as in torch's state
                state.update(step=0, eta=tensor(lr, dtype=float32), mu=ones((), dtype=float32), ax=zeros_like(param))
            state["step"] += 1
            grad = _decayed(param, raw, group)
            eta, mu = float(state["eta"]), float(state["mu"])
            param.mul_(1 - decay * eta).add_(grad, alpha=-eta)
            state["ax"].add_(param.sub(state["ax"]).mul_(mu)) if mu != 1 else state["ax"].copy_(param)
            state["eta"].fill_(lr / (1 + decay * lr * state["step"]) ** group["alpha"])
            state["mu"].fill_(1 / max(1, state["step"] - group["t0"]))


def _check_betas(betas: tuple[float, float]) -> None:
    for k, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise ValueError(f"Invalid beta parameter at index {k}: {beta}; it must be at least 0 and less than 1")
