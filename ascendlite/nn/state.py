"""Saving and loading the state of a tree of modules: the functions behind state_dict and load_state_dict."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core import Tensor, no_grad
from .parameter import Parameter, is_lazy

if TYPE_CHECKING:
    from .module import Module

EXTRA_STATE = "_extra_state"


class LoadReport(NamedTuple):
    """What load_state_dict found: keys the module has and the dict lacks, and the other way round."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"LoadReport(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def _has_extra_state(module: Module) -> bool:
    from .module import Module as Base

    return type(module).get_extra_state is not Base.get_extra_state


class StateDict(OrderedDict[str, Any]):
    """Tensors by dotted name; `_metadata` holds the version of each module's layout, as torch's does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._metadata: dict[str, Any] = OrderedDict()


def save(module: Module, destination: dict[str, Any], prefix: str, keep_vars: bool) -> dict[str, Any]:
    table = module._hook_table
    for hook in list(table.state_dict_pre.values()) if table else ():
        hook.function(module, prefix, keep_vars)
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = {"version": module._version}
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in list(table.state_dict_post.values()) if table else ():
        hook.function(module, destination, prefix, {"version": module._version})
    return destination


def save_own(module: Module, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    for name, value in _own_state(module).items():
        if value is not None:
            destination[prefix + name] = value if keep_vars else value.detach()
    if _has_extra_state(module):
        destination[prefix + EXTRA_STATE] = module.get_extra_state()


def _own_state(module: Module) -> dict[str, Tensor | None]:
    hidden = module._non_persistent_buffers_set
    return {**module._parameters, **{name: b for name, b in module._buffers.items() if name not in hidden}}


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> LoadReport:
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"load_state_dict: got a {type(state_dict).__name__}; pass a mapping of names to tensors"
        )
    entries = dict(state_dict)
    metadata: dict[str, Any] = getattr(state_dict, "_metadata", None) or {}
    report = LoadReport([], [])
    problems: list[str] = []
    _load_tree(module, entries, "", metadata, assign, report, problems)
    if strict and report.unexpected_keys:
        problems.insert(
            0, "Unexpected key(s) in state_dict: " + ", ".join(f'"{k}"' for k in report.unexpected_keys) + "."
        )
    if strict and report.missing_keys:
        problems.insert(
            0, "Missing key(s) in state_dict: " + ", ".join(f'"{k}"' for k in report.missing_keys) + "."
        )
    if problems:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(problems)
        )
    return report


def _load_tree(
    module: Module,
    entries: dict[str, Any],
    prefix: str,
    metadata: dict[str, Any],
    assign: bool,
    report: LoadReport,
    problems: list[str],
) -> None:
    local = dict(metadata.get(prefix[:-1], {}))
    local["assign_to_params_buffers"] = assign
    table = module._hook_table
    for hook in list(table.load_pre.values()) if table else ():
        hook.function(
            module, entries, prefix, local, True, report.missing_keys, report.unexpected_keys, problems
        )
    module._load_from_state_dict(
        entries, prefix, local, True, report.missing_keys, report.unexpected_keys, problems
    )
    for name, child in module._modules.items():
        if child is not None:
            _load_tree(child, entries, f"{prefix}{name}.", metadata, assign, report, problems)
    for hook in list(table.load_post.values()) if table else ():
        if hook.function(module, report) is not None:
            raise RuntimeError(
                f"load_state_dict post-hook of {type(module).__name__}: returned a value; change the report "
                "in place and return None"
            )


def load_own(
    module: Module,
    entries: dict[str, Any],
    prefix: str,
    metadata: dict[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    problems: list[str],
) -> None:
    """Load what the module itself holds, and note what does not fit (`strict`: keys too)."""
    assign = bool(metadata.get("assign_to_params_buffers", False))
    own = _own_state(module)
    for name, value in own.items():
        key = prefix + name
        if value is None:
            continue
        if key in entries:
            _load_one(module, name, value, key, entries[key], assign, problems)
        elif strict:
            missing_keys.append(key)
    _load_extra(module, prefix + EXTRA_STATE, entries, strict, missing_keys, unexpected_keys)
    if strict:
        for key in entries:
            if key.startswith(prefix) and key != prefix + EXTRA_STATE:
                head, *rest = key[len(prefix) :].split(".", 1)
                known = head in module._modules if rest else own.get(head) is not None
                if not known:
                    unexpected_keys.append(key)


def _load_one(
    module: Module, name: str, current: Tensor, key: str, value: Any, assign: bool, problems: list[str]
) -> None:
    if not isinstance(value, Tensor):
        problems.append(
            f'While copying the parameter named "{key}": expected a Tensor, got a {type(value).__name__}.'
        )
        return
    if is_lazy(current) and is_lazy(value):
        return
    if current.ndim == 0 and tuple(value.shape) == (1,):
        value = value[0]
    if tuple(value.shape) != tuple(current.shape):
        problems.append(
            f"size mismatch for {key}: copying a param with shape {tuple(value.shape)} from checkpoint, "
            f"the shape in current model is {tuple(current.shape)}."
        )
        return
    if not assign:
        with no_grad():
            current.copy_(value)
    elif isinstance(current, Parameter):
        if not isinstance(value, Parameter):
            value = Parameter(value, requires_grad=current.requires_grad)
        value.requires_grad_(current.requires_grad)
        module._parameters[name] = value
    else:
        module._buffers[name] = value


def _load_extra(
    module: Module,
    key: str,
    entries: dict[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
) -> None:
    if _has_extra_state(module):
        if key in entries:
            module.set_extra_state(entries[key])
        elif strict:
            missing_keys.append(key)
    elif strict and key in entries:
        unexpected_keys.append(key)
