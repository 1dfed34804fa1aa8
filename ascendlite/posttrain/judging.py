"""Rewards of completions: functions are called as TRL calls them, several at once where they are coroutines, and their numbers are checked."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

from ascendlite.errors import ArgumentError

from .dataset import Row, columns_of
from .rewards import RewardFunction, total_rewards
from .rollout import Rollout

T = TypeVar("T")
_OURS = ("prompt", "prompts", "completion", "completions", "completion_ids", "completion_lengths", "trainer_state")


@dataclass(frozen=True)
class Judged:
    """Completions as texts, the rows of the data set that they belong to, and the tokens of each."""

    prompts: list[str]
    completions: list[str]
    rows: list[Row]
    rollouts: list[Rollout]

    def arguments(self, state: object) -> dict[str, object]:
        """What reward functions are called with; where a prompt is messages, its completion is a message of the assistant."""
        asked = [row["prompt"] for row in self.rows]
        messages = [not isinstance(prompt, str) for prompt in asked]
        answers = [[{"role": "assistant", "content": text}] if m else text for m, text in zip(messages, self.completions, strict=True)]
        return {
            **columns_of(self.rows, but=_OURS),
            "prompts": [a if m else text for a, m, text in zip(asked, messages, self.prompts, strict=True)],
            "completions": answers,
            "completion_ids": [list(rollout.tokens) for rollout in self.rollouts],
            "completion_lengths": [len(rollout.tokens) for rollout in self.rollouts],
            "trainer_state": state,
        }


def name_of(function: object, number: int) -> str:
    """What metrics call a reward."""
    return getattr(function, "__name__", f"reward_{number}")


def _taken(function: RewardFunction, arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments that a function has a parameter for; all of them for one with **columns."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not say
        return dict(arguments)
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return dict(arguments)
    missing = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and p.name not in arguments]
    if missing:
        raise ArgumentError(f"it asks for {', '.join(missing)}; the data set has the columns {', '.join(sorted(set(arguments) - set(_OURS))) or 'none'}")
    return {p.name: arguments[p.name] for p in parameters if p.name in arguments}


async def _all(waiting: Sequence[Awaitable[object]]) -> list[object]:
    return list(await asyncio.gather(*waiting))


def _awaited(waiting: Sequence[Awaitable[object]]) -> list[object]:
    """What coroutines give, all at once; on a thread of its own, since the caller may run in a loop (notebooks do)."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _all(waiting)).result()


async def _noted(value: Awaitable[object], name: str) -> object:
    try:
        return await value
    except Exception as error:
        error.add_note(f"in the reward function {name}")
        raise


def _call(functions: Sequence[RewardFunction], arguments: Mapping[str, object]) -> list[object]:
    """The values of each function; coroutines wait together."""
    found: list[object] = []
    for number, function in enumerate(functions):
        name = name_of(function, number)
        try:
            value: object = function(**_taken(function, arguments))  # type: ignore[arg-type]
        except ArgumentError as error:
            raise ArgumentError(f"reward {name}: {error}") from error
        except Exception as error:
            error.add_note(f"in the reward function {name}")
            raise
        found.append(_noted(value, name) if inspect.isawaitable(value) else value)
    waiting = {at: value for at, value in enumerate(found) if inspect.isawaitable(value)}
    if waiting:
        for at, value in zip(waiting, _awaited(list(waiting.values())), strict=True):
            found[at] = value
    return found


def _checked(values: object, count: int, name: str) -> list[float | None]:
    listable = hasattr(values, "__len__") and hasattr(values, "__iter__") and getattr(values, "ndim", 1) > 0
    if not listable or isinstance(values, (str, Mapping)):
        raise ArgumentError(f"reward {name}: it gave a {type(values).__name__}; give a list of numbers or None, one for each completion")
    listed = list(cast("Sequence[object]", values))
    if len(listed) != count:
        raise ArgumentError(f"reward {name}: it gave {len(listed)} numbers for {count} completions; give one each, or None")
    checked: list[float | None] = []
    for number, value in enumerate(listed):
        try:
            made = None if value is None else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"reward {name}: {value!r} of completion {number} is no number; give a number or None") from error
        if made is not None and math.isinf(made):
            raise ArgumentError(f"reward {name}: {made} of completion {number} would make every advantage of its group nan; give a finite number")
        checked.append(made)
    return checked


@dataclass(frozen=True)
class Judgement:
    """The total reward of each completion, and what each function said."""

    totals: list[float]
    said: list[tuple[str, list[float | None]]]

    def figures(self) -> dict[str, float]:
        """Mean and standard deviation of each function."""
        found: dict[str, float] = {}
        for name, values in self.said:
            known = [value for value in values if value is not None and not math.isnan(value)]
            mean = sum(known) / max(1, len(known))
            found[f"rewards/{name}/mean"] = mean
            found[f"rewards/{name}/std"] = math.sqrt(sum((value - mean) ** 2 for value in known) / max(1, len(known) - 1))
        return found


def judge(judged: Judged, functions: Sequence[RewardFunction], weights: Sequence[float], state: object = None) -> Judgement:
    """What reward functions say of completions."""
    said = [
        (name_of(function, number), _checked(values, len(judged.completions), name_of(function, number)))
        for number, (function, values) in enumerate(zip(functions, _call(functions, judged.arguments(state)), strict=True))
    ]
    return Judgement(total_rewards([values for _, values in said], weights), said)


# ---- groups that are drawn again


@dataclass(frozen=True)
class Drawn:
    """Completions with their rewards, in groups of the same prompt."""

    judged: Judged
    judgement: Judgement

    def replaced(self, groups: Sequence[int], other: Drawn, size: int) -> Drawn:
        """These groups of `size` rows as in `other`, whose groups are as many."""

        def mixed(mine: Sequence[T], theirs: Sequence[T]) -> list[T]:
            found = list(mine)
            for number, group in enumerate(groups):
                found[group * size : (group + 1) * size] = theirs[number * size : (number + 1) * size]
            return found

        a, b = self.judged, other.judged
        judged = Judged(mixed(a.prompts, b.prompts), mixed(a.completions, b.completions), mixed(a.rows, b.rows), mixed(a.rollouts, b.rollouts))
        both = zip(self.judgement.said, other.judgement.said, strict=True)
        said = [(name, mixed(mine, theirs)) for (name, mine), (_, theirs) in both]
        return Drawn(judged, Judgement(mixed(self.judgement.totals, other.judgement.totals), said))
