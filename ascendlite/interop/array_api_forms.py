"""Functions of the array API standard with the standard's arguments, made of ops."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ascendlite.core import Tensor, full, int64, zeros_like

from .array_api_info import result_type

Number = bool | int | float


def of_numbers(name: str, fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`fn`, with a Python number as a tensor of the other operand's dtype."""

    def binary(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
        if isinstance(x1, Tensor) and isinstance(x2, Tensor):
            return fn(x1, x2)
        if isinstance(x2, Tensor):
            return fn(full((), x1, dtype=result_type(x2, x1), device=x2.device), x2)
        if not isinstance(x1, Tensor):
            raise TypeError(f"{name}: at least one of x1 and x2 must be a tensor: got {type(x1).__name__} and {type(x2).__name__}")
        return fn(x1, full((), x2, dtype=result_type(x1, x2), device=x1.device))

    binary.__name__ = binary.__qualname__ = name
    binary.__doc__ = f"{name} of two tensors, or of one and a Python number."
    return binary


def of_one(name: str, fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`fn` with a signature that Python's `inspect` reads."""

    def unary(x: Tensor, /) -> Tensor:
        return fn(x)

    unary.__name__ = unary.__qualname__ = name
    unary.__doc__ = f"{name} of each element."
    return unary


def over_axes(name: str, fn: Callable[..., Tensor], nothing: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A reduction that leaves a tensor as it is (`nothing`) where the tuple of axes is empty."""

    @functools.wraps(fn)
    def reduction(x: Tensor, /, *, axis: int | Sequence[int] | None = None, **options: Any) -> Tensor:
        if axis is None or isinstance(axis, int) or len(axis):
            return fn(x, axis=axis, **options)
        dtype = options.get("dtype")
        return nothing(x if dtype is None else x.to(dtype))

    reduction.__name__ = reduction.__qualname__ = name
    return reduction


def _widened(x: Tensor) -> Tensor:
    return x.clone() if x.dtype.is_floating_point else x.to(int64)


# What a reduction over no axes is.
OVER_NOTHING: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": _widened, "prod": _widened, "mean": Tensor.clone, "max": Tensor.clone, "min": Tensor.clone, "var": zeros_like, "std": zeros_like,
    "all": lambda x: x != 0, "any": lambda x: x != 0, "count_nonzero": lambda x: (x != 0).to(int64),
}  # fmt: skip
