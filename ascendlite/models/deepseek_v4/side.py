"""What a forward pass gives and takes besides logits: losses of the routers and indexers, loads of experts, and choices to replay."""

from __future__ import annotations

from dataclasses import dataclass, field

from ascendlite.core import Tensor

from .places import Places


@dataclass
class Side:
    """Pass one to `hidden` or to the model: it is filled.

    `balance` and `index_loss` ask for these losses; `record` keeps every choice, and `replay` takes the choices of another pass
    (routing replay: the experts and entries that a rollout chose are used again in training). `dense`: attend to all entries, as
    in the indexer's warm-up. `keep_streams`: for MTP, which goes on from them.
    """

    balance: bool = False
    index_loss: bool = False
    dense: bool = False
    record: bool = False
    replay: Side | None = None
    keep_streams: bool = False

    balance_losses: list[Tensor] = field(default_factory=list)  # one a layer that routes by score
    index_losses: list[Tensor] = field(default_factory=list)  # one a CSA layer
    loads: dict[int, Tensor] = field(default_factory=dict)  # layer: (experts,) tokens that chose each, where `balance`
    experts: dict[int, Tensor] = field(default_factory=dict)  # layer: (B, T, chosen), where `record`
    entries: dict[int, Tensor] = field(default_factory=dict)  # layer: (B, T, chosen), where `record`
    streams: Tensor | None = None  # (B, T, n, d), where `keep_streams`
    places: Places | None = None

    def replayed_experts(self, layer: int) -> Tensor | None:
        """What to use again instead of choosing."""
        return None if self.replay is None else self.replay.experts.get(layer)

    def replayed_entries(self, layer: int) -> Tensor | None:
        """What to use again instead of choosing."""
        return None if self.replay is None else self.replay.entries.get(layer)
