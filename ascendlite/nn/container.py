"""Modules that hold modules: Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from .module import Module
from .text import tree_text


class _Indexed(Module):
    """Submodules under the names "0", "1", ...; what Sequential and ModuleList have in common."""

    def _key(self, index: int) -> str:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"index {index} is out of range for {type(self).__name__} with {len(self)} modules"
            )
        return list(self._modules)[index % len(self)]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._of(list(self._modules.items())[index])
        return self._modules[self._key(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        for key in keys:
            del self._modules[key]
        self._replace(list(self))

    def _of(self, items: list[tuple[str, Any]]) -> Self:
        raise NotImplementedError

    def _replace(self, modules: list[Any]) -> None:
        self._modules.clear()
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before position `index`."""
        if not isinstance(module, Module):
            raise TypeError(f"insert: got a {type(module).__name__}; pass a Module")
        if not -len(self) <= index <= len(self):
            raise IndexError(
                f"index {index} is out of range for {type(self).__name__} with {len(self)} modules"
            )
        modules = list(self)
        modules.insert(index, module)
        self._replace(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Remove the module at `index` and return it."""
        module = self[index]
        del self[index]
        return module

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)


def _repeats(times: int) -> int:
    if isinstance(times, bool) or not isinstance(times, int):
        raise TypeError(f"Sequential: unsupported operand type(s) for *: got {type(times).__name__}; multiply by an int")
    if times <= 0:
        raise ValueError(f"Sequential: non-positive multiplication factor {times}; multiply by 1 or more")
    return times


class Sequential(_Indexed):
    """Modules called one after another; takes modules, or one dict of named modules.

    >>> model = al.nn.Sequential(al.nn.Linear(4, 8), al.nn.ReLU())
    >>> model(al.ones(2, 4)).shape
    (2, 8)
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else enumerate(args)
        for name, module in named:
            self.add_module(str(name), module)

    def _of(self, items: list[tuple[str, Any]]) -> Self:
        return type(self)(dict(items))

    def _replace(self, modules: list[Any]) -> None:
        if all(name.isdigit() for name in self._modules):
            super()._replace(modules)
        elif len(modules) > len(self._modules):
            raise TypeError("insert: this Sequential has named modules; use add_module")

    def __add__(self, other: Iterable[Module]) -> Sequential:
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        """The modules one after another, `times` over; they stay the same objects, so their weights are shared."""
        return Sequential(*list(self) * _repeats(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(list(self) * (_repeats(times) - 1))

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input


class ModuleList(_Indexed):
    """A list of modules whose parameters are registered."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _of(self, items: list[tuple[str, Any]]) -> Self:
        return type(self)(module for _, module in items)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        """Like any module's, with runs of equal children on one line."""
        runs: list[tuple[int, int, str]] = []
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        lines = []
        for first, last, text in runs:
            label = f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x "
            lines.append((label + text).replace("\n", "\n  "))
        return tree_text(self._get_name(), "", lines)


class ModuleDict(Module):
    """A dict of modules whose parameters are registered; it keeps the order of insertion."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove the module under `key` and return it."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        return self._modules.items()

    def values(self) -> Iterable[Any]:
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules from a mapping or from pairs."""
        if not isinstance(modules, (Mapping, ModuleDict)) and not isinstance(modules, Iterable):
            raise TypeError(
                f"update: got a {type(modules).__name__}; pass a mapping or pairs of name and Module"
            )
        pairs = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        for name, module in pairs:
            self[name] = module
