"""Samplers: the order in which a DataLoader asks a dataset for items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Generic, TypeVar

from ascendlite.core import FUNCTIONS, Generator, Tensor, dtype_of_name, tensor

Index = TypeVar("Index", covariant=True)


class Sampler(Generic[Index]):
    """An order of indices: subclasses define `__iter__`, and `__len__` if it is known."""

    def __iter__(self) -> Iterator[Index]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__; a Sampler must define it")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def _seeded(generator: Generator | None) -> Generator:
    # Draws one seed from the shared generator, so that two epochs differ and the rest of the program is moved by one draw.
    if generator is not None:
        return generator
    own = Generator()
    own.manual_seed(int(FUNCTIONS["randint"](0, 2**62, (1,), dtype=dtype_of_name("int64")).item()))
    return own


class RandomSampler(Sampler[int]):
    """A new random order for each epoch; with `replacement`, independent draws."""

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Generator | None = None
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement should be a boolean value, but got replacement={replacement!r}")
        if num_samples is not None and num_samples <= 0:
            raise ValueError(f"RandomSampler: num_samples should be a positive integer value, but got num_samples={num_samples}")
        if len(data_source) == 0 and num_samples is None:
            raise ValueError("RandomSampler: num_samples should be a positive integer value, but the dataset is empty")
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator, size, left = _seeded(self.generator), len(self.data_source), self.num_samples
        while left > 0:
            if self.replacement:
                drawn = FUNCTIONS["randint"](0, size, (min(left, 1024),), dtype=dtype_of_name("int64"), generator=generator).tolist()
            else:
                drawn = FUNCTIONS["randperm"](size, generator=generator).tolist()[:left]
            yield from drawn
            left -= len(drawn)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Some indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for k in FUNCTIONS["randperm"](len(self.indices), generator=_seeded(self.generator)).tolist():
            yield self.indices[k]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Draws with probabilities proportional to `weights`."""

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples <= 0:
            raise ValueError(f"WeightedRandomSampler: num_samples should be a positive integer value, but got {num_samples!r}")
        self.weights = (weights if isinstance(weights, Tensor) else tensor(list(weights))).double()
        if self.weights.ndim != 1:
            raise ValueError(f"WeightedRandomSampler: weights should be a 1d sequence but given shape {tuple(self.weights.shape)}")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        drawn = FUNCTIONS["multinomial"](self.weights, self.num_samples, self.replacement, generator=_seeded(self.generator))
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups the indices of another sampler."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size should be a positive integer value, but got batch_size={batch_size!r}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last should be a boolean value, but got drop_last={drop_last!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        size = len(self.sampler)  # type: ignore[arg-type]
        return size // self.batch_size if self.drop_last else math.ceil(size / self.batch_size)


class DistributedSampler(Sampler[int]):
    """The part of the indices that one of `num_replicas` processes works on; call `set_epoch` to shuffle anew.

    What we do differently from torch: number and rank are given, never looked up in a process group.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int,
        rank: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if not 0 <= rank < num_replicas:
            raise ValueError(f"DistributedSampler: Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        size = len(dataset)
        uneven = drop_last and size % num_replicas
        self.num_samples = size // num_replicas if uneven else math.ceil(size / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def set_epoch(self, epoch: int) -> None:
        """The number that makes this epoch's order, the same on every rank."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        if self.shuffle:
            generator = Generator()
            generator.manual_seed(self.seed + self.epoch)
            order = FUNCTIONS["randperm"](size, generator=generator).tolist()
        else:
            order = list(range(size))
        if self.total_size > size:
            order = (order * math.ceil(self.total_size / size))[: self.total_size]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples
