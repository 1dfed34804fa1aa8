"""The job's stages, each done once: what is done is in stages.json, what is under way is in the checkpoints of its trainer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import ascendlite as al
from ascendlite import checkpoint, nn
from ascendlite.errors import FileFormatError
from ascendlite.files import replacing
from ascendlite.models.cache import CausalLM
from ascendlite.structure import Value

from ..callbacks import Row, TrainerCallback, TrainerControl, TrainerState
from ..config import DistillConfig, GRPOConfig, SFTConfig, TrainingConfig
from ..distilling import DistillTrainer
from ..evaluate import Evaluation, evaluate
from ..grpo import GRPOTrainer
from ..learned import Learned
from ..lora import merge_lora
from ..progress import ProgressCallback
from ..sft import SFTTrainer
from ..trainer import Trainer
from .device import DeviceProfile
from .material import Material, make_material, new_model, piece_tokenizer, pretrained, saved_with, tasks_of
from .settings import JobSettings

Results = dict[str, Any]
# GRPO's learning rate by part of a tiny DeepSeek-V4, found by trial: by the rewards of training questions on two seeds. Gradients of attention and
# experts are mostly noise from step to step, so these move slowly and the rate falls to 0 at the end.
_INNER = (".attn.", ".ffn.")
_OUTER = (("embed", 0.5), ("norm", 20.0), ("head.weight", 3.0))


def read_object(file: Path) -> dict[str, Any]:
    """The object of one of the job's JSON files."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise FileFormatError(f"{file} is damaged ({error}); restore it, or start a new run") from error
    if not isinstance(found, dict):
        raise FileFormatError(f"{file} is damaged (a {type(found).__name__} where an object was expected); restore it, or start a new run")
    return found


class Stopped(Exception):
    """The user ended the job; it can be resumed."""


