"""Coordinates of elements that are not zero."""

from __future__ import annotations

from typing import Literal, overload

from ascendlite.core import Op, Tensor, deliver, full, function, int64
from ascendlite.errors import ArgumentError, DeviceError

_nonzero_count = Op("nonzero_count", inputs=1, infer=lambda x: ((), int64))
_nonzero = Op("nonzero", inputs=1, infer=lambda x, count: ((x.ndim, count), int64))


def sized_by_values(input: Tensor, op: str, instead: str) -> None:
    """Raises DeviceError for a tensor of meta, where the result's size depends on values."""
    if input.is_meta:
        raise DeviceError(f"{op}: the size of the result depends on values, and a tensor on 'meta' of shape {tuple(input.shape)} has none; {instead}")


@overload
def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: Literal[False] = False) -> Tensor: ...
@overload
def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
@overload
def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool) -> Tensor | tuple[Tensor, ...]: ...
@function(methods=("nonzero",), apart=True)
def nonzero(
    input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False
) -> Tensor | tuple[Tensor, ...]:
    """Coordinates of the elements that are not zero, one a row; as a tuple: one 1-d tensor a dim."""
    sized_by_values(input, "nonzero", "use a mask with where, or masked_fill, whose results have a shape that is known")
    if as_tuple and input.ndim == 0:
        input = input.reshape(1)
    found = _nonzero(input, _nonzero_count(input).item())
    return found.unbind(0) if as_tuple else deliver(found.T, out)


@function(methods=("argwhere",))
def argwhere(input: Tensor) -> Tensor:
    """Coordinates of the elements that are not zero, one a row."""
    return nonzero(input)


@function(methods=("nonzero_static",))
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None) -> Tensor:
    """`nonzero` cut or filled up to `size` rows."""
    if size < 0:
        raise ArgumentError(f"nonzero_static: 'size' must be a non-negative integer: got {size}")
    found = _nonzero(input, min(size, input.numel())).T if input.is_meta else nonzero(input)[:size]
    rows = full((size, input.ndim), fill_value, dtype=int64, device=input.device)
    rows[: found.shape[0]] = found
    return deliver(rows, out)
