"""Datasets: things with items by index, or things to iterate over; joined, cut and split."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar, cast

from ascendlite.core import FUNCTIONS, Generator, Tensor
from ascendlite.errors import AssertedValueError

Item = TypeVar("Item", covariant=True)


class Dataset(Generic[Item]):
    """Items by index: subclasses define `__getitem__`, and `__len__` for samplers."""

    def __getitem__(self, index: int) -> Item:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__; a Dataset must define it")

    def __add__(self, other: Dataset[Item]) -> ConcatDataset[Item]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[Item], Iterable[Item]):
    """Items in an order that only the dataset knows: subclasses define `__iter__`.

    With workers each has a copy: split the work by `get_worker_info()`.
    """

    def __iter__(self) -> Iterator[Item]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__; an IterableDataset must define it")

    def __add__(self, other: Dataset[Item]) -> ChainDataset[Item]:  # type: ignore[override]
        return ChainDataset([self, cast("IterableDataset[Item]", other)])


def _length(dataset: Dataset[Item]) -> int:
    return len(dataset)  # type: ignore[arg-type]


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Rows of tensors that have the same first size."""

    def __init__(self, *tensors: Tensor) -> None:
        sizes = {t.shape[0] for t in tensors}
        if len(sizes) != 1:
            raise AssertedValueError(f"TensorDataset: size mismatch between tensors: first sizes are {[t.shape[0] for t in tensors]}")
        self.tensors = tensors

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class ConcatDataset(Dataset[Item]):
    """Datasets one after the other."""

    def __init__(self, datasets: Iterable[Dataset[Item]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertedValueError("ConcatDataset: datasets is empty; give at least one")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("ConcatDataset: an IterableDataset has no indices; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(map(_length, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Item:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"ConcatDataset: index {index} is out of range for {size} items")
        index %= size
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class ChainDataset(IterableDataset[Item]):
    """Iterable datasets one after the other."""

    def __init__(self, datasets: Iterable[IterableDataset[Item]]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Item]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(map(_length, self.datasets))


class StackDataset(Dataset[tuple[object, ...]]):
    """Datasets side by side: item i is the tuple of their items i."""

    def __init__(self, *datasets: Dataset[object]) -> None:
        sizes = {_length(d) for d in datasets}
        if len(sizes) != 1:
            raise ValueError(f"StackDataset: size mismatch between datasets: {[_length(d) for d in datasets]}")
        self.datasets = datasets

    def __getitem__(self, index: int) -> tuple[object, ...]:
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return _length(self.datasets[0])


class Subset(Dataset[Item]):
    """Some items of a dataset."""

    def __init__(self, dataset: Dataset[Item], indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: int) -> Item:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def _split_sizes(total: int, lengths: Sequence[int | float]) -> list[int]:
    if not (math.isclose(sum(lengths), 1) and sum(lengths) <= 1 and any(isinstance(n, float) for n in lengths)):
        return [int(n) for n in lengths]
    if min(lengths) < 0:
        raise ValueError(f"random_split: fractions must not be negative: {list(lengths)}")
    sizes = [math.floor(total * fraction) for fraction in lengths]
    for k in range(total - sum(sizes)):
        sizes[k % len(sizes)] += 1
    return sizes


def random_split(
    dataset: Dataset[Item], lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[Item]]:
    """Cut a dataset at random into parts of these lengths, or of these fractions of 1."""
    total = _length(dataset)
    sizes = _split_sizes(total, lengths)
    if sum(sizes) != total:
        raise ValueError(f"random_split: the lengths {sizes} sum to {sum(sizes)}, the dataset has {total} items")
    order = FUNCTIONS["randperm"](total, generator=generator).tolist()
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
