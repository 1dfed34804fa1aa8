"""What trainers are told, under the names of transformers and TRL; checked where it is written."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral
from typing import ClassVar, TypeVar

from ascendlite.errors import ArgumentError

from .names import Named

_SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")
_OPTIMIZERS = ("adamw", "adamw_torch", "adamw_torch_fused", "muon")
_REPORTS = ("none", "tensorboard")
_SCALES = (None, True, False, "group", "batch", "none")
_LEVELS = (None, "token", "sequence")
_WEIGHTS = ("sequence_mask", "sequence_truncate", "token_mask", "token_truncate")


@dataclass(frozen=True)
class TrainingConfig(metaclass=Named):
    """What all trainers share, by the names of transformers. A step is an optimizer step: `gradient_accumulation_steps` micro-batches.

    `learning_rate_scales`: (part of a parameter's name, factor) pairs; the first that fits counts.
    `output_dir` None keeps nothing on disk. `save_steps` 0 saves at the end only. `optim`: "adamw", or "muon" for matrices with AdamW
    for embeddings, head, norms and vectors, as DeepSeek-V4 has it. `spike_factor`: a gradient norm so many times the median of
    the last ones counts as a spike; 0 switches this off. `max_bad_steps`: so many bad steps in a row end the run.
    `warmup_ratio`: warm up for this share of all steps, where `warmup_steps` is 0. `disable_tqdm`: show no progress.
    """

    output_dir: str | None = None
    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    learning_rate: float = 1e-4
    max_steps: int = -1
    num_train_epochs: float = 1.0
    learning_rate_scales: tuple[tuple[str, float], ...] = ()
    lr_scheduler_type: str = "constant"
    warmup_steps: int = 0
    warmup_ratio: float = 0.0
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    optim: str = "adamw"
    seed: int = 42
    bf16: bool = False
    fp16: bool = False
    logging_steps: int = 1
    save_steps: int = 0
    save_total_limit: int | None = 2
    report_to: tuple[str, ...] | str = ()
    disable_tqdm: bool = False
    spike_factor: float = 0.0
    max_bad_steps: int = 3

    _at_least_one: ClassVar[tuple[str, ...]] = ("per_device_train_batch_size", "gradient_accumulation_steps", "logging_steps", "max_bad_steps")

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                self._require(field.name, isinstance(value, Integral) and not isinstance(value, bool), "a whole number")
            if field.type == "float":
                self._require(field.name, isinstance(value, (int, float)) and math.isfinite(value) and value >= 0, "a number that is at least 0")
        for name in self._at_least_one:
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("num_train_epochs", self.max_steps > 0 or self.num_train_epochs > 0, "above 0 where max_steps gives no number of steps")
        self._require("save_steps", self.save_steps >= 0, "at least 0")
        self._require("lr_scheduler_type", self.lr_scheduler_type in _SCHEDULES, f"one of {', '.join(_SCHEDULES)}")
        self._require("optim", self.optim in _OPTIMIZERS, f"one of {', '.join(_OPTIMIZERS)}")
        self._require("warmup_ratio", self.warmup_ratio <= 1, "at most 1")
        self._require("report_to", set(self.reports) <= set(_REPORTS), f"some of {', '.join(_REPORTS)}")
        self._require("fp16", not (self.fp16 and self.bf16), "False where bf16 is True")
        self._check()

    @property
    def reports(self) -> tuple[str, ...]:
        """Where metrics go beside metrics.jsonl."""
        return (self.report_to,) if isinstance(self.report_to, str) else tuple(self.report_to or ())

    def _check(self) -> None:
        """What a kind of trainer demands besides."""

    def _require(self, name: str, fine: bool, text: str) -> None:
        if not fine:
            raise ArgumentError(f"{type(self).__name__}: {name} is {getattr(self, name)!r}; it must be {text}")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step of so many."""
        warm = self.warmup_steps or math.ceil(self.warmup_ratio * steps)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = min(1.0, (step - warm) / max(1, steps - warm))
        shape = {"constant": 1.0, "constant_with_warmup": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
        return self.learning_rate * shape[self.lr_scheduler_type]


@dataclass(frozen=True)
class SFTConfig(TrainingConfig):
    """Supervised fine-tuning. `max_length`: tokens of an example, longer ones are cut at the end; of a row, if `packing`.

    `completion_only_loss`: learn the completions only, not the prompts. `auxiliary_losses`: with those that the model has of its own
    (DeepSeek-V4: MTP, balance of experts, indexers); the loss that is logged is the cross entropy.
    """

    max_length: int | None = 1024
    packing: bool = False
    completion_only_loss: bool = True
    auxiliary_losses: bool = True

    def _check(self) -> None:
        self._require("max_length", self.max_length is None or self.max_length >= 2, "at least 2, or None")
        self._require("packing", not self.packing or self.max_length is not None, "False where max_length is None")


@dataclass(frozen=True)
class DPOConfig(TrainingConfig):
    """Preference pairs. `loss_type`: "sigmoid" (DPO) or "ipo"."""

    beta: float = 0.1
    label_smoothing: float = 0.0
    loss_type: str = "sigmoid"
    max_length: int | None = 1024

    def _check(self) -> None:
        self._require("beta", self.beta > 0, "above 0")
        self._require("label_smoothing", self.label_smoothing < 0.5, "below 0.5")
        self._require("loss_type", self.loss_type in ("sigmoid", "ipo"), "sigmoid or ipo")


@dataclass(frozen=True)
class SamplingConfig(TrainingConfig):
    """What trainers that let the model write are told."""

    max_completion_length: int = 256
    temperature: float = 1.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None

    def _check(self) -> None:
        self._require("max_completion_length", self.max_completion_length >= 1, "at least 1")
        self._require("temperature", self.temperature > 0, "above 0")


@dataclass(frozen=True)
class GRPOConfig(SamplingConfig):
    """GRPO and its kin, by TRL's names.

    A generation is `per_device_train_batch_size * steps_per_generation` completions, `num_generations` for each prompt; it is
    used `num_iterations` times. `steps_per_generation` is by default `gradient_accumulation_steps`: one optimizer step a pass.

    - `generation_batch_size`: completions of a generation, in place of `steps_per_generation`;
    - `loss_type`: "grpo", "dapo", "dr_grpo", "gspo" or "cispo": a row of `ascendlite.posttrain.RECIPES`, of which `epsilon`,
      `epsilon_high`, `importance_sampling_level` and `scale_rewards` change what they name; `scale_rewards` is True or "group",
      "batch" (the standard deviation over a generation), False or "none";
    - `dynamic_sampling`: how many times groups whose rewards are all equal are replaced by groups of other prompts (DAPO); what is
      equal still then is kept, and teaches nothing. 0: never;
    - `beta`, `kl`: weight and estimator of the KL to the reference model (0: there is none);
    - `delta`: the dual clip; `off_policy_mask_threshold`: nats a token (DeepSeek-V3.2);
    - `keep_routing`: use the experts and entries of the sampling policy in all passes over a generation;
    - `importance_sampling_correction`: compute pi_old again and weigh by pi_old / pi_sampler, see `importance_weight`; `_mode` is
      sequence or token, mask (to 0) or truncate (to the cap);
    - `sync_ref_model`: every `ref_model_sync_steps` steps the reference becomes `ref_model_mixup_alpha` of the model and the rest of itself.
    """

    learning_rate: float = 1e-6
    num_generations: int = 8
    steps_per_generation: int | None = None
    generation_batch_size: int | None = None
    num_iterations: int = 1
    beta: float = 0.0
    kl: str = "unbiased"
    loss_type: str = "dapo"
    epsilon: float | None = None
    epsilon_high: float | None = None
    importance_sampling_level: str | None = None
    scale_rewards: bool | str | None = None
    dynamic_sampling: int = 0
    delta: float | None = None
    off_policy_mask_threshold: float | None = None
    keep_routing: bool = False
    importance_sampling_correction: bool = False
    importance_sampling_mode: str = "sequence_mask"
    importance_sampling_cap: float = 3.0
    sync_ref_model: bool = False
    ref_model_sync_steps: int = 512
    ref_model_mixup_alpha: float = 0.6
    mask_truncated_completions: bool = False
    reward_weights: tuple[float, ...] | None = None
    log_completions: int = 0

    @property
    def micro_batches(self) -> int:
        """How many micro-batches a generation is cut into."""
        if self.generation_batch_size is not None:
            return self.generation_batch_size // self.per_device_train_batch_size
        return self.steps_per_generation or self.gradient_accumulation_steps

    @property
    def generation_rows(self) -> int:
        """How many completions a generation has."""
        return self.per_device_train_batch_size * self.micro_batches

    def _check(self) -> None:
        from .policy import KL_ESTIMATORS, RECIPES

        super()._check()
        self._require("loss_type", self.loss_type in RECIPES, f"one of {', '.join(RECIPES)}")
        self._require("kl", self.kl in KL_ESTIMATORS, f"one of {', '.join(KL_ESTIMATORS)}")
        self._require("num_generations", self.num_generations >= 2, "at least 2: the others of a group are the baseline")
        self._require("num_iterations", self.num_iterations >= 1, "at least 1")
        self._require("scale_rewards", self.scale_rewards in _SCALES, "True, False, group, batch or none")
        self._require("importance_sampling_level", self.importance_sampling_level in _LEVELS, "token or sequence")
        self._require("importance_sampling_mode", self.importance_sampling_mode in _WEIGHTS, f"one of {', '.join(_WEIGHTS)}")
        self._require("dynamic_sampling", self.dynamic_sampling >= 0, "at least 0")
        for name in ("epsilon", "epsilon_high", "delta", "off_policy_mask_threshold"):
            value = getattr(self, name)
            self._require(name, value is None or (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0), "None or at least 0")
        self._require("ref_model_sync_steps", self.ref_model_sync_steps >= 1, "at least 1")
        self._require("ref_model_mixup_alpha", self.ref_model_mixup_alpha <= 1, "from 0 to 1")
        self._require("sync_ref_model", not self.sync_ref_model or self.beta > 0, "False where beta is 0: there is no reference")
        size = self.generation_batch_size
        self._require("generation_batch_size", size is None or self.steps_per_generation is None, "None where steps_per_generation is given")
        of_batches = size is None or (size > 0 and size % self.per_device_train_batch_size == 0)
        self._require("generation_batch_size", of_batches, f"a multiple of per_device_train_batch_size, {self.per_device_train_batch_size}")
        whole = self.generation_rows % self.num_generations == 0
        self._require("num_generations", whole, f"a divisor of the {self.generation_rows} completions of a generation")
        steps = self.micro_batches % self.gradient_accumulation_steps == 0
        self._require("steps_per_generation", steps, f"a multiple of gradient_accumulation_steps, {self.gradient_accumulation_steps}")


@dataclass(frozen=True)
class DistillConfig(SamplingConfig):
    """On-policy distillation. `lmbda` is TRL's name for the share of the student's own completions; here it is always all.

    `temperature` is that of the completions, `distill_temperature` that of both sides of the KL; `chunk`: tokens whose logits are held at once.
    """

    learning_rate: float = 1e-4
    distill_temperature: float = 1.0
    chunk: int = 1024

    def _check(self) -> None:
        super()._check()
        self._require("distill_temperature", self.distill_temperature > 0, "above 0")
        self._require("chunk", self.chunk >= 1, "at least 1")


Config = TypeVar("Config", bound=TrainingConfig)


def config_for(trainer: str, args: object, kind: type[Config]) -> Config:
    """The config that a trainer was given, or its default; one of another trainer is refused."""
    if args is None:
        return kind()
    if not isinstance(args, kind):
        raise ArgumentError(f"{trainer}: args is a {type(args).__name__}; give a {kind.__name__}")
    return args
