"""What a job works with: tasks with their questions, a tokenizer, and a model to begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import ascendlite as al
from ascendlite import nn
from ascendlite.errors import ArgumentError
from ascendlite.models.cache import CausalLM
from ascendlite.models.deepseek_v4 import DeepseekV4, config_of
from ascendlite.models.registry import describe
from ascendlite.structure import Value

from ..conversing import ChatCodec
from ..lora import LoraConfig, add_lora
from ..pieces import PieceTokenizer
from ..protocol import Codec
from ..rewards import RewardFunction, named, overlap
from ..tasks import Item, Task, held_out_items, make_task, training_items
from .settings import JobSettings

_CHOOSING = 100  # questions, at most, by which the end of SFT is chosen
_HALVES = {"tagalog": ("tagalog-sums", "tagalog-differences")}


class Asking(Codec, Protocol):
    """A tokenizer that can ask a question."""

    def chat(self, question: str) -> str:
        """The prompt of a question."""


@dataclass(frozen=True)
class Material:
    """One task: questions to learn from, to choose the SFT budget by, and to be judged by."""

    task: Task
    train: list[Item]
    choose: list[Item]
    test: list[Item]
    codec: Asking
    max_new_tokens: int

    def prompts(self, items: Sequence[Item]) -> list[str]:
        """The prompts of questions."""
        return [self.codec.chat(item.prompt) for item in items]

    def sft_rows(self) -> list[dict[str, object]]:
        """Questions with worked answers."""
        return [{"prompt": self.codec.chat(item.prompt), "completion": item.answer} for item in self.train]

    def rl_rows(self) -> list[dict[str, object]]:
        """Questions for the model to answer."""
        return [{"prompt": self.codec.chat(item.prompt), "number": n} for n, item in enumerate(self.train)]

    def rewards(self) -> list[RewardFunction]:
        """The verifier's score of a completion, and partial credit: how much of it is as in the worked answer."""

        def of_items(f: Callable[[str, Item], float], name: str) -> RewardFunction:
            def reward(prompts: list[str], completions: list[str], **columns: list[object]) -> list[float]:
                return [f(text, self.train[int(cast(int, n))]) for text, n in zip(completions, columns["number"], strict=True)]

            return named(name, reward)

        return [of_items(self.task.score, "right"), of_items(lambda text, item: overlap(text, item.answer), "partial")]

    def scorer(self, items: Sequence[Item]) -> Callable[[int, str], float]:
        """The verifier by the number of a question."""
        return lambda n, text: self.task.score(text, items[n])


def make_material(task: Task, codec: Asking, settings: JobSettings) -> Material:
    """The questions of a task, split."""
    held = held_out_items(task, settings.held_out + min(settings.held_out // 2, _CHOOSING))
    cut = min(len(held) // 3, _CHOOSING)
    train = training_items(task, settings.questions, settings.seed)
    return Material(task, train, held[:cut], held[cut:], codec, _room(task, train, codec))


def _room(task: Task, items: Sequence[Item], codec: Asking) -> int:
    """Tokens of the longest answer with its end: the task knows it for tokens made of its words, for others it is counted."""
    if isinstance(codec, PieceTokenizer):
        return task.max_new_tokens
    return max(len(codec.encode(item.answer)) for item in items) + 2


def tasks_of(settings: JobSettings) -> list[Task]:
    """The task, or the two of specialists: halves of a task, or two names with a comma."""
    if not settings.specialists:
        return [make_task(settings.task)]
    names = _HALVES.get(settings.task, tuple(settings.task.split(",")))
    if len(names) != settings.specialists:
        raise ArgumentError(f"--specialists 2 needs two tasks, --task A,B; {settings.task!r} has no halves")
    return [make_task(name) for name in names]


def check_inputs(settings: JobSettings) -> None:
    """Whether the tasks and the pretrained model are there: told before a folder is made for the run."""
    tasks_of(settings)
    if settings.source:
        from ascendlite.models.pretrained import path_of

        path_of(settings.source)


def piece_tokenizer(tasks: Sequence[Task]) -> PieceTokenizer:
    """A tokenizer with the words of all tasks."""
    return PieceTokenizer([piece for task in tasks for piece in task.pieces], thinking=any(task.thinks for task in tasks))


def new_model(tokenizer: PieceTokenizer, tasks: Sequence[Task], seed: int) -> DeepseekV4:
    """A tiny DeepSeek-V4 with every mechanism: hyper-connections, window, HCA, CSA with indexer, hash and scored experts, MTP."""
    longest = max(task.max_new_tokens for task in tasks)
    config = replace(
        config_of("tiny"), vocab_size=tokenizer.vocab_size, num_hidden_layers=3, compress_ratios=(0, 8, 4), sliding_window=8,
        max_position_embeddings=max(256, 4 * longest),
    )  # fmt: skip
    al.manual_seed(seed)
    return DeepseekV4(config)


def pretrained(settings: JobSettings) -> tuple[nn.Module, ChatCodec, dict[str, Value]]:
    """A pretrained model with fresh LoRA, its codec, and what its checkpoints say of it."""
    from ascendlite.models.pretrained import load_pretrained

    found = load_pretrained(settings.source, dtype=al.float32, device=settings.device)
    tokenizer = found.tokenizer
    model = cast(nn.Module, found.model)
    saved = {"model": cast(Value, describe(found.model)), "tokenizer": cast(Value, tokenizer.state_dict())}
    al.manual_seed(settings.seed)
    add_lora(model, LoraConfig(r=settings.lora_rank, lora_alpha=2.0 * settings.lora_rank))

    return model, ChatCodec(tokenizer, found.chat), saved


def saved_with(model: nn.Module, tokenizer: PieceTokenizer) -> dict[str, Value]:
    """What checkpoints say of a model, so that `ascendlite chat` opens them."""
    return {"model": cast(Value, describe(cast(CausalLM, model))), "tokenizer": cast(Value, tokenizer.state_dict())}


__all__ = ["Material", "check_inputs", "make_material", "new_model", "piece_tokenizer", "pretrained", "saved_with", "tasks_of"]
