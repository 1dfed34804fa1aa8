"""cross_entropy and nll_loss. For class indices the loss is one kernel that keeps only each row's logsumexp:
logits are never copied; the gradient is another. When the backward pass is recorded, its rule is plain ops.
"""

from __future__ import annotations

from typing import Any

from ascendlite.core import Op, Tensor, float32, float64, function, int64, is_grad_enabled
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.compare import where
from ascendlite.ops.embedding import one_hot
from ascendlite.ops.softmax import log_softmax, softmax

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}
NONE, MEAN, SUM = 0, 1, 2


def reduction_code(
    op: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None
) -> int:
    """The code of a reduction; `size_average` and `reduce` are its old spelling."""
    if size_average is not None or reduce is not None:
        if reduce is False:
            return NONE
        return SUM if size_average is False else MEAN
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            f"{op}: {reduction!r} is not a valid value for reduction; use one of {', '.join(REDUCTIONS)}"
        )
    return REDUCTIONS[reduction]


# ---- records ----


def _accumulator(x: Any) -> Any:
    return float64 if x.dtype == float64 else float32


def _loss_shape(x: Any, reduction: int) -> tuple[int, ...]:
    return (x.shape[0],) if reduction == NONE else ()


def _same_dtype(op: str, x: Any, weight: Any) -> None:
    """Refuses weights of another dtype than the scores: asked when autocast has cast both."""
    if weight is not None and weight.dtype is not x.dtype:
        raise DTypeError(f"{op}: expected weight of dtype {x.dtype.name}, as the input, but found {weight.dtype.name}; cast one with .to()")


def _cross_entropy_specs(x, target, weight, reduction, ignore_index, smoothing):
    _same_dtype("cross_entropy", x, weight)
    kind = _accumulator(x)
    return [(_loss_shape(x, reduction), x.dtype), ((), kind), ((x.shape[0],), kind)]


def _nll_specs(x, target, weight, reduction, ignore_index):
    _same_dtype("nll_loss", x, weight)
    return [(_loss_shape(x, reduction), x.dtype), ((), _accumulator(x))]


def _row_factors(g, target, weight, reduction, ignore_index):
    """What each row's loss counts for, (N, 1), and which rows count."""
    used = (target != ignore_index).reshape(-1, 1)
    each = used.to(g.dtype)
    if reduction == MEAN:
        count = each if weight is None else each * weight[where(used.reshape(-1), target, 0)].reshape(-1, 1)
        return each * (g / count.sum()), used
    return each * (g.reshape(-1, 1) if reduction == NONE else g), used


def _plain_gradient(g, x, target, weight, reduction, ignore_index, smoothing):
    """The gradient of the logits in ops that can be differentiated."""
    factor, used = _row_factors(g, target, weight, reduction, ignore_index)
    hits = one_hot(where(used.reshape(-1), target, 0), x.shape[1]).to(x.dtype) * (1 - smoothing)
    wanted = hits + smoothing / x.shape[1]
    if weight is not None:
        wanted = wanted * weight.to(x.dtype)
    return (softmax(x, 1) * wanted.sum(1, True) - wanted) * factor


def _cross_entropy_grad(g, y, x, target, weight, reduction, ignore_index, smoothing):
    if is_grad_enabled():
        return _plain_gradient(g[0], x, target, weight, reduction, ignore_index, smoothing)
    return _cross_entropy_backward(g[0], x, target, weight, y[1], y[2], reduction, ignore_index, smoothing)


def _nll_grad(g, y, _x, target, weight, reduction, ignore_index):
    if is_grad_enabled():
        factor, used = _row_factors(g[0], target, weight, reduction, ignore_index)
        hits = one_hot(where(used.reshape(-1), target, 0), _x.shape[1]).to(_x.dtype)
        return -(hits if weight is None else hits * weight) * factor
    return _nll_loss_backward(g[0], target, weight, y[1], reduction, ignore_index, _x.shape[1])


_cross_entropy = Op(
    "cross_entropy",
    inputs=3,
    infer=_cross_entropy_specs,
    cast="float32",
    vjp=(_cross_entropy_grad, None, None),
)
_cross_entropy_backward = Op(
    "cross_entropy_backward",
    inputs=6,
    infer=lambda g, x, target, weight, total, lse, reduction, ignore_index, smoothing: x,
)
_nll_loss = Op(
    "nll_loss",
    inputs=3,
    holds=True,
    infer=_nll_specs,
    cast="float32",
    vjp=(_nll_grad, None, None),
)
_nll_loss_backward = Op(
    "nll_loss_backward",
    inputs=4,
    infer=lambda g, target, weight, total, reduction, ignore_index, classes: (
        target.shape + (classes,),
        g.dtype,
    ),
)


