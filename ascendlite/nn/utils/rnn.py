"""Batches of sequences of different lengths: padded to one length, or packed without padding, as recurrent layers take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...core import Tensor, arange, full, int64, tensor
from ...errors import ArgumentError, ShapeError
from ...ops.movement import cat, stack


class PackedSequence(NamedTuple):
    """Sequences in the order of falling length: `data` has the elements of all at time 0, then at time 1, ...; `batch_sizes` how many."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: object, **kwargs: object) -> PackedSequence:
        """The same with its data on another device or of another dtype."""
        return self._replace(data=self.data.to(*args, **kwargs))


def pad_sequence(sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Tensor:
    """Tensors of shapes (L_i, *) as one of shape (L, B, *), filled up at the end (or the start, `padding_side="left"`).

    >>> al.nn.utils.rnn.pad_sequence([al.ones(2), al.ones(1)], batch_first=True)
    tensor([[1., 1.],
            [1., 0.]])
    """
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    if not sequences:
        raise ArgumentError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise ArgumentError(f"pad_sequence: padding_side is {padding_side!r}; use 'left' or 'right'")
    shapes = {tuple(s.shape[1:]) for s in sequences}
    if len(shapes) != 1:
        raise ShapeError(f"pad_sequence: the trailing dimensions of all sequences must be the same, got {sorted(shapes)}")
    longest = max(s.shape[0] for s in sequences)
    rows = []
    for s in sequences:
        fill = full((longest - s.shape[0], *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
        rows.append(s if longest == s.shape[0] else cat([s, fill] if padding_side == "right" else [fill, s]))
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each of its length."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(rows.unbind(0), lengths.tolist(), strict=True)]


def pack_padded_sequence(input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """A padded batch (L, B, *) without its padding; `enforce_sorted=False` sorts it by length first.

    >>> x = al.tensor([[1, 2], [3, 0]])
    >>> al.nn.utils.rnn.pack_padded_sequence(x, [2, 1], batch_first=True).data
    tensor([1, 3, 2])
    """
    sizes = lengths.tolist() if isinstance(lengths, Tensor) else [int(n) for n in lengths]
    x = input.transpose(0, 1) if batch_first else input
    if x.ndim < 2 or len(sizes) != x.shape[1]:
        raise ShapeError(f"pack_padded_sequence: expected one length for each sequence of the batch: {len(sizes)} lengths, shape {tuple(input.shape)}")
    if not sizes or min(sizes) <= 0 or max(sizes) > x.shape[0]:
        raise ArgumentError(f"pack_padded_sequence: lengths must be from 1 to {x.shape[0]} (shape {tuple(input.shape)}), got {sizes}")
    order: list[int] | None = None
    if not enforce_sorted:
        order = sorted(range(len(sizes)), key=lambda k: -sizes[k])
        x, sizes = x.index_select(1, tensor(order, device=x.device)), [sizes[k] for k in order]
    elif sizes != sorted(sizes, reverse=True):
        raise ArgumentError(f"pack_padded_sequence: lengths must be sorted in decreasing order, got {sizes}; or pass enforce_sorted=False")
    counts = [sum(n > t for n in sizes) for t in range(sizes[0])]
    data = cat([x[t, :n] for t, n in enumerate(counts)])
    if order is None:
        return PackedSequence(data, tensor(counts, dtype=int64))
    back = sorted(range(len(order)), key=lambda k: order[k])
    return PackedSequence(data, tensor(counts, dtype=int64), tensor(order, device=x.device), tensor(back, device=x.device))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """(the padded batch, the lengths) of a packed one, in the order it had before it was packed."""
    counts: list[int] = sequence.batch_sizes.tolist()
    if total_length is not None and total_length < len(counts):
        raise ArgumentError(f"pad_packed_sequence: total_length {total_length} is less than the longest sequence's, {len(counts)}")
    steps = sequence.data.split(counts)
    B = counts[0]
    rows = [s if n == B else cat([s, full((B - n, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)])
            for s, n in zip(steps, counts, strict=True)]
    if total_length is not None and total_length > len(rows):
        rows += [full(tuple(rows[0].shape), padding_value, dtype=rows[0].dtype, device=rows[0].device)] * (total_length - len(rows))
    x = stack(rows)
    lengths = tensor([sum(n > k for n in counts) for k in range(B)], dtype=int64)
    if sequence.unsorted_indices is not None:
        x, lengths = x.index_select(1, sequence.unsorted_indices), lengths[sequence.unsorted_indices.to("cpu")]
    return (x.transpose(0, 1) if batch_first else x), lengths


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Tensors of shapes (L_i, *) packed."""
    return pack_padded_sequence(pad_sequence(sequences), [s.shape[0] for s in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another."""
    if permutation is None:
        return None
    back = permutation.new_empty(permutation.shape)
    back[permutation] = arange(permutation.numel(), device=permutation.device)
    return back
