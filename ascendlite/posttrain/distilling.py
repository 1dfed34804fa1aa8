"""On-policy distillation as a trainer: the student writes, and every token is compared with what its teacher would have said.

Rows of the data set name their teacher by number; a micro-batch holds rows of one teacher only, so that one is at work at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import cast

from ascendlite import nn
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.generation import GenerationConfig, row_seeds
from ascendlite.models.cache import CausalLM
from ascendlite.structure import Value
from ascendlite.text import Tokenizer

from .callbacks import TrainerCallback
from .config import DistillConfig, config_for
from .dataset import Row, Rows, beginning_of, prompt_text
from .distill import Teacher, distill_loss
from .forward import Continued, answer_hidden, continued
from .inputs import opened
from .protocol import Codec, ends_of
from .rollout import Rollout, Sampler
from .trainer import Trainer
from .wal import WriteAheadLog


@dataclass(frozen=True)
class TaughtMicro:
    """Completions of the student and the number of the teacher that judges them."""

    teacher: int
    rollouts: list[Rollout]


class DistillTrainer(Trainer[TaughtMicro]):
    """Learns from teachers on the student's own completions, by reverse KL over the full vocabulary.

    `train_dataset` has rows with `prompt` and `teacher`, a number (0 where it is missing). Teachers share the student's vocabulary.
    """

    def __init__(
        self,
        model: nn.Module,
        teachers: nn.Module | Sequence[nn.Module],
        args: DistillConfig | None = None,
        train_dataset: Rows | None = None,
        *,
        processing_class: Codec | Tokenizer | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        saved_with: Mapping[str, Value] | None = None,
    ) -> None:
        self.config = config_for("DistillTrainer", args, DistillConfig)
        model, self.codec, self.dataset = opened("DistillTrainer", model, processing_class, train_dataset, None, "prompt")
        super().__init__(model, self.config, len(self.dataset), callbacks=callbacks, saved_with=saved_with)
        self.teachers = _checked_teachers(teachers, cast(CausalLM, model))
        for teacher in self.teachers:
            teacher.eval()
        c = self.config
        sampling = GenerationConfig(
            max_new_tokens=c.max_completion_length, temperature=c.temperature, top_k=c.top_k or None,
            top_p=None if c.top_p == 1 else c.top_p, min_p=c.min_p,
            stop_tokens=ends_of(self.codec),
        )  # fmt: skip
        self._sampler = Sampler(cast(CausalLM, model), sampling)

    def rows_per_step(self) -> float:
        """Prompts of an optimizer step."""
        return self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps

    def plan(self) -> list[TaughtMicro]:
        """The student's completions of the next prompts, sorted by teacher."""
        step = self.state.global_step
        rows = [self.dataset[n] for n in self.order.take(round(self.rows_per_step()))]
        numbers = [self._teacher_of(row) for row in rows]
        prompts = [beginning_of(self.codec, prompt_text(row, self.codec)) for row in rows]
        seed = (row_seeds(self.args.seed, 2)[1] + step * 0x9E3779B97F4A7C15) % 2**63
        rollouts = self._draw(prompts, [s % 2**63 for s in row_seeds(seed, len(prompts))])
        size, micros = self.args.per_device_train_batch_size, []
        for teacher in range(len(self.teachers)):
            own = [rollout for rollout, n in zip(rollouts, numbers, strict=True) if n == teacher]
            micros += [TaughtMicro(teacher, own[at : at + size]) for at in range(0, len(own), size)]
        return micros

    def _teacher_of(self, row: Row) -> int:
        number = row.get("teacher", 0)
        if not isinstance(number, Integral) or not 0 <= int(number) < len(self.teachers):
            raise ArgumentError(f"DistillTrainer: a row names teacher {number!r}; there are {len(self.teachers)}, numbered from 0")
        return int(number)

    def _draw(self, prompts: list[list[int]], seeds: list[int]) -> list[Rollout]:
        if self.folder is None:
            return self._sampler.draw(prompts, seeds)
        path = Path(self.folder, "rollouts", "distill.log")  # of the step at hand
        with WriteAheadLog(path) as log:
            return self._sampler.draw(prompts, seeds, log)

    def compute(self, micros: list[TaughtMicro]) -> tuple[float, dict[str, float]]:
        """sum over rows of (1 / |o|) sum_t KL(student || teacher), over the number of rows."""
        total = sum(len(micro.rollouts) for micro in micros)
        loss, tokens = 0.0, 0
        by_teacher: dict[str, float] = {}
        for micro in micros:
            batch = continued([r.prompt for r in micro.rollouts], [r.tokens for r in micro.rollouts], self.device)
            with self.autocast():
                part = self._loss(micro, batch, total)
            self.backward(part)
            value = float(part.item())
            loss, tokens = loss + value, tokens + sum(batch.lengths)
            name = f"kl/teacher_{micro.teacher}"
            by_teacher[name] = by_teacher.get(name, 0.0) + value * total
        counts = {f"kl/teacher_{n}": sum(len(m.rollouts) for m in micros if m.teacher == n) for n in range(len(self.teachers))}
        means = {name: value / counts[name] for name, value in by_teacher.items()}
        lengths = [len(r.tokens) for micro in micros for r in micro.rollouts]
        return loss, {"tokens": tokens, "kl": loss, "completions/mean_length": sum(lengths) / len(lengths), **means}

    def _loss(self, micro: TaughtMicro, batch: Continued, total: int) -> Tensor:
        student, teacher = cast(CausalLM, self.model), cast(CausalLM, self.teachers[micro.teacher])
        places = (batch.mask.reshape(-1) > 0).nonzero()
        places = cast(Tensor, places).reshape(-1)
        weights = (batch.mask / batch.mask.sum(1, True).clamp(min=1)).reshape(-1)[places]
        with no_grad():
            theirs = answer_hidden(teacher, batch)
        mine = answer_hidden(student, batch)
        of_teacher = Teacher(theirs.reshape(-1, theirs.shape[-1])[places], teacher.head.weight.detach(), weights)
        return distill_loss(
            mine.reshape(-1, mine.shape[-1])[places], student.head.weight, [of_teacher],
            temperature=self.config.distill_temperature, chunk=self.config.chunk, total=float(total),
        )  # fmt: skip

    def batch_state(self, micros: list[TaughtMicro]) -> Value:
        """Prompts and completions."""
        return [{"teacher": m.teacher, "rollouts": [{"prompt": r.prompt, "tokens": r.tokens} for r in m.rollouts]} for m in micros]


def _checked_teachers(given: nn.Module | Sequence[nn.Module], student: CausalLM) -> list[nn.Module]:
    """Teachers as a list; each has the student's vocabulary."""
    teachers = [given] if isinstance(given, nn.Module) else list(given or ())
    if not teachers:
        raise ArgumentError("DistillTrainer: it needs teachers, a list of models")
    for number, teacher in enumerate(teachers):
        if not isinstance(teacher, nn.Module):
            raise ArgumentError(f"DistillTrainer: teacher {number} is a {type(teacher).__name__}; give models")
        theirs, mine = (cast(CausalLM, m).head.weight.shape[0] for m in (teacher, student))
        if theirs != mine:
            raise ArgumentError(f"DistillTrainer: teacher {number} has a vocabulary of {theirs} tokens, the student of {mine}; both need the same tokenizer")
    return teachers
