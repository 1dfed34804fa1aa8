"""Connectionist temporal classification, and bags of embeddings."""

from __future__ import annotations

import math
from typing import Any

from ..core import DType, Tensor, arange, empty, int64, tensor, zeros
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.compare import where
from ..ops.embedding import embedding
from ..ops.movement import cat
from . import init
from .module import Module
from .parameter import Parameter


def _sizes(name: str, lengths: Tensor | list[int] | tuple[int, ...], B: int, most: int) -> list[int]:
    sizes: list[int] = lengths.reshape(-1).tolist() if isinstance(lengths, Tensor) else [int(n) for n in lengths]
    if any(isinstance(n, float) for n in sizes):
        raise DTypeError(f"ctc_loss: {name} must be integral, got {sizes}; cast them with .long()")
    if len(sizes) != B or (sizes and (min(sizes) < 0 or max(sizes) > most)):
        raise ArgumentError(f"ctc_loss: {name} must be {B} numbers from 0 to {most}, got {sizes}")
    return sizes


def _logaddexp3(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    top = a.maximum(b).maximum(c).detach()
    safe = where(top == -math.inf, 0.0, top)
    total = (a - safe).exp() + (b - safe).exp() + (c - safe).exp()
    return where(total == 0, -math.inf, where(total == 0, 1.0, total).log() + safe)


def _labels(targets: Tensor, sizes: list[int]) -> list[list[int]]:
    values: Any = targets.tolist()
    if targets.ndim == 2:
        return [row[:n] for row, n in zip(values, sizes, strict=True)]
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return [values[s : s + n] for s, n in zip(starts, sizes, strict=True)]


def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor | list[int], target_lengths: Tensor | list[int], blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that (T, B, C) log-probabilities emit each target, over all alignments (A. Graves et al., 2006, eq. 6-8).

    Targets are (B, S), or all in one vector; `mean` divides each loss by its target's length first.
    """
    if log_probs.ndim == 2:
        loss = ctc_loss(log_probs.unsqueeze(1), targets.reshape(1, -1), tensor(input_lengths).reshape(1), tensor(target_lengths).reshape(1), blank,
                        "none", zero_infinity)[0]
        return loss / max(int(tensor(target_lengths)), 1) if reduction == "mean" else loss
    if log_probs.ndim != 3:
        raise ShapeError(f"ctc_loss: log_probs must be (T, B, C) or (T, C), got shape {tuple(log_probs.shape)}")
    T, B, C = log_probs.shape
    if not 0 <= blank < C:
        raise ArgumentError(f"ctc_loss: blank must be in label range: it is {blank}, and there are {C} labels")
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"ctc_loss: reduction is {reduction!r}; use 'none', 'mean' or 'sum'")
    steps = _sizes("input_lengths", input_lengths, B, T)
    lengths = _sizes("target_lengths", target_lengths, B, targets.shape[-1])
    losses = _alignments(log_probs, _labels(targets, lengths), steps, lengths, blank)
    if zero_infinity:
        losses = where(losses == math.inf, 0.0, losses)
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else (losses / tensor([max(n, 1) for n in lengths], dtype=losses.dtype, device=losses.device)).mean()


def _alignments(log_probs: Tensor, labels: list[list[int]], steps: list[int], lengths: list[int], blank: int) -> Tensor:
    B, S = log_probs.shape[1], 2 * max(lengths, default=0) + 1
    rows = [[blank if k % 2 == 0 or k // 2 >= len(row) else row[k // 2] for k in range(S)] for row in labels]
    skips = [[k % 2 == 1 and k >= 3 and row[k] != row[k - 2] for k in range(S)] for row in rows]  # over the blank between two labels
    device, dtype = log_probs.device, log_probs.dtype
    places, may_skip = tensor(rows, dtype=int64, device=device), tensor(skips, device=device)
    first = arange(S, device=device) < 2
    impossible = zeros((B, 2), dtype=dtype, device=device) - math.inf
    ended = tensor(steps, device=device).unsqueeze(1)
    alpha = where(tensor([[k == 0 for k in range(S)]], device=device).expand(B, S), 0.0, -math.inf).to(dtype)
    for t in range(log_probs.shape[0]):
        emitted = log_probs[t].gather(1, places)
        if t == 0:
            following = where(first, emitted, -math.inf)
        else:
            one = cat([impossible[:, :1], alpha[:, :-1]], 1)
            two = where(may_skip, cat([impossible, alpha[:, :-2]], 1) if S > 1 else alpha, -math.inf)
            following = _logaddexp3(alpha, one, two) + emitted
        alpha = where(ended > t, following, alpha)
    last = tensor([[2 * n, max(2 * n - 1, 0)] for n in lengths], device=device)
    pair = alpha.gather(1, last)
    empty_target = tensor([n == 0 for n in lengths], device=device)
    return -_logaddexp3(pair[:, 0], where(empty_target, -math.inf, pair[:, 1]), impossible[:, 0])


class CTCLoss(Module):
    """Connectionist temporal classification, see `ctc_loss`."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__()
        self.blank, self.reduction, self.zero_infinity = blank, reduction, zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor) -> Tensor:
        return ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity)


