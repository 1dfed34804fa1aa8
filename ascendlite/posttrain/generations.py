"""A generation of GRPO: the completions of some prompts with their rewards, and all that the steps over it need.

It is drawn under one policy, used for some optimizer steps, and can be saved between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

import ascendlite as al
from ascendlite.core import Device, Tensor
from ascendlite.structure import Value

from .forward import Continued, continued
from .policy import group_advantages
from .rollout import Rollout


@dataclass
class Generation:
    """Rollouts in rows, what each got, and log-probabilities under the old policy and the reference, where known."""

    rollouts: list[Rollout]
    advantages: list[float]
    figures: dict[str, float]
    old_logps: list[list[float]] = field(default_factory=list)
    ref_logps: list[list[float]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)

    def state_dict(self) -> dict[str, Value]:
        """Plain values."""
        return cast("dict[str, Value]", {**asdict(self), "rollouts": [asdict(rollout) for rollout in self.rollouts]})


def generation_from_state(state: Mapping[str, Value]) -> Generation:
    """The generation that a `state_dict()` describes."""
    values = dict(cast("Mapping[str, object]", state))
    rollouts = [Rollout(**row) for row in cast("list[dict[str, object]]", values.pop("rollouts"))]  # type: ignore[arg-type]
    return Generation(rollouts, **values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class GenerationMicro:
    """Some rows of a generation as tensors."""

    rows: tuple[int, ...]
    batch: Continued
    advantages: Tensor
    old: Tensor
    sampled: Tensor
    reference: Tensor | None
    kept: Tensor | None
    mask: Tensor


def _padded(rows: Sequence[Sequence[float]], width: int, device: Device) -> Tensor:
    return al.tensor([[*row, *[0.0] * (width - len(row))] for row in rows], dtype=al.float32, device=device)


def _kept_sets(rollouts: Sequence[Rollout], width: int, device: Device) -> Tensor | None:
    if not any(rollout.sets for rollout in rollouts):
        return None
    most = max(len(kept) for rollout in rollouts for kept in rollout.sets)
    none = [-1] * most
    table = [[[*kept, *none[len(kept) :]] for kept in rollout.sets] + [none] * (width - len(rollout.sets)) for rollout in rollouts]
    return al.tensor(table, dtype=al.int64, device=device)


def micro_of(generation: Generation, rows: Sequence[int], device: Device, *, mask_truncated: bool = False) -> GenerationMicro:
    """The tensors of some rows."""
    chosen = [generation.rollouts[row] for row in rows]
    batch = continued([rollout.prompt for rollout in chosen], [rollout.tokens for rollout in chosen], device)
    width = batch.answers.shape[1]
    sampled = _padded([rollout.logprobs for rollout in chosen], width, device)
    old = _padded([generation.old_logps[row] for row in rows], width, device) if generation.old_logps else sampled
    reference = _padded([generation.ref_logps[row] for row in rows], width, device) if generation.ref_logps else None
    counted = [float(not (mask_truncated and rollout.truncated)) for rollout in chosen]
    mask = batch.mask * al.tensor(counted, dtype=al.float32, device=device).unsqueeze(1)
    advantages = al.tensor([generation.advantages[row] for row in rows], dtype=al.float32, device=device)
    return GenerationMicro(tuple(rows), batch, advantages, old, sampled, reference, _kept_sets(chosen, width, device), mask)


# ---- rewards


def equal_groups(rewards: Sequence[float], group: int) -> list[int]:
    """The groups whose rewards are all the same, from which nothing can be learned.

    >>> equal_groups([1.0, 1.0, 0.0, 1.0], 2)
    [0]
    """
    parts = [rewards[at : at + group] for at in range(0, len(rewards), group)]
    return [number for number, part in enumerate(parts) if len({value for value in part if not math.isnan(value)}) <= 1]


def rewarded(rollouts: list[Rollout], rewards: list[float], figures: dict[str, float], group: int, scale: bool | str) -> Generation:
    """A generation with the advantages of its rewards and the figures of a row of metrics."""
    table = al.tensor(rewards, dtype=al.float64)
    advantages = group_advantages(table, group, scale=scale)
    known = [value for value in rewards if not math.isnan(value)]
    lengths = [len(rollout.tokens) for rollout in rollouts]
    mean = sum(known) / max(1, len(known))
    return Generation(
        rollouts,
        [float(a) for a in advantages.tolist()],
        {
            **figures,
            "reward": mean,
            "reward_std": math.sqrt(sum((value - mean) ** 2 for value in known) / max(1, len(known) - 1)),
            "frac_reward_zero_std": len(equal_groups(rewards, group)) * group / len(rewards),
            "completions/mean_length": sum(lengths) / len(lengths),
            "completions/max_length": max(lengths),
            "completions/truncated": sum(rollout.truncated for rollout in rollouts) / len(rollouts),
        },
    )
