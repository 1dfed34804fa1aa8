"""What torch asks about kinds of tensors that are not here: complex numbers, sparse or quantized ones, other devices."""

from __future__ import annotations

import math

from ascendlite.core import Tensor, add_method, deliver, function, get_default_dtype, require_tensor
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.compare import where


@function(methods=("conj",))
def conj(input: Tensor) -> Tensor:
    """The tensor itself."""
    require_tensor("conj", input)
    return input


@function(methods=("conj_physical",), inplace=True)
def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The tensor itself, or a copy of it in `out`."""
    require_tensor("conj_physical", input)
    return deliver(input, out)


@function(methods=("resolve_conj",))
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself."""
    require_tensor("resolve_conj", input)
    return input


@function(methods=("resolve_neg",))
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself."""
    require_tensor("resolve_neg", input)
    return input


@function()
def real(input: Tensor) -> Tensor:
    """The tensor itself."""
    require_tensor("real", input)
    return input


@function(methods=("angle",))
def angle(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """pi below zero, else 0; NaN stays."""
    require_tensor("angle", input)
    x = input if input.dtype.is_floating_point else input.to(get_default_dtype())
    return deliver(where(x < 0, math.pi, where(x != x, x * 0.0, 0.0)).to(x.dtype), out)


def _answers_no(self: Tensor) -> bool:
    """False: there are no tensors of that kind here."""
    return False


for _name in ("is_coalesced", "is_conj", "is_distributed", "is_neg", "is_pinned", "is_shared"):
    add_method(_name, _answers_no)
for _name in ("cuda", "ipu", "maia", "mkldnn", "mps", "mtia", "nested", "quantized", "sparse", "sparse_csr", "vulkan", "xla", "xpu"):
    add_method(f"is_{_name}", property(_answers_no))
add_method("real", property(real, lambda self, value: self.copy_(value)))


@function(methods=("is_nonzero",))
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero."""
    require_tensor("is_nonzero", input)
    if input.numel() != 1:
        raise ArgumentError(f"is_nonzero: Boolean value of Tensor with {input.numel()} values is ambiguous; use .any() or .all()")
    return bool(input.item())


@function(methods=("is_same_size",))
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether the shapes are equal."""
    require_tensor("is_same_size", input, other)
    return tuple(input.shape) == tuple(other.shape)


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same view of the same memory."""
    require_tensor("is_set_to", self, tensor)
    same = self.data_ptr() == tensor.data_ptr() and tuple(self.shape) == tuple(tensor.shape)
    return bool(same and self.stride() == tensor.stride())


def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write a value on the main diagonal; `wrap`: it starts again below, in tall matrices."""
    if self.ndim < 2:
        raise ShapeError(f"fill_diagonal_: dimensions must larger than 1, got shape {tuple(self.shape)}")
    if self.ndim > 2 and len(set(self.shape)) > 1:
        raise ShapeError(f"fill_diagonal_: all dimensions of input must be of equal length, got shape {tuple(self.shape)}")
    n = min(self.shape)
    self.as_strided((n,), (sum(self.stride()),), self.storage_offset()).fill_(fill_value)
    rows, columns = self.shape[:2]
    if wrap and self.ndim == 2 and rows > columns + 1:
        fill_diagonal_(self[columns + 1 :], fill_value, True)
    return self


add_method("is_set_to", is_set_to)
add_method("fill_diagonal_", fill_diagonal_)
