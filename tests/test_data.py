"""Datasets, samplers, collation, the DataLoader and the token sampler."""

from __future__ import annotations

import itertools
import os
import time
from collections import namedtuple

import numpy as np
import pytest

import ascendlite as al
from ascendlite import data

Pair = namedtuple("Pair", "x y")


class Squares(data.Dataset):
    def __init__(self, size: int, bad: int | None = None) -> None:
        self.size, self.bad = size, bad

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        if index == self.bad:
            raise ValueError(f"item {index} is bad")
        return {"square": al.full((2,), float(index * index)), "noise": al.rand(1), "index": index}


class Count(data.IterableDataset):
    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self):
        worker = data.get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return iter(range(first, self.size, step))


def _indices(batches) -> list:
    return [batch["index"].tolist() for batch in batches]


# ---- datasets and samplers


def test_joined_cut_and_stacked_datasets_find_their_items():
    joined = data.ConcatDataset([range(3), range(10, 12)])
    assert [joined[i] for i in (*range(5), -1)] == [0, 1, 2, 10, 11, 11]
    with pytest.raises(IndexError):
        joined[5]
    assert list(data.Subset("abc", [2, 0])) == ["c", "a"]
    assert data.StackDataset(range(3), "abc")[1] == (1, "b")
    assert list(data.ChainDataset([Count(2), Count(1)])) == [0, 1, 0]
    rows = data.TensorDataset(al.arange(3), al.ones(3, 2))
    assert (len(rows), rows[1][0].item()) == (3, 1)
    with pytest.raises(ValueError, match="size mismatch"):
        data.TensorDataset(al.ones(2), al.ones(3))


def test_a_random_split_has_every_item_once():
    parts = data.random_split(range(10), [0.55, 0.25, 0.2], al.Generator().manual_seed(1))
    assert [len(part) for part in parts] == [6, 2, 2]
    assert sorted(item for part in parts for item in part) == list(range(10))
    with pytest.raises(ValueError, match="sum to 7"):
        data.random_split(range(10), [3, 4])


def test_samplers_draw_what_they_say():
    generator = al.Generator().manual_seed(0)
    assert list(data.SequentialSampler(range(3))) == [0, 1, 2]
    assert sorted(data.RandomSampler(range(9), generator=generator)) == list(range(9))
    assert len(list(data.RandomSampler(range(3), replacement=True, num_samples=2000))) == 2000
    assert set(data.WeightedRandomSampler([0.0, 1.0, 1.0], 200, generator=generator)) == {1, 2}
    assert sorted(data.SubsetRandomSampler([4, 7])) == [4, 7]
    assert list(data.BatchSampler(range(5), 2, drop_last=False)) == [[0, 1], [2, 3], [4]]
    assert list(data.BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]


def test_distributed_samplers_cover_the_dataset_and_shuffle_by_epoch():
    ranks = [data.DistributedSampler(range(10), 3, rank) for rank in range(3)]
    assert [len(list(rank)) for rank in ranks] == [4, 4, 4]
    assert set().union(*ranks) == set(range(10))
    first = list(ranks[0])
    ranks[0].set_epoch(1)
    assert list(ranks[0]) != first
    with pytest.raises(ValueError, match="Invalid rank 3"):
        data.DistributedSampler(range(10), 3, 3)


# ---- collation


def test_a_batch_has_the_containers_of_its_items():
    items = [{"t": al.ones(2), "n": (1, 2.0), "s": "a", "p": Pair(True, np.float32(3))}] * 2
    batch = data.default_collate(items)
    assert batch["t"].shape == (2, 2)
    assert (batch["n"][0].dtype, batch["n"][1].dtype) == (al.int64, al.float64)
    assert batch["s"] == ["a", "a"]
    assert isinstance(batch["p"], Pair)
    assert (batch["p"].x.dtype, batch["p"].y.dtype) == (al.bool, al.float32)


def test_items_that_do_not_fit_together_are_named():
    with pytest.raises(RuntimeError, match=r"\(2,\) and \(3,\)"):
        data.default_collate([al.ones(2), al.ones(3)])
    with pytest.raises(TypeError, match="found <class 'object'>"):
        data.default_collate([object()])


# ---- the loader


