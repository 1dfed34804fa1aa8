"""Diagonals, triangles and grids: ops that place elements by their coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

from ascendlite.core import Op, Tensor, deliver, function, normalize_dim, require_tensor
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.movement import stack

# --- triangles and diagonals --------------------------------------------------------------------------------

_triangle = Op(
    "triangle",
    inputs=1,
    infer=lambda x, diagonal, upper: x,
    vjp=(lambda g, y, _x, diagonal, upper: _triangle(g, diagonal, upper),),
)


def _matrices(input: Tensor, op: str) -> Tensor:
    if input.ndim < 2:
        raise ShapeError(
            f"{op}: input tensor must have at least 2 dimensions: got {input.ndim}; unsqueeze it first"
        )
    return input


@function(methods=("tril",), inplace=True)
def tril(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The lower triangle of each matrix, up to a diagonal; zeros above.

    >>> al.ones(2, 2).tril()
    tensor([[1., 0.],
            [1., 1.]])
    """
    return deliver(_triangle(_matrices(input, "tril"), diagonal, False), out)


@function(methods=("triu",), inplace=True)
def triu(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The upper triangle of each matrix, from a diagonal on; zeros below."""
    return deliver(_triangle(_matrices(input, "triu"), diagonal, True), out)


def _diag_embed_shape(x, offset, dim1, dim2):
    size = x.shape[-1] + abs(offset)
    shape = list(x.shape[:-1])
    for d in sorted((dim1, dim2)):
        shape.insert(d, size)
    return tuple(shape), x.dtype


_diag_embed = Op(
    "diag_embed",
    inputs=1,
    infer=_diag_embed_shape,
    contiguous=False,
    vjp=(lambda g, y, _x, offset, dim1, dim2: g.diagonal(offset, dim1, dim2),),
)


@function(methods=("diag_embed",))
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices over dim1 and dim2 whose diagonals are the rows of the input; zeros elsewhere."""
    if input.ndim == 0:
        raise ShapeError("diag_embed: input must have at least one dim: got a 0-d tensor; unsqueeze it first")
    first, second = normalize_dim(dim1, input.ndim + 1), normalize_dim(dim2, input.ndim + 1)
    if first == second:
        raise ArgumentError(f"diag_embed: diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diag_embed(input, index(offset), first, second)


@function(methods=("diag",))
def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The matrix with a given diagonal (1-d input), or the diagonal of a matrix (2-d input)."""
    if input.ndim not in (1, 2):
        raise ShapeError(f"diag: Supports 1D or 2D tensors. Got {input.ndim}D; use diagonal or diag_embed")
    return deliver(
        _diag_embed(input, index(diagonal), 0, 1) if input.ndim == 1 else input.diagonal(diagonal).clone(), out
    )


@function(methods=("trace",))
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal; of integers and bools as int64."""
    if input.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return input.diagonal().sum()


@function(methods=("diagflat",))
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix whose diagonal is the flattened input."""
    return _diag_embed(input.flatten(), index(offset), 0, 1)


# --- grids --------------------------------------------------------------------------------------------------


@function()
def meshgrid(*tensors: Tensor | Sequence[Tensor], indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: one tensor an axis, each over all; "xy" swaps the first two as NumPy does."""
    axes = tuple(x for given in tensors for x in ((given,) if isinstance(given, Tensor) else given))
    if not axes:
        raise ArgumentError("meshgrid: meshgrid expects a non-empty TensorList; got none")
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing must be one of 'xy' or 'ij', but received: {indexing}")
    require_tensor("meshgrid", *axes)
    for x in axes:
        if x.ndim > 1:
            raise ShapeError(
                f"meshgrid: Expected 0D or 1D tensor in the tensor list but got: {list(x.shape)}"
            )
        if x.dtype is not axes[0].dtype:
            raise ArgumentError(
                f"meshgrid: expects all tensors to have the same dtype: {axes[0].dtype} and "
                f"{x.dtype}; cast one"
            )
    swap = indexing == "xy" and len(axes) > 1
    if swap:
        axes = (axes[1], axes[0], *axes[2:])
    shape = tuple(x.numel() for x in axes)
    grids = [
        x.reshape([n if d == k else 1 for d, n in enumerate(shape)]).expand(shape) for k, x in enumerate(axes)
    ]
    if swap:
        grids = [grids[1], grids[0], *grids[2:]]
    return tuple(grids)


@function()
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the elements of 1-d tensors, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors)], -1)
