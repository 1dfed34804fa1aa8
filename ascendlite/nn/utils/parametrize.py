"""Parametrizations: a parameter that is computed from others at each access, by torch's names.

The class of the module is replaced by a subclass with a property; the tensors that it is computed from are in
`module.parametrizations.<name>`, as `original` or `original0`, `original1` and so on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...core import Tensor, no_grad
from ..container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

_cached = 0  # how many `cached()` are open
_values: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Inside, every parametrized tensor is computed once."""
    global _cached
    _cached += 1
    try:
        yield
    finally:
        _cached -= 1
        if not _cached:
            _values.clear()


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they apply, and what they start from."""

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules, got none")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new: Any = self._inverse(original, missing_is_identity=True)
        if not isinstance(new, (Tensor, Sequence)) or not all(isinstance(t, Tensor) for t in new):
            raise ValueError(f"'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...), got {type(new).__name__}")
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if isinstance(new, Tensor):
            if new.dtype != original.dtype:
                raise ValueError(f"'right_inverse' outputs one tensor, so it may not change the dtype: from {original.dtype} to {new.dtype}")
            original.data = new.detach()
            _register(self, "original", original)
        else:
            for i, tensor in enumerate(new):
                part = Parameter(tensor, original.requires_grad) if isinstance(original, Parameter) else tensor
                _register(self, f"original{i}", part)

    def _inverse(self, value: Any, *, missing_is_identity: bool = False) -> Any:
        for module in reversed(list(self)):
            inverse = getattr(module, "right_inverse", None)
            if inverse is None and not missing_is_identity:
                raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse, so no value can be assigned")
            try:
                value = value if inverse is None else inverse(value)
            except NotImplementedError:
                if not missing_is_identity:
                    raise
        return value

    def originals(self) -> list[Tensor]:
        """The tensors that the value is computed from."""
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor has this value."""
        with no_grad():
            new = self._inverse(value)
            parts = [new] if self.is_tensor else list(new)
            if len(parts) != self.ntensors:
                raise ValueError(f"'right_inverse' must return a sequence of {self.ntensors} tensors, got {len(parts)}")
            for original, part in zip(self.originals(), parts, strict=True):
                if original.dtype != part.dtype:
                    raise ValueError(f"'right_inverse' returned dtype {part.dtype}, but the original has {original.dtype}")
                original.data = part.detach()

    def forward(self) -> Tensor:
        """The parametrized tensor."""
        first, *others = list(self)
        x: Tensor = first(*self.originals())
        for module in others:
            x = module(x)
        return x


def _deepcopy(self: Module, memo: dict[int, Any]) -> Module:
    replica = memo[id(self)] = type(self).__new__(type(self))
    replica.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return replica


def _refuse_pickle(self: Module) -> None:
    raise RuntimeError("Serialization of parametrized modules is only supported through state_dict(); save that")


def _with_own_class(module: Module) -> None:
    cls = type(module)
    body = {"__deepcopy__": _deepcopy, "__getstate__": _refuse_pickle, "__module__": cls.__module__}
    object.__setattr__(module, "__class__", type(f"Parametrized{cls.__name__}", (cls,), body))
    module.parametrizations = ModuleDict()


def _property(name: str) -> property:
    def get(self: Any) -> Tensor:
        if not _cached:
            return self.parametrizations[name]()  # type: ignore[no-any-return]
        key = (id(self), name)
        if key not in _values:
            _values[key] = self.parametrizations[name]()
        return _values[key]

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, put)


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Compute `module.<tensor_name>` by `parametrization` from what it was; a second one applies to the first one's result.

    >>> class Symmetric(al.nn.Module):
    ...     def forward(self, x: al.Tensor) -> al.Tensor:
    ...         return x.triu() + x.triu(1).mT
    >>> layer = al.nn.utils.parametrize.register_parametrization(al.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.mT).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        stack: Any = module.parametrizations[tensor_name]  # type: ignore[index]
        if not unsafe:
            _check_next(module, tensor_name, parametrization)
        with no_grad():
            if hasattr(parametrization, "right_inverse") and stack.is_tensor:
                stack.right_inverse(parametrization.right_inverse(getattr(module, tensor_name)))
        stack.append(parametrization)
        stack.unsafe |= unsafe
        return module
    if tensor_name not in module._buffers and tensor_name not in module._parameters:
        raise ValueError(f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'")
    original = getattr(module, tensor_name)
    shape, dtype = tuple(original.shape), original.dtype
    stack = ParametrizationList([parametrization], original, unsafe)
    if not unsafe:
        _check_result(stack(), shape, dtype)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _with_own_class(module)
    setattr(type(module), tensor_name, _property(tensor_name))
    module.parametrizations[tensor_name] = stack  # type: ignore[index]
    return module


def _check_result(value: Any, shape: tuple[int, ...], dtype: Any) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(value).__name__}")
    if tuple(value.shape) != shape or value.dtype != dtype:
        raise ValueError(
            "Registering a parametrization may not change the shape or dtype of the tensor, unless `unsafe` flag is enabled: "
            f"from {shape} {dtype} to {tuple(value.shape)} {value.dtype}"
        )


def _check_next(module: Module, name: str, parametrization: Module) -> None:
    now = getattr(module, name)
    _check_result(parametrization(now), tuple(now.shape), now.dtype)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module (or that tensor of it) is parametrized."""
    stacks = module.__dict__.get("_modules", {}).get("parametrizations")
    return isinstance(stacks, ModuleDict) and len(stacks) > 0 and (tensor_name is None or tensor_name in stacks)


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make `module.<tensor_name>` a plain parameter again, with the value it has now or (if not `leave_parametrized`) the original."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {type(module).__name__} does not have a parametrization on {tensor_name}")
    stacks: Any = module.parametrizations
    stack = stacks[tensor_name]
    originals = stack.originals()
    if not leave_parametrized and not stack.is_tensor:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a sequence of tensors")
    original = originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
        if stack.is_tensor and value.dtype == original.dtype:
            original.data = value
        else:
            original = Parameter(value, original.requires_grad) if isinstance(original, Parameter) else value
    delattr(type(module), tensor_name)
    del stacks[tensor_name]
    _register(module, tensor_name, original)
    if not len(stacks):
        delattr(module, "parametrizations")
        object.__setattr__(module, "__class__", type(module).__bases__[0])
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class as it was before its first parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Module, to_module: Module, tensor_name: str | None = None) -> Module:
    """Give `to_module` the parametrizations of `from_module` (or those of one tensor), and what they start from; returns `to_module`."""
    if not is_parametrized(from_module):
        return to_module
    stacks: Any = from_module.parametrizations
    for name in stacks if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        for parametrization in stacks[name]:
            register_parametrization(to_module, name, parametrization)
        target: Any = to_module.parametrizations[name]  # type: ignore[index]
        target._parameters.update(stacks[name]._parameters)
        target._buffers.update(stacks[name]._buffers)
    return to_module
