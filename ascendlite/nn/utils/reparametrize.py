"""torch's older weight and spectral normalisation, which a hook computes before each forward; files carry weight_g, weight_v, weight_orig."""

from __future__ import annotations

from typing import Any, TypeVar

from ...core import Tensor, no_grad
from .. import functional as F
from ..module import Module
from ..parameter import Parameter
from .parametrizations import norm_except

M = TypeVar("M", bound=Module)


class WeightNorm:
    """The hook of `weight_norm`."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def compute_weight(self, module: Module) -> Any:
        """g v / |v|."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / norm_except(v, self.dim))

    def __call__(self, module: Module, inputs: Any) -> None:
        object.__setattr__(module, self.name, self.compute_weight(module))


class SpectralNorm:
    """The hook of `spectral_norm`."""

    def __init__(self, name: str, n_power_iterations: int, eps: float, dim: int) -> None:
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.name, self.n_power_iterations, self.eps, self.dim = name, n_power_iterations, eps, dim

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix whose rows are its slices along dim."""
        return weight.movedim(self.dim, 0).flatten(1)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Any:
        """The weight over its largest singular value."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = self.matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(F.normalize(matrix.mT.mv(u), dim=0, eps=self.eps))
                    u.copy_(F.normalize(matrix.mv(v), dim=0, eps=self.eps))
        return weight / u.clone().dot(matrix.mv(v.clone()))

    def __call__(self, module: Module, inputs: Any) -> None:
        object.__setattr__(module, self.name, self.compute_weight(module, module.training))


def _hook_of(module: Module, kind: type[Any], name: str) -> tuple[int, Any] | None:
    hooks = module._hooks().forward_pre.items()
    return next(((k, hook.function) for k, hook in hooks if isinstance(hook.function, kind) and hook.function.name == name), None)


def _hooked(module: M, hook: Any, parts: dict[str, Parameter], buffers: dict[str, Tensor]) -> M:
    weight = getattr(module, hook.name)
    delattr(module, hook.name)
    for suffix, part in parts.items():
        module.register_parameter(hook.name + suffix, part)
    object.__setattr__(module, hook.name, weight.detach())
    for suffix, buffer in buffers.items():
        module.register_buffer(hook.name + suffix, buffer)
    module.register_forward_pre_hook(hook)
    return module


def _unhooked(module: M, kind: type[Any], name: str, text: str, suffixes: tuple[str, ...]) -> M:
    found = _hook_of(module, kind, name)
    if found is None:
        raise ValueError(f"{text} of '{name}' not found in {module}")
    number, hook = found
    with no_grad():
        weight = hook.compute_weight(module) if kind is WeightNorm else hook.compute_weight(module, False)
    del module._hooks().forward_pre[number]
    for suffix in (*suffixes, ""):
        delattr(module, name + suffix)
    module.register_parameter(name, Parameter(weight.detach()))
    return module


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Separate size (`<name>_g`) and direction (`<name>_v`) of a weight; `parametrizations.weight_norm` is the newer form."""
    if _hook_of(module, WeightNorm, name) is not None:
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook, weight = WeightNorm(name, dim), getattr(module, name)
    parts = {"_g": Parameter(norm_except(weight.detach(), dim)), "_v": Parameter(weight.detach().clone())}
    module = _hooked(module, hook, parts, {})
    hook(module, None)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """A plain weight again, with the value that it had."""
    return _unhooked(module, WeightNorm, name, "weight_norm", ("_g", "_v"))


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight (`<name>_orig`) by its largest singular value; `parametrizations.spectral_norm` is the newer form."""
    if _hook_of(module, SpectralNorm, name) is not None:
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    hook, weight = SpectralNorm(name, n_power_iterations, eps, dim), getattr(module, name)
    matrix = hook.matrix(weight.detach())
    starts = {f"_{k}": F.normalize(matrix.new_empty(n).normal_(), dim=0, eps=eps) for k, n in zip("uv", matrix.shape, strict=True)}
    return _hooked(module, hook, {"_orig": Parameter(weight.detach())}, starts)


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """A plain weight again, with the value that it had."""
    return _unhooked(module, SpectralNorm, name, "spectral_norm", ("_u", "_v", "_orig"))
