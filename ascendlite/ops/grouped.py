"""grouped_mm: one product a group of rows, columns or summed elements, the groups given by where they end. For experts."""

from __future__ import annotations

from ascendlite.core import DType, Op, Tensor, function, int32, int64
from ascendlite.errors import ArgumentError, DTypeError, ShapeError


def _shape(a, b, offs):
    if a.dtype != b.dtype:
        raise DTypeError(
            f"grouped_mm: expected operands of the same dtype, but got {a.dtype} and {b.dtype}; convert one with .to()"
        )
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"grouped_mm: shapes {tuple(a.shape)} and {tuple(b.shape)} cannot be multiplied: the summed dims differ"
        )
    groups = offs.shape[0]
    for t in (a, b):
        if t.ndim == 3 and t.shape[0] != groups:
            raise ShapeError(
                f"grouped_mm: a tensor of shape {tuple(t.shape)} for {groups} groups in offs; dim 0 must be the groups"
            )
    if a.ndim == 2 and b.ndim == 2:
        return (groups, a.shape[0], b.shape[1]), a.dtype
    return (a.shape[-2], b.shape[-1]), a.dtype


_grouped = Op(
    "grouped_mm",
    inputs=3,
    infer=_shape,
    vjp=(
        lambda g, y, _a, b, offs: _grouped(g, b.transpose(-2, -1), offs),
        lambda g, y, a, _b, offs: _grouped(a.transpose(-2, -1), g, offs),
        None,
    ),
    contiguous=False,
    cost=lambda a, b, offs: 2 * a.shape[-2] * a.shape[-1] * b.shape[-1],
    cast="low",
)


@function()
def grouped_mm(
    input: Tensor,
    mat2: Tensor,
    *,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: DType | None = None,
) -> Tensor:
    """Products of groups; `offs` (int32 or int64) holds the end of each group.

    2-d @ 3-d: group g of the rows of input times mat2[g]. 3-d @ 2-d: input[g] times group g of the columns of mat2.
    2-d @ 2-d: the groups cut the summed dim, the result is (groups, M, N). 3-d @ 3-d: bmm, without offs.
    Rows or columns behind the last group are zero.
    """
    if input.ndim == 3 and mat2.ndim == 3:
        if offs is not None:
            raise ArgumentError("grouped_mm: two 3-d operands have no ragged dim; leave offs away")
        y = input @ mat2
    else:
        _check(input, mat2, offs)
        y = _grouped(input, mat2, offs)
    if bias is not None:
        y = y + bias
    return y if out_dtype is None else y.to(out_dtype)


def _check(input: Tensor, mat2: Tensor, offs: Tensor | None) -> None:
    for t in (input, mat2):
        if t.ndim not in (2, 3):
            raise ShapeError(
                f"grouped_mm: operands must be 2-D or 3-D, but the shapes are {tuple(input.shape)} and {tuple(mat2.shape)}"
            )
    if offs is None:
        raise ArgumentError(
            f"grouped_mm: offs is required for shapes {tuple(input.shape)} and {tuple(mat2.shape)}; give the ends of the groups"
        )
    if offs.ndim != 1 or offs.dtype not in (int32, int64):
        raise DTypeError(
            f"grouped_mm: offs must be a 1-D int32 or int64 tensor, but it is {offs.dtype} of shape {tuple(offs.shape)}"
        )
