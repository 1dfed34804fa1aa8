"""L-BFGS, for problems whose loss is the same at every call: the two-loop recursion of Nocedal and Wright, "Numerical Optimization",
algorithm 7.4, with fixed steps or the line search of `line_search.py`. State by torch's names.
"""

from __future__ import annotations

from typing import Any

from ..core import Tensor, enable_grad, no_grad
from ..ops.movement import cat
from .line_search import Point, search
from .optimizer import Closure, Optimizer, Params, check_at_least_zero


class LBFGS(Optimizer):
    """Up to max_iter quasi-Newton iterations a step, on one group of parameters; `closure` computes loss and gradients anew."""

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_at_least_zero(lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn is {line_search_fn!r}; only 'strong_wolfe' is supported, or None")
        options = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, options)
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS doesn't support per-parameter options: got {len(self.param_groups)} parameter groups; pass one")
        self._params: list[Tensor] = self.param_groups[0]["params"]

    def _flat_grad(self) -> Tensor:
        return cat([p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in self._params])

    def _move(self, t: float, direction: Tensor) -> None:
        offset = 0
        for p in self._params:
            p.add_(direction[offset : offset + p.numel()].view_as(p), alpha=t)
            offset += p.numel()

    def _evaluate(self, closure: Closure) -> tuple[float, Any]:
        with enable_grad():
            loss = closure()
        state = self.state[self._params[0]]
        state["func_evals"] += 1
        return float(loss), loss

    def step(self, closure: Closure | None = None) -> Any:
        """Iterate until max_iter, max_eval or a tolerance; returns the loss before the first move."""
        if closure is None:
            raise TypeError("LBFGS.step: needs a closure that computes the loss again and returns it; pass one")
        with no_grad():
            loss = self._iterate(closure)
        self._opt_called = True
        return loss

    def _iterate(self, closure: Closure) -> Any:
        group, state = self.param_groups[0], self.state[self._params[0]]
        for name, start in (("func_evals", 0), ("n_iter", 0), ("old_dirs", []), ("old_stps", []), ("ro", []), ("H_diag", 1.0)):
            state.setdefault(name, start)
        loss, first = self._evaluate(closure)
        before = state["func_evals"] - 1
        grad = self._flat_grad()
        if not grad.numel() or float(grad.abs().max()) <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(state, grad, group["history_size"])
            lr = float(group["lr"])
            size = float(grad.abs().sum())
            t = min(1.0, 1.0 / size if size else 1.0) * lr if state["n_iter"] == 1 else lr
            slope = float(grad.dot(direction))
            last, state["prev_flat_grad"], state["prev_loss"] = loss, grad, loss
            state["d"], state["t"] = direction, t
            if slope > -group["tolerance_change"]:
                break
            left = group["max_eval"] - (state["func_evals"] - before)
            if group["line_search_fn"] is not None:
                found = self._search(closure, Point(0.0, loss, grad, slope), t, left, group["tolerance_change"])
                t, loss, grad = found.t, found.loss, found.grad
                state["t"] = t
                self._move(t, direction)
            else:
                self._move(t, direction)
                if iteration != group["max_iter"]:
                    loss = self._evaluate(closure)[0]
                    grad = self._flat_grad()
            if state["func_evals"] - before >= group["max_eval"] or _has_ended(group, grad, direction, t, loss - last):
                break
        return first

    def _search(self, closure: Closure, start: Point, t: float, evaluations: int, tolerance: float) -> Point:
        direction = self.state[self._params[0]]["d"]
        origin = [p.clone() for p in self._params]

        def at(t: float) -> Point:
            self._move(t, direction)
            loss = self._evaluate(closure)[0]
            grad = self._flat_grad()
            for p, value in zip(self._params, origin, strict=True):
                p.copy_(value)
            return Point(t, loss, grad, float(grad.dot(direction)))

        return search(at, start, t, float(direction.abs().max()), evaluations, tolerance)


def _has_ended(group: dict[str, Any], grad: Tensor, direction: Tensor, t: float, change: float) -> bool:
    tolerance: float = group["tolerance_change"]
    if float(grad.abs().max()) <= group["tolerance_grad"]:
        return True
    return float(direction.abs().max()) * abs(t) <= tolerance or abs(change) < tolerance


def _direction(state: dict[str, Any], grad: Tensor, history_size: int) -> Tensor:
    """Minus the approximate inverse Hessian times the gradient; learns from the last move first."""
    if state["n_iter"] == 1:
        return -grad
    change, move = grad - state["prev_flat_grad"], state["d"] * state["t"]
    curvature = float(change.dot(move))
    if curvature > 1e-10:
        if len(state["old_dirs"]) == history_size:
            for name in ("old_dirs", "old_stps", "ro"):
                state[name].pop(0)
        state["old_dirs"].append(change)
        state["old_stps"].append(move)
        state["ro"].append(1.0 / curvature)
        state["H_diag"] = curvature / float(change.dot(change))
    q = -grad
    pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
    shares = state.setdefault("al", [None] * history_size)
    for i, (y, s, rho) in reversed(list(enumerate(pairs))):
        shares[i] = float(s.dot(q)) * rho
        q.add_(y, alpha=-shares[i])
    q.mul_(state["H_diag"])
    for i, (y, s, rho) in enumerate(pairs):
        q.add_(s, alpha=shares[i] - float(y.dot(q)) * rho)
    return q
