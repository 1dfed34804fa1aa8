"""Optimizer: parameter groups, state, state dicts in torch's format; subclasses update group by group."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from ..core import Tensor, enable_grad, float32, no_grad, recorder, run_on_the_host, tensor
from ..nn.hooks import Hook, RemovableHandle

Group = dict[str, Any]
Params = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]
Closure = Callable[[], Any]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base of optimizers: `param_groups` are dicts of options and `params`, `state` a dict per parameter."""

    def __init__(self, params: Params, defaults: Group) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got a Tensor of shape {tuple(params.shape)}; put it into a list"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._opt_called = False
        self._step_pre_hooks: dict[int, Hook] = {}
        self._step_post_hooks: dict[int, Hook] = {}
        given = list(params)
        if not given:
            raise ValueError("optimizer got an empty parameter list")
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)  # type: ignore[arg-type]

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters with its own options; what it does not name comes from the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        group = dict(param_group)
        params, names = _split_names(group["params"])
        for param in params:
            _check_param(param)
        group["params"] = params
        if names is not None:
            group["param_names"] = names
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            group.setdefault(name, default)
        ids = {id(param) for param in params}
        if len(ids) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; each entry is updated",
                stacklevel=3,
            )
        if any(id(param) in ids for other in self.param_groups for param in other["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        if self.param_groups and ("param_names" in self.param_groups[0]) != (names is not None):
            raise ValueError("all optimizer param groups should be with/without names; do not mix them")
        self.param_groups.append(group)

    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that has a gradient; `closure` gives the loss, computed first."""
        if recorder() is not None and closure is None:
            return run_on_the_host(self.step)
        for hook in list(self._step_pre_hooks.values()):
            hook.function(self, (closure,), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                self._update_group(group)
        self._opt_called = True
        for hook in list(self._step_post_hooks.values()):
            hook.function(self, (closure,), {})
        return loss

    step.runs_on_the_host = True  # type: ignore[attr-defined]  # a compiled program calls it at each replay

    def _update_group(self, group: Group) -> None:
        raise NotImplementedError(
            f"{type(self).__name__}: write step, or _update_group for one parameter group"
        )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or fill them with zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none or param.grad is None:
                    param.grad = None
                else:
                    param.grad = param.grad.detach().zero_()

    def state_dict(self) -> dict[str, Any]:
        """{"state": by parameter number, "param_groups": options with parameter numbers}, as torch's."""
        numbers: dict[int, int] = {}
        for group in self.param_groups:
            for param in group["params"]:
                numbers.setdefault(id(param), len(numbers))
        groups = [
            {**group, "params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups
        ]
        state = {numbers[id(param)]: _packed(values) for param, values in self.state.items()}
        return {"state": state, "param_groups": [_params_last(group) for group in groups]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state_dict by position of parameters; state is cast to the parameters' dtypes."""
        saved = copy.deepcopy(state_dict["param_groups"])
        _check_groups(self.param_groups, saved)
        params: dict[int, Tensor] = {}
        for group, old in zip(self.param_groups, saved, strict=True):
            params.update(zip(old["params"], group["params"], strict=True))
        self.state = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number in params:
                param = params[number]
                self.state[param] = {key: _restored(key, value, param) for key, value in values.items()}
        for group, old in zip(self.param_groups, saved, strict=True):
            names = group.get("param_names")
            fresh = {**self.defaults, **old, "params": group["params"]}
            if names is not None:
                fresh.setdefault("param_names", names)
            group.clear()
            group.update(fresh)

    def register_step_pre_hook(self, hook: Callable[..., object]) -> RemovableHandle:
        """hook(optimizer, args, kwargs) before every step."""
        return RemovableHandle(self._step_pre_hooks, Hook(hook))

    def register_step_post_hook(self, hook: Callable[..., object]) -> RemovableHandle:
        """hook(optimizer, args, kwargs) after every step."""
        return RemovableHandle(self._step_post_hooks, Hook(hook))

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _split_names(params: object) -> tuple[list[Any], list[str] | None]:
    if isinstance(params, Tensor):
        return [params], None
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but sets have no stable "
            "order; use a list instead"
        )
    items = list(params)  # type: ignore[call-overload]
    if items and all(isinstance(item, tuple) for item in items):
        return [param for _, param in items], [name for name, _ in items]
    if any(isinstance(item, tuple) for item in items):
        raise ValueError("all optimizer params should be with/without names; some have none: give all a name, or none")
    return items, None


def _check_param(param: object) -> None:
    if not isinstance(param, Tensor):
        raise TypeError(
            f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}"
        )
    if not (param.is_leaf or param.retains_grad):
        raise ValueError(
            f"can't optimize a non-leaf Tensor (shape {tuple(param.shape)}); pass the leaf it comes from"
        )


def _packed(values: dict[str, Any]) -> dict[str, Any]:
    """Step counts are Python ints here and 0-d float32 tensors in torch's files."""
    return {
        key: tensor(float(v), dtype=float32) if key == "step" and isinstance(v, int) else v
        for key, v in values.items()
    }


def _restored(key: str, value: Any, param: Tensor) -> Any:
    if key == "step":
        return int(value)
    if not isinstance(value, Tensor):
        return value
    dtype = param.dtype if param.dtype.is_floating_point else value.dtype
    return value.detach().to(param.device, dtype).clone()


def _params_last(group: Group) -> Group:
    return {**{key: value for key, value in group.items() if key != "params"}, "params": group["params"]}


def _check_groups(groups: list[Group], saved: list[Group]) -> None:
    if len(groups) != len(saved):
        raise ValueError(
            "loaded state dict has a different number of parameter groups: "
            f"{len(saved)}, the optimizer has {len(groups)}"
        )
    for i, (group, old) in enumerate(zip(groups, saved, strict=True)):
        if len(group["params"]) != len(old["params"]):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                f"group {i}: {len(old['params'])} parameters, the optimizer has {len(group['params'])}"
            )


def check_at_least_zero(**options: float) -> None:
    """Raise torch's ValueError for a negative option: names and texts are in one table."""
    for name, value in options.items():
        if not float(value) >= 0.0:
            raise ValueError(f"Invalid {_WORDS.get(name, name)}: {value}")


_WORDS = {
    "lr": "learning rate",
    "eps": "epsilon value",
    "weight_decay": "weight_decay value",
    "momentum": "momentum value",
    "alpha": "alpha value",
    "lr_decay": "lr_decay value",
    "initial_accumulator_value": "initial_accumulator_value value",
}


def check_betas(betas: tuple[float, float]) -> None:
    for i, beta in enumerate(betas):
        if not 0.0 <= float(beta) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_unsupported(name: str, capturable: bool, differentiable: bool) -> None:
    """torch's options for captured and differentiated steps exist here only to keep its argument lists."""
    if capturable or differentiable:
        raise ValueError(f"{name}: capturable={capturable}, differentiable={differentiable}: not supported")


def with_grad(group: Group) -> list[tuple[Tensor, Tensor]]:
    """Parameters of the group that have a gradient, with it (negated to maximize)."""
    pairs = [(param, param.grad) for param in group["params"] if param.grad is not None]
    return [(param, -grad) for param, grad in pairs] if group.get("maximize") else pairs
