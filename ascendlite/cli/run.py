"""A training run: data, model, optimizer, the loop, and its checkpoints."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import ascendlite as al
from ascendlite import checkpoint
from ascendlite.amp import GradScaler, autocast
from ascendlite.core import Tensor, no_grad
from ascendlite.data import TokenSampler
from ascendlite.errors import ArgumentError
from ascendlite.models.gpt import GPT, ByteTokenizer, CharTokenizer, GPTConfig, tokenizer_from_state
from ascendlite.nn.utils import clip_grad_norm_
from ascendlite.optim import AdamW
from ascendlite.posttrain.signals import stop_on_signal

from .report import Metrics
from .settings import AUTOCAST, Settings
from .text import TextError, read_bytes, read_text, shakespeare

if TYPE_CHECKING:
    import numpy as np

_PROFILED_STEP = 2  # when every kernel has been traced
_LOG_EVERY = 10
_HELD_OUT = 0.1


@dataclass(frozen=True)
class Corpus:
    """Tokens to learn from and tokens to be judged by: the last tenth."""

    train: np.ndarray
    held_out: np.ndarray
    tokenizer: CharTokenizer | ByteTokenizer
    digest: str


def read_corpus(settings: Settings) -> Corpus:
    """The text of the settings as tokens."""
    tokenizer: CharTokenizer | ByteTokenizer
    if settings.tokens == "byte":
        raw = read_bytes(Path(settings.text)) if settings.text else shakespeare().encode("utf-8")
        tokenizer = ByteTokenizer()
        tokens = tokenizer.encode(raw)
    else:
        text = read_text(Path(settings.text)) if settings.text else shakespeare()
        tokenizer = CharTokenizer(text)
        tokens = tokenizer.encode(text)
    cut = int(len(tokens) * (1 - _HELD_OUT))
    if len(tokens) - cut <= settings.length + 1:
        raise TextError(f"train: the held-out tenth has {len(tokens) - cut} tokens, fewer than --length {settings.length}; give more text")
    return Corpus(tokens[:cut], tokens[cut:], tokenizer, hashlib.sha256(tokens.tobytes()).hexdigest())


def config_of(settings: Settings, vocab_size: int) -> GPTConfig:
    """The model's config."""
    names = ("length", "layers", "heads", "width", "positions", "tied", "dropout")
    return GPTConfig(vocab_size, **{name: getattr(settings, name) for name in names})


class Run:
    """Everything that changes while training."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.corpus = read_corpus(settings)
        al.manual_seed(settings.seed)
        self.model = GPT(config_of(settings, self.corpus.tokenizer.vocab_size)).to(settings.device)
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = AdamW(groups, lr=settings.lr, betas=(0.9, 0.99))
        self.scaler = GradScaler(settings.device, enabled=settings.dtype == "float16")
        self.data = TokenSampler(self.corpus.train, settings.batch, settings.length, settings.seed)
        self.step = 0
        self.seconds = 0.0
        self.metrics: Metrics | None = None
        self.device_report = ""  # on an NPU: where the time of one step would go

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        name = AUTOCAST[self.settings.dtype]
        return contextlib.nullcontext() if name is None else autocast(self.settings.device, dtype=getattr(al, name))

    @contextlib.contextmanager
    def profiled(self) -> Iterator[None]:
        """On an NPU one early step is profiled: its files go to the folder `npu` of the run."""
        if self.step != _PROFILED_STEP or not self.settings.device.startswith("npu"):
            yield
            return
        with al.npu.profiler.profile(self.folder / "npu") as profile:
            yield
        self.device_report = f"one step on the device: {profile.summary()}\n{profile.table(12)}"

    # -- one step
    def train_step(self) -> Tensor:
        """One update; returns the loss."""
        x, y = self.data.next_batch()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.step)
        with self._autocast():
            loss = self.model.loss(x.to(self.settings.device), y.to(self.settings.device))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.step += 1
        return loss.detach()

    def validate(self) -> float:
        """Mean loss on windows spread evenly over the held-out tokens, the same each time."""
        import numpy

        length, count = self.settings.length, self.settings.eval_batches * self.settings.batch
        starts = numpy.linspace(0, len(self.corpus.held_out) - length - 1, count).astype(numpy.int64)
        windows = numpy.lib.stride_tricks.sliding_window_view(self.corpus.held_out, length + 1)[starts].astype(numpy.int64)
        total = 0.0
        self.model.eval()
        with no_grad(), self._autocast():
            for rows in numpy.split(windows, self.settings.eval_batches):
                x, y = al.from_numpy(rows[:, :-1].copy()), al.from_numpy(rows[:, 1:].copy())
                total += float(self.model.loss(x.to(self.settings.device), y.to(self.settings.device)))
        self.model.train()
        return total / self.settings.eval_batches

    # -- checkpoints
    def save(self) -> Path:
        """Write a checkpoint."""
        extras = {
            "settings": self.settings.state_dict(),
            "tokenizer": self.corpus.tokenizer.state_dict(),
            "digest": self.corpus.digest,
            "seconds": self.seconds,
        }
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler, "data": self.data}
        return checkpoint.save(self.folder / "checkpoints", step=self.step, extras=extras, keep_last=2, **parts)  # type: ignore[arg-type]

    def resume(self) -> checkpoint.Resumed:
        """Go on from the newest good checkpoint of the folder."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler, "data": self.data}
        resumed = checkpoint.load(self.folder / "checkpoints", **parts)  # type: ignore[arg-type]
        extras = cast("dict[str, object]", resumed.extras)
        if extras["digest"] != self.corpus.digest:
            raise ArgumentError(f"train: the text is not the one that {self.folder} was started with; give the same text or start a new run")
        self.step, self.seconds = resumed.step, cast(float, extras["seconds"])
        return resumed

    def sample(self, prompt: str, count: int, temperature: float = 0.8, seed: int = 0) -> str:
        """Text that the model writes after a prompt."""
        return write_text(self.model, self.corpus.tokenizer, prompt, count, temperature=temperature, seed=seed)


