"""DPO: learn which of two answers is preferred, measured against the model as it was."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import ascendlite as al
from ascendlite import nn
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.models.cache import CausalLM
from ascendlite.structure import Value
from ascendlite.text import Tokenizer

from .callbacks import TrainerCallback
from .config import DPOConfig, config_for
from .dataset import Row, Rows, answer_of, beginning_of, checked_row, prompt_text, tokens_of
from .forward import Continued, answer_hidden, continued
from .inputs import opened
from .learned import Learned
from .likelihood import token_log_probs
from .lora import LoraConfig
from .preference import dpo_loss, sequence_log_probs
from .protocol import Codec
from .trainer import Trainer


@dataclass(frozen=True)
class Pair:
    """A prompt with a better and a worse answer, as tokens."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


class DPOTrainer(Trainer[list[Pair]]):
    """Learns preferences, by TRL's names; rows have `prompt`, `chosen` and `rejected`.

    `ref_model` is by default a frozen copy of the model as it is now.
    """

    def __init__(
        self,
        model: nn.Module | str,
        ref_model: nn.Module | None = None,
        args: DPOConfig | None = None,
        train_dataset: Rows | None = None,
        *,
        processing_class: Codec | Tokenizer | None = None,
        peft_config: LoraConfig | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        saved_with: Mapping[str, Value] | None = None,
    ) -> None:
        self.config = config_for("DPOTrainer", args, DPOConfig)
        columns = "prompt, chosen and rejected"
        model, self.codec, dataset = opened("DPOTrainer", model, processing_class, train_dataset, peft_config, columns)
        self.pairs = [self._pair(dataset[n]) for n in range(len(dataset))]
        super().__init__(model, self.config, len(self.pairs), callbacks=callbacks, saved_with=saved_with)
        self.reference = frozen_copy(model) if ref_model is None else ref_model
        self._kept = kept_reference(self.reference, self.learned, given=ref_model is not None)

    def _pair(self, row: Row) -> Pair:
        for name in ("chosen", "rejected"):
            if name not in checked_row(row):
                raise ArgumentError(f"DPOTrainer: a row has the columns {', '.join(sorted(row)) or 'none'}; {name!r} is missing")
        prompt = beginning_of(self.codec, prompt_text(row, self.codec))
        room = (self.config.max_length or 2**62) - len(prompt)
        if room < 1:
            raise ArgumentError(f"DPOTrainer: a prompt of {len(prompt)} tokens fills max_length {self.config.max_length}; raise it")
        sides = [[*tokens_of(self.codec, answer_of(row[name], name)), self.codec.eos_token_id][:room] for name in ("chosen", "rejected")]
        return Pair(prompt, *sides)

    def rows_per_step(self) -> float:
        """Pairs of an optimizer step."""
        return self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps

    def plan(self) -> list[list[Pair]]:
        """The next pairs."""
        size = self.args.per_device_train_batch_size
        numbers = self.order.take(size * self.args.gradient_accumulation_steps)
        return [[self.pairs[n] for n in numbers[at : at + size]] for at in range(0, len(numbers), size)]

    def _log_probs(self, model: nn.Module, batch: Continued) -> Tensor:
        causal = cast(CausalLM, model)
        logits: Tensor = causal.head(answer_hidden(causal, batch))
        return sequence_log_probs(token_log_probs(logits, batch.answers), batch.mask, mean=self.config.loss_type == "ipo")

    def compute(self, micros: list[list[Pair]]) -> tuple[float, dict[str, float]]:
        """The mean over all pairs of the step."""
        total = sum(map(len, micros))
        loss, margins, right, tokens = 0.0, 0.0, 0.0, 0
        for pairs in micros:
            batch = continued([p.prompt for p in pairs] * 2, [*(p.chosen for p in pairs), *(p.rejected for p in pairs)], self.device)
            with no_grad(), self.autocast():
                reference = self._log_probs(self.reference, batch)
            with self.autocast():
                policy = self._log_probs(self.model, batch)
                n, c = len(pairs), self.config
                part = dpo_loss(
                    policy[:n], policy[n:], reference[:n], reference[n:], beta=c.beta, label_smoothing=c.label_smoothing, kind=c.loss_type, total=total
                )
            self.backward(part)
            rewards = c.beta * (policy - reference).detach()
            apart = rewards[:n] - rewards[n:]
            loss, margins = loss + float(part.item()), margins + float(apart.sum().item())
            right, tokens = right + float((apart > 0).sum().item()), tokens + sum(batch.lengths)
        return loss, {"tokens": tokens, "rewards/margins": margins / total, "rewards/accuracies": right / total}

    def batch_state(self, micros: list[list[Pair]]) -> Value:
        """The tokens of the pairs."""
        return [[{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in pairs] for pairs in micros]

    def extra_state(self) -> Value:
        """The reference's weights."""
        return {"reference": self._kept.state_dict()}

    def load_extra_state(self, state: Value) -> None:
        """Put the reference back."""
        self._kept.load_state_dict(cast("dict[str, dict[str, Value]]", state)["reference"])


def frozen_copy(model: nn.Module) -> nn.Module:
    """The model as it is now, that learns no more; weights that are frozen in the model already are shared with it."""
    shared = {id(p): p for p in model.parameters() if not p.requires_grad}
    with al.no_grad():
        copied = copy.deepcopy(model, shared)
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
    return copied.eval()


def kept_reference(reference: nn.Module, learned: Learned, *, given: bool) -> Learned:
    """What checkpoints hold of a reference: all of one that the user gave, of a copy of the model what learns in the model."""
    return Learned(reference, frozenset() if given else learned.frozen)
