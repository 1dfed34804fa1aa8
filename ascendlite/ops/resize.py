"""Shapes forced on a tensor: other sizes over the same memory, and sums back to a shape it was broadcast from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ascendlite.core import DType, Tensor, add_method, empty, full, function, get_default_dtype, no_grad, require_tensor, sum_to
from ascendlite.core._core import assign, check_mutable
from ascendlite.errors import GradError, ShapeError

Number = int | float | bool


def _sizes(size: tuple[int | Sequence[int], ...]) -> tuple[int, ...]:
    return tuple(n for part in size for n in ((part,) if isinstance(part, int) else part))


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


@no_grad()
def _resize_(self: Tensor, *size: int | Sequence[int], memory_format: str | None = None) -> Tensor:
    """Give the tensor other sizes in place; its memory stays, and is copied to a larger block when it is too small."""
    shape = _sizes(size)
    if self.requires_grad:
        raise GradError("resize_: cannot resize variables that require grad; use reshape or detach() first")
    if any(n < 0 for n in shape):
        raise ShapeError(f"resize_: sizes must not be negative: got {list(shape)}")
    check_mutable(self, "resize_")
    held = self.untyped_storage().nbytes // self.itemsize
    if math.prod(shape) + self.storage_offset() <= held:
        assign(self, self.as_strided(shape, _strides(shape), self.storage_offset()))
        return self
    block = empty(self.storage_offset() + math.prod(shape), dtype=self.dtype, device=self.device)
    block[:held].copy_(self.as_strided((held,), (1,), 0))
    assign(self, block.as_strided(shape, _strides(shape), self.storage_offset()))
    return self


def _resize_as_(self: Tensor, the_template: Tensor, *, memory_format: str | None = None) -> Tensor:
    """`resize_` to the sizes of another tensor."""
    require_tensor("resize_as_", self, the_template)
    return _resize_(self, the_template.shape)


def _sum_to_size(self: Tensor, *size: int | Sequence[int]) -> Tensor:
    """The tensor summed over the dims that broadcasting `size` to its shape had made."""
    shape = _sizes(size)
    if not shape:
        return self.sum()
    kept = self.shape[self.ndim - len(shape) :] if len(shape) <= self.ndim else ()
    if len(kept) != len(shape) or any(n not in (1, m) for n, m in zip(shape, kept, strict=True)):
        raise ShapeError(
            f"sum_to_size: size {list(shape)} is not expandable to size {list(self.shape)}; give one that is"
        )
    return self if shape == self.shape else sum_to(self, shape)


for _name, _method in {"resize_": _resize_, "resize_as_": _resize_as_, "sum_to_size": _sum_to_size}.items():
    add_method(_name, _method)


@function()
def scalar_tensor(
    s: Number, *, dtype: DType | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """A number as a 0-d tensor, of the default float dtype unless another is given."""
    made = full((), s, dtype=dtype or get_default_dtype(), device=device)
    return made.requires_grad_() if requires_grad else made


@function()
def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """The coordinates, one tensor a dim, of indices into the flattened form of an array of a shape."""
    if not isinstance(indices, Tensor) or indices.dtype.is_floating_point or indices.dtype.name == "bool":
        kind = indices.dtype if isinstance(indices, Tensor) else type(indices).__name__
        raise TypeError(f"unravel_index: expected 'indices' to be integer dtype, but got {kind}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(n, int) for n in sizes):
        raise TypeError(f"unravel_index: expected 'shape' to be int or sequence of ints, but got {sizes}")
    if any(n < 0 for n in sizes):
        raise ValueError(f"unravel_index: 'shape' cannot have negative values, but got {sizes}")
    indices = indices.long()
    return tuple(
        (indices // step) % n if n else (indices // step) * 0
        for n, step in zip(sizes, _strides(sizes), strict=True)
    )
