"""Parameter and Buffer: tensors that a Module registers when they are assigned to it; and both without a shape yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ..core import Device, DType, Tensor, empty, make_subclass


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


class _Uninitialized(Tensor):
    """A parameter or buffer whose shape the first input decides."""

    cls_to_become: type

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer; call forward with a batch of data first, "
            "or load into a module that is not initialized either"
        )

    def materialize(self, shape: Sequence[int], device: str | Device | None = None, dtype: DType | None = None) -> None:
        """Become a parameter (or tensor) of that shape, with values yet to be set."""
        self.data = empty(tuple(shape), device=self.device if device is None else device, dtype=self.dtype if dtype is None else dtype)
        self.__class__ = self.cls_to_become

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, str(self.device), self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return memo.setdefault(id(self), type(self)(self.requires_grad, self.device, self.dtype))  # type: ignore[no-any-return]


class UninitializedParameter(_Uninitialized, Parameter):
    """A Parameter without a shape: `materialize` gives it one."""

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: str | Device | None = None, dtype: DType | None = None
    ) -> UninitializedParameter:
        return cast(UninitializedParameter, make_subclass(cls, empty(0, device=device, dtype=dtype), requires_grad))

    def __init__(self, requires_grad: bool = True, device: str | Device | None = None, dtype: DType | None = None) -> None:
        """Nothing is left to do after __new__."""


class UninitializedBuffer(_Uninitialized, Buffer):
    """A Buffer without a shape: `materialize` gives it one."""

    cls_to_become = Buffer

    def __new__(
        cls, requires_grad: bool = False, device: str | Device | None = None, dtype: DType | None = None
    ) -> UninitializedBuffer:
        buffer = cast(UninitializedBuffer, make_subclass(cls, empty(0, device=device, dtype=dtype), requires_grad))
        buffer.persistent = True
        return buffer

    def __init__(self, requires_grad: bool = False, device: str | Device | None = None, dtype: DType | None = None) -> None:
        """Nothing is left to do after __new__."""


def is_lazy(param: object) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(param, _Uninitialized)
