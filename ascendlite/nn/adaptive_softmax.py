"""Softmax over very many classes, the rare ones in clusters of less width (Grave et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..core import Device, DType, Tensor, tensor
from ..errors import ArgumentError, ShapeError
from ..ops.movement import cat
from ..ops.search import bucketize
from . import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class AdaptiveOutput(NamedTuple):
    """The log-probability of each target (N,), and the mean of their negatives."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Classes below `cutoffs[0]` are told apart by the head; those from `cutoffs[k]` on by tail k, of width in_features / div_value^(k + 1).

    Classes are expected by falling frequency.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        edges = [int(c) for c in cutoffs]
        if not edges or edges != list(cutoffs) or edges != sorted(set(edges)) or edges[0] < 1 or edges[-1] >= n_classes:
            raise ValueError(
                f"AdaptiveLogSoftmaxWithLoss: cutoffs should be unique integers in increasing order from 1 to n_classes - 1 = "
                f"{n_classes - 1}, at least one: got {list(cutoffs)}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*edges, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = edges[0]
        self.n_clusters = len(edges)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for k in range(self.n_clusters):
            width, size = int(in_features // div_value ** (k + 1)), self.cutoffs[k + 1] - self.cutoffs[k]
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, device=device, dtype=dtype),
                    Linear(width, size, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        self.head.reset_parameters()
        for tail in self.tail:
            for layer in tail:
                layer.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> AdaptiveOutput:
        """input: (N, in_features) or (in_features,); target: integers (N,) or ()."""
        if target.ndim > 1 or input.ndim != target.ndim + 1 or input.shape[:-1] != target.shape:
            raise ShapeError(
                "AdaptiveLogSoftmaxWithLoss: input and target should have the same size in the batch dimension, and target one dim less: "
                f"input has shape {tuple(input.shape)}, target {tuple(target.shape)}"
            )
        if target.ndim == 0:
            output = self._of_targets(input.unsqueeze(0), target.unsqueeze(0)).squeeze(0)
        else:
            output = self._of_targets(input, target)
        return AdaptiveOutput(output, -output.mean())

    def _of_targets(self, input: Tensor, target: Tensor) -> Tensor:
        if target.numel() and not bool(((target >= 0) & (target < self.n_classes)).all()):
            raise ArgumentError(
                f"AdaptiveLogSoftmaxWithLoss: target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{target.min().item()}, {target.max().item()}] were found"
            )
        cluster = bucketize(target, tensor(self.cutoffs[:-1], device=target.device), right=True)  # 0: of the shortlist
        place = target.where(cluster == 0, cluster + (self.shortlist_size - 1))
        output = F.log_softmax(self.head(input), dim=1).gather(1, place.unsqueeze(1)).squeeze(1)
        for k, tail in enumerate(self.tail):
            rows = (cluster == k + 1).nonzero(as_tuple=True)[0]
            if rows.numel():
                within = F.log_softmax(tail(input[rows]), dim=1)
                output = output.index_add(0, rows, within.gather(1, (target[rows] - self.cutoffs[k]).unsqueeze(1)).squeeze(1))
        return output

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all classes: (N, n_classes)."""
        head = F.log_softmax(self.head(input), dim=1)
        parts = [head[:, : self.shortlist_size]]
        for k, tail in enumerate(self.tail):
            parts.append(F.log_softmax(tail(input), dim=1) + head[:, self.shortlist_size + k].unsqueeze(1))
        return cat(parts, dim=1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each row (N,); the tails are asked only for rows whose likeliest output of the head is a cluster."""
        best: Tensor = self.head(input).argmax(dim=1)
        rows = (best >= self.shortlist_size).nonzero(as_tuple=True)[0]
        return best.index_copy(0, rows, self.log_prob(input[rows]).argmax(dim=1)) if rows.numel() else best
