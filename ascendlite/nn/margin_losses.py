"""Losses made of other ops: margins, embeddings, counts. The common ones are ops of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core import Tensor, tensor
from ..errors import ShapeError
from ..ops.activation import logsigmoid, softplus
from ..ops.compare import where as where_
from ..ops.loss import cosine_similarity

_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda loss: loss,
    "mean": lambda loss: loss.mean(),
    "sum": lambda loss: loss.sum(),
}


def where(condition: Tensor, input: Tensor | float, other: Tensor | float) -> Tensor:
    """The three-argument form, which never gives indices."""
    chosen: Any = where_(condition, input, other)
    return chosen  # type: ignore[no-any-return]


def check_reduction(reduction: str, name: str) -> None:
    """Refuse an unknown reduction."""
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"{name}: {reduction!r} is not a valid value for reduction; use one of {list(_REDUCTIONS)}"
        )


def reduce_loss(loss: Tensor, reduction: str, name: str) -> Tensor:
    """The loss of elements by its reduction."""
    check_reduction(reduction, name)
    return _REDUCTIONS[reduction](loss)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """p-norm of x1 - x2 + eps over the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts; `full` adds Stirling's term."""
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        above = where(target > 1, target, 2.0)
        stirling = above * above.log() - above + 0.5 * (2 * math.pi * above).log()
        loss = loss + where(target > 1, stirling, 0.0)
    return reduce_loss(loss, reduction, "poisson_nll_loss")


def _spreads_over(var: tuple[int, ...], input: tuple[int, ...]) -> bool:
    """Whether variances of one shape can be expanded to an input's."""
    return len(var) <= len(input) and all(v in (1, n) for v, n in zip(reversed(var), reversed(input), strict=False))


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """0.5 * (log(var) + (input - target)^2 / var), var at least eps (its gradient ignores the floor)."""
    spread = var if isinstance(var, Tensor) else tensor(float(var), dtype=input.dtype, device=input.device)
    if bool((spread < 0).any()):
        raise ValueError("gaussian_nll_loss: var has negative entries; pass variances >= 0")
    if spread.shape != input.shape and spread.ndim and tuple(spread.shape) == tuple(input.shape[:-1]):
        spread = spread.unsqueeze(-1)
    if not _spreads_over(tuple(spread.shape), tuple(input.shape)):
        raise ValueError(
            f"gaussian_nll_loss: var is of incorrect size: {tuple(spread.shape)} for an input of {tuple(input.shape)}; "
            "give one variance an element, or one a row"
        )
    floored = spread + (spread.clamp(min=eps) - spread).detach()
    loss = 0.5 * (floored.log() + (input - target).square() / floored)
    return reduce_loss(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction, "gaussian_nll_loss")


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target * input))."""
    return reduce_loss(softplus(-(target * input)), reduction, "soft_margin_loss")


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the last dimension of binary cross-entropies of logits."""
    if input.ndim == 0:
        raise ShapeError("multilabel_soft_margin_loss: input needs a last dimension of classes, but it has shape ()")
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduce_loss(loss.sum(-1) / input.shape[-1], reduction, "multilabel_soft_margin_loss")


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1."""
    hinge = (margin - input).clamp(min=0)
    loss = where(target != 1, hinge, 0.0) + where(target != -1, input, 0.0)
    return reduce_loss(loss, reduction, "hinge_embedding_loss")


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cosine where target is 1, max(0, cosine - margin) where it is -1."""
    if input1.shape != input2.shape or target.ndim != input1.ndim - 1:
        raise ShapeError(
            f"cosine_embedding_loss: inputs of shapes {tuple(input1.shape)} and {tuple(input2.shape)} with a "
            f"target of shape {tuple(target.shape)}; inputs must agree, with one dimension more than target"
        )
    if not input1.dtype.is_floating_point:
        input1, input2 = input1.float(), input2.float()
    cosine = cosine_similarity(input1, input2, -1)
    loss = where(target == 1, 1 - cosine, 0.0) + where(target == -1, (cosine - margin).clamp(min=0), 0.0)
    return reduce_loss(loss, reduction, "cosine_embedding_loss")


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target * (input1 - input2) + margin)."""
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            f"margin_ranking_loss: shapes {tuple(input1.shape)}, {tuple(input2.shape)} and target "
            f"{tuple(target.shape)} must have as many dimensions; unsqueeze the shorter"
        )
    return reduce_loss((-target * (input1 - input2) + margin).clamp(min=0), reduction, "margin_ranking_loss")


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, distance(anchor, positive) - distance(anchor, negative) + margin)."""
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            "triplet_margin_loss: the anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got {anchor.ndim}D, {positive.ndim}D and {negative.ndim}D"
        )
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))
    return reduce_loss((near - far + margin).clamp(min=0), reduction, "triplet_margin_loss")
