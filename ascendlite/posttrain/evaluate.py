"""Evaluation on held-out questions: greedy, pass@1 and pass@k with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from ascendlite.errors import ArgumentError
from ascendlite.generation import Completion, generate, row_seeds
from ascendlite.models.cache import CausalLM

from .dataset import beginning_of
from .protocol import Codec, answer_text, ends_of

_Z = 1.959964  # of a two-sided 95% interval
RIGHT = 0.999  # a score from which a completion counts as right


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that one of k completions is right, of n drawn of which some were: 1 - C(n - c, k) / C(n, k), unbiased.

    >>> pass_at_k(4, 1, 2)
    0.5
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ArgumentError(f"pass_at_k: n is {n}, correct {correct}, k {k}; k is from 1 to n, correct from 0 to n")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95% interval of a share seen in n questions (Wilson's score interval).

    >>> [round(bound, 3) for bound in wilson(0.5, 100)]
    [0.404, 0.596]
    """
    if n < 1:
        raise ArgumentError("wilson: an interval needs at least one question")
    centre = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + _Z**2 / n)), min(1.0, (centre + spread) / (1 + _Z**2 / n))


@dataclass(frozen=True)
class Share:
    """A share of questions and its 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Share:
        """The mean over questions; the interval is that of as many independent trials."""
        mean = math.fsum(values) / len(values)
        return cls(mean, *wilson(mean, len(values)))

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Answered:
    """A prompt with what the model answered greedily, and how right that was."""

    prompt: str
    completion: str
    score: float


@dataclass(frozen=True)
class Evaluation:
    """What a model can do on held-out questions."""

    questions: int
    samples: int
    greedy: Share
    pass_1: Share
    pass_k: Share
    mean_score: float
    examples: list[Answered] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """The numbers as a flat row of metrics."""
        shares = {"greedy": self.greedy, "pass_at_1": self.pass_1, f"pass_at_{self.samples}": self.pass_k}
        flat = {f"{name}{end}": value for name, share in shares.items() for end, value in _ends(share)}
        return {**flat, "mean_score": self.mean_score}

    def state_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def _ends(share: Share) -> tuple[tuple[str, float], ...]:
    return ("", share.value), ("_low", share.low), ("_high", share.high)


Score = Callable[[int, str], float]  # of the completion of a question by its number


def evaluate(
    model: CausalLM,
    tokenizer: Codec,
    prompts: Sequence[str],
    score: Score,
    *,
    samples: int = 8,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
    seed: int = 0,
    rows: int = 512,
    keep: int = 20,
) -> Evaluation:
    """Greedy and `samples` drawn completions of each prompt; `score(n, text)` judges a completion of prompt n, 1 is right.

    pass@k is for k = `samples`. The same seed draws the same completions, whatever `rows` (at once) is. `keep` greedy
    answers are kept for reading.
    """
    if not prompts or samples < 1:
        raise ArgumentError(f"evaluate: {len(prompts)} prompts and {samples} samples; give at least one of each")
    written = _Writer(model, tokenizer, prompts, max_new_tokens, rows)
    firm = written.texts(1, 0.0, seed)
    drawn = written.texts(samples, temperature, seed)
    greedy = [score(number, texts[0]) for number, texts in enumerate(firm)]
    scores = [[score(number, text) for text in texts] for number, texts in enumerate(drawn)]
    right = [sum(value >= RIGHT for value in row) for row in scores]
    return Evaluation(
        len(prompts),
        samples,
        Share.of([float(value >= RIGHT) for value in greedy]),
        Share.of([c / samples for c in right]),
        Share.of([pass_at_k(samples, c, samples) for c in right]),
        math.fsum(math.fsum(row) for row in scores) / (samples * len(prompts)),
        [Answered(prompts[n], firm[n][0], greedy[n]) for n in range(min(keep, len(prompts)))],
    )


class _Writer:
    """Completions of all prompts, so many rows at once."""

    def __init__(self, model: CausalLM, tokenizer: Codec, prompts: Sequence[str], max_new_tokens: int, rows: int) -> None:
        self.model, self.tokenizer, self.rows, self.max_new_tokens = model, tokenizer, rows, max_new_tokens
        self.tokens = [beginning_of(tokenizer, prompt) for prompt in prompts]

    def texts(self, samples: int, temperature: float, seed: int) -> list[list[str]]:
        seeds = row_seeds(seed, len(self.tokens) * samples)
        found: list[Completion] = []
        step = max(1, self.rows // samples)
        for start in range(0, len(self.tokens), step):
            part = self.tokens[start : start + step]
            own = seeds[start * samples : (start + len(part)) * samples]
            found += generate(
                self.model, part, samples=samples, temperature=temperature, max_new_tokens=self.max_new_tokens, seed=own,
                stop_tokens=ends_of(self.tokenizer),
            )
        texts = [answer_text(self.tokenizer, completion.tokens) for completion in found]
        return [texts[at : at + samples] for at in range(0, len(texts), samples)]
