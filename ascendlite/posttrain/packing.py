"""Packing: several short sequences in one row, with attention inside each only and positions that start again.

It also pads: a padded batch is the packing that puts one sequence in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ascendlite as al
from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError

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
    """Rows for a model, int64, (B, T): inputs, and targets (-100 where none); `documents`: the lengths of the texts of each row."""

    tokens: Tensor
    targets: Tensor
    documents: tuple[tuple[int, ...], ...]

    @property
    def target_count(self) -> int:
        """How many tokens the loss counts."""
        return int((self.targets != IGNORED).sum().item())

    @property
    def packed(self) -> bool:
        """Whether a row holds more than one text."""
        return any(len(row) > 1 for row in self.documents)

    @property
    def lengths(self) -> list[int]:
        """How many places of each row are not padding."""
        return [sum(row) for row in self.documents]


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


def _assemble(examples: Sequence[Example], rows: list[list[int]], length: int, pad: int) -> Batch:
    import numpy

    tokens = numpy.full((len(rows), length), pad, dtype=numpy.int64)
    targets = numpy.full((len(rows), length), IGNORED, dtype=numpy.int64)
    documents = tuple(tuple(len(examples[number].tokens) - 1 for number in numbers) for numbers in rows)
    for row, numbers in enumerate(rows):
        start = 0
        for number in numbers:
            example = examples[number]
            end = start + len(example.tokens) - 1  # the last token is a target only
            tokens[row, start:end] = example.tokens[:-1]
            pairs = zip(example.tokens[1:], example.learned[1:], strict=True)
            targets[row, start:end] = [token if keep else IGNORED for token, keep in pairs]
            start = end
    return Batch(al.from_numpy(tokens), al.from_numpy(targets), documents)


def _check(examples: Sequence[Example]) -> list[int]:
    short = [number for number, example in enumerate(examples) if len(example.tokens) < 2]
    if short or not examples:
        raise ArgumentError(f"pack: {f'example {short[0]} has fewer than two tokens' if examples else 'there are no examples'}; nothing can be learned")
    return [len(example.tokens) - 1 for example in examples]


def pack(examples: Sequence[Example], length: int, pad: int = 0) -> Batch:
    """Sequences in as few rows of `length` places as best fit decreasing finds.

    >>> from ascendlite.posttrain import Example, pack
    >>> batch = pack([Example((1, 2, 3), (False, True, True)), Example((4, 5), (False, True))], 4)
    >>> batch.tokens.tolist(), batch.targets.tolist(), batch.documents
    ([[1, 2, 4, 0]], [[2, 3, 5, -100]], ((2, 1),))
    """
    lengths = _check(examples)
    if max(lengths) > length:
        worst = lengths.index(max(lengths))
        raise ArgumentError(f"pack: example {worst} needs {lengths[worst]} places, a row has {length}; cut it, drop it or pack longer rows")
    return _assemble(examples, _rows(lengths, length), length, pad)


def pad(examples: Sequence[Example], pad: int = 0, multiple: int = 1) -> Batch:
    """One sequence a row, padded on the right to the longest, or to a multiple."""
    lengths = _check(examples)
    length = -(-max(lengths) // multiple) * multiple
    return _assemble(examples, [[number] for number in range(len(examples))], length, pad)
