"""Margin losses between the scores of classes, and distances between all rows."""

from __future__ import annotations

from collections.abc import Callable

from ..core import Tensor, arange, int64, zeros
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.create import triu_indices
from ..ops.scatter import gather, scatter_add
from .margin_losses import check_reduction, pairwise_distance, reduce_loss


def _check_rows(op: str, input: Tensor) -> None:
    if input.ndim > 2 or (input.numel() == 0 and input.ndim and input.shape[-1] == 0):
        raise ShapeError(
            f"{op}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the other classes of max(0, margin - input[target] + input[other]) ** p."""
    if p not in (1, 2):
        raise ArgumentError(f"multi_margin_loss: only p == 1 and p == 2 supported, got {p}")
    _check_rows("multi_margin_loss", input)
    check_reduction(reduction, "multi_margin_loss")
    C = input.shape[-1] if input.ndim else 1
    rows, labels = input.reshape(-1, C), target.reshape(-1)
    if target.ndim > 1 or labels.shape[0] != rows.shape[0]:
        raise ShapeError(
            f"multi_margin_loss: inconsistent target size, expected {rows.shape[0]} but got "
            f"{list(target.shape)}"
        )
    if weight is not None and weight.shape != (C,):
        raise ArgumentError(
            f"multi_margin_loss: weight must be one-dimensional, one for each of {C} classes, but got {list(weight.shape)}"
        )
    index = labels.to(int64).unsqueeze(1)
    excess = (margin - gather(rows, 1, index) + rows).clamp(min=0)
    excess = excess if p == 1 else excess * excess
    if weight is not None:
        excess = excess * weight[index]
    others = arange(C, device=rows.device) != index  # (N, C)
    loss = (excess * others.to(rows.dtype)).sum(1) / C
    return reduce_loss(loss if input.ndim == 2 else loss.squeeze(0), reduction, "multi_margin_loss")


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Sum of max(0, 1 - input[label] + input[other]) / C over a row's labels (up to the first -1) and the others."""
    check_reduction(reduction, "multilabel_margin_loss")
    _check_rows("multilabel_margin_loss", input)
    if target.shape != input.shape:
        raise ShapeError(
            f"multilabel_margin_loss: inconsistent target size: {list(target.shape)} for input of size: "
            f"{list(input.shape)}"
        )
    if target.dtype is not int64:
        raise DTypeError(f"multilabel_margin_loss: target must be int64, got {target.dtype}; cast it")
    if not input.ndim:
        return multilabel_margin_loss(input.reshape(1), target.reshape(1), reduction=reduction)
    given = (target < 0).to(int64).cumsum(-1) == 0
    index = target * given.to(int64)
    counts = scatter_add(zeros(index.shape, dtype=int64, device=index.device), -1, index, given.to(int64))
    excess = (1 - gather(input, -1, index).unsqueeze(-1) + input.unsqueeze(-2)).clamp(min=0)  # (N, label, C)
    pairs = given.unsqueeze(-1) & (counts == 0).unsqueeze(-2)
    loss = (excess * pairs.to(input.dtype)).sum((-1, -2)) / input.shape[-1]
    return reduce_loss(loss, reduction, "multilabel_margin_loss")


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """triplet_margin_loss with any function of two tensors as the distance (pairwise_distance by default)."""
    if margin <= 0:
        raise ValueError(f"triplet_margin_with_distance_loss: margin must be greater than 0, got {margin}")
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduce_loss((near - far + margin).clamp(min=0), reduction, "triplet_margin_with_distance_loss")


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances between all pairs of rows (i, j), i < j, of a matrix."""
    if input.ndim != 2:
        raise ShapeError(f"pdist: only supports 2D tensors, got: {input.ndim}D")
    if p < 0:
        raise ArgumentError(f"pdist: only supports non-negative p values: got {p}")
    first, second = triu_indices(input.shape[0], input.shape[0], 1, device=input.device)
    return (input[first] - input[second]).norm(p, -1)
