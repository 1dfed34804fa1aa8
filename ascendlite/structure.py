"""Nested Python values as JSON and back, with tensors handed to the caller.

Tables of kinds: what JSON says by itself stays plain, everything else is an object with one key that names its kind.
"""

from __future__ import annotations

import base64
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ascendlite.core import Device, DType, Tensor, dtype_of_name
from ascendlite.errors import FileFormatError

Plain = None | bool | int | float | str | bytes | DType | Device
Value = Plain | Tensor | Sequence["Value"] | Mapping[Any, "Value"]
Leaf = dict[str, object]
Json = object
_WORD = 2**63  # beyond it some JSON readers round
_DEEP = 200  # levels of nesting that are written and read


def _float(value: float) -> Json:
    return value if math.isfinite(value) else {"float": str(value)}


def _int(value: int) -> Json:
    return value if -_WORD <= value < _WORD else {"int": hex(value)}


# Exact types first, in this order: bool is an int too.
_PLAIN: list[tuple[type, Callable[..., Json]]] = [
    (type(None), lambda value: None),
    (bool, bool),
    (int, lambda value: _int(int(value))),
    (float, lambda value: _float(float(value))),
    (str, str),
    (bytes, lambda value: {"bytes": base64.b64encode(value).decode("ascii")}),
    (DType, lambda value: {"dtype": value.name}),
    (Device, lambda value: {"device": str(value)}),
]
_KEY_TYPES = (type(None), bool, int, float, str, tuple)


def encode(obj: Value, tensor: Callable[[str, Tensor], Leaf]) -> Json:
    """The JSON of a value; `tensor(path, t)` gives that of a tensor."""
    return _encode(obj, "", tensor, [])


def _encode(obj: object, path: str, tensor: Callable[[str, Tensor], Leaf], above: list[object]) -> Json:
    if isinstance(obj, Tensor):
        return tensor(path, obj)
    for kind, text in _PLAIN:
        if isinstance(obj, kind):
            return text(obj)
    if not isinstance(obj, (dict, list, tuple)):
        raise TypeError(
            f"save: {path or 'the value'} is a {type(obj).__module__}.{type(obj).__name__}; what can be saved is tensors, numbers, strings, "
            f"bytes, bools, None, and dicts, lists and tuples of these"
        )
    if any(obj is outer for outer in above):
        raise ValueError(f"save: {path} contains itself; a file can't hold a cycle")
    if len(above) >= _DEEP:
        raise ValueError(f"save: {path[:60]}... is nested more than {_DEEP} levels deep; flatten it")
    above.append(obj)
    try:
        return _encode_items(obj, path, tensor, above)
    finally:
        above.pop()


def _encode_items(
    obj: dict[object, object] | list[object] | tuple[object, ...],
    path: str,
    tensor: Callable[[str, Tensor], Leaf],
    above: list[object],
) -> Json:
    def inner(key: object, item: object) -> Json:
        return _encode(item, f"{path}.{key}" if path else str(key), tensor, above)

    if isinstance(obj, dict):
        for key in obj:
            if not isinstance(key, _KEY_TYPES):
                raise TypeError(f"save: {path or 'the dict'} has the key {key!r} of type {type(key).__name__}; use strings or numbers")
        pairs = [[_encode(key, path, tensor, above), inner(key, item)] for key, item in obj.items()]
        return {"odict" if isinstance(obj, OrderedDict) else "dict": pairs}
    items = [inner(number, item) for number, item in enumerate(obj)]
    return {"tuple": items} if isinstance(obj, tuple) else items


def decode(raw: Json, tensor: Callable[[Mapping[str, object]], Tensor]) -> Value:
    """The value of a JSON; `tensor(spec)` gives a tensor."""
    if isinstance(raw, list):
        return [decode(item, tensor) for item in raw]
    if not isinstance(raw, dict):
        return cast(Value, raw)
    if "tensor" in raw:
        return tensor(raw)
    if len(raw) != 1 or next(iter(raw)) not in _KINDS:
        raise FileFormatError(f"the structure has an unknown kind of value: {sorted(map(str, raw))[:5]}")
    ((kind, content),) = raw.items()
    return _KINDS[kind](content, tensor)


def _pairs(content: list[list[Json]], tensor: Callable[[Mapping[str, object]], Tensor]) -> list[tuple[object, Value]]:
    return [(decode(key, tensor), decode(item, tensor)) for key, item in content]


_KINDS: dict[str, Callable[..., Value]] = {
    "dict": lambda content, tensor: dict(_pairs(content, tensor)),
    "odict": lambda content, tensor: OrderedDict(_pairs(content, tensor)),
    "tuple": lambda content, tensor: tuple(decode(item, tensor) for item in content),
    "float": lambda content, tensor: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content],
    "int": lambda content, tensor: int(content, 16),
    "bytes": lambda content, tensor: base64.b64decode(content, validate=True),
    "dtype": lambda content, tensor: dtype_of_name(content),
    "device": lambda content, tensor: Device(content),
}