class UntilLearnable(TrainerCallback):
    """Lets SFT end once pass@k on the questions for choosing is high enough for GRPO to have something to reward.

    The learning rate falls to 0 first, at the latest at the end of all steps: at its full height weights lie on a slope too steep for the noise
    of rewards.
    """

    def __init__(self, job: Job, material: Material, threshold: float) -> None:
        self.job, self.material, self.threshold = job, material, threshold

    def _look(self, state: TrainerState, control: TrainerControl, trainer: Trainer[Any]) -> None:
        found = self.job.evaluate(cast(CausalLM, trainer.model), self.material, choose=True)
        figures = found.figures()
        row: Row = {"step": state.global_step, "seconds": trainer.seconds}
        trainer.log({**row, **{f"validation/{name}": figures[name] for name in ("greedy", "pass_at_1", f"pass_at_{found.samples}")}})
        if found.pass_k.value >= self.threshold:
            if state.global_step:
                trainer.cool_down(self.job.settings.sft_cooling)
            else:
                control.should_training_stop = True  # a pretrained model that needs none

    def on_train_begin(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """A resumed run, or a pretrained model, may be good enough."""
        trainer = cast("Trainer[Any]", kwargs["trainer"])
        due = state.global_step % self.job.settings.sft_check == 0 if state.global_step else bool(self.job.settings.source)
        if due and trainer.cooling is None:
            self._look(state, control, trainer)

    def on_step_end(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Look every so many steps."""
        trainer = cast("Trainer[Any]", kwargs["trainer"])
        if state.global_step % self.job.settings.sft_check == 0 and trainer.cooling is None:
            self._look(state, control, trainer)
        if state.global_step == state.max_steps - self.job.settings.sft_cooling:
            trainer.cool_down(self.job.settings.sft_cooling)


class Job:
    """A post-training job in a folder."""

    def __init__(self, settings: JobSettings, folder: Path, say: Callable[[str], None]) -> None:
        self.settings, self.folder, self.say = settings, folder, say
        self._file = folder / "stages.json"
        self.results: Results = read_object(self._file) if self._file.is_file() else {}

    # -- stages

    def _stage(self, name: str, work: Callable[[], Results]) -> Results:
        """What a stage gave; done now if it was not done before."""
        if name not in self.results:
            start = time.perf_counter()
            result = work()
            self.results[name] = {**result, "seconds": time.perf_counter() - start}
            with replacing(self._file) as aside:
                aside.write_text(json.dumps(self.results, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return cast(Results, self.results[name])

    def _train(self, trainer: Trainer[Any]) -> Results:
        """Train to the end of a stage, going on with what is there."""
        checkpoints = cast(Path, trainer.folder) / "checkpoints"
        output = trainer.train(resume_from_checkpoint=checkpoint.latest(checkpoints) is not None)
        if output.ended == "signal":
            raise Stopped
        return {"steps": output.global_step, "train_seconds": trainer.seconds, "events": len(trainer.guard.events)}

    def _load(self, model: nn.Module, part: str) -> None:
        """Put the weights that a finished stage left into the model."""
        checkpoint.load(self.folder / part / "checkpoints", model=Learned(model), restore_random=False)

    def _callbacks(self, title: str) -> list[TrainerCallback]:
        on_device = [DeviceProfile(self.folder / title)] if self.settings.device.startswith("npu") else []
        return [ProgressCallback(title), *on_device]

    def evaluate(self, model: CausalLM, material: Material, *, choose: bool = False) -> Evaluation:
        """The model on held-out questions: those for choosing, or those for judging."""
        items = material.choose if choose else material.test
        return evaluate(
            model, material.codec, material.prompts(items), material.scorer(items),
            samples=self.settings.samples, max_new_tokens=material.max_new_tokens, seed=12345 + self.settings.seed,
        )  # fmt: skip

    def _judged(self, model: nn.Module, material: Material, name: str) -> Results:
        found = self.evaluate(cast(CausalLM, model), material)
        self.say(f"{name}: greedy {found.greedy}, pass@1 {found.pass_1}, pass@{found.samples} {found.pass_k} on {found.questions} held-out questions")
        return {"figures": found.figures(), "examples": [[item.prompt, a.completion, a.score] for item, a in zip(material.test, found.examples, strict=False)]}

    # -- training

    def _sft(self, model: nn.Module, materials: list[Material], part: str, saved: Mapping[str, Value]) -> None:
        s = self.settings
        rows = [row for several in zip(*(m.sft_rows() for m in materials), strict=False) for row in several]
        args = SFTConfig(
            str(self.folder / part), max_steps=s.sft_steps, per_device_train_batch_size=s.sft_batch, learning_rate=s.sft_lr,
            warmup_steps=20, save_steps=s.save_every, seed=s.seed,
        )  # fmt: skip
        stops = [UntilLearnable(self, material, s.start_at) for material in materials[:1]]
        trainer = SFTTrainer(model, args, rows, processing_class=materials[0].codec, callbacks=[*self._callbacks(part), *stops], saved_with=saved)
        self._stage(part, lambda: self._train(trainer))
        self._load(model, part)

    def _grpo(self, model: nn.Module, material: Material, part: str, saved: Mapping[str, Value]) -> None:
        s = self.settings
        args = GRPOConfig(
            str(self.folder / part), max_steps=s.grpo_steps, per_device_train_batch_size=s.grpo_prompts * s.grpo_generations,
            num_generations=s.grpo_generations, learning_rate=s.grpo_lr, lr_scheduler_type="linear", loss_type=s.loss_type, beta=s.beta,
            warmup_steps=min(10, s.grpo_steps // 5), dynamic_sampling=s.dynamic_sampling, max_completion_length=material.max_new_tokens,
            save_steps=s.save_every, seed=s.seed, log_completions=1, adam_beta2=0.99, learning_rate_scales=(*((part, s.grpo_inner_scale) for part in _INNER), *_OUTER),
            reward_weights=(1.0, s.partial_credit),
        )  # fmt: skip
        trainer = GRPOTrainer(
            model, material.rewards(), args, material.rl_rows(), processing_class=material.codec, callbacks=self._callbacks(part), saved_with=saved,
        )  # fmt: skip
        self._stage(part, lambda: self._train(trainer))
        self._load(model, part)

    def _begin(self) -> tuple[nn.Module, Material, dict[str, Value]]:
        if self.settings.source:
            model, codec, saved = pretrained(self.settings)
            return model, make_material(tasks_of(self.settings)[0], codec, self.settings), saved
        tasks = tasks_of(self.settings)
        tokenizer = piece_tokenizer(tasks)
        made = new_model(tokenizer, tasks, self.settings.seed).to(self.settings.device)
        return made, make_material(tasks[0], tokenizer, self.settings), saved_with(made, tokenizer)

    def run(self) -> Results:
        """All stages; raises `Stopped` where the user ended it."""
        al.manual_seed(self.settings.seed)
        return self._run_specialists() if self.settings.specialists else self._run_one()

    def _run_one(self) -> Results:
        model, material, saved = self._begin()
        count = sum(p.numel() for p in model.parameters())
        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.say(f"task {material.task.name}: {len(material.train):,} questions to learn from; {count:,} parameters, {learned:,} of them learn")
        self._stage("model", lambda: {"parameters": count, "learned": learned, "kind": type(model).__name__})
        self._sft(model, [material], "sft", saved)
        self._stage("before", lambda: self._judged(model, material, "after SFT"))
        self._grpo(model, material, "grpo", saved)
        self._stage("after", lambda: self._judged(model, material, "after GRPO"))
        self._stage("saved", lambda: self._save(model, saved, self.settings.grpo_steps))
        return self.results

    def _save(self, model: nn.Module, saved: Mapping[str, Value], step: int) -> Results:
        """The model as `ascendlite chat` opens it, LoRA merged."""
        merged = merge_lora(model)
        path = checkpoint.save(self.folder / "checkpoints", step=step, model=model, extras=dict(saved), keep_last=1)
        return {"path": str(path.relative_to(self.folder)), "merged_layers": merged}

    # -- specialists

    def _run_specialists(self) -> Results:
        s = self.settings
        tasks = tasks_of(s)
        tokenizer = piece_tokenizer(tasks)
        materials = [make_material(task, tokenizer, s) for task in tasks]
        teachers = [self._specialist(number, material, tokenizer) for number, material in enumerate(materials, 1)]
        student = new_model(tokenizer, tasks, s.seed).to(s.device)
        saved = saved_with(student, tokenizer)
        self._sft(student, materials, "student", saved)
        self._judge_all(student, materials, "before distillation")
        rows = [{**row, "teacher": n} for n, material in enumerate(materials) for row in material.rl_rows()]
        args = DistillConfig(
            str(self.folder / "distill"), max_steps=s.distill_steps, per_device_train_batch_size=s.distill_batch, learning_rate=s.distill_lr,
            lr_scheduler_type="linear", warmup_steps=min(100, s.distill_steps // 10), max_completion_length=max(m.max_new_tokens for m in materials),
            save_steps=s.save_every, seed=s.seed, adam_beta2=0.99, distill_temperature=s.distill_temperature,
        )  # fmt: skip
        trainer = DistillTrainer(student, teachers, args, rows, processing_class=tokenizer, callbacks=self._callbacks("distill"), saved_with=saved)
        self._stage("distill", lambda: self._train(trainer))
        self._load(student, "distill")
        self._judge_all(student, materials, "student")
        self._stage("saved", lambda: self._save(student, saved, s.distill_steps))
        return self.results

    def _specialist(self, number: int, material: Material, tokenizer: Any) -> nn.Module:
        model = new_model(tokenizer, [material.task], self.settings.seed + number).to(self.settings.device)
        saved = saved_with(model, tokenizer)
        self.say(f"specialist {number}: {material.task.name}")
        self._sft(model, [material], f"sft-{number}", saved)
        self._grpo(model, material, f"grpo-{number}", saved)
        self._stage(f"specialist-{number}", lambda: self._judged(model, material, f"specialist {number}"))
        return model

    def _judge_all(self, model: nn.Module, materials: list[Material], name: str) -> None:
        for number, material in enumerate(materials, 1):
            title = f"{name} on {material.task.name}"
            self._stage(f"{name.replace(' ', '-')}-{number}", lambda m=material, t=title: self._judged(model, m, t))  # type: ignore[misc]
