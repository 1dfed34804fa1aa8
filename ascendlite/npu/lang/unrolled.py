"""Python's `range` in a kernel: where its ends depend on the block, only the number of rounds is decided, and the indices stay expressions.

So blocks that make equally many rounds share one trace, as they do under a `while`.
"""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ascendlite.npu.lang import sym
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.trace import Index, Tracer, current


class BlockRange(Sequence[Index]):
    """What `range(start, stop, step)` is in each block of a class: `rounds` integers, of which some or all depend on the block."""

    __slots__ = ("_tracer", "rounds", "start", "step", "stop")

    def __init__(self, tracer: Tracer, start: Index, stop: Index, step: int) -> None:
        self._tracer, self.start, self.stop, self.step = tracer, start, stop, step
        way: Index = stop - start if step > 0 else start - stop
        self.rounds = int(sym.maximum((way + abs(step) - 1) // abs(step), 0))

    def __len__(self) -> int:
        return self.rounds

    def __getitem__(self, key: Any) -> Any:
        at = builtins.range(self.rounds)[key]
        return [self._at(i) for i in at] if isinstance(at, builtins.range) else self._at(at)

    def __iter__(self) -> Iterator[Index]:
        return map(self._at, builtins.range(self.rounds))

    def _at(self, i: int) -> Index:
        return self._tracer.narrowed(self.start + i * self.step)


def unrolling(*given: Any) -> BlockRange | builtins.range:
    """`range` as kernels call it."""
    if not any(isinstance(one, Sym) and one.value is not None for one in given) or not 1 <= len(given) <= 3:
        return builtins.range(*given)  # it asks for the value of what only the device knows, and that is refused
    start, stop, step = (0, *given, 1) if len(given) == 1 else (*given, 1)[:3]
    if not all(one.value is not None if isinstance(one, Sym) else isinstance(one, int) for one in (start, stop)) or (step := int(step)) == 0:
        return builtins.range(start, stop, step)
    tracer = current()
    tracer.unrolled = True
    return BlockRange(tracer, start, stop, step)


_SUBSTITUTES: Final = {"range": unrolling}


def with_unrolling(function: Callable[..., None]) -> Callable[..., None]:
    """The function, in which `range` is this module's. Its global variables are a copy: it must not write to them, nor what it calls."""
    if not isinstance(function, types.FunctionType) or "range" in function.__globals__:
        return function
    new = types.FunctionType(function.__code__, {**function.__globals__, **_SUBSTITUTES}, function.__name__, function.__defaults__, function.__closure__)
    new.__kwdefaults__ = function.__kwdefaults__
    return new
