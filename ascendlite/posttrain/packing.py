"""Packing: several short sequences in one row, with attention inside each only and positions that start again.

It also pads: a padded batch is the packing that puts one sequence in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ascendlite as al
from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

IGNORED = -100  # a target that counts for nothing


@dataclass(frozen=True)
class Example:
    """Token numbers of a sequence, and for each whether it is learned (prompts and tool results are not)."""

    tokens: tuple[int, ...]
    learned: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.learned):
            raise ArgumentError(f"Example: {len(self.tokens)} tokens and {len(self.learned)} marks; give one mark a token")

    @property
    def targets(self) -> int:
        """How many tokens are learned; the first of a sequence never is, since nothing precedes it."""
        return sum(self.learned[1:])


@dataclass(frozen=True)
class Batch:
    """Rows for a model, int64, (B, T): inputs, targets (-100 where none), and the sequence in the row, 0 for padding.

    `positions` start again with each sequence.
    """

    tokens: Tensor
    targets: Tensor
    segments: Tensor
    positions: Tensor
    packed: bool

    @property
    def target_count(self) -> int:
        """How many tokens the loss counts."""
        return int((self.targets != IGNORED).sum().item())


def _rows(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Best fit decreasing: each sequence goes to the fullest row that has room; rows in the order they were opened."""
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        fits = [(room[row], row) for row in range(len(rows)) if room[row] >= lengths[number]]
        if fits:
            _, row = min(fits)
            rows[row].append(number)
            room[row] -= lengths[number]
        else:
            rows.append([number])
            room.append(length - lengths[number])
    return rows


def _fill(arrays: dict[str, np.ndarray], row: int, start: int, example: Example, segment: int) -> int:
    n = len(example.tokens) - 1  # the last token is a target only
    place = slice(start, start + n)
    arrays["tokens"][row, place] = example.tokens[:-1]
    learned = example.learned[1:]
    arrays["targets"][row, place] = [t if keep else IGNORED for t, keep in zip(example.tokens[1:], learned, strict=True)]
    arrays["segments"][row, place] = segment
    arrays["positions"][row, place] = range(n)
    return start + n


def _assemble(examples: Sequence[Example], rows: list[list[int]], length: int, pad: int, packed: bool) -> Batch:
    import numpy

    shape = (len(rows), length)
    arrays = {name: numpy.zeros(shape, dtype=numpy.int64) for name in ("tokens", "targets", "segments", "positions")}
    arrays["tokens"][:] = pad
    arrays["targets"][:] = IGNORED
    for row, numbers in enumerate(rows):
        start = 0
        for segment, number in enumerate(numbers, 1):
            start = _fill(arrays, row, start, examples[number], segment)
    tensors = {name: al.from_numpy(array) for name, array in arrays.items()}
    return Batch(packed=packed, **tensors)


def _check(examples: Sequence[Example]) -> list[int]:
    short = [number for number, example in enumerate(examples) if len(example.tokens) < 2]
    if short or not examples:
        raise ArgumentError(f"pack: {f'example {short[0]} has fewer than two tokens' if examples else 'there are no examples'}; nothing can be learned")
    return [len(example.tokens) - 1 for example in examples]


def pack(examples: Sequence[Example], length: int, pad: int = 0) -> Batch:
    """Sequences in as few rows of `length` places as best fit decreasing finds.

    >>> from ascendlite.posttrain import Example, pack
    >>> batch = pack([Example((1, 2, 3), (False, True, True)), Example((4, 5), (False, True))], 4)
    >>> batch.tokens.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[1, 2, 4, 0]], [[2, 3, 5, -100]], [[0, 1, 0, 0]])
    """
    lengths = _check(examples)
    if max(lengths) > length:
        worst = lengths.index(max(lengths))
        raise ArgumentError(f"pack: example {worst} needs {lengths[worst]} places, a row has {length}; cut it, drop it or pack longer rows")
    return _assemble(examples, _rows(lengths, length), length, pad, packed=True)


def pad(examples: Sequence[Example], pad: int = 0, multiple: int = 1) -> Batch:
    """One sequence a row, padded on the right to the longest, or to a multiple."""
    lengths = _check(examples)
    length = -(-max(lengths) // multiple) * multiple
    return _assemble(examples, [[number] for number in range(len(examples))], length, pad, packed=False)


def block_mask(segments: Tensor) -> Tensor:
    """Which places see which, (B, 1, T, T) of bool: earlier ones of the same sequence; padding sees itself.

    >>> import ascendlite as al
    >>> al.posttrain.block_mask(al.tensor([[1, 2, 0]]))[0, 0].tolist()
    [[True, False, False], [False, True, False], [False, False, True]]
    """
    T = segments.shape[1]
    place = al.arange(T, device=segments.device)
    same = segments.unsqueeze(2) == segments.unsqueeze(1)
    causal = place.unsqueeze(1) >= place
    real = (segments != 0).unsqueeze(2) | (place.unsqueeze(1) == place)
    return (same & causal & real).unsqueeze(1)
