"""Losses of predictions and targets, and the similarities they are made of."""

from __future__ import annotations

from ascendlite.core import FLOATONLY, Tensor, deliver, function, pointwise
from ascendlite.errors import ArgumentError
from ascendlite.ops.activation import sigmoid
from ascendlite.ops.compare import refuse_integers, where
from ascendlite.ops.cross_entropy import MEAN, NONE, cross_entropy, nll_loss, reduction_code
from ascendlite.ops.pointwise import log, sign
from ascendlite.ops.turning import broadcast_tensors
from ascendlite.ops.vector_norm import vector_norm

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_similarity",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "normalize",
    "smooth_l1_loss",
]

# ---- records ----


def _huber_slope(x, t, delta):
    d = x - t
    return where(d.abs() > delta, sign(d) * delta, d)  # NaN where d is


def _smooth_slope(x, t, beta):
    d = x - t
    return where(d.abs() >= beta, sign(d), d / beta)


_squared_error = pointwise(
    "squared_error",
    FLOATONLY,
    vjp=(lambda g, _y, x, t: g * (x - t) * 2, lambda g, _y, x, t: g * (t - x) * 2),
    public=False,
)
_bce = pointwise(
    "binary_cross_entropy",
    FLOATONLY,
    vjp=(
        lambda g, _y, x, t: g * (x - t) / ((1 - x) * x).clamp(min=1e-12),
        lambda g, _y, x, t: g * (log(1 - x) - log(x)),
    ),
    public=False,
)
_bce_logits = pointwise(
    "binary_cross_entropy_logits",
    FLOATONLY,
    vjp=(lambda g, _y, x, t: g * (sigmoid(x) - t), lambda g, _y, x, _t: -g * x),
    public=False,
)
_smooth_l1 = pointwise(
    "smooth_l1",
    FLOATONLY,
    vjp=(
        lambda g, _y, x, t, beta: g * _smooth_slope(x, t, beta),
        lambda g, _y, x, t, beta: -g * _smooth_slope(x, t, beta),
        None,
    ),
    public=False,
)
_huber = pointwise(
    "huber",
    FLOATONLY,
    vjp=(
        lambda g, _y, x, t, delta: g * _huber_slope(x, t, delta),
        lambda g, _y, x, t, delta: -g * _huber_slope(x, t, delta),
        None,
    ),
    public=False,
)


# ---- reductions ----


def _reduced(loss: Tensor, code: int) -> Tensor:
    if code == NONE:
        return loss
    return loss.mean() if code == MEAN else loss.sum()


def _weighted(loss: Tensor, weight: Tensor | None, code: int) -> Tensor:
    """The reduction of weighted errors; the mean divides by the weights' sum."""
    if weight is None:
        return _reduced(loss, code)
    loss = loss * weight
    return loss.sum() / weight.expand(loss.shape).sum() if code == MEAN else _reduced(loss, code)


# ---- regression ----


@function(toplevel=False)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(x - t)^2, reduced."""
    code = reduction_code("mse_loss", reduction, size_average, reduce)
    return _weighted(_squared_error(input, target), weight, code)


@function(toplevel=False)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|x - t|, reduced."""
    return _weighted(
        (input - target).abs(), weight, reduction_code("l1_loss", reduction, size_average, reduce)
    )


@function(toplevel=False)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) where d = |x - t| < beta, d - beta / 2 elsewhere, reduced."""
    code = reduction_code("smooth_l1_loss", reduction, size_average, reduce)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: does not support negative values for beta, got {beta}")
    return _reduced(_smooth_l1(input, target, float(beta)) if beta else (input - target).abs(), code)


@function(toplevel=False)
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d^2 / 2 where d = |x - t| <= delta, delta (d - delta / 2) elsewhere, reduced."""
    if delta <= 0:
        raise ArgumentError(f"huber_loss: does not support non-positive values for delta, got {delta}")
    return _weighted(_huber(input, target, float(delta)), weight, reduction_code("huber_loss", reduction))


# ---- probabilities ----


def _require_same_shape(op: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ArgumentError(
            f"{op}: Target size ({tuple(target.shape)}) must be the same as input size ({tuple(input.shape)})"
        )


@function(toplevel=False)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log(x) + (1 - t) log(1 - x)) of probabilities x, reduced; logarithms are held at -100."""
    code = reduction_code("binary_cross_entropy", reduction, size_average, reduce)
    _require_same_shape("binary_cross_entropy", input, target)
    if str(input.device) != "meta" and not bool(((input >= 0) & (input <= 1)).all()):
        raise ArgumentError(
            f"binary_cross_entropy: all elements of input should be between 0 and 1, but they range from "
            f"{float(input.min())} to {float(input.max())}; use binary_cross_entropy_with_logits for logits"
        )
    loss = _bce(input, target)
    return _reduced(loss if weight is None else loss * weight, code)


@function(toplevel=False)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of sigmoid(x), without overflow; `pos_weight` multiplies the positive part."""
    code = reduction_code("binary_cross_entropy_with_logits", reduction, size_average, reduce)
    _require_same_shape("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        loss = _bce_logits(input, target)
    else:  # (1 - t) x + (1 + (p - 1) t) softplus(-x), and softplus(-x) is the loss for t = 1
        loss = (1 - target) * input + (1 + (pos_weight - 1) * target) * _bce_logits(input, 1.0)
    return _reduced(loss if weight is None else loss * weight, code)


@function(toplevel=False)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (log(t) - x) of log-probabilities x, reduced; "batchmean" divides the sum by the first dim."""
    refuse_integers("kl_div", input)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = target * log(where(target == 0, 1.0, target)) - target * input
    if reduction == "batchmean" and size_average is None and reduce is None:
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    return _reduced(loss, reduction_code("kl_div", reduction, size_average, reduce))


# ---- directions ----


@function()
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along a dim; norms are at least eps."""
    x1, x2 = broadcast_tensors(x1, x2)
    unit1 = x1 / vector_norm(x1, 2, dim, True).clamp(min=eps)
    unit2 = x2 / vector_norm(x2, 2, dim, True).clamp(min=eps)
    return (unit1 * unit2).sum(dim)


@function(toplevel=False)
def normalize(
    input: Tensor,
    p: float = 2.0,
    dim: int | tuple[int, ...] = 1,
    eps: float = 1e-12,
    out: Tensor | None = None,
) -> Tensor:
    """x divided by its norm of order p along a dim; norms are at least eps."""
    return deliver(input / vector_norm(input, p, dim, True).clamp(min=eps), out)
