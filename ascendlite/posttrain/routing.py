"""Keep routing: the experts and sparse-attention entries that a policy chose, used again when its completions are learned from.

Only DeepSeek-V4 chooses; for other models there is nothing to replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError
from ascendlite.models.cache import CausalLM
from ascendlite.models.deepseek_v4 import DeepseekV4, Side

from .forward import Continued, answer_hidden


@dataclass(frozen=True)
class Routes:
    """Choices by layer, (B, T, chosen)."""

    experts: dict[int, Tensor]
    entries: dict[int, Tensor]

    def state_dict(self) -> dict[str, dict[int, Tensor]]:
        """The two tables."""
        return {"experts": self.experts, "entries": self.entries}

    @classmethod
    def from_state(cls, state: Mapping[str, Mapping[int, Tensor]]) -> Routes:
        """The routes of a `state_dict()`."""
        return cls(dict(state["experts"]), dict(state["entries"]))


def record_routes(model: CausalLM, batch: Continued) -> Routes:
    """What the model chooses for rows; what the sampler chose, since both compute the same bits."""
    if not isinstance(model, DeepseekV4):
        raise ArgumentError(f"keep_routing: {type(model).__name__} routes nothing; leave keep_routing out")
    side = Side(record=True)
    answer_hidden(model, batch, side=side)
    return Routes({layer: t.detach() for layer, t in side.experts.items()}, {layer: t.detach() for layer, t in side.entries.items()})


def replay_options(routes: Routes | None) -> dict[str, Side]:
    """What to give to `hidden` so that it uses the routes."""
    return {} if routes is None else {"side": Side(replay=Side(experts=dict(routes.experts), entries=dict(routes.entries)))}
