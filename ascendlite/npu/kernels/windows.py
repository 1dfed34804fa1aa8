"""What each output of a resized dim is made of: (position in the input, weight) pairs, for pools, interpolation and their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

Taps = tuple[tuple[tuple[int, float], ...], ...]


@dataclass(frozen=True)
class Resize:
    """A linear (or, by its positions alone, a largest-of) map of a dim of `size` elements to one of `out`. Equal ones share programs."""

    kind: str
    size: int
    out: int
    numbers: tuple[float, ...] = ()
    transposed: bool = False  # from `out` elements back to `size`: the gradient

    @property
    def ends(self) -> tuple[int, int]:
        """Elements before and after."""
        return (self.out, self.size) if self.transposed else (self.size, self.out)

    def taps(self) -> Taps:
        """For each output its inputs and their weights."""
        return _taps(self)

    @property
    def identity(self) -> bool:
        """Whether nothing changes."""
        return self.size == self.out and self.taps() == tuple(((i, 1.0),) for i in range(self.size))


@cache
def _taps(r: Resize) -> Taps:
    rows = KINDS[r.kind](r.size, r.out, *r.numbers)
    if not r.transposed:
        return tuple(map(tuple, rows))
    back: list[list[tuple[int, float]]] = [[] for _ in range(r.size)]
    for o, taps in enumerate(rows):
        for i, weight in taps:
            back[i].append((o, weight))
    return tuple(map(tuple, back))


Rows = list[list[tuple[int, float]]]


def _window(size: int, out: int, kernel: int, stride: int, pad: int, dilation: int, share: int, scale: float) -> Rows:
    """Windows of a pool. share 0: weights are `scale`; 1: 1 / elements inside the input; 2: 1 / elements inside the padded input."""
    rows: Rows = []
    for o in range(out):
        begin = o * stride - pad
        inside = [i for i in (begin + k * dilation for k in range(kernel)) if 0 <= i < size]
        count = {0: 1, 1: len(inside), 2: min(begin + kernel, size + pad) - begin}[share]
        rows.append([(i, scale / count) for i in inside])
    return rows


def _adaptive(size: int, out: int, mean: bool) -> Rows:
    """Windows that follow from the sizes alone; the weights make means, or are 1."""
    spans = [(o * size // out, -(-(o + 1) * size // out)) for o in range(out)]
    return [[(i, 1.0 / (end - begin) if mean else 1.0) for i in range(begin, end)] for begin, end in spans]


def _nearest(size: int, out: int, centred: float, scale: float) -> Rows:
    """Positions in float32 whatever the dtype, as torch computes them, to pick the same pixel."""
    step = np.float32(1.0 / scale) if scale > 0 else np.float32(size) / np.float32(out)
    return [[(min(int(np.floor((np.float32(o) + np.float32(centred)) * step)), size - 1), 1.0)] for o in range(out)]


def _position(size: int, out: int, align: bool, scale: float, o: int) -> np.float32:
    if align:
        return np.float32(np.float32(o) * (np.float32(size - 1) / np.float32(out - 1))) if out > 1 else np.float32(0)
    step = np.float32(1.0 / scale) if scale > 0 else np.float32(size) / np.float32(out)
    return np.float32(step * (np.float32(o) + np.float32(0.5)) - np.float32(0.5))


def _linear(size: int, out: int, align: bool, scale: float) -> Rows:
    rows: Rows = []
    for o in range(out):
        at = max(np.float32(0), _position(size, out, align, scale, o))
        low = min(int(at), size - 1)
        rest = min(np.float32(at - np.float32(low)), np.float32(1))
        rows.append([(low, float(np.float32(1) - rest)), (min(low + 1, size - 1), float(rest))])
    return rows


def _cubic(size: int, out: int, align: bool, scale: float) -> Rows:
    """Keys' cubic convolution with a = -0.75, as torch and OpenCV take it."""
    a, rows = -0.75, []
    for o in range(out):
        at = float(_position(size, out, align, scale, o))
        low = math.floor(at)
        rest = at - low
        near = [((a + 2) * x - (a + 3)) * x * x + 1 for x in (rest, 1 - rest)]
        far = [((a * x - 5 * a) * x + 8 * a) * x - 4 * a for x in (rest + 1, 2 - rest)]
        rows.append([(min(max(low + k, 0), size - 1), w) for k, w in zip((-1, 0, 1, 2), (far[0], *near, far[1]), strict=True)])
    return rows


KINDS: Final[dict[str, Callable[..., Rows]]] = {"window": _window, "adaptive": _adaptive, "nearest": _nearest, "linear": _linear, "cubic": _cubic}


@dataclass(frozen=True)
class Run:
    """Outputs first, first + step, ... of a band take inputs `source`, `source + stride`, ... with one weight."""

    first: int
    step: int
    source: int
    stride: int
    count: int
    weight: float


def runs(taps: Taps, k: int, outputs: tuple[int, int]) -> list[Run]:
    """Tap k of outputs begin .. end, with evenly spaced outputs of one weight taken together. Positions of outputs count from begin."""
    begin, end = outputs
    by_weight: dict[float, list[tuple[int, int]]] = {}
    for o in range(begin, end):
        if len(taps[o]) > k:
            at, weight = taps[o][k]
            by_weight.setdefault(weight, []).append((o - begin, at))
    return [run for weight, places in by_weight.items() for run in even(places, weight)]


def even(places: list[tuple[int, int]], weight: float) -> list[Run]:
    """(output, input) pairs as runs of even steps, none longer than an instruction repeats."""
    found = []
    while places:
        first, source = places[0]
        step, stride = (places[1][0] - first, places[1][1] - source) if len(places) > 1 else (1, 0)
        count = 1
        while count < min(len(places), 255) and stride >= 0 and places[count] == (first + count * step, source + count * stride):
            count += 1
        found.append(Run(first, step, source, stride, count, weight))
        places = places[count:]
    return found


@dataclass(frozen=True)
class Band:
    """Outputs begin .. end, and the inputs low .. high that they are made of."""

    begin: int
    end: int
    low: int
    high: int


def bands(taps: Taps, most_in: int, most_out: int) -> list[Band] | None:
    """All outputs in pieces whose inputs fit; None where one output alone needs too many."""
    found: list[Band] = []
    for o, row in enumerate(taps):
        last = found[-1] if found else None
        low, high = min((i for i, _ in row), default=last.low if last else 0), max((i + 1 for i, _ in row), default=last.high if last else 1)
        if high - low > most_in:
            return None
        if last and o - last.begin < most_out and max(high, last.high) - min(low, last.low) <= most_in:
            found[-1] = Band(last.begin, o + 1, min(low, last.low), max(high, last.high))
        else:
            found.append(Band(o, o + 1, low, high))
    return found
