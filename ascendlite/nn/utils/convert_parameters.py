"""Parameters as one flat vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...core import Tensor
from ...errors import ShapeError
from ...ops.movement import cat


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters one after another, flattened."""
    return cat([param.reshape(-1) for param in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give every parameter its piece of `vec` (as a view of it)."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, but got {type(vec).__name__}")
    params = list(parameters)
    count = sum(param.numel() for param in params)
    if vec.numel() < count:
        raise ShapeError(f"vector_to_parameters: vec has {vec.numel()} elements, the parameters {count}")
    start = 0
    for param in params:
        param.data = vec[start : start + param.numel()].view_as(param).data
        start += param.numel()
