"""Verifiable tasks: questions, answers to learn from, and a verifier that says how right a completion is.

`tagalog` and its halves need nothing; the others are generators of the package `reasoning-gym` with verifiers of their own. Whether a question
is held out is decided by its text alone, so that no seed can bring it into training.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice

from ascendlite.errors import ArgumentError

from .base import Item, Task
from .gym import GYM, GymTask
from .words import TagalogTask

_HELD_OUT = 10  # one question in so many
_OWN = {"tagalog": "+-", "tagalog-sums": "+", "tagalog-differences": "-"}  # the signs of their problems


def task_names() -> list[str]:
    """Names that `--task` takes; other names of reasoning-gym's generators work too."""
    return [*_OWN, *sorted(GYM)]


def make_task(name: str) -> Task:
    """The task of a name.

    >>> make_task("tagalog").name
    'tagalog'
    """
    return TagalogTask(name, _OWN[name]) if name in _OWN else GymTask(name)


def held_out(item: Item) -> bool:
    """Whether a question is for evaluation only."""
    return zlib.crc32(item.prompt.encode()) % _HELD_OUT == 0


def _distinct(task: Task, seed: int, wanted: bool) -> Iterator[Item]:
    seen: set[str] = set()
    fruitless = 0
    for item in task.draw(seed):
        if item.prompt in seen or held_out(item) != wanted:
            fruitless += 1
            if fruitless > 20_000:
                return
            continue
        fruitless = 0
        seen.add(item.prompt)
        yield item


def training_items(task: Task, count: int, seed: int) -> list[Item]:
    """At most `count` different questions to learn from."""
    return _some(task, list(islice(_distinct(task, seed, wanted=False), count)))


def held_out_items(task: Task, count: int, seed: int = 0) -> list[Item]:
    """At most `count` different questions that are never learned from."""
    return _some(task, list(islice(_distinct(task, seed, wanted=True), count)))


def _some(task: Task, items: list[Item]) -> list[Item]:
    if not items:
        raise ArgumentError(f"task {task.name}: it gave no questions; choose another task")
    return items


__all__ = ["Item", "Task", "held_out", "held_out_items", "make_task", "task_names", "training_items"]
