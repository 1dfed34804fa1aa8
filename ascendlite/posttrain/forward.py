"""Forward passes of training: hidden states of padded or packed rows, and logits only where they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import ascendlite as al
from ascendlite.core import Device, Tensor
from ascendlite.models.cache import CausalLM
from ascendlite.models.shapes import recurring_count, recurring_width
from ascendlite.nn import functional as F

from .packing import IGNORED, Batch


def hidden_states(model: CausalLM, batch: Batch, device: Device, **options: object) -> Tensor:
    """What the head reads, (B, T, width)."""
    tokens = batch.tokens.to(device)
    if batch.packed:
        return model.hidden(tokens, documents=batch.documents, **options)  # type: ignore[call-arg, arg-type]
    lengths = None if min(batch.lengths) == tokens.shape[1] else batch.lengths
    return model.hidden(tokens, lengths=lengths, **options)  # type: ignore[arg-type]


def target_loss(model: CausalLM, batch: Batch, hidden: Tensor) -> Tensor:
    """The summed cross entropy of a batch's targets; logits are made for places with a target only."""
    targets = batch.targets.reshape(-1)
    places = cast(Tensor, (targets != IGNORED).nonzero()).reshape(-1)
    wanted = targets[places]
    spare = recurring_count(len(places), hidden.device) - len(places)
    if spare:
        places, wanted = F.pad(places, (0, spare)), F.pad(wanted, (0, spare), value=IGNORED)
    rows = hidden.reshape(-1, hidden.shape[-1])[places.to(hidden.device)]
    logits: Tensor = model.head(rows)
    return F.cross_entropy(logits.float(), wanted.to(hidden.device), reduction="sum")


@dataclass(frozen=True)
class Continued:
    """Prompts with their completions, for a forward pass: tokens (B, T), and where the completions' logits are.

    `answers`, `mask` and `places` are (B, W), W the longest completion: its tokens, which of them are real, and the place in the row
    whose logits tell of them.
    """

    tokens: Tensor
    lengths: tuple[int, ...]
    places: Tensor
    answers: Tensor
    mask: Tensor

    @property
    def rows(self) -> int:
        """How many completions."""
        return self.tokens.shape[0]


def continued(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], device: Device) -> Continued:
    """Rows of a prompt and its completion, padded on the right.

    >>> found = continued([[1, 2], [3]], [[4], [5, 6]], al.device("cpu"))
    >>> found.tokens.tolist(), found.places.tolist(), found.mask.tolist()
    ([[1, 2], [3, 5]], [[1, 0], [0, 1]], [[1.0, 0.0], [1.0, 1.0]])
    """
    import numpy

    lengths = tuple(len(p) + len(c) - 1 for p, c in zip(prompts, completions, strict=True))  # the last token is only a target
    width = recurring_width(max((1, *(len(c) for c in completions))), device)
    tokens = numpy.zeros((len(lengths), recurring_width(max(lengths), device)), dtype=numpy.int64)
    places, answers = (numpy.zeros((len(lengths), width), dtype=numpy.int64) for _ in range(2))
    mask = numpy.zeros((len(lengths), width), dtype=numpy.float32)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        n = len(completion)
        tokens[row, : lengths[row]] = [*prompt, *completion][: lengths[row]]
        places[row, :n] = range(len(prompt) - 1, len(prompt) - 1 + n)
        answers[row, :n], mask[row, :n] = completion, 1.0
    arrays = [al.from_numpy(array).to(device) for array in (tokens, places, answers, mask)]
    return Continued(arrays[0], lengths, *arrays[1:])


def answer_hidden(model: CausalLM, batch: Continued, **options: object) -> Tensor:
    """What the head reads where completions are told of, (B, W, width)."""
    lengths = None if min(batch.lengths) == batch.tokens.shape[1] else batch.lengths
    hidden = model.hidden(batch.tokens, lengths=lengths, **options)  # type: ignore[arg-type]
    rows = al.arange(batch.rows, device=hidden.device).unsqueeze(1)
    return hidden[rows, batch.places]
