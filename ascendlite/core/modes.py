"""Context managers and decorators that switch recording on and off in this thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ascendlite.core import _core
from ascendlite.errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])


class _Mode:
    """A context manager that is also a decorator. Subclasses say what `enter` and `leave` do."""

    def enter(self) -> Any:
        raise NotImplementedError

    def leave(self, former: Any) -> None:
        raise NotImplementedError

    def __enter__(self) -> _Mode:
        self._stack = getattr(self, "_stack", [])
        self._stack.append(self.enter())
        return self

    def __exit__(self, *_: object) -> None:
        self.leave(self._stack.pop())

    def fresh(self) -> _Mode:
        """An instance for one call of a decorated function, so that threads and recursion do not share a stack."""
        return type(self)()

    def __call__(self, fn: F) -> F:
        import inspect

        if inspect.isgeneratorfunction(fn):
            return _wrap_generator(self, fn)  # type: ignore[return-value]

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.fresh():
                return fn(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def _wrap_generator(mode: _Mode, fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with mode.fresh():
            generator = fn(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(next, generator)
        while True:
            with mode.fresh():
                try:
                    value = step()
                except StopIteration as stop:
                    return stop.value
            try:
                step = functools.partial(generator.send, (yield value))
            except GeneratorExit:
                with mode.fresh():
                    generator.close()
                raise
            except BaseException as error:  # thrown into this generator: the function's own deals with it
                step = functools.partial(generator.throw, error)

    return wrapped


class doubles_on_npu(_Mode):
    """Lets ops work in float64 on an NPU inside: its AI cores have none, but its own CPU does, and runs what is so computed."""

    def enter(self) -> Any:
        return _core.exchange_doubles(True)

    def leave(self, former: Any) -> None:
        _core.exchange_doubles(former)


class no_grad(_Mode):
    """Ops inside are not recorded.

    >>> x = al.ones(2, requires_grad=True)
    >>> with al.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    value = False

    def __new__(cls, fn: Callable[..., Any] | None = None) -> Any:
        made = super().__new__(cls)
        return made(fn) if fn is not None else made

    def __init__(self, fn: Callable[..., Any] | None = None) -> None:
        pass

    def enter(self) -> bool:
        return _core.exchange_grad(self.value)

    def leave(self, former: bool) -> None:
        _core.exchange_grad(former)


class enable_grad(no_grad):
    """Ops inside are recorded, also within `no_grad`."""

    value = True


class set_grad_enabled(_Mode):
    """Recording on or off by a flag; takes effect at once, and is undone when used as a context manager."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self.former = _core.exchange_grad(self.mode)

    def enter(self) -> bool:
        _core.exchange_grad(self.mode)
        return self.former

    def leave(self, former: bool) -> None:
        _core.exchange_grad(former)

    def fresh(self) -> _Mode:
        return set_grad_enabled(self.mode)

    def __call__(self, fn: F) -> F:
        _core.exchange_grad(self.former)
        return super().__call__(fn)


class inference_mode(_Mode):
    """As `no_grad`, and tensors made inside may never be recorded: no views are tracked."""

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            made.mode = True
            return made(mode)
        return made

    def __init__(self, mode: bool = True) -> None:
        self.mode = bool(mode)

    def fresh(self) -> _Mode:
        return inference_mode(self.mode)

    def enter(self) -> tuple[bool, bool]:
        if not self.mode:
            return _core.exchange_inference(False), _core.is_grad_enabled()
        return _core.exchange_inference(True), _core.exchange_grad(False)

    def leave(self, former: tuple[bool, bool]) -> None:
        _core.exchange_inference(former[0])
        _core.exchange_grad(former[1])


class set_detect_anomaly(_Mode):
    """Remember where each node was made, and stop a backward pass at the first NaN, naming both places."""

    def __init__(self, mode: bool = True) -> None:
        self.mode = bool(mode)
        self.former = _core.exchange_anomaly(self.mode)

    def enter(self) -> bool:
        _core.exchange_anomaly(self.mode)
        return self.former

    def leave(self, former: bool) -> None:
        _core.exchange_anomaly(former)

    def fresh(self) -> _Mode:
        return set_detect_anomaly(self.mode)


class detect_anomaly(_Mode):
    """`with detect_anomaly():` as `set_detect_anomaly(True)` for a block; a NaN stops the pass always."""

    def __init__(self, check_nan: bool = True) -> None:
        if not check_nan:
            raise ArgumentError("detect_anomaly: check_nan=False: not supported; NaN stops the backward pass here")

    def enter(self) -> bool:
        return _core.exchange_anomaly(True)

    def leave(self, former: bool) -> None:
        _core.exchange_anomaly(former)
