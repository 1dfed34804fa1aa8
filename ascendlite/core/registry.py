"""How ops become functions and methods. Knows names, no mathematics.

`FUNCTIONS` maps public names to functions; `METHODS` names what Tensor has of them. Both are read by the tests, the stubs and `__init__`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ascendlite.core import _core
from ascendlite.core._core import FUNCTIONS, Op, Tensor

F = TypeVar("F", bound=Callable[..., Any])

METHODS: dict[str, Callable[..., Any]] = {}
FUNCTIONAL: dict[str, Callable[..., Any]] = {}  # what `nn.functional` shows but the top level does not


def add_method(name: str, fn: Callable[..., Any]) -> None:
    """Make `fn` the method `name` of Tensor."""
    METHODS[name] = fn
    _core.add_method(name, fn)


def require_tensor(op: str, *inputs: Any) -> None:
    """TypeError unless every input is a tensor: for functions that look at an input before they call an op."""
    for k, x in enumerate(inputs, 1):
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}(): argument {k} must be Tensor, not {type(x).__name__}")


def _inplace_by_copy(name: str, fn: Callable[..., Any]) -> Callable[..., Tensor]:
    def inplace(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.copy_(fn(self, *args, **kwargs))

    inplace.__name__ = inplace.__qualname__ = name
    inplace.__doc__ = f"In-place form of {fn.__name__}."
    return inplace


def function(
    name: str | None = None, *, methods: Sequence[str] = (), inplace: bool | Callable[..., Any] = False, toplevel: bool = True
) -> Callable[[F], F]:
    """Register a public function, its methods, and (inplace) `Tensor.<method>_` that writes the result into the tensor.

    `toplevel=False`: `nn.functional` shows it, `ascendlite` does not. The function itself is returned unchanged.
    """

    def add(fn: F) -> F:
        public = name or fn.__name__
        FUNCTIONS[public] = fn
        if not toplevel:
            FUNCTIONAL[public] = fn
        for method in methods:
            add_method(method, fn)
            if inplace:
                add_method(method + "_", inplace if callable(inplace) else _inplace_by_copy(method + "_", fn))
        return fn

    return add


def _inplace_pointwise(op: Op, name: str) -> Callable[..., Tensor]:
    def inplace(self: Tensor, *others: Any) -> Tensor:
        return op.inplace(self, *others)

    inplace.__name__ = inplace.__qualname__ = name
    inplace.__doc__ = f"In-place form of {op.name}."
    return inplace


def register(op: Op, *, name: str | None = None, methods: Sequence[str] | None = None, inplace: bool = True) -> Op:
    """Make a pointwise op public: a function, methods (its own name unless given) and their in-place forms."""
    public = name or op.name
    FUNCTIONS[public] = op
    for method in (public,) if methods is None else methods:
        add_method(method, op)
        if inplace:
            add_method(method + "_", _inplace_pointwise(op, method + "_"))
    return op


def pointwise(
    name: str, rule: int, vjp: tuple[Any, ...] | None = None, *, inputs: int = 0, cond: bool = False, cast: str | None = None,
    kernel: str | None = None, keywords: tuple[str, ...] | None = None, public: bool = True, inplace: bool = True,
) -> Op:
    """Declare a pointwise op (see the op table in the README) and, if public, register it as a function and as methods."""
    op = _core.pointwise(name, rule, vjp, inputs=inputs, cond=cond, cast=cast, kernel=kernel, keywords=keywords)
    return register(op, inplace=inplace and rule not in (_core.COMPARE, _core.LOGICAL)) if public else op
