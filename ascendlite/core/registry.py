"""How ops become functions and methods. Knows names, no mathematics.

`FUNCTIONS` maps public names to functions; `METHODS` names what Tensor has of them. Both are read by the tests, the stubs and `__init__`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import FunctionType, NoneType
from typing import Any, TypeVar

from ascendlite.core import _core
from ascendlite.core._core import FUNCTIONS, DType, Op, Tensor
from ascendlite.errors import DTypeError

F = TypeVar("F", bound=Callable[..., Any])

# What annotations ask for: the types, whether of each element, and how an error calls them.
ARGUMENT_TYPES: dict[str, tuple[tuple[type, ...], bool, str]] = {
    "Tensor": ((Tensor,), False, "Tensor"),
    "Tensor | None": ((Tensor, NoneType), False, "Tensor"),
    "Tensor | float": ((Tensor, float, int), False, "Tensor or a number"),
    "Tensor | int": ((Tensor, int), False, "Tensor or an integer"),
    "Tensor | int | None": ((Tensor, int, NoneType), False, "Tensor or an integer"),
    "Sequence[Tensor]": ((Tensor,), True, "Tensor"),
    "tuple[Tensor | None, ...]": ((Tensor, NoneType), True, "Tensor"),
    "Tensor | Number": ((Tensor, float, int), False, "Tensor or a number"),
    "Tensor | Number | None": ((Tensor, float, int, NoneType), False, "Tensor or a number"),
    "DType": ((DType,), False, "dtype"),
    "DType | None": ((DType, NoneType), False, "dtype"),
}

METHODS: dict[str, Callable[..., Any]] = {}
FUNCTIONAL: dict[str, Callable[..., Any]] = {}  # what `nn.functional` shows but the top level does not


def add_method(name: str, function: Any) -> None:
    """Make a function (or a property, an op) the method `name` of Tensor."""
    METHODS[name] = function
    _core.add_method(name, function)


def require_tensor(op: str, *inputs: Any) -> None:
    """TypeError unless every input is a tensor: for functions that look at an input before they call an op."""
    for k, x in enumerate(inputs, 1):
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}(): argument {k} must be Tensor, not {type(x).__name__}")


def _inplace_by_copy(name: str, fn: Callable[..., Any], keeps: bool, apart: bool) -> Callable[..., Tensor]:
    def inplace(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        _core.check_writable(self, name)
        if apart:
            _core.refuse_shared(name, self, *args, *kwargs.values())
        kept = keeps and _core.is_grad_enabled() and _core.requires_grad_any((self, *args, *kwargs.values()))
        result = fn(_core.kept_original(self) if kept else self, *args, **kwargs)
        if not _core.can_cast(result.dtype, self.dtype):
            raise DTypeError(f"{name}: result type {result.dtype.name} can't be cast to the desired output type {self.dtype.name}")
        return _core.overwrite(self, result, name)

    inplace.__name__ = inplace.__qualname__ = name
    inplace.__doc__ = f"In-place form of {fn.__name__}."
    return inplace


OTHER_NAMES = {"dim": "axis", "keepdim": "keepdims"}  # NumPy's, which torch takes too
_NONE: Any = object()

# By device, who runs what computes with NumPy arrays, as the factorizations of matrices do: of a name, the function, its outputs, its inputs.
RUNS_ARRAYS: dict[str, Callable[[str, Callable[..., tuple[Any, ...]], tuple[Tensor, ...], tuple[Tensor, ...]], None]] = {}


def _refuse_shared_out(name: str, out: Any, given: dict[str, Any]) -> None:
    sources = [x for key, value in given.items() if key != "out" for x in (value if isinstance(value, (list, tuple)) else (value,))]
    for target in out if isinstance(out, (list, tuple)) else (out,):
        _core.refuse_shared(name, target, *sources)


@functools.cache  # other names of a function stay the same object
def name_wrong_types(fn: Any, name: str | None = None, apart: bool = False) -> Any:
    """`fn`; where it stumbles over an argument of a wrong type, the TypeError names that argument. `apart`: refuses an `out` over its arguments."""
    # Looks at the types only where the function stumbled. A function of the same signature, and not one of *args, **kwargs:
    # so the good path pays for one plain call, some 30 ns.
    if not isinstance(fn, FunctionType) or not any(a in ARGUMENT_TYPES for a in fn.__annotations__.values()):
        return fn
    code = fn.__code__
    if code.co_flags & inspect.CO_VARKEYWORDS:
        return fn
    plain, names = code.co_argcount, code.co_varnames
    keyword = names[plain : plain + code.co_kwonlyargcount]
    star = f"*{names[plain + code.co_kwonlyargcount]}" if code.co_flags & inspect.CO_VARARGS else ""
    other = {} if star else {k: v for k, v in OTHER_NAMES.items() if k in (*names[:plain], *keyword) and v not in names}
    declared = [*names[:plain], *([star or "*"] if star or keyword or other else []), *keyword, *other.values()]
    passed = [*names[:plain], *([star] if star else []), *(f"{k}={k}" for k in keyword)]
    renamed = "".join(f" if {v} is not _none:\n  {k} = {v}\n" for k, v in other.items())
    must = names[: plain - len(fn.__defaults__ or ())]
    optional = must[must.index("dim") :] if "dim" in other and "dim" in must else ()  # those after it may come by name, too
    for k in optional:
        renamed += f" if {k} is _none:\n  raise TypeError(\"{name or fn.__name__}() missing 1 required positional argument: '{k}'\")\n"
    if apart and "out" in (*names[:plain], *keyword):
        renamed += f" if out is not None:\n  _refuse({name or fn.__name__!r}, out, locals())\n"
    source = (f"def checked({', '.join(declared)}):\n{renamed} try:\n  return _fn({', '.join(passed)})\n"
              f" except AttributeError:\n  _reject(_fn, {name or fn.__name__!r}, locals())\n  raise\n")
    scope: dict[str, Any] = {"_fn": fn, "_reject": _reject_wrong_types, "_refuse": _refuse_shared_out, "_none": _NONE}
    exec(source, scope)
    checked: FunctionType = scope["checked"]
    functools.update_wrapper(checked, fn)
    checked.__defaults__ = (*(_NONE for _ in optional), *(fn.__defaults__ or ())) if optional else fn.__defaults__
    checked.__kwdefaults__ = {**(fn.__kwdefaults__ or {}), **dict.fromkeys(other.values(), _NONE)} or None
    return checked


def found_at(checked: Any, module: str, name: str) -> Any:
    """`checked`; pickle finds it there (a plain function stays where it was written, and a second name changes nothing)."""
    origin = getattr(checked, "__wrapped__", None)
    if origin is not None and checked.__module__ == origin.__module__:
        checked.__module__, checked.__name__, checked.__qualname__ = module, name, name
    return checked


def _reject_wrong_types(fn: Callable[..., Any], name: str, given: dict[str, Any]) -> None:
    for position, (key, parameter) in enumerate(inspect.signature(fn).parameters.items(), 1):
        if str(parameter.annotation) not in ARGUMENT_TYPES:
            continue
        kind, many, wanted = ARGUMENT_TYPES[str(parameter.annotation)]
        values = given[key] if many or parameter.kind is parameter.VAR_POSITIONAL else (given[key],)
        for value in values:
            if not isinstance(value, kind):
                raise TypeError(f"{name}(): argument '{key}' (position {position}) must be {wanted}, not {type(value).__name__}") from None


def function(
    name: str | None = None, *, methods: Sequence[str] = (), inplace: bool | Callable[..., Any] = False, toplevel: bool = True,
    keeps: bool = False, apart: bool = False,
) -> Callable[[F], F]:
    """Register a public function, its methods, and (inplace) `Tensor.<method>_` that writes the result into the tensor.

    `keeps`: its gradient reads the tensor, so the in-place form keeps a copy of the old values where there is a gradient.
    `apart`: the in-place form and `out=` refuse arguments that share the written tensor's memory: what they hold would change under way.
    `toplevel=False`: `nn.functional` shows it, `ascendlite` does not. The function itself is returned unchanged; what users
    call names the argument that is no tensor.
    """

    def add(fn: F) -> F:
        public = name or fn.__name__
        checked = found_at(name_wrong_types(fn, apart=apart), "ascendlite" if toplevel else "ascendlite.nn.functional", public)
        FUNCTIONS[public] = checked
        if not toplevel:
            FUNCTIONAL[public] = checked
        for method in methods:
            add_method(method, checked)
            if inplace:
                form = name_wrong_types(inplace, method + "_") if callable(inplace) else _inplace_by_copy(method + "_", checked, keeps, apart)
                add_method(method + "_", form)
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
    tensors: Sequence[int] = (),
) -> Op:
    """Declare a pointwise op (see the op table in the README) and, if public, register it as a function and as methods."""
    op = _core.pointwise(name, rule, vjp, inputs=inputs, cond=cond, cast=cast, kernel=kernel, keywords=keywords, tensors=tensors)
    return register(op, inplace=inplace and rule not in (_core.COMPARE, _core.LOGICAL)) if public else op
