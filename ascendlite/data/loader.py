"""DataLoader: batches of a dataset, in this process or from workers, the same for the same seed, resumable in mid-epoch."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, cast

from ascendlite.core import FUNCTIONS, Generator, Tensor, default_generator, dtype_of_name

from .collate import Collate, default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from .workers import Job, WorkerPool


class _ByIndex:
    """Fetches the items at a list of indices (or one index) and collates them."""

    def __init__(self, collate: Collate | Callable[[object], object], batched: bool) -> None:
        self.collate, self.batched = collate, batched

    def __call__(self, dataset: Any) -> Callable[[object], object]:
        def fetch(what: Any) -> object:
            if not self.batched:
                return self.collate(dataset[what])
            if hasattr(dataset, "__getitems__"):
                return self.collate(dataset.__getitems__(what))
            return self.collate([dataset[index] for index in what])

        return fetch


class _InOrder:
    """Fetches the next items of an iterable dataset; raises StopIteration at its end."""

    def __init__(self, collate: Collate | Callable[[object], object], batch_size: int | None, drop_last: bool) -> None:
        self.collate, self.batch_size, self.drop_last = collate, batch_size, drop_last

    def __call__(self, dataset: Any) -> Callable[[object], object]:
        items = iter(dataset)

        def fetch(_: object) -> object:
            if self.batch_size is None:
                return self.collate(next(items))
            batch = list(itertools.islice(items, self.batch_size))
            if not batch or (self.drop_last and len(batch) < self.batch_size):
                raise StopIteration
            return self.collate(batch)

        return fetch


class DataLoader:
    """Batches of a dataset.

    `state_dict()` between two batches says where the epoch stands; after `load_state_dict` the next loop goes on there
    with the batches that were still to come. An iterable dataset is gone through again up to that place.

    >>> import ascendlite as al
    >>> from ascendlite.data import DataLoader, TensorDataset
    >>> [x.tolist() for (x,) in DataLoader(TensorDataset(al.arange(5)), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], object] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,  # batches always come in order: one that is late holds up those behind it
    ) -> None:
        _check_numbers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.iterable = isinstance(dataset, IterableDataset)
        _check_choice(self.iterable, batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.worker_init_fn, self.generator, self.persistent_workers = worker_init_fn, generator, persistent_workers
        self.pin_memory, self.drop_last = pin_memory, drop_last  # host memory is where tensors live: nothing to pin
        self.pin_memory_device, self.in_order = pin_memory_device, in_order
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.batch_size = None if batch_sampler is not None else batch_size
        if isinstance(multiprocessing_context, str):
            multiprocessing_context = multiprocessing.get_context(multiprocessing_context)
        self.multiprocessing_context = multiprocessing_context
        if sampler is None and not self.iterable:
            size = cast(Sized, dataset)
            sampler = RandomSampler(size, generator=generator) if shuffle else SequentialSampler(size)
        if batch_sampler is None and not self.iterable and batch_size is not None:
            batch_sampler = BatchSampler(cast("Sampler[int]", sampler), batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        batched = batch_sampler is not None or self.batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        fetch: Any = _InOrder(self.collate_fn, self.batch_size, drop_last) if self.iterable else _ByIndex(self.collate_fn, batched)
        self._make_fetch = fetch
        self._pool: WorkerPool | None = None
        self._start: Tensor | None = None  # the generator's state when the epoch began
        self._given = 0  # batches of this epoch that were handed out
        self._resume: tuple[Tensor, int] | None = None

    def __len__(self) -> int:
        if self.iterable:
            size = len(cast(Sized, self.dataset))
            if self.batch_size is None:
                return size
            return size // self.batch_size if self.drop_last else -(-size // self.batch_size)
        return len(cast(Sized, self.sampler if self.batch_sampler is None else self.batch_sampler))

    # -- where the epoch stands
    def _random(self) -> Generator:
        own = getattr(self.sampler, "generator", None)
        return own or self.generator or default_generator

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch stands, to go on from later: after a batch was handed out, with the next one."""
        generator = self._random()
        if self._resume is not None:
            start, given = self._resume
        else:
            start, given = (generator.get_state() if self._start is None else self._start), self._given
        return {"start": start, "given": given}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Make the next loop over this loader go on from a `state_dict()`."""
        self._resume = (state_dict["start"], int(state_dict["given"]))

    # -- going through it
    def __iter__(self) -> Iterator[Any]:
        generator, resumed, skip = self._random(), self._resume, 0
        shared = generator is default_generator
        before = generator.get_state()
        self._resume = None
        if resumed is not None:
            generator.set_state(resumed[0])
            skip = resumed[1]
        self._start, self._given = generator.get_state(), skip
        base_seed = int(FUNCTIONS["randint"](0, 2**62, (1,), dtype=dtype_of_name("int64"), generator=generator).item())
        work = self._work()
        if not self.iterable:
            for _ in itertools.islice(work, skip):
                pass
        if resumed is not None and shared:
            generator.set_state(before)  # the rest of the program has its own restored state
        return self._loop(work, base_seed, skip)

    def _work(self) -> Iterator[Any]:
        if self.iterable:
            return itertools.repeat(None)
        return iter(cast("Iterable[Any]", self.sampler if self.batch_sampler is None else self.batch_sampler))

    def _loop(self, work: Iterator[Any], base_seed: int, skip: int) -> Iterator[Any]:
        # An iterable dataset can't jump: its first batches are made again and dropped.
        drop = skip if self.iterable else 0
        number = 0 if self.iterable else skip
        source = self._from_workers(work, base_seed, number) if self.num_workers else self._from_here(work)
        for k, batch in enumerate(source):
            if k < drop:
                continue
            self._given += 1
            yield batch
        self._start, self._given = None, 0

    def _from_here(self, work: Iterator[Any]) -> Iterator[Any]:
        fetch = self._make_fetch(self.dataset)
        for what in work:
            try:
                batch = fetch(what)
            except StopIteration:
                return
            yield batch

    def _from_workers(self, work: Iterator[Any], base_seed: int, number: int) -> Iterator[Any]:
        pool = self._pool
        if pool is None:
            job = Job(self.dataset, self._make_fetch, self.worker_init_fn, self.num_workers)
            pool = WorkerPool(job, self.multiprocessing_context, self.timeout)
        self._pool = pool if self.persistent_workers else None
        try:
            yield from pool.run(work, base_seed, number, self.prefetch_factor or 2)
        except Exception:
            self._pool = None
            pool.close()
            raise
        finally:
            if self._pool is not pool:
                pool.close()


def _check_numbers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool) -> None:
    if num_workers < 0:
        raise ValueError(f"DataLoader: num_workers is {num_workers}; it should be non-negative; use 0 to load in this process")
    if timeout < 0:
        raise ValueError(f"DataLoader: timeout is {timeout}; it should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("DataLoader: prefetch_factor could only be specified in multiprocessing; set num_workers > 0 or leave it out")
    if prefetch_factor is not None and prefetch_factor < 1:
        raise ValueError(f"DataLoader: prefetch_factor is {prefetch_factor}; it should be positive")
    if persistent and num_workers == 0:
        raise ValueError("DataLoader: persistent_workers option needs num_workers > 0")


def _check_choice(
    iterable: bool, batch_size: int | None, shuffle: bool | None, sampler: object, batch_sampler: object, drop_last: bool
) -> None:
    if iterable and (shuffle or sampler is not None or batch_sampler is not None):
        raise ValueError("DataLoader: an IterableDataset has its own order; shuffle, sampler and batch_sampler can't be given")
    if sampler is not None and shuffle:
        raise ValueError("DataLoader: sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("DataLoader: batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
    if batch_size is None and drop_last:
        raise ValueError("DataLoader: batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
    if isinstance(batch_size, bool) or (batch_size is not None and batch_size <= 0):
        raise ValueError(f"DataLoader: batch_size should be a positive integer value, but got batch_size={batch_size!r}")
