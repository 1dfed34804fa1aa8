"""Remembers the words of an instruction: in an unrolled loop most come again with the same operands."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.trace import current

P = ParamSpec("P")


def remembered(function: Callable[P, None]) -> Callable[P, None]:
    """Wraps a function that writes down one instruction whose words depend on its arguments and the state of the trace only.

    A call with a GlobalTensor is not remembered: its address is another each time. What changes the state of a trace clears `tracer.known`.
    """

    @wraps(function)
    def issue(*args: P.args, **kwargs: P.kwargs) -> None:
        tracer = current()
        key: list[Any] = [function]
        for a in args if not kwargs else (*args, *kwargs, *kwargs.values()):
            kind = a.__class__
            if kind is LocalTensor or kind is Sym:
                key.append(a.key())  # type: ignore[attr-defined]
            elif kind is list:
                key.append(tuple(a))  # type: ignore[arg-type]
            else:
                key.append(a)
        try:
            found = tracer.known.get(tuple(key))
        except TypeError:
            return function(*args, **kwargs)
        if found:
            tracer.repeat(found)
            return None
        begin, before = len(tracer.words), tracer.emitted
        function(*args, **kwargs)
        words = tracer.words
        if tracer.emitted == before + 1 and words[begin] == 0:
            tracer.known[tuple(key)] = (tuple(words[begin : begin + 3]), tuple(words[begin + 4 :]))
        return None

    return issue
