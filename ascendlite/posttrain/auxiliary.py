"""What a model wants to be trained with besides the next token: for DeepSeek-V4 the MTP, balance and indexer losses and the biases."""

from __future__ import annotations

from typing import cast

from ascendlite.core import Device, Tensor
from ascendlite.models.cache import CausalLM
from ascendlite.models.deepseek_v4 import DeepseekV4, objective, update_biases

from .forward import hidden_states, target_loss
from .packing import Batch


class NextToken:
    """Cross entropy alone."""

    def __init__(self, model: CausalLM) -> None:
        self.model = model

    def begin(self) -> None:
        """A step begins (again)."""

    def loss(self, batch: Batch, device: Device, share: float) -> tuple[Tensor, float]:
        """What to differentiate and the part of it that is cross entropy; `share` is the batch's share of the step's targets."""
        loss = target_loss(self.model, batch, hidden_states(self.model, batch, device)) * (share / batch.target_count)
        return loss, float(loss.item())

    def applied(self) -> None:
        """The optimizer has stepped."""


class AllOfV4(NextToken):
    """The losses of `deepseek_v4.objective` with the published factors, and the step of the balancing biases."""

    def __init__(self, model: DeepseekV4) -> None:
        super().__init__(cast(CausalLM, model))
        self.v4 = model
        self._loads: dict[int, Tensor] = {}

    def begin(self) -> None:
        """Forget the loads of an attempt that is made again."""
        self._loads = {}

    def loss(self, batch: Batch, device: Device, share: float) -> tuple[Tensor, float]:
        """The sum of all losses; each is a mean, so that shares of a step add up."""
        where = {"documents": batch.documents} if batch.packed else {"lengths": batch.lengths}
        found = objective(self.v4, batch.tokens.to(device), batch.targets.to(device), **where)  # type: ignore[arg-type]
        for layer, load in found.side.loads.items():
            self._loads[layer] = load + self._loads[layer] if layer in self._loads else load
        return found.total * share, float(found.next_token.item()) * share

    def applied(self) -> None:
        """Move the biases."""
        update_biases(self.v4, self._loads)


def learning(model: CausalLM, *, auxiliary: bool) -> NextToken:
    """What fits the model."""
    return AllOfV4(model) if auxiliary and isinstance(model, DeepseekV4) else NextToken(model)