@pytest.mark.parametrize("workers", [0, 2])
def test_every_item_comes_once_and_in_order(workers):
    loader = data.DataLoader(Squares(7), batch_size=3, num_workers=workers)
    assert _indices(loader) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(loader) == 3
    assert _indices(data.DataLoader(Squares(7), batch_size=3, num_workers=workers, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]


def test_the_seed_decides_the_order_whatever_the_workers():
    def order(workers: int) -> list:
        al.manual_seed(3)
        return _indices(data.DataLoader(Squares(20), batch_size=4, shuffle=True, num_workers=workers))

    assert order(0) == order(2)
    assert sorted(itertools.chain.from_iterable(order(0))) == list(range(20))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dataset", [Squares(20), Count(20)], ids=["indexed", "iterable"])
def test_a_resumed_epoch_gives_the_batches_that_were_to_come(dataset, workers):
    def loader() -> data.DataLoader:
        return data.DataLoader(dataset, batch_size=3, shuffle=isinstance(dataset, Squares) or None, num_workers=workers)

    al.manual_seed(0)
    first = loader()
    batches = iter(first)
    for _ in range(2):
        next(batches)
    state, random_state = first.state_dict(), al.get_rng_state()
    expected = repr([list(batches), list(first)])
    second = loader()
    second.load_state_dict(state)
    al.set_rng_state(random_state)
    assert repr([list(second), list(second)]) == expected


def test_an_iterable_dataset_is_shared_out_by_worker_info():
    batches = list(data.DataLoader(Count(10), batch_size=2, num_workers=2))
    assert sorted(itertools.chain.from_iterable(batch.tolist() for batch in batches)) == list(range(10))


def test_a_workers_error_comes_with_its_own_traceback():
    with pytest.raises(ValueError, match=r"(?s)Caught ValueError in DataLoader worker process.*__getitem__.*item 5 is bad"):
        list(data.DataLoader(Squares(8, bad=5), num_workers=2))


class _Dies(Squares):
    def __getitem__(self, index: int) -> dict:
        os._exit(3)


def test_a_worker_that_dies_is_noticed():
    with pytest.raises(RuntimeError, match="exited unexpectedly with exit code 3"):
        list(data.DataLoader(_Dies(4), num_workers=1))


class _Slow(Squares):
    def __getitem__(self, index: int) -> dict:
        time.sleep(30)
        return super().__getitem__(index)


def test_a_worker_that_takes_too_long_is_an_error():
    with pytest.raises(RuntimeError, match=r"timed out after 0\.3 seconds"):
        list(data.DataLoader(_Slow(4), num_workers=1, timeout=0.3))


def test_persistent_workers_serve_every_epoch_and_init_runs_in_each():
    def init(worker: int) -> None:
        Squares.offset = worker

    loader = data.DataLoader(Squares(5), num_workers=2, persistent_workers=True, worker_init_fn=init, prefetch_factor=1)
    assert _indices(loader) == _indices(loader)
    assert not hasattr(Squares, "offset")


def test_options_that_contradict_each_other_are_refused():
    for options, text in [
        ({"shuffle": True, "sampler": [0]}, "mutually exclusive"),
        ({"batch_size": 0}, "positive"),
        ({"num_workers": -1}, "non-negative"),
        ({"prefetch_factor": 2}, "multiprocessing"),
        ({"persistent_workers": True}, "num_workers"),
    ]:
        with pytest.raises(ValueError, match=text):
            data.DataLoader(Squares(3), **options)
    with pytest.raises(ValueError, match="IterableDataset"):
        data.DataLoader(Count(3), shuffle=True)


# ---- tokens


def test_windows_are_cut_from_the_tokens_with_targets_one_further():
    x, y = data.TokenSampler(al.arange(1000), batch=8, length=16, seed=1).next_batch()
    assert x.shape == y.shape == (8, 16)
    assert x.dtype is al.int64
    assert ((y - x) == 1).all()
    assert ((x - x[:, :1]) == al.arange(16)).all()


def test_the_last_window_can_be_drawn_and_none_beyond():
    sampler = data.TokenSampler(al.arange(6), batch=64, length=4, seed=0)
    assert {int(sampler.next_batch()[0][i, 0]) for i in range(64)} == {0, 1}


def test_batches_depend_on_seed_and_number_alone():
    tokens = np.arange(5000, dtype=np.uint16)
    first = data.TokenSampler(tokens, 4, 8, seed=3)
    for _ in range(300):
        first.next_batch()
    second = data.TokenSampler(tokens, 4, 8)
    second.load_state_dict(first.state_dict())
    expected = first.next_batch()[0].tolist()
    assert second.next_batch()[0].tolist() == expected
    assert data.TokenSampler(tokens, 4, 8, seed=4).next_batch()[0].tolist() != data.TokenSampler(tokens, 4, 8, seed=3).next_batch()[0].tolist()


def test_tokens_that_make_no_window_are_refused():
    with pytest.raises(ValueError, match="5 tokens are fewer than the 9"):
        data.TokenSampler(al.arange(5), 1, 8)
    with pytest.raises(ValueError, match="integers"):
        data.TokenSampler(al.ones(100), 1, 8)
