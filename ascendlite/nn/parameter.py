"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

from typing import cast

from ..core import Tensor, empty, make_subclass


class Parameter(Tensor):
    """A tensor that a Module counts among its parameters; it shares the memory of `data`.

    >>> weight = al.nn.Parameter(al.ones(2, 3))
    >>> weight.requires_grad, weight.is_leaf
    (True, True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        return cast(Parameter, make_subclass(cls, empty(0) if data is None else data.detach(), requires_grad))

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Nothing is left to do after __new__; Tensor's own would read the arguments as values."""

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that a Module keeps beside its parameters; in the state dict if `persistent`."""

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        buffer = cast(Buffer, make_subclass(cls, empty(0) if data is None else data.detach(), False))
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        """Nothing is left to do after __new__; Tensor's own would read the arguments as values."""
