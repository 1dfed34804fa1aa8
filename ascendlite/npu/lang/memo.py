"""Remembers the words of an instruction: in an unrolled loop most come again with the same operands, or at another place of GM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

from ascendlite.npu.lang import sym
from ascendlite.npu.lang.params import Params
from ascendlite.npu.lang.real import Real
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.tensors import GlobalTensor, LocalTensor
from ascendlite.npu.lang.trace import Tracer, current

P = ParamSpec("P")
_PLAIN = frozenset((int, str, bool, type(None)))  # stand for themselves; most arguments are


@dataclass(frozen=True, slots=True)
class Known:
    """An instruction's words around its site and around the address of its operand in GM, and how far that operand reaches."""

    before_site: tuple[int, ...]
    after_site: tuple[int, ...]
    after_base: tuple[int, ...]
    extent: int


def remembered(function: Callable[P, None]) -> Callable[P, None]:
    """Wraps a function that writes down one instruction whose words depend on its arguments and the state of the trace only.

    The address of one GlobalTensor may differ from call to call. What changes the state of a trace calls `tracer.forget`.
    """

    @wraps(function)
    def issue(*args: P.args, **kwargs: P.kwargs) -> None:
        tracer = current()
        key: list[Any] = [function]
        window: GlobalTensor | None = None
        for a in args if not kwargs else (*args, *kwargs, *kwargs.values()):
            kind = type(a)
            if kind in _PLAIN:
                key.append(a)
            elif kind is LocalTensor or kind is Sym:
                key.append(a.key())  # type: ignore[attr-defined]
            elif kind is tuple or kind is list:
                key.append(_items(a))  # type: ignore[arg-type]
            elif kind is GlobalTensor:
                window = a  # type: ignore[assignment]
                key.append((window.argument.index, window.dtype.code, window.size.__class__))  # type: ignore[union-attr]
            elif kind is Real:
                key.append((kind, a.key))  # type: ignore[attr-defined]
            elif kind is float:
                key.append(a.hex())  # type: ignore[attr-defined]  # -0.0 equals 0.0, and is another number
            elif isinstance(a, Params):
                key.append(_items(a.key()))
            else:
                key.append(a)
        try:
            found = tracer.known.get(tuple(key))
        except TypeError:
            return function(*args, **kwargs)
        if found and (window is None or _fits(found, window)):
            base = () if window is None else (tracer.table.node(window.base),)
            tracer.words += (*found.before_site, tracer.site(), *found.after_site, *base, *found.after_base)
            tracer.count_one()
            return None
        begin, before = len(tracer.words), tracer.emitted
        function(*args, **kwargs)
        if tracer.emitted == before + 1 and tracer.words[begin] == 0:
            known = _known(tracer, tuple(tracer.words[begin:]), window)
            if known:
                tracer.known[tuple(key)] = known
        return None

    return issue


def _items(given: Sequence[Any]) -> tuple[Any, ...]:
    """A sequence as a part of a key. An expression within it would be asked for its value."""
    return tuple([one.key() if type(one) is Sym else one for one in given])


def _fits(known: Known, window: GlobalTensor) -> bool:
    """Whether the operand lies within the window, as far as that shows in a trace."""
    return isinstance(window.size, Sym) or known.extent <= window.size * window.dtype.itemsize


def _known(tracer: Tracer, words: tuple[int, ...], window: GlobalTensor | None) -> Known | None:
    """What to remember of an instruction just written: None if its operand in GM has no fixed shape."""
    if window is None:
        return Known(words[:3], words[4:], (), 0)
    at = 5
    for _ in range(words[4]):
        ndim = words[at + 6]
        if words[at] == 0:
            sizes = [tracer.table.words[4 * n : 4 * n + 2] for n in (words[at + 5], *words[at + 7 : at + 7 + 2 * ndim])]
            if any(op != sym.CONST for op, _ in sizes):
                return None
            values = [value for _, value in sizes]
            extent = values[0] + sum((values[i] - 1) * values[i + 1] for i in range(1, len(values), 2))
            return Known(words[:3], words[4 : at + 4], words[at + 5 :], extent)
        at += 7 + 2 * ndim
    return None
