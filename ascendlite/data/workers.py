"""Worker processes of a DataLoader: the loop that runs in each, and the pool that hands out work and puts results in order.

A worker is seeded anew for each batch, so that what it draws depends on the batch and not on the worker, nor on where a
run was resumed.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import queue
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ascendlite.core import default_generator

_POLL_SECONDS = 2.0  # how soon a dead worker or parent is noticed


@dataclass(frozen=True)
class WorkerInfo:
    """What `get_worker_info` tells a dataset in a worker."""

    id: int
    num_workers: int
    seed: int
    dataset: object


@dataclass(frozen=True)
class Failure:
    """An exception of a worker, as text: tracebacks don't travel between processes."""

    kind: type[BaseException]
    text: str

    def reraise(self) -> None:
        """Raise it here, in its own type where a text is all that the type takes."""
        if self.kind is KeyError:
            raise KeyError(_Text(self.text))
        try:
            error = self.kind(self.text)
        except Exception:
            raise RuntimeError(self.text) from None
        raise error


class _Text(str):
    # KeyError shows the repr of its argument, which would fold a traceback into one line.
    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class _Exhausted:
    """The iterable dataset of a worker has ended."""

    worker: int


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Which worker this process is; None in the main process."""
    return _worker_info


def seed_everything(seed: int) -> None:
    """Seed ours, Python's and (where imported) NumPy's random numbers of this process."""
    default_generator.manual_seed(seed)
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def _failure(worker: int, error: BaseException) -> Failure:
    text = f"Caught {type(error).__name__} in DataLoader worker process {worker}.\nOriginal {traceback.format_exc()}"
    return Failure(type(error), text)


@dataclass(frozen=True)
class Job:
    """What each worker is started with."""

    dataset: object
    make_fetch: Callable[[object], Callable[[object], object]]
    init: Callable[[int], object] | None
    workers: int


def worker_loop(job: Job, worker: int, tasks: Any, results: Any, parent: int) -> None:
    """The life of a worker: (epoch, number, seed, what) comes in, (epoch, number, result) goes out."""
    global _worker_info
    fetch: Callable[[object], object] | None = None
    broken: Failure | None = None
    try:
        _worker_info = WorkerInfo(worker, job.workers, 0, job.dataset)
        if job.init is not None:
            job.init(worker)
    except Exception as error:
        broken = _failure(worker, error)
    epoch_seen = None
    while True:
        try:
            task = tasks.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if os.getppid() != parent:
                return
            continue
        if task is None:
            return
        epoch, number, base_seed, what = task
        try:
            seed_everything((base_seed + number) % 2**63)
            if epoch != epoch_seen:
                _worker_info = WorkerInfo(worker, job.workers, base_seed + worker, job.dataset)
                fetch, epoch_seen = job.make_fetch(job.dataset), epoch
            result = broken or fetch(what)  # type: ignore[misc]
        except StopIteration:
            result = _Exhausted(worker)
        except Exception as error:
            result = _failure(worker, error)
        results.put((epoch, number, result))


class WorkerPool:
    """Processes with a queue each, and one queue of results."""

    def __init__(self, job: Job, context: Any, timeout_seconds: float) -> None:
        context = context if context is not None else multiprocessing.get_context()
        self._timeout_seconds = timeout_seconds
        self._results = context.Queue()
        self._tasks = [context.Queue() for _ in range(job.workers)]
        self._epoch = 0
        self._processes = []
        for worker, tasks in enumerate(self._tasks):
            arguments = (job, worker, tasks, self._results, os.getpid())
            process = context.Process(target=worker_loop, args=arguments, daemon=True)
            process.start()
            self._processes.append(process)

    def run(self, work: Iterator[object], base_seed: int, first_number: int, ahead: int) -> Iterator[object]:
        """The results of all work, in its order, with `ahead` pieces for each worker under way."""
        self._epoch += 1
        epoch = self._epoch
        numbered = enumerate(work, first_number)
        idle_after: set[int] = set()  # workers whose iterable dataset has ended
        turns = itertools.cycle(range(len(self._tasks)))
        owners: dict[int, int] = {}  # number -> worker, for what is under way
        done: dict[int, object] = {}

        def hand_out() -> bool:
            if len(idle_after) == len(self._tasks):
                return False
            item = next(numbered, None)
            if item is None:
                return False
            worker = next(w for w in turns if w not in idle_after)
            owners[item[0]] = worker
            self._tasks[worker].put((epoch, item[0], base_seed, item[1]))
            return True

        for _ in range(ahead * len(self._tasks)):
            if not hand_out():
                break
        expected = first_number
        while owners or done:
            while expected not in done:
                number, result = self._next_result(epoch)
                done[number] = result
            result = done.pop(expected)
            owners.pop(expected)
            expected += 1
            if isinstance(result, Failure):
                result.reraise()
            if isinstance(result, _Exhausted):
                idle_after.add(result.worker)
            hand_out()
            if not isinstance(result, _Exhausted):
                yield result

    def _next_result(self, epoch: int) -> tuple[int, object]:
        waited = 0.0
        while True:
            pause = min(_POLL_SECONDS, self._timeout_seconds - waited) if self._timeout_seconds else _POLL_SECONDS
            try:
                of, number, result = self._results.get(timeout=pause)
            except queue.Empty:
                waited += pause
                self._check_alive()
                if self._timeout_seconds and waited >= self._timeout_seconds:
                    raise RuntimeError(f"DataLoader timed out after {self._timeout_seconds} seconds; raise timeout or look at the dataset") from None
                continue
            if of == epoch:  # an abandoned epoch may still send
                return number, result

    def _check_alive(self) -> None:
        for worker, process in enumerate(self._processes):
            if not process.is_alive():
                code = process.exitcode
                self.close()
                raise RuntimeError(
                    f"DataLoader worker {worker} (pid {process.pid}) exited unexpectedly with exit code {code}; a negative code is the "
                    f"signal that killed it (-9: often out of memory)"
                )

    def close(self) -> None:
        """End the workers."""
        for tasks in self._tasks:
            tasks.put(None)
        for process in self._processes:
            process.join(timeout=_POLL_SECONDS)
            if process.is_alive():
                process.terminate()
                process.join()
        for channel in [*self._tasks, self._results]:
            channel.close()
            channel.cancel_join_thread()
        self._tasks, self._processes = [], []


