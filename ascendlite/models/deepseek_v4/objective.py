"""All that pre-training minimises: next token, the one after it (MTP), balance of experts, and the indexers' own loss; and the step of
the balancing biases, which has no gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ascendlite as al
from ascendlite.core import Tensor, no_grad
from ascendlite.nn import functional as F

from .model import DeepseekV4
from .side import Side

IGNORED = -100


@dataclass(frozen=True)
class LossWeights:
    """The published factors: MTP 0.3 (0.1 once the learning rate decays), balance within a sequence 1e-4, indexers 1."""

    mtp: float = 0.3
    balance: float = 1e-4
    indexer: float = 1.0


class Losses(NamedTuple):
    """`total` is what to differentiate; the parts come without their factors."""

    total: Tensor
    next_token: Tensor
    mtp: Tensor | None
    balance: Tensor | None
    indexer: Tensor | None
    side: Side


def objective(
    model: DeepseekV4, tokens: Tensor, targets: Tensor, *, weights: LossWeights | None = None, lengths: Sequence[int] | None = None,
    documents: Sequence[Sequence[int]] | None = None, dense_index: bool = False,
) -> Losses:  # fmt: skip
    """The losses for tokens, (B, T), followed by targets, (B, T), -100 where none counts.

    Balance and index losses are sums over layers. `dense_index`: attend to all entries, as in the indexers' warm-up.
    """
    weights = LossWeights() if weights is None else weights
    drafts = bool(model.mtp) and weights.mtp > 0
    side = Side(balance=weights.balance > 0, index_loss=weights.indexer > 0, dense=dense_index, keep_streams=drafts)
    hidden = model.hidden(tokens, lengths=lengths, documents=documents, side=side)
    total = next_token = _cross_entropy(model, hidden, targets)
    mtp = None
    if drafts:
        next_ids, after = _shifted(side, tokens, targets)
        mtp = _cross_entropy(model, model.draft_hidden(side, next_ids), after)
        total = total + mtp * weights.mtp
    balance = _sum(side.balance_losses)
    index = _sum(side.index_losses)
    for part, factor in ((balance, weights.balance), (index, weights.indexer)):
        total = total if part is None else total + part * factor
    return Losses(total, next_token, mtp, balance, index, side)


def _cross_entropy(model: DeepseekV4, hidden: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(model.head(hidden).view(-1, model.vocab_size), targets.reshape(-1), ignore_index=IGNORED)


def _sum(parts: list[Tensor]) -> Tensor | None:
    return al.stack(parts).sum() if parts else None


def _shifted(side: Side, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The token after each token, and the one after that or -100; neither is of another document."""
    last = targets[:, -1:].clamp(min=0)
    next_ids = al.cat((tokens[:, 1:], last), 1)
    after = al.cat((targets[:, 1:], al.full_like(targets[:, -1:], IGNORED)), 1)
    assert side.places is not None
    if side.places.documents is not None:
        position = side.places.positions
        ends = al.cat((position[:, 1:] == 0, al.zeros(position.shape[0], 1, dtype=al.bool, device=position.device)), 1)
        after = after.masked_fill(ends, IGNORED)
    return next_ids, after


def moved_bias(bias: Tensor, load: Tensor, gamma: float) -> Tensor:
    """A balancing bias after a step: up where an expert had less than the mean load, down where more (arXiv:2412.19437, 2.1.2)."""
    return bias - gamma * (load - load.mean()).sign()


def update_biases(model: DeepseekV4, loads: dict[int, Tensor], gamma: float = 1e-3) -> None:
    """Move every balancing bias by what `Side.loads` counted, summed over the micro-batches and ranks of a step."""
    blocks = [*model.layers, *(mtp.block for mtp in model.mtp)]
    with no_grad():
        for layer, load in loads.items():
            bias = blocks[layer].ffn.gate.bias
            bias.copy_(moved_bias(bias, load, gamma))
