"""From logits to tokens: penalties, restrictions, and a draw that depends on the row's seed and step only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import ascendlite as al
from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError
from ascendlite.nn import functional as F

from .config import GenerationConfig


@dataclass(frozen=True)
class Choice:
    """What one step chose, an entry a row.

    `logprobs` are the model's own (temperature 1, nothing restricted): what a training forward gives. `drawn_logprobs` belong to the
    distribution that was drawn from. `sets` are the tokens that this distribution was restricted to.
    """

    tokens: list[int]
    logprobs: list[float] | None = None
    drawn_logprobs: list[float] | None = None
    sets: list[list[int]] | None = None


def penalize(logits: Tensor, seen: Sequence[Sequence[int]], penalty: float) -> Tensor:
    """Logits, (B, vocabulary), of which those of `seen` tokens are made smaller (Keskar et al., CTRL, section 4.1)."""
    before = al.zeros(logits.shape, dtype=al.bool)
    for row, tokens in enumerate(seen):
        before[row, al.tensor(sorted(set(tokens)))] = True
    return al.where(before, al.where(logits > 0, logits / penalty, logits * penalty), logits)


def restrict(logits: Tensor, top_k: int | None = None, top_p: float | None = None, min_p: float | None = None) -> Tensor:
    """Logits, (B, vocabulary), with -inf for what top-k, then top-p (nucleus), then min-p leave out; equal ones stay together.

    >>> restrict(al.tensor([[1.0, 3.0, 2.0]]), top_k=2).tolist()
    [[-inf, 3.0, 2.0]]
    """
    if top_k is not None and top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < al.topk(logits, top_k)[0][:, -1:], -math.inf)
    if top_p is not None and top_p < 1:
        ordered = al.sort(logits, -1, descending=True)[0]
        shares = F.softmax(ordered, -1).double()
        needed = shares.cumsum(-1) - shares < top_p  # the least that reaches top_p: each before it left some to reach
        lowest = ordered.masked_fill(needed.logical_not(), math.inf).amin(-1, keepdim=True)
        logits = logits.masked_fill(logits < lowest, -math.inf)
    if min_p:
        logits = logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(min_p), -math.inf)
    return logits


def uniform(seed: int, step: int) -> float:
    """A number from 0 to 1 (excluded) of Philox 4x64 at this place: the same whatever was drawn before."""
    return uniforms([seed], [step])[0]


_MULTIPLIERS, _WEYL = (0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def uniforms(seeds: Sequence[int], steps: Sequence[int]) -> list[float]:
    """One such number for each seed and step: ten rounds of Philox (Salmon et al., 2011) for all at once, as `numpy.random.Philox` counts."""
    import numpy

    low, shift = numpy.uint64(0xFFFFFFFF), numpy.uint64(32)

    def product(x: Any, by: int) -> tuple[Any, Any]:
        """High and low word of x times a constant."""
        (x1, x0), (b1, b0) = (x >> shift, x & low), (numpy.uint64(by >> 32), numpy.uint64(by & 0xFFFFFFFF))
        middle = x1 * b0 + (x0 * b0 >> shift)
        other = x0 * b1 + (middle & low)
        return x1 * b1 + (middle >> shift) + (other >> shift), x * numpy.uint64(by)

    keys = [numpy.array([seed & (2**64 - 1) for seed in seeds], numpy.uint64), numpy.zeros(len(seeds), numpy.uint64)]
    zero = numpy.zeros(len(seeds), numpy.uint64)
    counter = [numpy.array([step + 1 for step in steps], numpy.uint64), zero, zero, zero]
    for _ in range(10):
        (high0, low0), (high1, low1) = product(counter[0], _MULTIPLIERS[0]), product(counter[2], _MULTIPLIERS[1])
        counter = [high1 ^ counter[1] ^ keys[0], low1, high0 ^ counter[3] ^ keys[1], low0]
        keys = [key + numpy.uint64(weyl) for key, weyl in zip(keys, _WEYL, strict=True)]
    return [int(word >> 11) / 2**53 for word in counter[0].tolist()]


def draw(logits: Tensor, uniforms: Sequence[float]) -> Tensor:
    """One token a row, (B, 1): the inverse of the distribution function at the row's number."""
    sums = F.softmax(logits, -1).double().cumsum(-1)
    targets = al.tensor(list(uniforms), dtype=al.float64).unsqueeze(1) * sums[:, -1:]
    return al.searchsorted(sums, targets, right=True)


def choose(
    logits: Tensor, config: GenerationConfig, seeds: Sequence[int], steps: Sequence[int], seen: Sequence[Sequence[int]] | None = None
) -> Choice:
    """One token a row of logits, (B, vocabulary). `steps` are the numbers of tokens that each row drew before."""
    raw = logits.detach().to("cpu").float()
    _check(raw)
    changed = raw if seen is None or config.repetition_penalty == 1 else penalize(raw, seen, config.repetition_penalty)
    greedy = config.temperature == 0
    if not greedy:
        changed = restrict(changed / config.temperature, config.top_k, config.top_p, config.min_p)
    if greedy:
        tokens = changed.argmax(-1, keepdim=True)
    else:
        tokens = draw(changed, uniforms(seeds, steps))
    chosen = [int(token) for token in tokens[:, 0].tolist()]
    return Choice(
        chosen,
        F.log_softmax(raw, -1).gather(1, tokens)[:, 0].tolist() if config.logprobs else None,
        _drawn(changed, tokens, greedy) if config.logprobs else None,
        _sets(changed, chosen, greedy) if config.keep_sets else None,
    )


def _check(logits: Tensor) -> None:
    """Refuse rows that are no distribution."""
    finite = logits.amax(-1).isfinite()
    if not bool(finite.all()):
        row = finite.tolist().index(False)
        raise ArgumentError(
            f"generate: the largest logit of row {row} is {float(logits[row].amax())}; the weights hold NaN, or their dtype overflowed: "
            "try float32 or bfloat16"
        )


def _drawn(logits: Tensor, tokens: Tensor, greedy: bool) -> list[float]:
    if greedy:
        return [0.0] * logits.shape[0]
    return [float(x) for x in F.log_softmax(logits, -1).gather(1, tokens)[:, 0].tolist()]


def _sets(logits: Tensor, chosen: Sequence[int], greedy: bool) -> list[list[int]]:
    if greedy:
        return [[token] for token in chosen]
    return [cast(Tensor, (row > -math.inf).nonzero())[:, 0].tolist() for row in logits]
