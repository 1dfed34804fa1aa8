"""Module: the base of layers and models; it registers parameters, buffers and submodules by assignment.

State dicts are in `state.py`, hooks in `hooks.py`, moving between devices and dtypes in `convert.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, overload

from .._native import AttributeTables
from ..core import Device, DType, Tensor, bfloat16, float16, float32, float64
from ..core.views import npu_device
from . import convert, state
from .hooks import Hooked, call_with_hooks
from .parameter import Buffer, Parameter
from .text import tree_text


class Module(AttributeTables, Hooked):
    """Base of layers: assign Parameters, Buffers and Modules as attributes, and write `forward`.

    >>> class Double(al.nn.Module):
    ...     def __init__(self) -> None:
    ...         super().__init__()
    ...         self.scale = al.nn.Parameter(al.full((1,), 2.0))
    ...     def forward(self, x: al.Tensor) -> al.Tensor:
    ...         return self.scale * x
    >>> list(Double().state_dict())
    ['scale']
    """

    training: bool
    _version: int = 1
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self) -> None:
        values = self.__dict__
        values["training"] = True
        values["_parameters"] = {}
        values["_buffers"] = {}
        values["_non_persistent_buffers_set"] = set()
        values["_modules"] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses write it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        table = self._hook_table
        if table is None or not table.runs_on_call():
            return self.forward(*args, **kwargs)
        return call_with_hooks(self, table, args, kwargs)

    # Registration and attributes

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None keeps the name for a parameter that is absent."""
        self._check_name("parameter", name, self.__dict__.get("_parameters"))
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: '{name}' is a {type(param).__name__}; pass a Parameter or None"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is no parameter; `persistent=False` keeps it out of the state dict."""
        self._check_name("buffer", name, self.__dict__.get("_buffers"))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: '{name}' is a {type(tensor).__name__}; pass a Tensor or None")
        self._buffers[name] = tensor
        hidden = self._non_persistent_buffers_set
        (hidden.discard if persistent else hidden.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under `name`."""
        self._check_name("module", name, self.__dict__.get("_modules"))
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: '{name}' is a {type(module).__name__}; pass a Module or None")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as add_module."""
        self.add_module(name, module)

    def _check_name(self, kind: str, name: str, table: Mapping[str, object] | None) -> None:
        if table is None:
            raise AttributeError(
                f"cannot assign {kind} '{name}' before Module.__init__() call; "
                f"call super().__init__() first in {type(self).__name__}.__init__"
            )
        if not isinstance(name, str):
            raise TypeError(f"{kind} name: got {type(name).__name__}; pass a str")
        if "." in name:
            raise KeyError(
                f'{kind} name can\'t contain ".", got {name!r}: dots separate modules in state dict keys'
            )
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in table and hasattr(self, name):
            raise KeyError(
                f"attribute '{name}' already exists in {type(self).__name__}; choose another {kind} name"
            )

    def __setattr__(self, name: str, value: object) -> None:
        values = self.__dict__
        if isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if "_modules" not in values:
                self._check_name("module", name, None)
            self._forget(name, "_modules")
            values["_modules"][name] = value
        elif isinstance(value, Buffer):
            self._forget(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
        elif not self._assign_registered(name, value):
            object.__setattr__(self, name, value)

    def _assign_registered(self, name: str, value: object) -> bool:
        """Assign to a name that is registered already: None empties it, another kind is refused."""
        values = self.__dict__
        for key, kind, allowed in _KINDS:
            if name in values.get(key, ()):
                if value is not None and not isinstance(value, allowed):
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as {kind} '{name}' of {type(self).__name__} "
                        f"({allowed.__name__} or None expected); del the attribute first"
                    )
                values[key][name] = value
                return True
        return False

    def _forget(self, name: str, keep: str) -> None:
        values = self.__dict__
        values.pop(name, None)
        for key in ("_parameters", "_buffers", "_modules"):
            if key != keep and key in values:
                values[key].pop(name, None)
        if keep != "_buffers" and "_non_persistent_buffers_set" in values:
            values["_non_persistent_buffers_set"].discard(name)

    def __delattr__(self, name: str) -> None:
        for key in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__.get(key, ()):
                del self.__dict__[key][name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    # Walking the tree

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """All modules of the tree with dotted names, this one first under `prefix`."""
        memo = set() if memo is None else memo
        if remove_duplicate and self in memo:
            return
        memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def _named_members(
        self,
        get: Callable[[Module], Iterable[tuple[str, Any]]],
        prefix: str,
        recurse: bool,
        remove_duplicate: bool,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in get(module):
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; "" is this one."""
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(
                    f"{type(module).__name__} has no attribute `{name}` (looking for '{target}')"
                )
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` of '{target}' is a {type(module).__name__}, not a Module")
        return module  # type: ignore[no-any-return]

    def _member_at(self, target: str, table: str, kind: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(
                f"{type(module).__name__} has no attribute `{name}` (looking for '{target}')"
            )
        if name not in module.__dict__[table]:
            raise AttributeError(f"`{name}` of '{target}' is not a {kind}")
        return module.__dict__[table][name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        return self._member_at(target, "_parameters", "Parameter")  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._member_at(target, "_buffers", "buffer")  # type: ignore[no-any-return]

    # Doing something to all of it

    def train(self, mode: bool = True) -> Self:
        """Set training mode in the whole tree (dropout and batch norm look at it)."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode is {mode!r}; pass a bool")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode in the whole tree."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for param in self.parameters():
            if set_to_none or param.grad is None:
                param.grad = None
            else:
                param.grad = param.grad.detach().zero_()

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` on every module of the tree, children first."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    @overload
    def to(
        self, device: str | Device | None = ..., dtype: DType | None = ..., non_blocking: bool = ...
    ) -> Self: ...
    @overload
    def to(self, dtype: DType, non_blocking: bool = ...) -> Self: ...
    @overload
    def to(self, tensor: Tensor, non_blocking: bool = ...) -> Self: ...

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device, and floating values to a dtype; the parameter objects stay the same."""
        device, dtype = convert.parse_to(args, kwargs)
        convert.apply_to_tensors(self, convert.mover(device, dtype))
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        convert.apply_to_tensors(self, fn, recurse)
        return self

    def type(self, dst_type: DType) -> Self:
        """Cast all parameters and buffers, integer ones too."""
        convert.apply_to_tensors(self, lambda t: t.to(dst_type))
        return self

    def float(self) -> Self:
        return self.to(float32)

    def double(self) -> Self:
        return self.to(float64)

    def half(self) -> Self:
        return self.to(float16)

    def bfloat16(self) -> Self:
        return self.to(bfloat16)

    def cpu(self) -> Self:
        return self.to("cpu")

    def npu(self, device: int | str | Device | None = None) -> Self:
        """Move to the NPU: the current die, or the one of an index."""
        return self.to(npu_device(device))

    # State dicts

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name, detached (`keep_vars`: the very objects)."""
        return state.save(self, state.StateDict() if destination is None else destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.LoadReport:
        """Copy values into parameters and buffers by name; returns missing and unexpected keys.

        One RuntimeError names every problem: missing and unexpected keys (unless `strict=False`) and shapes
        that differ. `assign=True` takes the given tensors themselves instead of copying.
        """
        return state.load(self, state_dict, strict, assign)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        state.save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        state.load_own(
            self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def get_extra_state(self) -> Any:
        """Anything besides tensors that the state dict should carry."""
        raise RuntimeError(
            f"{type(self).__name__}: get_extra_state is not written; write it beside set_extra_state"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take back what get_extra_state gave."""
        raise RuntimeError(
            f"{type(self).__name__}: set_extra_state is not written; write it beside get_extra_state"
        )

    # Text

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the brackets of the module's repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): " + repr(module).replace("\n", "\n  ") for name, module in self._modules.items()]
        return tree_text(self._get_name(), self.extra_repr(), lines)


_KINDS: tuple[tuple[str, str, type], ...] = (
    ("_parameters", "parameter", Parameter),
    ("_modules", "child module", Module),
    ("_buffers", "buffer", Tensor),
)
