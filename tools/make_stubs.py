"""Writes the type stubs of what is registered at import and of what is compiled: `ascendlite/__init__.pyi` and `core/_core.pyi`.

Usage: python tools/make_stubs.py [--check]. Run it after adding or changing a public function; a test says when they are stale.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ascendlite as al
from ascendlite.core import FUNCTIONAL, FUNCTIONS, METHODS, Op, _core

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Written by tools/make_stubs.py; do not edit.\n"
KNOWN = {
    "Any", "Callable", "DType", "Device", "Generator", "Iterator", "Sequence", "Size", "Tensor", "Literal", "None",
    "bool", "dict", "float", "int", "list", "object", "str", "tuple", "type", "bytes", "slice",
}
TYPES = {
    # attributes of Tensor
    "shape": "Size", "dtype": "DType", "device": "Device", "ndim": "int", "itemsize": "int", "nbytes": "int", "_version": "int",
    "requires_grad": "bool", "is_leaf": "bool", "retains_grad": "bool", "grad": "Tensor | None", "data": "Tensor", "T": "Tensor", "mT": "Tensor",
    "H": "Tensor", "mH": "Tensor", "is_meta": "bool", "is_cuda": "bool", "is_cpu": "bool", "names": "tuple[None, ...]", "layout": "str", "output_nr": "int",
    # what is not a Tensor among the results
    "item": "Any", "tolist": "Any", "numpy": "Any", "size": "Any", "stride": "Any", "dim": "int", "ndimension": "int", "numel": "int", "nelement": "int",
    "element_size": "int", "storage_offset": "int", "data_ptr": "int", "is_contiguous": "bool", "is_floating_point": "bool", "is_complex": "bool",
    "is_signed": "bool", "is_inference": "bool", "backward": "None", "retain_grad": "None", "register_hook": "Any", "untyped_storage": "Any",
    "get_device": "int", "is_set_to": "bool", "is_nonzero": "bool", "split": "tuple[Tensor, ...]", "chunk": "tuple[Tensor, ...]",
    "tensor_split": "tuple[Tensor, ...]", "unbind": "tuple[Tensor, ...]", "unsafe_split": "tuple[Tensor, ...]", "type": "Any",
    "register_post_accumulate_grad_hook": "Any", "is_shared": "bool", "is_same_size": "bool", "dim_order": "tuple[int, ...]",
    # operators and protocols
    "__bool__": "bool", "__int__": "int", "__float__": "float", "__len__": "int", "__repr__": "str", "__str__": "str", "__hash__": "int",
    "deliver": "Any",  # what it is given: a tensor, a pair, or a named pair
    "__call__": "Tensor", "__get__": "Any", "call": "Any", "launch": "None", "has_kernel": "bool", "name": "str", "register_prehook": "Any",
    "__contains__": "bool", "__iter__": "Iterator[Tensor]", "__index__": "int", "__format__": "str", "__array__": "Any", "__dlpack__": "Any",
    "__dlpack_device__": "tuple[int, int]", "__setitem__": "None", "__reduce_ex__": "Any", "__reduce__": "Any", "__deepcopy__": "Tensor", "__complex__": "complex",
    # functions of the core
    "get_default_dtype": "DType", "promote_types": "DType", "result_type": "DType", "can_cast": "bool", "is_grad_enabled": "bool",
    "is_inference_mode_enabled": "bool", "is_anomaly_enabled": "bool", "is_plain": "bool", "kept": "bool", "get_default_device": "Device", "broadcast_shapes": "Size",
    "set_default_dtype": "None", "set_default_device": "None", "dtype_of_name": "DType", "normalize_dim": "int", "normalize_dims": "tuple[int, ...]",
    "next_philox": "tuple[int, int]", "watch_meta": "tuple[str, int, int]", "rewatch_meta": "int", "add_method": "None", "add_listener": "Any", "pointwise": "Op", "exchange_grad": "bool", "exchange_inference": "bool",
    "exchange_anomaly": "bool", "get_autocast": "Any", "set_autocast": "Any", "run_backward": "Any",
    "exchange_capturing": "bool", "class_contents": "dict[str, Any]",
    "split_views": "tuple[Tensor, ...]", "unbind_views": "tuple[Tensor, ...]", "manual_seed": "Generator",
    # recordings and programs
    "number": "int", "reference": "Any", "all_hold": "Any", "drawn_numbers": "list[int]", "recorder": "Any", "run_on_the_host": "Any", "modes": "int",
    "only_tensors": "bool", "dense_alike": "bool", "is_new": "bool", "fits": "bool", "run": "list[Any]", "start": "None", "stop": "None", "use_draws": "None",
}
SKIPPED = {"__class__", "__dir__", "__doc__", "__getattribute__", "__getstate__", "__init_subclass__", "__new__", "__pyx_vtable__", "__reduce__",
           "__reduce_cython__", "__setstate_cython__", "__sizeof__", "__subclasshook__", "__delattr__", "__setattr__", "__dict__", "__weakref__", "__module__",
           "__test__"}
# Slots show no parameters to `inspect`.
SLOTS = {
    "add_method": "(name: str, function: object)", "__call__": "(self, *args: Any, **kwargs: Any)", "__get__": "(self, instance: Any, owner: Any = None)", "pointwise": "(*args: Any, **kwargs: Any)",
    "__getitem__": "(self, index: Any)", "__setitem__": "(self, index: Any, value: Any)", "__contains__": "(self, value: Any)",
    "__pow__": "(self, other: Any, modulo: None = None)", "__rpow__": "(self, other: Any, modulo: None = None)", "__ipow__": "(self, other: Any)",
    "__eq__": "(self, other: object)", "__ne__": "(self, other: object)", "__reduce_ex__": "(self, protocol: Any)", "__format__": "(self, spec: str)",
}
UNARY = {"__neg__", "__pos__", "__abs__", "__invert__", "__bool__", "__int__", "__float__", "__len__", "__repr__", "__str__", "__hash__", "__iter__", "__index__"}
IGNORED = dict.fromkeys(("__eq__", "__ne__"), "  # type: ignore[override]")  # they compare element by element
INPLACE = {f"__i{name}__" for name in ("add", "and", "floordiv", "mod", "mul", "or", "pow", "sub", "truediv", "xor", "lshift", "rshift", "matmul")}
IMPORTS = "import builtins\nfrom collections.abc import Callable, Iterable, Iterator, Sequence\nfrom typing import Any, Literal, SupportsIndex, overload\n"

# A tuple written in C: its own signatures say what stays a Size.
SIZE = '''
class Size(tuple[builtins.int, ...]):
    def __new__(cls, iterable: Iterable[builtins.int] = ..., /) -> Size: ...
    def __add__(self, other: tuple[builtins.int, ...]) -> Size: ...  # type: ignore[override]
    def __radd__(self, other: tuple[builtins.int, ...]) -> Size: ...
    def __mul__(self, times: SupportsIndex) -> Size: ...
    def __rmul__(self, times: SupportsIndex) -> Size: ...
    @overload  # type: ignore[override]
    def __getitem__(self, key: SupportsIndex) -> builtins.int: ...
    @overload
    def __getitem__(self, key: slice) -> Size: ...
    def numel(self) -> builtins.int: ...
'''


class Qualify(ast.NodeTransformer):
    """The package has dtypes called float, int and bool: inside its stub the builtins go by their full name."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(f"builtins.{node.id}") if node.id in ("float", "int", "bool") else node