def _bags(input: Tensor, offsets: Tensor | None, include_last: bool) -> tuple[Tensor, Tensor, int]:
    """(indices in one vector, the bag of each, the number of bags)."""
    if input.ndim == 2:
        if offsets is not None:
            raise ArgumentError("embedding_bag: if input is 2D, then offsets has to be None, as each row is a bag")
        B, n = input.shape
        return input.reshape(-1), arange(B, device=input.device).unsqueeze(1).expand(B, n).reshape(-1), B
    if input.ndim != 1 or offsets is None or offsets.ndim != 1:
        raise ArgumentError(f"embedding_bag: input must be (B, N), or 1D with 1D offsets; its shape is {tuple(input.shape)}")
    starts: list[int] = offsets.tolist()
    ends = [*starts[1:], input.shape[0]] if not include_last else starts[1:]
    starts = starts[: len(ends)]
    if (starts and starts[0] != 0) or any(a > b for a, b in zip(starts, ends, strict=True)) or (ends and ends[-1] > input.shape[0]):
        raise ArgumentError(f"embedding_bag: offsets must start at 0 and rise to at most {input.shape[0]}, got {offsets.tolist()}")
    owner = [k for k, (a, b) in enumerate(zip(starts, ends, strict=True)) for _ in range(b - a)]
    return input[: len(owner)], tensor(owner, dtype=int64, device=input.device), len(starts)


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None, norm_type: float = 2,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of rows of `weight` over bags of indices: (B, N), or one vector that `offsets` cuts. Empty bags are zero.

    >>> al.nn.functional.embedding_bag(al.tensor([[0, 1]]), al.tensor([[1.0], [3.0]]), mode="sum")
    tensor([[4.]])
    """
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode has to be one of sum, mean or max, got {mode!r}")
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != input.shape):
        raise ArgumentError(f"embedding_bag: per_sample_weights need mode 'sum' and the input's shape {tuple(input.shape)}; mode is {mode!r}")
    ids, owner, B = _bags(input, offsets, include_last_offset)
    counted = ids >= 0 if padding_idx is None else ids != padding_idx % weight.shape[0]
    rows = embedding(ids, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    blank = zeros((B, weight.shape[1]), dtype=weight.dtype, device=weight.device)
    rows, owner = rows[counted], owner[counted]
    if mode == "max":
        return blank.scatter_reduce(0, owner.unsqueeze(1).expand(rows.shape), rows, "amax", include_self=False)
    total = blank.index_add(0, owner, rows)
    if mode == "sum":
        return total
    counts = zeros(B, dtype=weight.dtype, device=weight.device).index_add(0, owner, (owner >= 0).to(weight.dtype))
    return total / counts.clamp(min=1).unsqueeze(1)


class EmbeddingBag(Module):
    """Sums, means or maxima of embeddings over bags, see `embedding_bag`."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
        mode: str = "mean", sparse: bool = False, _weight: Tensor | None = None, include_last_offset: bool = False, padding_idx: int | None = None,
        device: str | None = None, dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.mode = num_embeddings, embedding_dim, mode
        self.options: dict[str, Any] = {"max_norm": max_norm, "norm_type": norm_type, "scale_grad_by_freq": scale_grad_by_freq, "sparse": sparse,
                                        "include_last_offset": include_last_offset, "padding_idx": padding_idx}
        self.weight = Parameter(empty((num_embeddings, embedding_dim), device=device, dtype=dtype) if _weight is None else _weight)
        if _weight is None:
            init.normal_(self.weight)
            if padding_idx is not None:
                self.weight.data[padding_idx] = 0

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return embedding_bag(input, self.weight, offsets, mode=self.mode, per_sample_weights=per_sample_weights, **self.options)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
