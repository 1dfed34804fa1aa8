"""unique and unique_consecutive: they number the runs of equal rows and read everything off."""

from __future__ import annotations

from ascendlite.core import Op, Tensor, arange, empty, function, int64, normalize_dim
from ascendlite.errors import ArgumentError
from ascendlite.ops.index import index_select
from ascendlite.ops.nonzero import sized_by_values
from ascendlite.ops.search import bincount

_sort_rows = Op("sort_rows", inputs=1, infer=lambda x: ((x.shape[0],), int64))
_number_runs = Op("number_runs", inputs=2, infer=lambda x, order: ((x.shape[0],), int64))


def _rows(input: Tensor, dim: int | None) -> Tensor:
    """The things to be compared, one a row."""
    if dim is None:
        return input.reshape(-1, 1)
    rows = input.movedim(dim, 0)
    return rows.reshape(rows.shape[0], -1) if input.numel() else rows.new_zeros((rows.shape[0], 0))


def _answer(input: Tensor, dim: int | None, order: Tensor, runs: Tensor, inverse: bool, counts: bool):
    """What the flags ask for, from the order of rows and the number of each one's run."""
    sized_by_values(input, "unique", "estimate what follows on a tensor of the expected size")
    total = int(runs[-1]) + 1 if runs.numel() else 0
    first = empty(total, dtype=int64, device=runs.device).index_put_(
        (runs.flip(0),), order.flip(0)
    )  # the last write stays: the first of a run
    values = index_select(input.reshape(-1), 0, first) if dim is None else index_select(input, dim, first)
    answer = [values]
    if inverse:
        back = empty(runs.numel(), dtype=int64, device=runs.device).index_put_((order,), runs)
        answer.append(back.reshape(input.shape) if dim is None else back)
    if counts:
        answer.append(bincount(runs, minlength=total))
    return answer[0] if len(answer) == 1 else tuple(answer)


def _check(input: Tensor, dim: int | None, op: str) -> int | None:
    if dim is None:
        return None
    dim = normalize_dim(dim, input.ndim)
    if input.numel() == 0 and input.shape[dim] != 0:
        raise ArgumentError(
            f"{op}: There are 0 sized dimensions, and they aren't selected, so unique cannot "
            f"be applied: {list(input.shape)} on dim {dim}"
        )
    return dim


@function(methods=("unique",))
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """The distinct elements (or slices of a dim), in order; where each element went; how often each occurs.

    >>> al.unique(al.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    input = input.detach()
    dim = _check(input, dim, "unique")
    rows = _rows(input, dim)
    order = _sort_rows(rows)
    return _answer(input, dim, order, _number_runs(rows, order), return_inverse, return_counts)


@function(methods=("unique_consecutive",))
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Tensor | tuple[Tensor, ...]:
    """The elements (or slices of a dim) without those that repeat the one before."""
    input = input.detach()
    dim = _check(input, dim, "unique_consecutive")
    rows = _rows(input, dim)
    order = arange(rows.shape[0], device=rows.device)
    return _answer(input, dim, order, _number_runs(rows, order), return_inverse, return_counts)
