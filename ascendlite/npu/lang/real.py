"""Float arguments of a kernel while it is traced: numbers that each launch gives anew, unless Python looks at their value.

Arithmetic on a `Real` gives another, with the recipe that computes it from a launch's floats. What Python looks at (a comparison, `float()`,
`math.exp`) becomes part of the program's key instead, so that a program is only used for floats that it holds for.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
Recipe = Callable[[Sequence[float]], float]
MOST: Final = 63  # kMaxParameters of csrc/davinci/program.h
FIRST_SLOT: Final = 1024  # kMaxScalars


class Floats:
    """The floats of the call that is traced: which of them Python looked at, and which numbers its instructions take."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.looked: set[int] = set()
        self.recipes: list[Recipe] = []
        self._slots: dict[Hashable, int] = {}

    def take(self, value: float) -> Real:
        """One more float of the call."""
        index = len(self.values)
        self.values.append(value)
        return Real(self, value, index, lambda given: given[index], frozenset((index,)))

    def slot(self, real: Real) -> int:
        """The launch parameter of a number, or -1 where it must be a constant."""
        if real.owner is not self or (real.key not in self._slots and len(self.recipes) >= MOST):
            real.look()
            return -1
        found = self._slots.get(real.key)
        if found is None:
            found = self._slots[real.key] = len(self.recipes)
            self.recipes.append(real.recipe)
        return FIRST_SLOT + found


def words(recipes: Sequence[Recipe], given: Sequence[float]) -> list[int]:
    """A launch's parameters in the words that its program takes."""
    return [struct.unpack("<q", struct.pack("<d", recipe(given)))[0] for recipe in recipes]


class Variants(Generic[T]):
    """What was made for calls that differ in their floats only: one for each combination of those that Python looked at.

    >>> kept = Variants()
    >>> kept.put([0.5, 2.0], {1}, "for 2.0")
    >>> kept.get([0.25, 2.0]), kept.get([0.5, 3.0])
    ('for 2.0', None)
    """

    def __init__(self) -> None:
        self._looked: tuple[int, ...] = ()
        self._found: dict[tuple[str, ...], T] = {}

    def get(self, floats: Sequence[float]) -> T | None:
        """What holds for these floats."""
        return self._found.get(tuple(floats[i].hex() for i in self._looked))  # -0.0 equals 0.0, and is another number

    def put(self, floats: Sequence[float], looked: set[int], value: T) -> None:
        """Keep what was made for these floats."""
        if not looked <= set(self._looked):
            self._looked = tuple(sorted(looked.union(self._looked)))
            self._found = {}
        self._found[tuple(floats[i].hex() for i in self._looked)] = value


class Real:
    """A float argument, or a number computed from some. To Python it is a float."""

    __slots__ = ("_value", "key", "owner", "recipe", "sources")

    def __init__(self, owner: Floats, value: float, key: Hashable, recipe: Recipe, sources: frozenset[int]) -> None:
        self.owner, self._value, self.key, self.recipe, self.sources = owner, value, key, recipe, sources

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return float

    def look(self) -> float:
        """The value, for Python: from now on part of the program's key."""
        self.owner.looked |= self.sources
        return self._value

    def traced_with(self) -> float:
        """The value of the call that is traced."""
        return self._value

    def __getattr__(self, name: str) -> Any:
        if not hasattr(float, name):
            raise AttributeError(f"'float' object has no attribute {name!r}")
        return getattr(self.look(), name)

    def __bool__(self) -> bool:
        return bool(self.look())

    def __hash__(self) -> int:
        return hash(self.look())


def _computed(name: str, function: Callable[..., float], *operands: Any) -> Any:
    """A number computed from others, each a Real or a plain number."""
    reals = [x for x in operands if type(x) is Real]
    owner = reals[0].owner
    if any(type(x) not in (Real, float, int, bool) for x in operands) or any(x.owner is not owner for x in reals):
        return NotImplemented
    parts: list[Recipe] = [x.recipe if type(x) is Real else _constant(x) for x in operands]
    value = function(*(x.traced_with() if type(x) is Real else x for x in operands))
    if type(value) is not float:
        return NotImplemented
    key = (name, *(x.key if type(x) is Real else (type(x), x.hex() if type(x) is float else x) for x in operands))
    sources = frozenset().union(*(x.sources for x in reals))
    return Real(owner, value, key, lambda given: function(*[part(given) for part in parts]), sources)


def _constant(x: float) -> Recipe:
    return lambda given: x


def _arithmetic(name: str, function: Callable[..., float]) -> None:
    setattr(Real, f"__{name}__", lambda a, b: _computed(name, function, a, b))
    setattr(Real, f"__r{name}__", lambda a, b: _computed(name, function, b, a))


def _looked_at(name: str, function: Callable[..., Any]) -> None:
    """Operations that Python needs the value for; a Real on either side."""
    setattr(Real, f"__{name}__", lambda a, *b: function(a.look(), *(x.look() if type(x) is Real else x for x in b)))


for _name in ("add", "sub", "mul", "truediv"):
    _arithmetic(_name, getattr(operator, _name))
for _name in ("neg", "pos", "abs"):
    setattr(Real, f"__{_name}__", lambda a, _n=_name: _computed(_n, getattr(operator, _n), a))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _looked_at(_name, getattr(operator, _name))
for _name, _look in (("float", float), ("int", int), ("trunc", int), ("round", round), ("floor", float.__floor__), ("ceil", float.__ceil__), ("repr", repr),
                     ("str", str), ("format", format), ("pow", pow), ("mod", operator.mod), ("floordiv", operator.floordiv), ("divmod", divmod)):  # fmt: skip
    _looked_at(_name, _look)
for _name in ("pow", "mod", "floordiv"):
    setattr(Real, f"__r{_name}__", lambda a, b, _n=_name: getattr(operator, _n)(b, a.look()))

__all__ = ["Floats", "Real", "Variants", "words"]
