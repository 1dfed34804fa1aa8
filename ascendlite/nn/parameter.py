"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

from typing import cast

from ..core import Tensor, empty


def _rebuild_parameter(kind: type[Parameter], data: Tensor, requires_grad: bool) -> Parameter:
    return kind(data, requires_grad)


def _rebuild_buffer(kind: type[Buffer], data: Tensor, persistent: bool) -> Buffer:
    return kind(data, persistent=persistent)


class Parameter(Tensor):
    """A tensor that a Module counts among its parameters; it shares the memory of `data`.

    >>> weight = al.nn.Parameter(al.ones(2, 3))
    >>> weight.requires_grad, weight.is_leaf
    (True, True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        return cast(Parameter, Tensor._make_subclass(cls, data.detach(), requires_grad))

    def __deepcopy__(self, memo: dict[int, object]) -> Parameter:
        if id(self) not in memo:
            copied = type(self)(self.detach().clone(), self.requires_grad)
            memo[id(self)] = copied
        return cast(Parameter, memo[id(self)])

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return _rebuild_parameter, (type(self), self.detach(), self.requires_grad)


class Buffer(Tensor):
    """A tensor that a Module keeps beside its parameters; in the state dict if `persistent`."""

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        if data is None:
            data = empty(0)
        buffer = cast(Buffer, Tensor._make_subclass(cls, data.detach(), data.requires_grad))
        buffer.persistent = persistent
        return buffer

    def __deepcopy__(self, memo: dict[int, object]) -> Buffer:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), persistent=self.persistent)
        return cast(Buffer, memo[id(self)])

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return _rebuild_buffer, (type(self), self.detach(), self.persistent)
