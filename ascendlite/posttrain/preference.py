"""Losses of preference pairs: DPO (arXiv:2305.18290), with label smoothing, and IPO (arXiv:2310.12036)."""

from __future__ import annotations

from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.nn import functional as F


def sequence_log_probs(logp: Tensor, mask: Tensor, *, mean: bool = False) -> Tensor:
    """log p of each row's counted tokens, (B, T) to (B,); `mean` divides by their number (IPO)."""
    summed = (logp * mask.to(logp.dtype)).sum(1)
    return summed / mask.sum(1).clamp(min=1).to(logp.dtype) if mean else summed


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    kind: str = "sigmoid",
    total: float | None = None,
) -> Tensor:
    """-log sigmoid(s), s = beta [(chosen - ref_chosen) - (rejected - ref_rejected)], the mean over pairs; all are (B,).

    "ipo" is (s / beta - 1 / (2 beta))^2, on log-probabilities that are means over tokens. Where the policy is the
    reference the loss is ln 2. `total` is the number of pairs in the whole optimizer step.

    >>> import ascendlite as al
    >>> same = al.zeros(3)
    >>> al.posttrain.dpo_loss(same, same, same, same).item()
    0.6931471824645996
    """
    shapes = {tuple(t.shape) for t in (chosen, rejected, ref_chosen, ref_rejected)}
    if len(shapes) != 1 or chosen.ndim != 1:
        raise ShapeError(f"dpo_loss: the four log-probabilities have the shapes {sorted(shapes)}; each must be (B,)")
    if kind not in ("sigmoid", "ipo") or not beta > 0 or not 0 <= label_smoothing < 0.5:
        raise ArgumentError(
            f"dpo_loss: kind {kind!r}, beta {beta}, label_smoothing {label_smoothing}; "
            "kind is sigmoid or ipo, beta above 0, label_smoothing in [0, 0.5)"
        )
    margin = (chosen - ref_chosen) - (rejected - ref_rejected)
    if kind == "ipo":
        each = (margin - 1 / (2 * beta)).square()
    else:
        each = F.softplus(-beta * margin) * (1 - label_smoothing) + F.softplus(beta * margin) * label_smoothing
    return each.sum() / (chosen.shape[0] if total is None else total)
