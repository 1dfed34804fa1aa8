"""Rows of a table by index, and one-hot vectors."""

from __future__ import annotations

from ascendlite.core import Op, Tensor, function, int32, int64, no_grad, zeros
from ascendlite.errors import ArgumentError, AssertedValueError, DTypeError, ShapeError
from ascendlite.ops.compare import where
from ascendlite.ops.scatter import scatter


def _table_grad(g, y, _table, ids, padding, by_frequency, *, total=None):
    if total is None or total.dtype is not g.dtype:
        return _embedding_backward(g, ids, _table.shape[0], padding, by_frequency, False)
    _embedding_backward.launch((total,), (g, ids), (_table.shape[0], padding, by_frequency, True))
    return total


def _backward_grad(h, d, g, ids, rows, padding, by_frequency, adds):
    picked = _embedding(h, ids, padding, by_frequency)
    if by_frequency:
        counts = zeros(rows, dtype=h.dtype).index_add(0, ids.reshape(-1), (ids.reshape(-1) >= 0).to(h.dtype))
        picked = picked / counts[ids].unsqueeze(-1)
    return where((ids == padding).unsqueeze(-1), 0.0, picked) if padding >= 0 else picked


_embedding = Op(
    "embedding",
    inputs=2,
    infer=lambda table, ids, padding, by_frequency: (ids.shape + table.shape[1:], table.dtype),
    vjp=(_table_grad, None),
)
# `adds`: to what the output holds, of launches in place alone.
_embedding_backward = Op(
    "embedding_backward",
    inputs=2,
    infer=lambda g, ids, rows, padding, by_frequency, adds: ((rows, g.shape[-1]), g.dtype),
    vjp=(_backward_grad, None),
)


def _renormalize(table: Tensor, ids: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are used down to `max_norm`, in place."""
    with no_grad():
        used = ids.reshape(-1)
        rows = table[used]
        norms = rows.norm(norm_type, 1, True)
        table[used] = where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)


@function(toplevel=False)
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` (V, D) that `input` names; the row `padding_idx` gets no gradient.

    `sparse` is accepted and has no effect: gradients are dense, and written once per row.
    """
    if input.dtype not in (int64, int32):
        raise DTypeError(
            f"embedding: expected indices of dtype int64 or int32, got {input.dtype}; convert with .long()"
        )
    if weight.ndim != 2:
        raise ShapeError(f"embedding: 'weight' must be 2-D, got shape {tuple(weight.shape)}")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise AssertedValueError(
            f"embedding: padding_idx must be within num_embeddings: got {padding_idx} for {rows} rows"
        )
    padding = -1 if padding_idx is None else padding_idx % rows
    ids = input if input.dtype == int64 else input.to(int64)
    if max_norm is not None:
        _renormalize(weight, ids, max_norm, norm_type)
    return _embedding(weight, ids, padding, scale_grad_by_freq)


@function(toplevel=False)
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Zeros with a one at each index, along a new last dim; int64.

    >>> al.nn.functional.one_hot(al.tensor([1, 0]), 3)
    tensor([[0, 1, 0],
            [1, 0, 0]])
    """
    if tensor.dtype != int64:
        raise DTypeError(
            f"one_hot: one_hot is only applicable to index tensor of type LongTensor, got {tensor.dtype}"
        )
    if tensor.numel() == 0 and num_classes <= 0:
        raise ArgumentError(
            f"one_hot: can not infer total number of classes from empty {tuple(tensor.shape)}; pass num_classes"
        )
    if str(tensor.device) != "meta" and tensor.numel():
        low, high = int(tensor.min()), int(tensor.max())
        if low < 0:
            raise ArgumentError(f"one_hot: Class values must be non-negative, the smallest is {low}.")
        if num_classes < 0:
            num_classes = high + 1
        elif high >= num_classes:
            raise ArgumentError(
                f"one_hot: Class values must be smaller than num_classes: {high} >= {num_classes}."
            )
    if num_classes < 0:
        raise ArgumentError(
            "one_hot: the number of classes can't be read from a meta tensor; pass num_classes"
        )
    empty = zeros(tensor.shape + (num_classes,), dtype=int64, device=tensor.device)
    return scatter(empty, tensor.ndim, tensor.unsqueeze(-1), 1) if tensor.numel() else empty
