"""Copies of views, tensors with one piece replaced, and cuts whose pieces are asked for by torch's older names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ascendlite.core import Tensor, deliver, function, normalize_dim
from ascendlite.errors import BoundsError, ShapeError


@function(methods=("narrow_copy",))
def narrow_copy(
    input: Tensor, dim: int, start: int, length: int, *, out: Tensor | None = None
) -> Tensor:
    """`narrow` as a copy."""
    if not -input.ndim <= dim < max(input.ndim, 1):
        raise BoundsError(f"narrow_copy: Dimension out of range (expected to be in range of [{-input.ndim}, {input.ndim - 1}], but got {dim})")
    return deliver(input.narrow(dim, start, length).clone(), out)


def _replaced(op: str, input: Tensor, piece: Callable[[Tensor], Tensor], src: Tensor) -> Tensor:
    result = input.clone()
    place = piece(result)
    if place.shape != src.shape:
        raise ShapeError(
            f"{op}: expected src to have a size equal to the slice of self: src size = {list(src.shape)}, "
            f"slice size = {list(place.shape)}"
        )
    place.copy_(src)
    return result


@function(methods=("select_scatter",))
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of the input with `src` at one index of a dim."""
    return _replaced("select_scatter", input, lambda x: x.select(dim, index), src)


@function(methods=("slice_scatter",))
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of the input with `src` in a slice of a dim."""
    axis = normalize_dim(dim, input.ndim)
    place = (slice(None),) * axis + (slice(start, end, step),)
    return deliver(_replaced("slice_scatter", input, lambda x: x[place], src), out)


@function(methods=("as_strided_scatter",))
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A copy of the input, and of the storage that it is a window on, with `src` in another window on that storage.

    >>> al.as_strided_scatter(al.zeros(4), al.ones(2), (2,), (3,))
    tensor([1., 0., 0., 1.])
    """
    offset = input.storage_offset()
    held = input.untyped_storage().nbytes // input.itemsize
    copy = input.as_strided((held,), (1,), 0).clone()
    place = copy.as_strided(size, stride, offset if storage_offset is None else storage_offset)
    if place.shape != src.shape:
        raise ShapeError(
            f"as_strided_scatter: expected src to have a size equal to the slice of self: src size = {list(src.shape)}, "
            f"slice size = {list(place.shape)}"
        )
    place.copy_(src)
    return copy.as_strided(input.shape, input.stride(), offset)


@function(methods=("vsplit",))
def vsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """`tensor_split` of the first dim of two or more; a number of sections must divide it."""
    if input.ndim < 2:
        raise ShapeError(
            "vsplit: torch.vsplit requires a tensor with at least 2 dimension, but got a tensor with "
            f"{input.ndim} dimensions!"
        )
    sections = indices_or_sections
    if isinstance(sections, int) and (sections <= 0 or input.shape[0] % sections):
        raise ShapeError(
            f"vsplit: torch.vsplit attempted to split along dimension 0, but the size of the dimension "
            f"{input.shape[0]} is not divisible by the split_size {sections}!"
        )
    return input.tensor_split(sections, 0)


# Views as copies: torch's names for them, where a view would be unwelcome.


@function()
def view_copy(input: Tensor, size: Sequence[int], *, out: Tensor | None = None) -> Tensor:
    """`view` as a copy."""
    return deliver(input.view(tuple(size)).clone(), out)


@function()
def permute_copy(input: Tensor, dims: Sequence[int], *, out: Tensor | None = None) -> Tensor:
    """`permute` as a copy."""
    return deliver(input.permute(tuple(dims)).clone(), out)


@function()
def transpose_copy(input: Tensor, dim0: int, dim1: int, *, out: Tensor | None = None) -> Tensor:
    """`transpose` as a copy."""
    return deliver(input.transpose(dim0, dim1).clone(), out)


@function()
def t_copy(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`t` as a copy."""
    return deliver(input.t().clone(), out)


@function()
def squeeze_copy(
    input: Tensor, dim: int | Sequence[int] | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`squeeze` as a copy."""
    return deliver((input.squeeze() if dim is None else input.squeeze(dim)).clone(), out)


@function()
def unsqueeze_copy(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """`unsqueeze` as a copy."""
    return deliver(input.unsqueeze(dim).clone(), out)


@function()
def unfold_copy(
    input: Tensor, dimension: int, size: int, step: int, *, out: Tensor | None = None
) -> Tensor:
    """`Tensor.unfold` as a copy."""
    return deliver(input.unfold(dimension, size, step).clone(), out)


@function()
def expand_copy(input: Tensor, size: Sequence[int], *, implicit: bool = False, out: Tensor | None = None) -> Tensor:
    """`Tensor.expand` as a copy."""
    return deliver(input.expand(tuple(size)).clone().contiguous(), out)


@function()
def diagonal_copy(
    input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1, *, out: Tensor | None = None
) -> Tensor:
    """`diagonal` as a copy."""
    return deliver(input.diagonal(offset, dim1, dim2).clone(), out)


@function()
def alias_copy(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy of the whole tensor."""
    return deliver(input.clone(), out)


@function()
def as_strided_copy(
    input: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """`as_strided` as a copy."""
    return deliver(input.as_strided(size, stride, storage_offset).clone(), out)


Pieces = tuple[Tensor, ...]


@function()
def split_copy(input: Tensor, split_size: int, dim: int = 0, *, out: Pieces | None = None) -> Pieces:
    """`split` as copies."""
    return deliver(tuple(piece.clone() for piece in input.split(split_size, dim)), out)


@function()
def split_with_sizes_copy(
    input: Tensor, split_sizes: Sequence[int], dim: int = 0, *, out: Pieces | None = None
) -> Pieces:
    """`split_with_sizes` as copies."""
    return deliver(tuple(piece.clone() for piece in input.split_with_sizes(split_sizes, dim)), out)


@function()
def unbind_copy(input: Tensor, dim: int = 0, *, out: Pieces | None = None) -> Pieces:
    """`unbind` as copies."""
    return deliver(tuple(piece.clone() for piece in input.unbind(dim)), out)
