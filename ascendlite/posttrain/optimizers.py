"""The optimizer of a model: AdamW, or Muon and AdamW as the DeepSeek-V4 report assigns them (section 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ascendlite import nn
from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError, FileFormatError
from ascendlite.optim import AdamW, Muon
from ascendlite.optim.optimizer import Optimizer
from ascendlite.structure import Value

from .config import TrainingConfig


class Several:
    """Optimizers that step together."""

    def __init__(self, members: Mapping[str, Optimizer]) -> None:
        self.members = dict(members)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all of them."""
        return [group for member in self.members.values() for group in member.param_groups]

    def step(self) -> None:
        """One step of each."""
        for member in self.members.values():
            member.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for member in self.members.values():
            member.zero_grad()

    def state_dict(self) -> dict[str, Value]:
        """The states by name."""
        return {name: cast(Value, member.state_dict()) for name, member in self.members.items()}

    def load_state_dict(self, state_dict: Mapping[str, Value]) -> None:
        """Put states back."""
        if set(state_dict) != set(self.members):
            raise ArgumentError(f"optimizer: the state is of {sorted(state_dict)}, the run has {sorted(self.members)}; resume with the same optim")
        for name, member in self.members.items():
            member.load_state_dict(cast("dict[str, Any]", state_dict[name]))
            kinds = {frozenset(state) for state in member.state.values()}
            if len(kinds) > 1:
                found = " or ".join(sorted({", ".join(sorted(kind)) for kind in kinds}))
                raise FileFormatError(f"optimizer: the saved state is incomplete: parameters have {found}; resume from another checkpoint")


def for_muon(model: nn.Module) -> set[str]:
    """Names of the parameters that Muon gets: matrices and stacks of them, but embeddings, the head and position biases."""
    excluded = {
        f"{name}.weight" for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) or name.rpartition(".")[2] in ("head", "lm_head")
    }  # fmt: skip
    return {
        name for name, p in model.named_parameters()
        if p.requires_grad and p.ndim in (2, 3) and name not in excluded and not name.endswith("ape")
    }  # fmt: skip


def make_optimizer(model: nn.Module, args: TrainingConfig) -> Several:
    """What `args.optim` says, for the parameters that learn; weight decay is for matrices only."""
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not learned:
        raise ArgumentError("trainer: no parameter of the model requires a gradient; unfreeze some, or add LoRA")
    muon = for_muon(model) if args.optim == "muon" else set()
    rest = {name: p for name, p in learned.items() if name not in muon}
    members: dict[str, Optimizer] = {}
    if muon:
        groups = [{"params": list(part.values()), "lr_scale": scale} for scale, part in _scaled({n: learned[n] for n in learned if n in muon}, args)]
        members["muon"] = Muon(groups, lr=args.learning_rate, weight_decay=args.weight_decay)
    if rest:
        members["adamw"] = AdamW(_groups(rest, args), lr=args.learning_rate, betas=(args.adam_beta1, args.adam_beta2), eps=args.adam_epsilon)
    return Several(members)


def _groups(parameters: Mapping[str, Tensor], args: TrainingConfig) -> list[dict[str, Any]]:
    groups = []
    for scale, part in _scaled(parameters, args):
        for decay, chosen in ((args.weight_decay, [p for p in part.values() if p.ndim >= 2]), (0.0, [p for p in part.values() if p.ndim < 2])):
            groups.append({"params": chosen, "weight_decay": decay, "lr_scale": scale})
    return [group for group in groups if group["params"]]


def _scaled(parameters: Mapping[str, Tensor], args: TrainingConfig) -> list[tuple[float, dict[str, Tensor]]]:
    """The parameters by the factor of their learning rate: that of the first pattern which their name contains, else 1."""
    parts: dict[float, dict[str, Tensor]] = {}
    for name, p in parameters.items():
        factor = next((factor for pattern, factor in args.learning_rate_scales if pattern in name), 1.0)
        parts.setdefault(factor, {})[name] = p
    return list(parts.items())
