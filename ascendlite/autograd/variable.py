"""`Variable` of older programs: a tensor."""

from __future__ import annotations

from typing import Any

from ascendlite.core import Tensor


class _AsTensor(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_AsTensor):
    """`Variable(data)` is a tensor on the memory of `data`; every tensor is an instance of it.

    >>> x = al.autograd.Variable(al.ones(2), requires_grad=True)
    >>> isinstance(x, al.Tensor), isinstance(x, al.autograd.Variable)
    (True, True)
    """

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Tensor:  # type: ignore[misc]
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable(): argument 'data' (position 1) must be Tensor, not {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)
