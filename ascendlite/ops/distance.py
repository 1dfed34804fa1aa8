"""Distances between tensors, and between all pairs of rows."""

from __future__ import annotations

from ascendlite.core import Tensor, broadcast_shapes, function, require_tensor
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.vector_norm import vector_norm

_COMPUTE_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


@function(methods=("dist",))
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The norm of order p of input - other.

    >>> al.dist(al.tensor([0.0, 3.0]), al.tensor([4.0, 0.0]))
    tensor(5.)
    """
    require_tensor("dist", input, other)
    return vector_norm(input - other, p)


@function()
def cdist(
    x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"
) -> Tensor:
    """The distance of order p between each row of x1 (*, P, M) and each row of x2 (*, R, M): (*, P, R).

    Every compute mode takes the differences themselves, which is exact where rows are close to each other.
    """
    if compute_mode not in _COMPUTE_MODES:
        raise ValueError(f"cdist: {compute_mode} is not a valid value for compute_mode; use one of {_COMPUTE_MODES}")
    for name, x in (("x1", x1), ("x2", x2)):
        if not x.dtype.is_floating_point:
            raise DTypeError(f"cdist: only supports floating-point dtypes, {name} got: {x.dtype}")
        if x.ndim < 2:
            raise ShapeError(f"cdist: {name} must have at least two dimensions, but got {x.ndim}")
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"cdist: x1 and x2 must have the same number of columns. x1: {x1.shape[-1]} x2: {x2.shape[-1]}"
        )
    if p < 0:
        raise ArgumentError(f"cdist: only supports non-negative p values: got {p}")
    lead = broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    if x1.shape[-1] == 0:
        return x1.new_zeros((*lead, x1.shape[-2], x2.shape[-2]))
    gap = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if p == 0:  # how many columns differ, with a gradient of zero
        return gap.sign().abs().sum(-1)
    return vector_norm(gap, p, -1)