def annotation(text: object) -> str:
    """A type that the stub can name; Any where it can't."""
    if text is inspect.Parameter.empty or not isinstance(text, str):
        return "Any"
    names = {n.id for n in ast.walk(ast.parse(text, mode="eval")) if isinstance(n, ast.Name)}
    return text if names <= KNOWN else "Any"


def qualified(line: str) -> str:
    """A `def` line with qualified builtins in its annotations."""
    return ast.unparse(Qualify().visit(ast.parse(line))).replace(":\n    ...", ": ...")


def default(value: object) -> str:
    return repr(value) if isinstance(value, (bool, int, float, str, types.NoneType)) and value == value and abs(hash(value)) >= 0 else "..."


def one_parameter(p: inspect.Parameter, method: bool) -> str:
    star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(p.kind, "")
    if p.name == "self" and method:
        return "self"
    tail = "" if p.default is inspect.Parameter.empty else f" = {default(p.default)}"
    return f"{star}{p.name}: {annotation(p.annotation)}{tail}"


def signature(fn: Callable[..., Any], name: str, method: bool) -> str:
    """`(parameters) -> result` of anything callable."""
    if isinstance(fn, Op):
        return op_signature(fn, method)
    if name in SLOTS:
        return f"{SLOTS[name]} -> {TYPES.get(name, 'Tensor')}"
    try:
        s = inspect.signature(fn)
    except (TypeError, ValueError):
        return f"({'self' if name in UNARY else 'self, *args: Any, **kwargs: Any'}) -> {TYPES.get(name, 'Tensor')}"
    if isinstance(fn, types.WrapperDescriptorType):
        given = "self" if name in UNARY else "self, other: Any"
        return f"({given}) -> {TYPES.get(name, 'Tensor')}"
    parameters = list(s.parameters.values())
    if method and parameters:
        parameters = [parameters[0].replace(name="self"), *parameters[1:]]
    parts, starred = [], False
    for p in parameters:
        if p.kind is inspect.Parameter.VAR_POSITIONAL:
            starred = True
        if p.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(one_parameter(p, method))
    result = annotation(s.return_annotation) if isinstance(s.return_annotation, str) else TYPES.get(name, "Tensor")
    return f"({', '.join(parts)}) -> {result}"


def op_signature(op: Op, method: bool) -> str:
    names = ["input", "other", *(f"operand{k}" for k in range(2, 8))][: int(op.inputs or 1)]
    first = "self" if method else f"{names[0]}: Tensor | Number"
    return f"({', '.join([first, *(f'{n}: Tensor | Number' for n in names[1:])])}, *, out: Tensor | None = None) -> Tensor"


