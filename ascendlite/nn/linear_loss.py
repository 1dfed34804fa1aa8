"""The cross entropy of a linear layer's outputs, as one function."""

from __future__ import annotations

import math

from ..core import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.cross_entropy import cross_entropy
from ..ops.matmul import linear


def linear_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None, weight: Tensor | None = None,
    reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0, options: None = None,
) -> Tensor:  # fmt: skip
    """cross_entropy(linear(input, linear_weight, linear_bias), target): input (N, in) or (in), linear_weight (C, d1, ..., in).

    >>> F = al.nn.functional
    >>> round(F.linear_cross_entropy(al.ones(2, 3), al.zeros(4, 3), al.tensor([0, 1])).item(), 4)
    1.3863
    """
    if options is not None:
        raise ArgumentError("linear_cross_entropy: options must be None: the logits are made whole here; split the rows for less memory")
    if input.ndim not in (1, 2):
        raise ShapeError(f"linear_cross_entropy: expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2 or linear_weight.shape[-1] != input.shape[-1]:
        raise ShapeError(f"linear_cross_entropy: expected linear_weight (C, ..., {input.shape[-1]}) for input {list(input.shape)}, got {list(linear_weight.shape)}")
    shape, places = linear_weight.shape[:-1], linear_weight.shape[1:-1]
    if linear_bias is not None and linear_bias.shape != shape:
        raise ShapeError(f"linear_cross_entropy: expected linear_bias shape {tuple(shape)}, got {tuple(linear_bias.shape)}")
    if places and input.ndim == 1:
        raise ShapeError(f"linear_cross_entropy: linear_weight {list(linear_weight.shape)} requires batched input (N, {input.shape[-1]}), got {list(input.shape)}")
    logits_shape = (*input.shape[:-1], *shape)
    if ignore_index is not None and target.shape == logits_shape:
        raise ArgumentError("linear_cross_entropy: ignore_index cannot be specified when target contains probabilities; leave it out")
    rows = math.prod(shape)
    logits = linear(input, linear_weight.reshape(rows, input.shape[-1]), None if linear_bias is None else linear_bias.reshape(rows))
    return cross_entropy(logits.reshape(logits_shape), target, weight, reduction=reduction, ignore_index=-100 if ignore_index is None else ignore_index,
                         label_smoothing=label_smoothing)  # fmt: skip
