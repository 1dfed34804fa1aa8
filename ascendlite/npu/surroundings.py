"""What a kernel's Python reads besides its arguments: global and enclosing variables. A program holds for their values."""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

_OURS: Final = "ascendlite"
_ASSIGN: Final = dis.opmap["STORE_GLOBAL"]
_PLAIN: Final = (int, float, complex, str, bytes, bool, type(None))
Reader = Callable[[], object]


class Same:
    """Stands for an object and equals only itself. It is held, so that no later object gets its place in memory and passes for it."""

    __slots__ = ("_held",)

    def __init__(self, held: object) -> None:
        self._held = held

    def __hash__(self) -> int:
        return id(self._held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other._held is self._held


def frozen(value: object, depth: int = 3) -> object:
    """A value that equals another's only if a trace would be the same: numbers and words, lists and dictionaries of them; else the object itself.

    >>> frozen([1, 2]) == frozen([1, 2]), frozen(1) == frozen(1.0)
    (True, False)
    """
    if isinstance(value, _PLAIN):
        return type(value), repr(value) if isinstance(value, float) else value  # -0.0 equals 0.0, and is another number
    if depth and isinstance(value, (list, tuple)):
        return type(value), *(frozen(one, depth - 1) for one in value)
    if depth and isinstance(value, dict):
        return dict, *((frozen(k, 1), frozen(v, depth - 1)) for k, v in value.items())
    return Same(value)


class Surroundings:
    """The variables that a function and the functions it calls read, found once; `values()` is what they hold now.

    `written`: one of them assigns to a global variable. The library's own kernels read constants only: for them there is nothing.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._readers: list[Reader] = []
        self._known: set[object] = set()
        self.written = False
        if function.__module__.partition(".")[0] != _OURS:
            self._add(function)

    def values(self) -> tuple[object, ...]:
        """What the variables hold, to be compared."""
        return tuple([frozen(read()) for read in self._readers])

    def _add(self, function: Any) -> None:
        if not isinstance(function, types.FunctionType) or function in self._known or str(function.__module__).partition(".")[0] == _OURS:
            return
        self._known.add(function)
        self.written |= any(_ASSIGN in code.co_code[::2] for code in _codes(function.__code__))
        for cell in function.__closure__ or ():
            self._follow(partial(_content, cell))
        names = function.__globals__
        for name in dict.fromkeys(name for code in _codes(function.__code__) for name in code.co_names):
            if name in names and (id(names), name) not in self._known:
                self._known.add((id(names), name))
                self._follow(partial(names.get, name))

    def _follow(self, read: Reader) -> None:
        value = read()
        if not isinstance(value, types.ModuleType):
            self._readers.append(read)
            self._add(value)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Of a function and of those within it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _codes(one)
