"""The order in which a data set is read: a shuffle an epoch that depends on the seed and the epoch only, so that a place is one number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ascendlite.errors import ArgumentError
from ascendlite.structure import Value


class Order:
    """Endless indices of a data set of `size` examples, each once an epoch.

    >>> order = Order(4, seed=1)
    >>> sorted(order.take(4)), order.epoch
    ([0, 1, 2, 3], 1.0)
    """

    def __init__(self, size: int, seed: int) -> None:
        if size < 1:
            raise ArgumentError("the data set is empty; give at least one example")
        self.size, self.seed, self.taken = size, seed, 0
        self._epoch_number = -1
        self._epoch: list[int] = []

    @property
    def epoch(self) -> float:
        """How often the data set was read."""
        return self.taken / self.size

    def _index(self, number: int) -> int:
        import numpy

        epoch, place = divmod(number, self.size)
        if epoch != self._epoch_number:
            draw = numpy.random.Generator(numpy.random.Philox(key=self.seed % 2**64, counter=[0, 0, 0, epoch]))
            self._epoch, self._epoch_number = draw.permutation(self.size).tolist(), epoch
        return self._epoch[place]

    def take(self, count: int) -> list[int]:
        """The next indices."""
        start = self.taken
        self.taken += count
        return [self._index(number) for number in range(start, start + count)]

    def state_dict(self) -> dict[str, Value]:
        """Size, seed and place."""
        return {"size": self.size, "seed": self.seed, "taken": self.taken}

    def load_state_dict(self, state_dict: Mapping[str, Value]) -> None:
        """Go on from a place; another data set is refused."""
        if state_dict["size"] != self.size or state_dict["seed"] != self.seed:
            raise ArgumentError(
                f"resume: the run had {state_dict['size']} examples and seed {state_dict['seed']}, now there are {self.size} and {self.seed}; "
                "give the same data and seed, or start a new run"
            )
        self.taken = cast(int, state_dict["taken"])
