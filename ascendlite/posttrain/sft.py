"""Supervised fine-tuning: cross entropy of answers, divided by the number of learned tokens of the whole optimizer step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ascendlite import nn
from ascendlite.errors import ArgumentError
from ascendlite.models.cache import CausalLM
from ascendlite.models.shapes import recurring_width
from ascendlite.structure import Value
from ascendlite.text import Tokenizer

from .auxiliary import learning
from .callbacks import TrainerCallback
from .config import SFTConfig, config_for
from .dataset import Row, Rows, sft_example
from .inputs import opened
from .lora import LoraConfig
from .packing import Batch, Example, pack, pad
from .protocol import Codec
from .trainer import Trainer


class SFTTrainer(Trainer[Batch]):
    """Learns the answers of a data set, by TRL's names.

    `train_dataset` has rows with `prompt` and `completion`, with `messages`, or with `text`; `formatting_func` makes a text of a row.

    >>> from ascendlite.models.gpt import GPT, GPTConfig
    >>> tokenizer = al.posttrain.PieceTokenizer()
    >>> model = GPT(GPTConfig(tokenizer.vocab_size, length=16, layers=1, heads=1, width=8))
    >>> rows = [{"prompt": "2+2=", "completion": "4"}, {"prompt": "1+2=", "completion": "3"}]
    >>> trainer = SFTTrainer(model, SFTConfig(max_steps=2, disable_tqdm=True), rows, processing_class=tokenizer)
    >>> trainer.train().global_step
    2
    """

    def __init__(
        self,
        model: nn.Module | str,
        args: SFTConfig | None = None,
        train_dataset: Rows | None = None,
        *,
        processing_class: Codec | Tokenizer | None = None,
        formatting_func: Callable[[Row], str] | None = None,
        peft_config: LoraConfig | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        saved_with: Mapping[str, Value] | None = None,
    ) -> None:
        self.config = config_for("SFTTrainer", args, SFTConfig)
        columns = "prompt and completion, messages, or text"
        model, self.codec, dataset = opened("SFTTrainer", model, processing_class, train_dataset, peft_config, columns)
        self._format = formatting_func
        self.examples = [self._example(dataset[n]) for n in range(len(dataset))]
        super().__init__(model, self.config, len(self.examples), callbacks=callbacks, saved_with=saved_with)
        self._learning = learning(self.causal, auxiliary=self.config.auxiliary_losses)

    def _example(self, row: Row) -> Example:
        if self._format is not None:
            row = {"text": self._format(row)}
        example = sft_example(row, self.codec, completion_only=self.config.completion_only_loss, most=self.config.max_length)
        if not example.targets:
            raise ArgumentError(
                f"SFTTrainer: nothing of an example is learned: its prompt fills max_length {self.config.max_length}; "
                "raise max_length, or leave the example out"
            )
        return example

    @property
    def causal(self) -> CausalLM:
        """The model by what it can do."""
        return cast(CausalLM, self.model)

    def rows_per_step(self) -> float:
        """Examples of an optimizer step."""
        return self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps

    def plan(self) -> list[Batch]:
        """The next examples, padded or packed."""
        size = self.args.per_device_train_batch_size
        numbers = self.order.take(size * self.args.gradient_accumulation_steps)
        parts = [[self.examples[n] for n in numbers[at : at + size]] for at in range(0, len(numbers), size)]
        if not self.config.packing:
            return [pad(part, multiple=recurring_width(1, self.device)) for part in parts]
        assert self.config.max_length is not None
        return [pack(part, self.config.max_length - 1) for part in parts]

    def compute(self, micros: list[Batch]) -> tuple[float, dict[str, float]]:
        """Summed losses over the count of all learned tokens: how the step is cut does not matter."""
        total = sum(batch.target_count for batch in micros)
        loss = 0.0
        self._learning.begin()
        for batch in micros:
            with self.autocast():
                part, cross_entropy = self._learning.loss(batch, self.device, batch.target_count / total)
            self.backward(part)
            loss += cross_entropy
        return loss, {"tokens": sum(sum(batch.lengths) for batch in micros), "target_tokens": total}

    def applied(self) -> None:
        """The balancing biases of a mixture move after the step."""
        self._learning.applied()

    def batch_state(self, micros: list[Batch]) -> Value:
        """Inputs and targets."""
        return [{"tokens": batch.tokens, "targets": batch.targets, "documents": batch.documents} for batch in micros]
