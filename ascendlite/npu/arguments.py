"""What a kernel is called with: tensors become `Argument`s, floats launch parameters, everything else a constant.

Formats, shapes and constants are the key of the program, and those floats that the kernel's Python looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ascendlite.errors import ArgumentError
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.real import Floats
from ascendlite.npu.lang.tensors import Argument


def is_tensor(value: object) -> bool:
    """Whether a kernel takes the value as a tensor in global memory."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, np.generic)


_PLAIN = frozenset((int, bool, str, type(None)))


def plain_look(args: tuple[Any, ...], floats: list[float]) -> tuple[object, ...] | None:
    """What tells apart the programs of two calls, cheaply: a constant's type and value, a tensor's format and shape.

    None where an argument is neither: then the call is taken apart in full. Adds the call's floats to `floats`.
    """
    look: list[object] = []
    for value in args:
        kind = type(value)
        if kind in _PLAIN:
            look.append(kind)
            look.append(value)
        elif kind is float:
            look.append(kind)
            floats.append(value)
        elif kind is np.ndarray or hasattr(value, "data_ptr"):
            look.append(value.dtype)
            look.append(value.shape)
        else:
            return None
    return tuple(look)


def address(value: Any) -> int:
    """Where a tensor's bytes lie. They must be contiguous."""
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise ArgumentError(f"kernel: an array of shape {value.shape} has strides {value.strides}; pass np.ascontiguousarray of it")
        return int(value.__array_interface__["data"][0])
    if hasattr(value, "is_contiguous") and not value.is_contiguous():
        raise ArgumentError(f"kernel: a tensor of shape {tuple(value.shape)} has strides {value.stride()}; pass .contiguous()")
    return int(value.data_ptr())


@dataclass(slots=True)
class CallArguments:
    """One call: `values` are what the kernel's function is traced with, `tensors` what it runs on, `names` how messages call these."""

    values: dict[str, Any] = field(default_factory=dict)
    tensors: list[Any] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes of each tensor
    key: list[object] = field(default_factory=list)
    floats: Floats = field(default_factory=Floats)

    def take(self, arguments: Mapping[str, Any], given: Collection[str]) -> CallArguments:
        """Adds all arguments of a call: those given, and defaults, whose floats are constants."""
        for name, value in arguments.items():
            is_constant = name not in given and isinstance(value, float)
            try:
                hash(value)
            except TypeError:
                if not is_tensor(value) and not isinstance(value, (tuple, list)):
                    raise ArgumentError(f"kernel: the argument {name} is a {type(value).__name__}; it takes tensors, numbers, and other values that can be "
                                        "the key of a dictionary") from None
            self.values[name] = self._constant(value) if is_constant else self._one(name, value)
        return self

    def _one(self, name: str, value: Any) -> Any:
        if is_tensor(value):
            argument = Argument(len(self.tensors), dtypes.as_dtype(value.dtype), tuple(int(s) for s in value.shape), name)
            self.tensors.append(value)
            self.names.append(name)
            self.sizes.append(argument.nbytes)
            self.key.append((argument.dtype.code, argument.shape))
            return argument
        if isinstance(value, (tuple, list)):
            self.key.append((type(value), len(value)))
            return type(value)([self._one(f"{name}[{i}]", v) for i, v in enumerate(value)])
        plain = value.item() if isinstance(value, np.generic) else value
        if type(plain) is float:
            self.key.append(float)
            return self.floats.take(plain)
        return self._constant(plain)

    def _constant(self, constant: Any) -> Any:
        self.key.append((type(constant), constant.hex() if isinstance(constant, float) else constant))  # -0.0 equals 0.0, and is another number
        return constant