def write_text(
    model: GPT,
    tokenizer: CharTokenizer | ByteTokenizer,
    prompt: str,
    count: int,
    *,
    temperature: float = 0.8,
    top_k: int | None = None,
    seed: int = 0,
) -> str:
    """The prompt and `count` more tokens after it, as text."""
    start = [int(token) for token in tokenizer.encode(prompt)]
    (written,) = model.generate(start, max_new_tokens=count, temperature=temperature, top_k=top_k, seed=seed, overflow="slide")
    return tokenizer.decode(start + written.tokens)


def saved_model(folder: Path) -> tuple[GPT, CharTokenizer | ByteTokenizer, int]:
    """Model, tokenizer and step of the newest good checkpoint of a run."""
    where = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
    found = checkpoint.load(where, restore_random=False)
    extras = cast("dict[str, dict[str, str]]", found.extras)
    tokenizer = tokenizer_from_state(extras["tokenizer"])
    model = GPT(config_of(Settings(**extras["settings"]), tokenizer.vocab_size))  # type: ignore[arg-type]
    checkpoint.load(found.path, model=model, restore_random=False)
    return model, tokenizer, found.step


# ---- the loop


def train(run: Run, metrics: Metrics, tell: Callable[[dict[str, float | int]], None], max_seconds: float) -> str:
    """Train to the last step; returns "done", "time" or "signal", whichever ended it. A checkpoint is always left behind."""
    settings, ended = run.settings, "done"
    start, before, ended_at = time.perf_counter(), run.seconds, run.step
    tokens_per_step = settings.batch * settings.length
    mark_step, mark_time = run.step, start
    with stop_on_signal() as stopped:
        if run.step == 0:
            row: dict[str, float | int] = {"step": 0, "validation_loss": run.validate(), "seconds": 0.0}
            metrics.add(row)
            tell(row)
        while run.step < settings.steps:
            with run.profiled():
                loss = run.train_step()
            now = time.perf_counter()
            run.seconds = before + now - start
            if run.step % _LOG_EVERY == 0:
                rate = (run.step - mark_step) * tokens_per_step / max(now - mark_time, 1e-9)
                row = {"step": run.step, "loss": float(loss), "lr": settings.rate(run.step - 1), "tokens_per_s": rate, "seconds": run.seconds}
                metrics.add(row)
                tell(row)
                mark_step, mark_time = run.step, now
            if run.step % settings.eval_every == 0 or run.step == settings.steps:
                row = {"step": run.step, "validation_loss": run.validate(), "seconds": run.seconds}
                metrics.add(row)
                tell(row)
                mark_step, mark_time = run.step, time.perf_counter()
            if run.step % settings.save_every == 0:
                run.save()
                ended_at = run.step
            if stopped() or run.seconds - before > max_seconds:
                ended = "signal" if stopped() else "time"
                break
        if ended_at != run.step or run.step == 0:
            run.save()
    return ended