def class_lines(cls: type) -> Iterator[str]:
    yield f"class {cls.__name__}:"
    if cls is not _core.Tensor:
        yield "    def __init__(self, *args: Any, **kwargs: Any) -> None: ..."
    for name in sorted(dir(cls)):
        value = inspect.getattr_static(cls, name, None)
        if name in SKIPPED or name == "__init__" or value is getattr(object, name, None) or name.startswith("__pyx"):
            continue
        if name == "__hash__" and value is None:
            continue
        if callable(value) or isinstance(value, (types.MethodDescriptorType, staticmethod, classmethod)):
            line = f"def {name}{signature(METHODS.get(name, value) if cls is _core.Tensor else value, name, True)}: ..."
            yield f"    {qualified(line)}{IGNORED.get(name, '  # type: ignore[misc]' if name in INPLACE else '')}"
        else:
            yield "    " + qualified(f"{name}: {TYPES.get(name, {'code': 'int', 'name': 'str', 'is_signed': 'bool', 'index': 'Any'}.get(name, 'Any'))}")
    if cls is _core.Tensor:
        yield "    def __init__(self, *args: Any, **kwargs: Any) -> None: ..."


def kind_of(value: object) -> str:
    """The type of a constant of the package."""
    if isinstance(value, al.DType):
        return "DType"
    name = type(value).__name__
    return f"builtins.{name}" if hasattr(builtins, name) else "None" if value is None else "Any"


def core_stub() -> str:
    number = "Number = builtins.int | builtins.float | builtins.bool  # a Python scalar among the operands of an op\n"
    classes = [v for n, v in sorted(vars(_core).items()) if isinstance(v, type) and getattr(v, "__module__", "").startswith("ascendlite.core")]
    lines = [HEADER + IMPORTS + number + SIZE]
    for cls in classes:
        body = list(class_lines(cls))
        lines += [*body, *(["    pass"] if len(body) == 1 else []), ""]
    lines += [f"{d}: DType" for d in _core.DTYPE_NAMES]
    for name, value in sorted(vars(_core).items()):
        if name.startswith("__") or isinstance(value, (type, types.ModuleType)):
            continue
        if callable(value) and getattr(value, "__module__", "") == _core.__name__:
            lines.append(qualified(f"def {name}{signature(value, name, False)}: ..."))
        elif not callable(value):
            lines.append(f"{name}: {'builtins.int' if type(value) is int else 'dict[str, Any]' if type(value) is dict else 'Any'}")
    return "\n".join(lines) + "\n"


def package_stub() -> str:
    lines = [HEADER + IMPORTS, "from ascendlite import _native as _native", "from ascendlite.core._core import Number as Number"]
    ours = {n: v for n, v in vars(al).items() if not n.startswith("_") or n == "__version__"}
    functions = {n: fn for n, fn in FUNCTIONS.items() if n not in FUNCTIONAL}
    lines += [f"from ascendlite import {n} as {n}" for n in sorted({*al._LAZY, "errors", "ops", "core"}) if (ROOT / "ascendlite" / n).exists() or
              (ROOT / "ascendlite" / f"{n}.py").exists()]
    lines += [f"from ascendlite.{module} import {n} as {n}" for n, module in sorted(al._LAZY_NAMES.items())]
    later = []
    for name, value in sorted({**ours, **functions}.items()):
        value = inspect.unwrap(value) if isinstance(value, types.FunctionType) else value
        if isinstance(value, types.ModuleType):
            continue
        if isinstance(value, Op):
            later.append(f"def {name}{signature(value, name, False)}: ...")
        elif isinstance(value, type) and name in ("Tensor", "DType", "Device", "Generator", "Size"):
            lines.append(f"from ascendlite.core._core import {name} as {name}")
        elif name in ("dtype", "device"):
            later.append(f"{name} = {'DType' if name == 'dtype' else 'Device'}")
        elif isinstance(value, (types.FunctionType, type)) and value.__module__ not in ("ascendlite", "builtins") and hasattr(sys.modules[value.__module__], value.__name__):
            lines.append(f"from {value.__module__} import {value.__name__} as {name}")
        elif callable(value) and getattr(value, "__module__", "") == _core.__name__:
            lines.append(f"from ascendlite.core._core import {value.__name__} as {name}")
        elif callable(value):
            later.append(qualified(f"def {name}{signature(value, name, False)}: ..."))
        else:
            later.append(f"{name}: {kind_of(value)}")
    later += [qualified(f"def {n}{signature(METHODS.get(n, getattr(al.Tensor, n)), n, False)}: ...") for n in sorted(al._IN_PLACE)]
    return "\n".join(lines + later) + "\n"


STUBS = {ROOT / "ascendlite" / "core" / "_core.pyi": core_stub, ROOT / "ascendlite" / "__init__.pyi": package_stub}


def main() -> int:
    stale = []
    for path, make in STUBS.items():
        text = make()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(ROOT)))
    if stale:
        print(f"stale: {', '.join(stale)}; run python tools/make_stubs.py")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
