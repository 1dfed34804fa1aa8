"""Moving a tree of modules to a device or dtype. Parameters keep their identity: their data is exchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import Device, DType, Tensor, no_grad

if TYPE_CHECKING:
    from .module import Module

Convert = Callable[[Tensor], Tensor]


def parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Device | str | None, DType | None]:
    """Device and dtype out of the arguments of Module.to: (device, dtype), (dtype), (tensor), or by name."""
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    like = kwargs.pop("tensor", None)
    kwargs.pop("non_blocking", None)
    if kwargs:
        raise TypeError(
            f"to: unknown argument {sorted(kwargs)[0]!r}; it takes device, dtype, tensor and non_blocking"
        )
    if len(args) > 1 and args[1] is not None and isinstance(args[1], bool) and not isinstance(args[0], DType | Tensor):
        raise TypeError(f"to: {args[1]!r} is no dtype; pass (device, dtype, non_blocking), (dtype, non_blocking) or (tensor, non_blocking)")
    for value in (*args, like):
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, DType):
            dtype = value
        elif isinstance(value, (str, Device)):
            device = value
        elif value is not None and not isinstance(value, bool):
            raise TypeError(f"to: {value!r} is no device, dtype or tensor; pass one of these")
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(
            f"to: modules take floating point dtypes only, got {dtype}; cast single tensors with Tensor.to"
        )
    return device, dtype


def mover(device: Device | str | None, dtype: DType | None) -> Convert:
    def move(tensor: Tensor) -> Tensor:
        wanted = dtype if dtype is not None and tensor.dtype.is_floating_point else tensor.dtype
        return tensor.to(tensor.device if device is None else device, wanted)

    return move


def apply_to_tensors(module: Module, fn: Convert, recurse: bool = True) -> None:
    """Exchange the data of every parameter, its gradient, and every buffer of the tree by fn of it."""
    done: set[int] = set()
    with no_grad():
        for part in module.modules() if recurse else (module,):
            for param in part._parameters.values():
                if param is None or id(param) in done:
                    continue
                done.add(id(param))
                grad = param.grad
                if grad is not None:
                    param.grad = None
                param.data = fn(param.detach())
                if grad is not None:
                    param.grad = fn(grad.detach()).requires_grad_(grad.requires_grad)
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = fn(buffer)