# ---- functions ----


def _class_rows(op: str, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Input (C) or (N, C, d1, ...) and target () or (N, d1, ...) as rows (M, C) and (M)."""
    if target.dtype.is_floating_point or target.ndim != max(x.ndim - 1, 0):
        raise ShapeError(
            f"{op}: expected class indices (N, d1, ...) for an input of shape (N, C, d1, ...), got target of "
            f"shape {tuple(target.shape)} and dtype {target.dtype} for input of shape {tuple(x.shape)}"
        )
    if x.ndim == 0:
        raise ShapeError(f"{op}: expected an input of shape (C) or (N, C, ...), got a 0-d tensor")
    if x.ndim > 1 and x.shape[0] != target.shape[0]:
        raise ArgumentError(
            f"{op}: Expected input batch_size ({x.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    if x.shape[2:] != target.shape[1:]:
        raise ShapeError(
            f"{op}: size mismatch: input is {tuple(x.shape)}, target is {tuple(target.shape)}; d1, ... must be equal"
        )
    classes = x.shape[1] if x.ndim > 1 else x.shape[0]
    rows = x.movedim(1, -1) if x.ndim > 2 else x
    flat = target if target.ndim == 1 else target.reshape(-1)
    return rows if rows.ndim == 2 else rows.reshape(-1, classes), flat if flat.dtype == int64 else flat.to(
        int64
    )


def _check_weight(op: str, x: Tensor, weight: Tensor | None) -> None:
    if x.ndim == 0:
        raise ShapeError(f"{op}: expected an input of shape (C) or (N, C, ...), got a 0-d tensor")
    classes = x.shape[1] if x.ndim > 1 else x.shape[0]
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(
            f"{op}: weight tensor should be defined either for all {classes} classes or no classes, "
            f"but got weight of shape {tuple(weight.shape)}"
        )


def _shaped(loss: Tensor, target: Tensor, reduction: int) -> Tensor:
    return loss.reshape(target.shape) if reduction == NONE and target.ndim != 1 else loss


def _of_probabilities(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: int, label_smoothing: float
) -> Tensor:
    dim = 1 if x.ndim > 1 else 0
    classes = x.shape[dim]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        target = target * weight.reshape([classes if d == dim else 1 for d in range(x.ndim)])
    loss = -(log_softmax(x, dim) * target).sum(dim)
    if reduction == NONE:
        return loss
    total = loss.sum()
    return total / (x.numel() / classes if classes else 0.0) if reduction == MEAN else total


@function(toplevel=False)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss of logits (N, C, d1, ...) against classes (N, d1, ...) or probabilities (N, C, d1, ...)."""
    code = reduction_code("cross_entropy", reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}"
        )
    if not input.dtype.is_floating_point:
        raise DTypeError(
            f"cross_entropy: expected logits of a float dtype, got {input.dtype}; convert with .float()"
        )
    _check_weight("cross_entropy", input, weight)
    if input.shape == target.shape and target.dtype.is_floating_point:
        if ignore_index >= 0:
            raise ArgumentError(f"cross_entropy: ignore_index is not supported for floating point target: got {ignore_index}; leave it out")
        return _of_probabilities(input, target, weight, code, label_smoothing)
    rows, flat = _class_rows("cross_entropy", input, target)
    loss = _cross_entropy(rows, flat, weight, code, ignore_index, float(label_smoothing))[0]
    return _shaped(loss, target, code)


@function(toplevel=False)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The loss of log-probabilities (N, C, d1, ...) against class indices (N, d1, ...)."""
    code = reduction_code("nll_loss", reduction, size_average, reduce)
    if not input.dtype.is_floating_point:
        raise DTypeError(f"nll_loss: expected log-probabilities of a float dtype, got {input.dtype}")
    _check_weight("nll_loss", input, weight)
    rows, flat = _class_rows("nll_loss", input, target)
    return _shaped(_nll_loss(rows, flat, weight, code, ignore_index)[0], target, code)
