"""One run of a function under a recorder: its events, its result, what it depends on, and why it can't be replayed if it can't."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ascendlite.compile.guards import LIBRARY, Watch, top_module
from ascendlite.core import Tensor, _core
from ascendlite.errors import CompileError

_ONE_AT_A_TIME = threading.RLock()  # the recorder hears one thread


class Refusal(Exception):
    """Raised inside a capture with `fullgraph=True`; the front door makes a CompileError of it."""


@dataclass
class Recording:
    """What a run left behind. `boundary` parts the events of the function from those of its gradient."""

    result: Any
    recorder: _core.Recorder
    watch: Watch
    reason: str | None = None  # why it can't be replayed
    line: str | None = None
    boundary: int = 0
    roots: list[Tensor] = field(default_factory=list)  # outputs with a gradient
    seeds: list[Tensor] = field(default_factory=list)  # stand-ins for the gradients of the roots
    leaves: list[Tensor] = field(default_factory=list)  # what gradients are asked of
    gradients: list[Tensor | None] = field(default_factory=list)
    spent: bool = False  # the graph behind the roots was used up inside


def user_line() -> str:
    """file:line of the innermost frame that is not the library's."""
    frame = sys._getframe(1)
    while frame is not None and top_module(frame.f_globals.get("__name__")) in (LIBRARY, "functools"):
        if frame.f_back is None:
            break
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


class Capture:
    """Runs a function once, eagerly, and records it. A refusal ends the recording, not the run, unless `fullgraph`."""

    def __init__(self, fullgraph: bool) -> None:
        self.fullgraph = fullgraph
        self.reason: str | None = None
        self.line: str | None = None
        self.recorder = _core.Recorder(self.refuse)
        self.watch = Watch(self.refuse)

    def refuse(self, why: str) -> None:
        """Note the first thing that can't be replayed, with the user's line."""
        if self.reason is None:
            self.reason, self.line = why, user_line()
        self.recorder.stop()
        sys.setprofile(None)
        if self.fullgraph:
            raise Refusal(why)

    def run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
        """Call the function; record it, then the gradient of what it returned."""
        for k, value in enumerate((fn, *args, *kwargs.values())):
            self.watch.value(value, "the function" if k == 0 else f"argument {k}", near=k > 0)
        with _ONE_AT_A_TIME:
            profile, collects = sys.getprofile(), gc.isenabled()
            within = _core.exchange_capturing(True)
            gc.disable()  # what a collection runs, such as others' callbacks, is no part of the function
            try:
                if self.reason is None:
                    self.recorder.start()
                    sys.setprofile(self.watch.profile)
                result = fn(*args, **kwargs)
                sys.setprofile(profile)
                recording = Recording(result, self.recorder, self.watch, boundary=len(self.recorder.events))
                if self.reason is None:
                    self._record_gradient(recording, args, kwargs)
            finally:
                sys.setprofile(profile)
                self.recorder.stop()
                _core.exchange_capturing(within)
                if collects:
                    gc.enable()
        recording.reason, recording.line = self.reason, self.line
        return recording

    def _seeds(self, roots: list[Tensor]) -> list[Tensor]:
        """Stand-ins for gradients: made unrecorded, so that they count as tensors from outside."""
        self.recorder.stop()
        try:
            return [_core.ones_like(t.detach()) for t in roots]
        finally:
            self.recorder.start()

    def _record_gradient(self, recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        known = {**self.watch.tensors, **{id(t): t for t in tensors_in((args, kwargs))}}
        results = {id(t): t for t in tensors_in(recording.result)}  # each once
        recording.roots = [t for t in results.values() if t.grad_fn is not None and id(t) not in known]
        if not recording.roots:
            return
        leaves = [t for t in known.values() if t.requires_grad]
        recording.leaves, recording.seeds = leaves, self._seeds(recording.roots)
        try:
            found = _core.run_backward(tuple(recording.roots), tuple(recording.seeds), True, False, leaves, False, True)
        except Refusal:
            raise
        except Exception as error:  # eager would meet it only if the gradient is asked for
            if "second time" not in str(error):
                self.refuse(f"its gradient can't be recorded: {error}")
                return
            recording.spent = True
            del self.recorder.events[recording.boundary :]
            return
        used = [(t, g) for t, g in zip(leaves, found, strict=True) if g is not None]
        recording.leaves, recording.gradients = [t for t, _ in used], [g for _, g in used]


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for item in value.values() for t in tensors_in(item)]
    if isinstance(value, (tuple, list)):
        return [t for item in value for t in tensors_in(item)]
    return []


def tell(name: str, reason: str, line: str | None, fullgraph: bool) -> None:
    """The one warning about a function that runs eagerly, or the error where that is not allowed."""
    text = f"compile: {name} can't be replayed: {reason} ({line}); "
    if fullgraph:
        raise CompileError(text + "move that out of the function, or leave fullgraph=True away to run it eagerly")
    warnings.warn(text + "it runs eagerly", stacklevel=5)  # where the compiled function was called
