"""Autocast for functions with a gradient of their own: decorators of `forward` and `backward`, as torch's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ascendlite.core import DType, Tensor, float64, get_autocast

Method = Callable[..., Any]


def _check(op: str, device_type: str) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"{op}: Expected `device_type` of type `str`, got: `{type(device_type)}`; pass 'cpu' or 'npu'")


def _cast(value: Any, device_type: str, dtype: DType) -> Any:
    """The float tensors of a device in `value` (nested lists, tuples and dicts) in another dtype; float64 stays."""
    if isinstance(value, Tensor):
        eligible = value.is_floating_point() and value.device.type == device_type and value.dtype is not float64
        return value.to(dtype) if eligible else value
    if isinstance(value, dict):
        return {k: _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_cast(v, device_type, dtype) for v in value)
    return value


def custom_fwd(fwd: Method | None = None, *, device_type: str, cast_inputs: DType | None = None) -> Any:
    """Decorate `forward` of an `autograd.Function` that is used under autocast.

    With `cast_inputs`, an autocast region casts the float inputs to that dtype and runs `forward` with autocast off;
    without, `forward` runs as it stands. Outside such a region nothing changes.

    >>> class Product(al.autograd.Function):
    ...     @staticmethod
    ...     @al.amp.custom_fwd(device_type="cpu", cast_inputs=al.float32)
    ...     def forward(ctx, a, b):
    ...         ctx.save_for_backward(a, b)
    ...         return a @ b
    ...     @staticmethod
    ...     @al.amp.custom_bwd(device_type="cpu")
    ...     def backward(ctx, g):
    ...         a, b = ctx.saved_tensors
    ...         return g @ b.mT, a.mT @ g
    >>> with al.autocast("cpu"):
    ...     Product.apply(al.ones(2, 2), al.ones(2, 2)).dtype
    ascendlite.float32
    """
    from ascendlite.amp import autocast

    _check("custom_fwd", device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def run(*args: Any, **kwargs: Any) -> Any:
        on, dtype = get_autocast()
        args[0]._fwd_used_autocast = on and cast_inputs is None
        args[0]._dtype = dtype if on else autocast(device_type).fast_dtype
        if not on or cast_inputs is None:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return run


def custom_bwd(bwd: Method | None = None, *, device_type: str) -> Any:
    """Decorate `backward` of an `autograd.Function`: it runs with autocast as it was in `forward` (see `custom_fwd`)."""
    from ascendlite.amp import autocast

    _check("custom_bwd", device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def run(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return run
