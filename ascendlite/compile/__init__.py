"""`al.compile`: capture a function or a whole training step once, and replay it without Python between its ops.

The first call of each form (shapes, strides, dtypes, modes, Python values in reach) runs eagerly and is recorded; later ones walk a program of
launches: dead work dropped, pointwise chains fused by Numba, memory planned. What can't be replayed runs eagerly, with one warning that names it.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

from ascendlite.compile.capture import Capture, Refusal, tell
from ascendlite.compile.module import CompiledModule
from ascendlite.compile.program import CantReplay, Report
from ascendlite.compile.replay import Entry
from ascendlite.core import Tensor, _core
from ascendlite.errors import CompileError
from ascendlite.nn import Module

MOST_FORMS = 64  # captures of one function: more mean that something changes at every call
MOST_ATTEMPTS = 3  # captures in which Python values changed under way, as they do once while state is made


class Compiled(_core.Front):
    """A function with its captures. `explain()` says what was made of them."""

    def __init__(self, fn: Callable[..., Any], fullgraph: bool, fusing: bool) -> None:
        functools.update_wrapper(self, fn, updated=())
        self.fn, self._options = fn, (fullgraph, fusing)
        self._name = getattr(fn, "__qualname__", type(fn).__name__)
        self._attempts = 0

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> Any:
        return Compiled, (self.fn, *self._options)  # a copy captures for itself

    def capture(self, key: _core.Key, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a call eagerly and record it. The core calls this where no form fits."""
        capture = Capture(self._options[0])
        try:
            recording = capture.run(self.fn, args, kwargs)
        except Refusal:
            tell(self._name, str(capture.reason), capture.line, True)
            raise
        if recording.reason is None:
            after = _core.Key(args, kwargs)
            changed = "an argument" if after.form != key.form or [*map(id, after.tensors)] != [*map(id, key.tensors)] else recording.watch.broken()
            if changed is not None:
                return self._changed(changed, recording.result)
            try:
                self._add(key, Entry(recording, key, self._options[1]))
            except CantReplay as error:
                recording.reason, recording.line = str(error), "seen in the whole function"
        if recording.reason is not None:
            self._refuse(recording.reason, recording.line)
        return recording.result

    def _add(self, key: _core.Key, entry: Entry) -> None:
        self.entries.setdefault(key.form, []).insert(0, entry)
        self._attempts = 0
        if sum(map(len, self.entries.values())) > MOST_FORMS:
            self.entries.clear()
            self._refuse(f"more than {MOST_FORMS} forms of it were captured: a shape or a Python value changes at every call", "seen over many calls")

    def _changed(self, name: str, result: Any) -> Any:
        self._attempts += 1
        if self._attempts >= MOST_ATTEMPTS:
            self._refuse(f"it changes the Python value {name}", "seen over several calls")
        return result

    def _refuse(self, reason: str, line: str | None) -> None:
        self.refused = reason
        tell(self._name, reason, line, self._options[0])

    def reports(self) -> list[Report]:
        """One for each program: of the function, and of its gradient where it has one apart."""
        return [r for entries in self.entries.values() for e in entries for r in e.reports]

    def explain(self) -> str:
        """What was captured, in words: one line a program."""
        if self.refused is not None:
            return f"{self._name} runs eagerly: {self.refused}"
        lines = [f"{self._name}: {sum(map(len, self.entries.values()))} captured forms"]
        for r in self.reports():
            lines.append(f"  {r.captured} launches heard -> {r.steps} steps; {r.fused_ops} ops in {r.fused_kernels} fused kernels; temporaries "
                         f"{r.arena_bytes:,} bytes (without reuse {r.temporary_bytes:,}), results {r.output_bytes:,} bytes")
        return "\n".join(lines)


def need_numba() -> None:
    """CompileError with the command to run where Numba is missing."""
    if importlib.util.find_spec("numba") is None:
        raise CompileError("compile: Numba is not installed; run: pip install 'ascendlite[compile]'")


def compile(model: Callable[..., Any] | None = None, *, fullgraph: bool = False, dynamic: bool | None = None, fuse: bool = True) -> Any:
    """The function (or module) with its calls captured and replayed; also a decorator, with or without arguments.

    `fullgraph=True` raises CompileError where a call can't be captured, instead of running it eagerly with a warning. `dynamic` is torch's and
    must not be True: each form of shapes is captured for itself. `fuse=False` leaves chains as they are.

    >>> @al.compile
    ... def f(x):
    ...     return (x * 2 + 1).relu()
    >>> _ = f(al.ones(3)); f(al.ones(3))
    tensor([3., 3., 3.])
    """
    if dynamic:
        raise CompileError("compile: dynamic=True is not supported: each form of shapes is captured for itself; leave it away")
    need_numba()
    if model is None:
        return lambda fn: compile(fn, fullgraph=fullgraph, fuse=fuse)
    if isinstance(model, Tensor) or not callable(model):
        raise TypeError(f"compile(): argument 'model' must be a function or a module, not {type(model).__name__}")
    if isinstance(model, Module):
        return CompiledModule(model, Compiled(model, fullgraph, fuse))
    return Compiled(model, fullgraph, fuse)


class _Callable(types.ModuleType):
    __call__ = staticmethod(compile)


sys.modules[__name__].__class__ = _Callable  # `al.compile(fn)`, though the package has the same name
