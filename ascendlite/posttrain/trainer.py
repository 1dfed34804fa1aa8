"""The loop that all trainers share: steps, guard, metrics, callbacks, checkpoints, and going on bit for bit.

A kind of training says what a micro-batch is and what its loss is; nothing here knows more. The order within a step: plan,
compute all gradients, ask the guard, apply, log, save. What a step needs to be the same again is in the checkpoint.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import ascendlite as al
from ascendlite import checkpoint, nn
from ascendlite.amp import autocast
from ascendlite.core import Device, Tensor
from ascendlite.errors import ArgumentError
from ascendlite.nn.utils import clip_grad_norm_
from ascendlite.structure import Value

from .callbacks import Row, TrainerCallback, TrainerControl, TrainerState
from .config import TrainingConfig
from .guard import Guard, StepResult
from .learned import Learned
from .metrics import Metrics, tensorboard_writer
from .optimizers import make_optimizer
from .order import Order
from .progress import ProgressCallback
from .saving import save_trained
from .scaling import LossScale
from .signals import stop_on_signal

Micro = TypeVar("Micro")
_LATER = frozenset({"max_steps", "num_train_epochs", "output_dir", "logging_steps", "save_steps", "save_total_limit", "report_to", "disable_tqdm"})


@dataclass(frozen=True)
class TrainOutput:
    """How a run ended: "done", "signal", "time" or "callback"."""

    global_step: int
    training_loss: float
    ended: str


class Trainer(ABC, Generic[Micro]):
    """What SFT, DPO, GRPO and distillation share; `train()` runs it."""

    def __init__(
        self,
        model: nn.Module,
        args: TrainingConfig,
        size: int,
        *,
        callbacks: Sequence[TrainerCallback] = (),
        saved_with: Mapping[str, Value] | None = None,
    ) -> None:
        self.model, self.args = model, args
        self.saved_with = dict(saved_with or {})
        self.learned = Learned(model)
        self._frozen: str | None = None
        self.order = Order(size, args.seed)
        self.optimizer = make_optimizer(model, args)
        self.state = TrainerState(max_steps=self._steps(size))
        self.control = TrainerControl()
        self.callbacks = self._with_progress(callbacks)
        self.folder = None if args.output_dir is None else Path(args.output_dir)
        self.guard = Guard(args.spike_factor, args.max_bad_steps, self.folder)
        self.scale = LossScale(self.device, args)
        self.metrics: Metrics | None = None
        self.seconds = 0.0
        self.cooling: tuple[int, int] | None = None  # first step and number of steps of the learning rate's way to 0
        self._writer: Any = None
        self._last_loss = float("nan")

    # -- what a kind of training says

    @abstractmethod
    def rows_per_step(self) -> float:
        """How many examples of the data set an optimizer step uses."""

    @abstractmethod
    def plan(self) -> list[Micro]:
        """The micro-batches of the next optimizer step."""

    @abstractmethod
    def compute(self, micros: list[Micro]) -> tuple[float, dict[str, float]]:
        """Add the gradients of all micro-batches; returns the loss of the step and figures to log."""

    @abstractmethod
    def batch_state(self, micros: list[Micro]) -> Value:
        """The micro-batches as something that can be saved, for a dump."""

    def applied(self) -> None:
        """Called when the optimizer has stepped."""

    def extra_state(self) -> Value:
        """What else the next step depends on."""
        return None

    def load_extra_state(self, state: Value) -> None:
        """Put `extra_state()` back."""

    # -- helpers

    @property
    def device(self) -> Device:
        """Where the model is."""
        return next(iter(self.model.parameters())).device

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bfloat16 where `args.bf16`, float16 where `args.fp16`."""
        low = al.bfloat16 if self.args.bf16 else al.float16
        return autocast(self.device.type, dtype=low) if self.args.bf16 or self.args.fp16 else contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add a loss's gradients, in float16 times the scale."""
        self.scale.scale(loss).backward()

    def _with_progress(self, callbacks: Sequence[TrainerCallback]) -> list[TrainerCallback]:
        """A bar, unless there is one or none is wanted."""
        if self.args.disable_tqdm or any(isinstance(callback, ProgressCallback) for callback in callbacks):
            return list(callbacks)
        return [ProgressCallback(type(self).__name__), *callbacks]

    def _steps(self, size: int) -> int:
        if self.args.max_steps > 0:
            return self.args.max_steps
        return max(1, round(self.args.num_train_epochs * size / self.rows_per_step()))

    def _tell(self, moment: str, **kwargs: object) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self.args, self.state, self.control, model=self.model, trainer=self, **kwargs)

    def cool_down(self, steps: int) -> None:
        """From here on let the learning rate fall to 0 in a line, and end the run there."""
        if self.cooling is None:
            self.cooling = (self.state.global_step, steps)
            self.state.max_steps = min(self.state.max_steps, self.state.global_step + steps)

    def _rate(self) -> float:
        step = self.state.global_step
        rate = self.args.rate(step, self.state.max_steps)
        return rate if self.cooling is None else rate * max(0.0, 1 - (step - self.cooling[0]) / self.cooling[1])

    # -- one step

    def _gradients(self, micros: list[Micro]) -> StepResult:
        self.optimizer.zero_grad()
        self.scale.begin()
        loss, stats = self.compute(micros)
        self.scale.unscale_(cast(Any, self.optimizer))
        learned = [p for p in self.model.parameters() if p.requires_grad]
        limit = self.args.max_grad_norm
        norm = clip_grad_norm_(learned, limit if limit else float("inf"))
        return StepResult(loss, float(norm.item()), stats, self.scale.overflowed)

    def training_step(self) -> Row:
        """One optimizer step; returns its figures."""
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        self.model.train()
        started = time.perf_counter()
        micros = self.plan()
        seen = len(self.guard.events)
        result = self.guard.run(self.state.global_step + 1, lambda: self._gradients(micros), self.model, lambda: self.batch_state(micros))
        row: Row = {"lr": rate, "skipped": int(result is None)}
        if result is not None:
            self.optimizer.step()
            self.applied()
            self._last_loss = result.loss
            row |= {"loss": result.loss, "grad_norm": result.grad_norm, **result.stats}
        if self.args.fp16:
            row["loss_scale"] = self.scale.get_scale()
            self.scale.finish()
        self.optimizer.zero_grad()
        self.state.global_step += 1
        self.state.epoch = self.order.epoch
        spent = time.perf_counter() - started
        if "tokens" in row:
            row["tokens_per_s"] = row.pop("tokens") / spent
        if len(self.guard.events) > seen:
            row["bad_step"] = 1
        return {"step": self.state.global_step, "epoch": self.state.epoch, **row}

    # -- the run

    def train(self, resume_from_checkpoint: bool | str | Path | None = None, *, max_seconds: float = float("inf")) -> TrainOutput:
        """Train to the last step. `resume_from_checkpoint`: True for the newest good one of `output_dir`, or a folder.

        Ctrl-C and SIGTERM end the run after the step, with a checkpoint.
        """
        resumed = self._resume(resume_from_checkpoint)
        self._open(resumed)
        self._tell("on_train_begin")
        ended = self._end(False, False)
        before, start, saved = self.seconds, time.perf_counter(), self.state.global_step if resumed else -1
        try:
            with stop_on_signal() as stopped:
                while self.state.global_step < self.state.max_steps and ended == "done":
                    self._one(lambda: before + time.perf_counter() - start)
                    if self._save_is_due():
                        self.save()
                        saved = self.state.global_step
                    ended = self._end(stopped(), self.seconds - before > max_seconds)
            if saved != self.state.global_step:
                self.save()
        finally:
            self._close()
        self._tell("on_train_end")
        return TrainOutput(self.state.global_step, self._last_loss, ended)

    def _end(self, stopped: bool, late: bool) -> str:
        return "signal" if stopped else "time" if late else "callback" if self.control.should_training_stop else "done"

    def _one(self, clock: Any) -> None:
        if self.folder is not None and (self.state.global_step + 1) % (self.args.save_steps or self.state.max_steps) == 0:
            checkpoint.check_room(self._checkpoints(), self._bytes())  # a full disk is told before the step is computed
        self._tell("on_step_begin")
        row = self.training_step()
        self.seconds = clock()
        self._tell("on_step_end")
        step = self.state.global_step
        if step % self.args.logging_steps == 0 or step == self.state.max_steps or self.control.should_log or "bad_step" in row:
            self.log({**row, "seconds": self.seconds})
            self.control.should_log = False

    def log(self, row: Row) -> None:
        """Write a row of metrics and tell the callbacks."""
        self.state.log_history.append(row)
        if self.metrics is not None:
            self.metrics.add(row)
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, self.state.global_step)
        self._tell("on_log", logs=row)

    def _open(self, resumed: bool) -> None:
        if self.folder is None:
            return
        checkpoint.check_room(self._checkpoints(), self._bytes())
        self.metrics = Metrics(self.folder, self.state.global_step if resumed else None)
        self.state.log_history = list(self.metrics.rows)
        if "tensorboard" in self.args.reports:
            self._writer = tensorboard_writer(self.folder)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # -- checkpoints

    def _checkpoints(self) -> Path:
        assert self.folder is not None
        return self.folder / "checkpoints"

    def _bytes(self) -> int:
        return sum(3 * t.nbytes for t in self.model.parameters() if t.requires_grad)  # weights, and AdamW's two moments

    def _frozen_checksum(self) -> str:
        if self._frozen is None:
            self._frozen = self.learned.checksum()
        return self._frozen

    def _save_is_due(self) -> bool:
        every = self.args.save_steps
        return self.control.should_save or bool(every and self.state.global_step % every == 0)

    def save(self) -> Path | None:
        """Write a checkpoint; None where there is no `output_dir`."""
        self.control.should_save = False
        if self.folder is None:
            return None
        extras: dict[str, Value] = {
            **self.saved_with,
            "trainer": type(self).__name__,
            "args": cast(Value, {name: value for name, value in asdict(self.args).items() if name not in _LATER}),
            "frozen": self._frozen_checksum(),
            "guard": self.guard.state_dict(),
            "scale": self.scale.state_dict(),
            "seconds": self.seconds,
            "cooling": self.cooling,
            "extra": self.extra_state(),
        }
        path = checkpoint.save(
            self._checkpoints(), step=self.state.global_step, model=self.learned, optimizer=self.optimizer, data=self.order,
            extras=extras, keep_last=self.args.save_total_limit,
        )  # fmt: skip
        self._tell("on_save", path=path)
        return path

    def save_model(self, output_dir: str | Path | None = None) -> Path:
        """Write the model for other programs: a Hugging Face folder, or the LoRA weights alone; by default in `output_dir`/model."""
        if output_dir is None and self.folder is None:
            raise ArgumentError("save_model: give the folder; the trainer has no output_dir")
        folder = Path(output_dir) if output_dir is not None else cast(Path, self.folder) / "model"
        save_trained(self.model, folder)
        return folder

    def _resume(self, where: bool | str | Path | None) -> bool:
        if not where:
            return False
        if where is True and self.folder is None:
            raise ArgumentError("train: resume_from_checkpoint=True looks in output_dir, which is None; give the folder of a checkpoint")
        folder = self._checkpoints() if where is True else Path(str(where))
        found = checkpoint.load(folder, model=self.learned, optimizer=self.optimizer, data=self.order)
        with checkpoint.understood(found.path / "run.safetensors", f"a run of {type(self).__name__}"):
            self._take_up(found.step, cast("dict[str, Value]", found.extras))
        return True

    def _take_up(self, step: int, extras: dict[str, Value]) -> None:
        self._refuse_other_run(extras)
        self.state.global_step, self.state.epoch = step, self.order.epoch
        self.guard.load_state_dict(cast("Mapping[str, Value]", extras["guard"]))
        self.scale.load_state_dict(cast("Mapping[str, Any]", extras.get("scale", {})))
        self.seconds = cast(float, extras["seconds"])
        self.cooling = cast("tuple[int, int] | None", extras["cooling"])
        if self.cooling is not None:
            self.state.max_steps = min(self.state.max_steps, sum(self.cooling))
        self.load_extra_state(extras["extra"])

    def _refuse_other_run(self, extras: Mapping[str, Value]) -> None:
        if extras.get("trainer") != type(self).__name__:
            raise ArgumentError(f"resume: the checkpoint is of {extras.get('trainer')}, this is {type(self).__name__}; use the trainer that made it")
        if extras.get("frozen", "") != self._frozen_checksum():
            raise ArgumentError("resume: the frozen weights are not those that the run was started with; load the same model before adding LoRA")
        saved, now = cast("dict[str, Value]", extras["args"]), asdict(self.args)
        for name, value in saved.items():
            if name in now and now[name] != value:
                raise ArgumentError(
                    f"resume: {name} was {value!r} and is now {now[name]!r}; the run would not be the same: change it back, or start a new run"
                )


def mean_of(values: Sequence[Tensor]) -> float:
    """The mean of scalars, 0 where there is none."""
    return sum(float(v.item()) for v in values) / len(values) if values else 0.0
