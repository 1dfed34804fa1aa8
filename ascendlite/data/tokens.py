"""TokenSampler: random windows of a token array that lies in memory, for language models."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ascendlite.core import FUNCTIONS, Generator, Tensor, dtype_of_name, from_numpy, tensor
from ascendlite.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

_CHUNK = 256  # batches whose places are drawn at once


class TokenSampler:
    """Endless batches `(inputs, targets)` of random windows: int64, (batch, length), targets one token further on.

    Batch n depends on the seed and n alone, so `state_dict()` is two numbers and going on costs nothing.

    >>> import ascendlite as al
    >>> x, y = TokenSampler(al.arange(100), batch=2, length=4, seed=1).next_batch()
    >>> (y - x).tolist()
    [[1, 1, 1, 1], [1, 1, 1, 1]]
    """

    def __init__(self, tokens: Tensor | np.ndarray, batch: int, length: int, seed: int = 0) -> None:
        import numpy

        array = tokens.numpy() if isinstance(tokens, Tensor) else numpy.asarray(tokens)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ArgumentError(f"TokenSampler: tokens must be a 1-d array of integers, got {array.dtype} of shape {array.shape}")
        if batch < 1 or length < 1:
            raise ArgumentError(f"TokenSampler: batch is {batch} and length {length}; both must be at least 1")
        if len(array) <= length:
            raise ArgumentError(f"TokenSampler: {len(array)} tokens are fewer than the {length + 1} of one window; use a shorter length")
        self.batch, self.length, self.seed, self.batches = batch, length, seed, 0
        self._windows = numpy.lib.stride_tricks.sliding_window_view(array, length + 1)
        self._empty, self._int64 = numpy.empty, numpy.dtype("int64")
        self._chunk_number = -1
        self._starts: np.ndarray = numpy.empty((0, batch), dtype=numpy.int64)

    def _draw(self, number: int) -> None:
        # A place in the counter of its own for each chunk: chunk k is drawn without the chunks before it.
        state = struct.pack("<QQ", self.seed % 2**64, number << 32)
        generator = Generator().set_state(tensor(list(state), dtype=dtype_of_name("uint8")))
        starts = FUNCTIONS["randint"](0, len(self._windows), (_CHUNK, self.batch), dtype=dtype_of_name("int64"), generator=generator)
        self._starts, self._chunk_number = starts.numpy(), number

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """The next batch."""
        number, place = divmod(self.batches, _CHUNK)
        if number != self._chunk_number:
            self._draw(number)
        self.batches += 1
        window = self._windows[self._starts[place]]  # (B, T + 1)
        both = self._empty((2, self.batch, self.length), dtype=self._int64)
        both[0], both[1] = window[:, :-1], window[:, 1:]
        pair = from_numpy(both)  # once: it costs more than the gather
        return pair[0], pair[1]

    def __iter__(self) -> TokenSampler:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        return self.next_batch()

    def state_dict(self) -> dict[str, int]:
        """The seed and the number of batches that were drawn."""
        return {"seed": self.seed, "batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on after the batches of a `state_dict()`."""
        self.seed, self.batches, self._chunk_number = int(state_dict["seed"]), int(state_dict["batches"]), -1
