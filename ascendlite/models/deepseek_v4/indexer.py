"""The lightning indexer: cheap scores that say which compressed entries a token attends to, and the loss that trains them."""

from __future__ import annotations

from dataclasses import dataclass

import ascendlite as al
from ascendlite import nn
from ascendlite.core import DType, Tensor, no_grad
from ascendlite.nn import functional as F

from . import rotary
from .cache import BlockCache
from .compressor import Compressor
from .config import DeepseekV4Config
from .layers import Projection, full_precision, projection
from .places import NOTHING, Places
from .quantize import NONE, Quantization

_AT_ONCE = 1 << 24  # scores of all heads that are held at a time


def index_scores(q: Tensor, k: Tensor, weights: Tensor) -> Tensor:
    """sum_h weights_h ReLU(q_h . k), float32: (B, T, H, D), (B, E, D) and (B, T, H) to (B, T, E); a run of queries at a time."""
    B, T, H, D = q.shape
    step = max(1, _AT_ONCE // max(1, B * H * k.shape[1]))
    keys = k.float().transpose(1, 2)  # (B, D, E)

    def some(q: Tensor, weights: Tensor) -> Tensor:
        t = q.shape[1]
        with full_precision():
            one_by_one = (q.float().reshape(B, t * H, D) @ keys).relu().reshape(B, t, H, -1)
        return (one_by_one * weights.unsqueeze(-1)).sum(2)

    parts = [some(q[:, i : i + step], weights[:, i : i + step]) for i in range(0, T, step)]
    return parts[0] if len(parts) == 1 else al.cat(parts, 1)


@dataclass(frozen=True)
class Choice:
    """What the indexer chose: entries, (B, T, S), ascending, then nothing; and what its loss needs."""

    entries: Tensor
    scores: Tensor | None  # (B, T, E), with their gradient, where the loss was asked for
    all: bool = False  # the entries are `places.all_entries`


class Indexer(nn.Module):
    """Queries from the latent query, keys from a small compressor, weights of the heads from the sub-layer's input."""

    def __init__(self, config: DeepseekV4Config, ratio: int, dtype: DType | None = None) -> None:
        super().__init__()
        self.heads, self.width, self.topk, self.ratio = config.index_n_heads, config.index_head_dim, config.index_topk, ratio
        std = config.initializer_range
        self.wq_b = Projection(config.q_lora_rank, self.heads * self.width, std, dtype)
        self.weights_proj = projection(config.hidden_size, self.heads, std, dtype)
        self.compressor = Compressor(config, self.width, ratio, overlap=True)
        self.quantization: Quantization = NONE
        self.frequency = rotary.frequencies(config, self.width, compressed=True)

    def forward(self, x: Tensor, latent: Tensor, places: Places, cache: BlockCache | None, *, learn: bool, dense: bool) -> Choice:
        """The choice for x, (B, T, d), and the latent query; `learn`: keep scores for the loss; `dense`: choose all entries."""
        if not learn:
            with no_grad():
                return self._choose(x, latent, places, cache, False, dense)
        return self._choose(x.detach(), latent.detach(), places, cache, True, dense)

    def _choose(self, x: Tensor, latent: Tensor, places: Places, cache: BlockCache | None, learn: bool, dense: bool) -> Choice:
        keys = self.compressor(x, places, self.frequency, cache, self.quantization.index_rows)
        most = places.entries(self.ratio)
        few = dense or most <= self.topk
        if most == 0 or (few and not learn):
            return Choice(places.all_entries(self.ratio, most), None, all=True)
        if cache is not None:
            keys = cache.entries[:, :most]
        assert keys is not None
        scores = self._scores(x, latent, places, keys)
        entries = places.all_entries(self.ratio, most) if few else self._best(scores.detach(), places)
        return Choice(entries, scores if learn else None, all=few)

    def _scores(self, x: Tensor, latent: Tensor, places: Places, keys: Tensor) -> Tensor:
        B, T, _ = x.shape
        q = self.wq_b(latent).view(B, T, self.heads, self.width)
        cos, sin = places.rotation(self.frequency, "indexer")
        q = self.quantization.index_rows(rotary.turn(q, (cos.unsqueeze(2), sin.unsqueeze(2))))
        weights = self.weights_proj(x).float() * (self.width**-0.5 * self.heads**-0.5)
        return index_scores(q, keys, weights)

    def _best(self, scores: Tensor, places: Places) -> Tensor:
        """The topk entries with the largest scores among those visible, ascending, then nothing."""
        most = scores.shape[-1]
        number = al.arange(most, device=scores.device)
        first = places.first_entry(self.ratio)
        visible = places.visible(self.ratio).unsqueeze(-1)
        own = number if first is None else number - first.unsqueeze(-1)
        unseen = own >= visible if first is None else (own >= visible).logical_or(own < 0)
        values, chosen = al.topk(scores.masked_fill(unseen, -al.inf), self.topk)
        chosen = al.where(values == -al.inf, most, chosen).sort(-1).values
        return al.where(chosen == most, NOTHING, chosen)


def index_loss(choice: Choice, mass: Tensor, real: Tensor | None) -> Tensor:
    """Mean over tokens of KL(p || softmax(scores)) over the chosen entries (V3.2, arXiv:2512.02556, section 2.1).

    p is the attention's own mass on each chosen entry, (B, T, S), summed over heads and normalised. Tokens that see no entry, and
    padding (`real` false), do not count.
    """
    assert choice.scores is not None
    nothing = choice.entries == NOTHING
    mass = mass.detach().masked_fill(nothing, 0.0)
    total = mass.sum(-1, keepdim=True)
    p = mass / total.clamp(min=1e-30)
    index = choice.entries.clamp(min=0).expand(*choice.scores.shape[:2], choice.entries.shape[-1])
    scores = al.gather(choice.scores, 2, index).masked_fill(nothing, -1e30)
    log_q = F.log_softmax(scores, -1)
    per_token = (al.xlogy(p, p) - p * log_q).sum(-1)  # (B, T)
    counts = (total.squeeze(-1) > 0) if real is None else (total.squeeze(-1) > 0).logical_and(real)
    return al.where(counts, per_token, 0.0).sum() / counts.sum().clamp(min=1)


