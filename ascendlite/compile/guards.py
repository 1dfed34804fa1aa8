"""What a capture depends on in Python: closures, globals, attributes and containers that its code can read. Knows nothing of ops.

`Watch` walks from a function (and from every function of the user's that runs) to values; each becomes a guard at the place where it was found.
"""

from __future__ import annotations

import array
import copy
import enum
import functools
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ascendlite.core import Device, DType, Generator, Op, Tensor, _core

SCALARS = (int, float, complex, bool, str, bytes, type(None), DType, Device, enum.Enum, range, slice)
# Known by being the same object: what they hold is not looked at.
OPAQUE = (Op, Generator, type, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType)
MOST_GUARDS = 50_000
OPTIONS = frozenset({"param_groups", "get_last_lr", "last_epoch"})
LIBRARY = "ascendlite"
QUIET = frozenset(sys.stdlib_module_names) | {"numba", "numpy", "pytest", "_pytest", "pluggy"}
# Calls whose result differs from run to run, or that are seen outside: (module of the function or of its object's type)
IMPURE_MODULES = frozenset({"time", "random", "_random", "secrets", "numpy.random", "numpy.random._generator", "numpy.random.mtrand"})
IMPURE = (print, input, open)


def names_read(code: types.CodeType) -> set[str]:
    """Names of globals and attributes in a function's code and in the functions inside it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_read(constant)
    return names


def top_module(name: object) -> str:
    return str(name or "").partition(".")[0]


class Watch:
    """The guards of one capture, and the tensors that the walk has met. `refuse(why)` is called for what can't be watched."""

    def __init__(self, refuse: Callable[[str], None]) -> None:
        self.guards: list[_core.Guard] = []
        self.tensors: dict[int, Tensor] = {}
        self._seen: dict[int, object] = {}  # keeps what was walked alive, so that an id stays one object's
        self._codes: set[types.CodeType] = set()
        self._classes: set[type] = set()
        self._refuse = refuse

    def _guard(self, kind: str, container: Any, key: Any, value: Any, name: str) -> None:
        self.guards.append(_core.Guard(kind, container, key, value, isinstance(value, SCALARS), name))
        if len(self.guards) > MOST_GUARDS:
            self._refuse(f"more than {MOST_GUARDS} Python values are in reach of it")

    def broken(self) -> str | None:
        """The name of a value that is no longer what it was."""
        guard = _core.all_hold(self.guards)
        return None if guard is None else guard.name

    # -- the walk
    def value(self, value: Any, name: str, near: bool = False) -> None:
        """Walk a value that the code can reach; `near`: it names it itself."""
        pending = [(value, name, near)]
        while pending:
            pending.extend(self._step(*pending.pop()))

    def _step(self, value: Any, name: str, near: bool) -> Iterator[tuple[Any, str, bool]]:
        if isinstance(value, SCALARS) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, Tensor):
            self.tensors[id(value)] = value
        elif isinstance(value, type):
            yield from self._class(value, name)
        elif isinstance(value, (types.ModuleType, *OPAQUE)):
            return
        elif near and hasattr(type(value), "__next__"):
            self._refuse(f"it reads the iterator {name!r}; pass what it gives as an argument")
        elif near and type(value).__module__ == "numpy" and hasattr(value, "__array_interface__"):
            self._refuse(f"it reads the array {name!r}; pass it as a tensor")
        else:
            for kind, walk in _WALKS:
                if isinstance(value, kind):
                    yield from walk(self, value, name)
                    return
            yield from self._object(value, name)

    def _dict(self, value: dict[Any, Any], name: str) -> Iterator[tuple[Any, str, bool]]:
        self._guard("keys", value, None, tuple(value), name)
        for key, item in value.items():
            self._guard("item", value, key, item, f"{name}[{key!r}]" if not isinstance(key, Tensor) else name)
            yield item, f"{name}.{key}", False

    def _list(self, value: list[Any], name: str) -> Iterator[tuple[Any, str, bool]]:
        self._guard("length", value, None, len(value), name)
        for k, item in enumerate(value):
            self._guard("place", value, k, item, f"{name}[{k}]")
            yield item, f"{name}[{k}]", False

    def _tuple(self, value: Any, name: str) -> Iterator[tuple[Any, str, bool]]:
        for item in value:
            yield item, name, False

    def _plain(self, value: Any, name: str) -> Iterator[tuple[Any, str, bool]]:
        self._guard("equal", value, None, copy.copy(value), name)
        yield from ()

    def _deque(self, value: deque[Any], name: str) -> Iterator[tuple[Any, str, bool]]:
        self._guard("sequence", value, None, tuple(value), name)
        for item in value:
            yield item, name, False

    def _method(self, value: types.MethodType, name: str) -> Iterator[tuple[Any, str, bool]]:
        yield value.__self__, name, False
        yield value.__func__, name, False

    def _partial(self, value: functools.partial[Any], name: str) -> Iterator[tuple[Any, str, bool]]:
        yield from ((x, name, False) for x in (value.func, value.args, value.keywords))

    def _function(self, value: types.FunctionType, name: str) -> Iterator[tuple[Any, str, bool]]:
        inside = top_module(value.__module__) == LIBRARY
        if not inside and top_module(value.__module__) not in QUIET:
            self._guard("function", value, None, (value.__code__, value.__defaults__, value.__kwdefaults__), name)
        for cell_name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            self._guard("cell", cell, None, content, cell_name)
            yield content, cell_name, not inside
        for default in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()):
            yield default, name, False
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:
            yield wrapped, name, False
        if not inside:
            yield from self.code(value.__code__, value.__globals__)

    def code(self, code: types.CodeType, scope: dict[str, Any]) -> Iterator[tuple[Any, str, bool]]:
        """Guards of the globals that a function's code names."""
        if code in self._codes or top_module(scope.get("__name__")) in QUIET | {LIBRARY}:
            return
        self._codes.add(code)
        names = names_read(code)
        for option in names & OPTIONS:
            self._refuse(f"it reads {option!r} of an optimizer or a scheduler, which change at every step")
        for key in names & scope.keys():
            value = scope[key]
            if isinstance(value, types.ModuleType):
                yield from self._module(value, names, key)
                continue
            self._guard("item", scope, key, value, key)
            yield value, key, True

    def _module(self, module: types.ModuleType, names: set[str], name: str) -> Iterator[tuple[Any, str, bool]]:
        if top_module(module.__name__) in QUIET | {LIBRARY}:
            return
        for key in names & vars(module).keys():
            value = vars(module)[key]
            self._guard("item", vars(module), key, value, f"{name}.{key}")
            yield value, f"{name}.{key}", True

    def _class(self, kind: type, name: str) -> Iterator[tuple[Any, str, bool]]:
        for base in kind.__mro__:
            if base in self._classes or top_module(base.__module__) in QUIET | {LIBRARY, "builtins"}:
                continue
            self._classes.add(base)
            self._guard("class", base, None, _core.class_contents(base), base.__qualname__)
            for key, item in list(vars(base).items()):
                plain = getattr(item, "__func__", item)
                if isinstance(item, property):
                    plain = item.fget
                if isinstance(plain, types.FunctionType):
                    yield plain, f"{name}.{key}", False
                elif not key.startswith("__") and isinstance(item, (*SCALARS, list, dict, tuple, Tensor)):
                    yield item, f"{name}.{key}", False

    def _object(self, value: Any, name: str) -> Iterator[tuple[Any, str, bool]]:
        if type(value).__module__.startswith("ascendlite.compile"):
            yield getattr(value, "__wrapped__", None) or getattr(value, "_orig_mod", None), name, False
            return
        if stepped_outside(value):
            yield from self._stepped(value, name)
            return
        if isinstance(value, type(sys)) or top_module(type(value).__module__) in QUIET - {"functools", "collections", "types"}:
            return
        yield from self._class(type(value), type(value).__name__)
        fields = getattr(value, "__dict__", None)
        if isinstance(fields, dict):
            yield from self._dict(fields, name)
        for kind in type(value).__mro__:
            for slot in _slots(kind):
                if hasattr(value, slot):
                    item = getattr(value, slot)
                    self._guard("attribute", value, slot, item, f"{name}.{slot}")
                    yield item, f"{name}.{slot}", False

    def _stepped(self, value: Any, name: str) -> Iterator[tuple[Any, str, bool]]:
        """Of an optimizer only which parameters it has: its options and state are read anew by its step."""
        groups = getattr(value, "param_groups", None)
        if groups is None:
            return
        self._guard("attribute", value, "param_groups", groups, f"{name}.param_groups")
        self._guard("sequence", groups, None, tuple(groups), f"{name}.param_groups")
        for group in groups:
            self._guard("item", group, "params", group["params"], f"{name}.param_groups")
            self._guard("sequence", group["params"], None, tuple(group["params"]), f"{name}.param_groups")
            yield from ((p, name, False) for p in group["params"])

    # -- while it runs
    def profile(self, frame: types.FrameType, event: str, argument: Any) -> None:
        """For `sys.setprofile`: watches what the user's functions read, and names calls that a replay would leave out."""
        module = frame.f_globals.get("__name__")
        if top_module(module) in QUIET | {LIBRARY}:
            return
        if event == "call":
            for item in self.code(frame.f_code, frame.f_globals):
                self.value(*item)
        elif event == "c_call" and _is_impure(argument):
            self._refuse(f"it calls {getattr(argument, '__qualname__', argument)}")


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return tuple(s for s in ((slots,) if isinstance(slots, str) else slots) if s not in ("__dict__", "__weakref__"))


def _is_impure(function: Any) -> bool:
    owner = getattr(function, "__self__", None)
    if any(function is f for f in IMPURE) or (getattr(function, "__module__", None) or "") in IMPURE_MODULES or isinstance(owner, random.Random):
        return True
    return owner is not None and type(owner).__module__ in IMPURE_MODULES


def stepped_outside(value: Any) -> bool:
    """Whether a value's state is changed by calls that run at every replay: optimizers and schedulers whose `step` is the library's."""
    step = getattr(type(value), "step", None)
    return step is not None and hasattr(step, "runs_on_the_host")


_WALKS: tuple[tuple[Any, Callable[[Watch, Any, str], Iterator[tuple[Any, str, bool]]]], ...] = (
    (dict, Watch._dict),
    (list, Watch._list),
    ((tuple, frozenset), Watch._tuple),
    ((set, bytearray, array.array), Watch._plain),
    (deque, Watch._deque),
    (types.MethodType, Watch._method),
    (functools.partial, Watch._partial),
    (types.FunctionType, Watch._function),
)
