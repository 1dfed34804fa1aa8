"""Cuts along a fixed dim, and a tensor with one diagonal replaced."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import DType, Tensor, empty, function
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.movement import pad as pad_by


def _split_at(op: str, input: Tensor, least: int, dim: int, cuts: int | Sequence[int]) -> tuple[Tensor, ...]:
    if input.ndim < least:
        raise ShapeError(
            f"{op}: requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a tensor with "
            f"{input.ndim} dimensions; unsqueeze it first"
        )
    if isinstance(cuts, int) and (cuts <= 0 or input.shape[dim] % cuts):
        raise ArgumentError(
            f"{op}: attempted to split along dimension {dim}, but the size of the dimension {input.shape[dim]} is "
            f"not divisible by the split_size {cuts}; use tensor_split"
        )
    return tuple(input.tensor_split(cuts, dim))


@function(methods=("hsplit",))
def hsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Views of equal parts, or of what lies between indices, along columns (along the only dim of 1-d tensors)."""
    return _split_at("hsplit", input, 1, 0 if input.ndim < 2 else 1, indices_or_sections)


@function(methods=("dsplit",))
def dsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """The same along the third dim."""
    return _split_at("dsplit", input, 3, 2, indices_or_sections)


@function(methods=("diagonal_scatter",))
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of the tensor with a diagonal replaced by src."""
    result = input.clone()
    line = result.diagonal(offset, dim1, dim2)
    if line.shape != src.shape:
        raise ShapeError(
            "diagonal_scatter: expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(line.shape)}"
        )
    line.copy_(src)
    return result


@function()
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """`nn.functional.pad` with one value: (left, right) of the last dim, then of the one before, and so on."""
    return pad_by(input, pad, "constant", value)


@function()
def fill(input: Tensor, value: Tensor | float) -> Tensor:
    """A tensor like the input with every element equal to one value."""
    return input.clone().fill_(value)


@function()
def empty_permuted(
    size: Sequence[int],
    physical_layout: Sequence[int],
    *,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """An uninitialised tensor whose dims lie in memory in the given order, outermost first."""
    order = tuple(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise ShapeError(
            f"empty_permuted: physical_layout must be a permutation of the {len(size)} dims: got {list(order)}"
        )
    places = [order.index(d) for d in range(len(order))]
    memory = empty([size[d] for d in order], dtype=dtype, device=device)
    return memory.permute(places).requires_grad_(requires_grad)
