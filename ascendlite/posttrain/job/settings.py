"""What a post-training job is made with: saved in its folder, so that a resumed job is the same job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from ascendlite.errors import ArgumentError


@dataclass(frozen=True)
class JobSettings:
    """A job's choices; the defaults take a tiny DeepSeek-V4 through SFT and GRPO in a few minutes on two cores."""

    task: str = "tagalog"
    source: str = ""  # a pretrained model, by --from; empty: a new tiny DeepSeek-V4
    device: str = "cpu"
    seed: int = 0
    questions: int = 6000
    held_out: int = 200
    samples: int = 8
    start_at: float = 0.5  # pass@8 at which the learning rate of SFT begins to fall
    sft_steps: int = 600
    sft_batch: int = 64
    sft_lr: float = 3e-3
    sft_check: int = 30
    sft_cooling: int = 40
    grpo_steps: int = 375
    grpo_prompts: int = 16
    grpo_generations: int = 16
    grpo_lr: float = 1e-3
    grpo_inner_scale: float = 0.2  # of the learning rate of attention and experts
    dynamic_sampling: int = 0
    partial_credit: float = 0.0
    loss_type: str = "dapo"
    beta: float = 1e-3
    lora_rank: int = 16
    specialists: int = 0
    distill_steps: int = 1600
    distill_batch: int = 64
    distill_lr: float = 3e-3
    distill_temperature: float = 2.0  # of both sides of the KL: at 1 what a student is sure of, and wrong, has hardly a gradient
    save_every: int = 25

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and field.name not in ("seed", "specialists", "dynamic_sampling") and value < 1:
                raise ArgumentError(f"--{field.name.replace('_', '-')} is {value}; it must be at least 1")
            if field.type == "float" and not value >= 0:
                raise ArgumentError(f"--{field.name.replace('_', '-')} is {value}; it must be at least 0")
        if not self.distill_temperature > 0:
            raise ArgumentError(f"--distill-temperature is {self.distill_temperature}; it must be above 0")
        if self.dynamic_sampling < 0:
            raise ArgumentError(f"--dynamic-sampling is {self.dynamic_sampling}; it must be at least 0")
        if self.grpo_generations < 2:
            raise ArgumentError("--grpo-generations must be at least 2: the others of a group are the baseline")
        if self.specialists not in (0, 2):
            raise ArgumentError(f"--specialists is {self.specialists}; 2 are supported, each with half of the task")
        if self.specialists and self.source:
            raise ArgumentError("--specialists starts from new models; leave --from out")

    def state_dict(self) -> dict[str, int | float | str]:
        """The choices as plain values."""
        return asdict(self)


# Where a pretrained model begins (--from): so many tokens as two cores read in about twelve minutes with the weights of SmolLM2-135M.
PRETRAINED: dict[str, int | float | str] = {
    "task": "chain_sum", "questions": 1000, "held_out": 40, "sft_steps": 60, "sft_batch": 8, "sft_lr": 1e-3, "sft_check": 15, "sft_cooling": 10,
    "grpo_steps": 40, "grpo_prompts": 4, "grpo_generations": 6, "grpo_lr": 1e-4, "dynamic_sampling": 2, "save_every": 10,
}  # fmt: skip


# What an emulated device can do in twelve minutes of two cores.
ON_NPU: dict[str, int | float | str] = {"grpo_steps": 275}


# A student is measured against its teachers: the difference of two shares needs more questions than a share.
SPECIALISTS: dict[str, int | float | str] = {"held_out": 600}


def settings_of(given: Mapping[str, int | float | str]) -> JobSettings:
    """The settings that a user gave, over the defaults of a new model, of a pretrained one where a `source` is given, of an NPU, of specialists."""
    other = PRETRAINED if given.get("source") else ON_NPU if str(given.get("device", "cpu")).startswith("npu") else {}
    return JobSettings(**{**other, **(SPECIALISTS if given.get("specialists") else {}), **given})  # type: ignore[arg-type]


def settings_from_state(state: Mapping[str, int | float | str]) -> JobSettings:
    """The settings that a `state_dict()` describes; names of other releases are refused."""
    unknown = sorted(set(state) - {field.name for field in fields(JobSettings)})
    if unknown:
        raise ArgumentError(f"the job has settings that this release does not know: {', '.join(unknown)}")
    for field in fields(JobSettings):
        value = state.get(field.name, field.default)
        if not isinstance(value, (int, float) if isinstance(field.default, float) else type(field.default)):
            raise ArgumentError(f"the job's setting {field.name} is {value!r}; it must be of type {field.type}")
    return JobSettings(**state)  # type: ignore[arg-type]
