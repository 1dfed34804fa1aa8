"""Views that are compositions of the core's own, and methods that only rename. All of them share storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ascendlite.core import _core
from ascendlite.core._core import Device, DType, Tensor, normalize_dim, normalize_dims
from ascendlite.core.registry import add_method, function, name_wrong_types
from ascendlite.errors import ArgumentError, DeviceError, DimensionError, ShapeError

for _name, _fn in _core.CORE_METHODS.items():
    add_method(_name, _fn)
for _name in ("reshape", "permute", "transpose", "as_strided", "select", "narrow", "diagonal", "unsqueeze", "clone"):
    function(_name)(getattr(_core, _name))


@function(methods=("squeeze",))
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """The input without dims of size 1 (all of them, or those of `dim` that have size 1)."""
    return _core.squeeze_dims(input, normalize_dims(dim, input.ndim, "squeeze"))


@function(methods=("flatten",))
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dims `start_dim` to `end_dim` merged into one."""
    first, last = normalize_dim(start_dim, input.ndim, "flatten"), normalize_dim(end_dim, input.ndim, "flatten")
    if first > last:
        raise ShapeError(f"flatten: flatten() has invalid args: start_dim ({start_dim}) cannot come after end_dim ({end_dim})")
    if input.ndim == 0:
        return input.reshape(1)
    if first == last:
        return input
    merged = 1
    for n in input.shape[first : last + 1]:
        merged *= n
    return input.reshape(*input.shape[:first], merged, *input.shape[last + 1 :])


@function(methods=("unflatten",))
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dim split into `sizes` (one of them may be -1)."""
    d, sizes = normalize_dim(dim, input.ndim, "unflatten"), list(sizes)
    if input.ndim == 0:
        raise ShapeError("unflatten: a 0-d tensor has no dimension to split; unsqueeze(0) it first")
    if not sizes:
        raise ShapeError("unflatten: sizes must be non-empty")
    known = 1
    for n in sizes:
        known *= n if n != -1 else 1
    if -1 in sizes and known:
        sizes[sizes.index(-1)] = input.shape[d] // known
        known *= input.shape[d] // known
    if known != input.shape[d]:
        raise ShapeError(f"unflatten: Provided sizes {sizes} don't multiply up to the size of dim {d} ({input.shape[d]}) in the input tensor")
    return input.reshape(*input.shape[:d], *sizes, *input.shape[d + 1 :])


@function(methods=("movedim",))
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Dims `source` moved to the places `destination`; the others keep their order."""
    src = normalize_dims((source,) if isinstance(source, int) else source, input.ndim, "movedim")
    dst = normalize_dims((destination,) if isinstance(destination, int) else destination, input.ndim, "movedim")
    if input.ndim == 0:
        return input.permute(())
    if len(src) != len(dst):
        raise ShapeError(f"movedim: Invalid source or destination dims: source ({src}) should contain the same number of dims as destination ({dst})")
    order: list[int | None] = [None] * input.ndim
    for s, d in zip(src, dst, strict=True):
        order[d] = s
    rest = iter(d for d in range(input.ndim) if d not in src)
    return input.permute([next(rest) if o is None else o for o in order])


function("moveaxis", methods=("moveaxis",))(movedim)
function("swapaxes", methods=("swapaxes",))(_core.transpose)
function("swapdims", methods=("swapdims",))(_core.transpose)


@function(methods=("t",))
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars stay as they are."""
    if input.ndim > 2:
        raise ShapeError(f"t: t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D; use .mT or transpose()")
    return _reverse_dims(input)


@function(methods=("adjoint",))
def adjoint(input: Tensor) -> Tensor:
    """The last two dims exchanged."""
    return _matrix_transpose(input)


def _matrix_transpose(input: Tensor) -> Tensor:
    if input.ndim == 0:
        return input
    if input.ndim == 1:
        raise ShapeError(f"mT: tensor.mT is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor.")
    return input.transpose(-1, -2)


def _reverse_dims(input: Tensor) -> Tensor:
    return input.permute(tuple(range(input.ndim))[::-1])


add_method("mT", property(_matrix_transpose))
add_method("mH", property(_matrix_transpose))
add_method("T", property(_reverse_dims))
add_method("H", property(t))
add_method("real", property(lambda self: self))


@function(methods=("broadcast_to",))
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """The input repeated without a copy to the shape `size`."""
    return input.expand(tuple(size))


@function(methods=("ravel",))
def ravel(input: Tensor) -> Tensor:
    """All elements in one dim."""
    return input.contiguous().view(-1)


def _view_as(self: Tensor, other: Tensor) -> Tensor:
    return self.view(other.shape)


def _reshape_as(self: Tensor, other: Tensor) -> Tensor:
    return self.reshape(other.shape)


def _expand_as(self: Tensor, other: Tensor) -> Tensor:
    return self.expand(other.shape)


def _type_as(self: Tensor, other: Tensor) -> Tensor:
    return self.to(other.dtype)


for _name, _fn in {"view_as": _view_as, "reshape_as": _reshape_as, "expand_as": _expand_as, "type_as": _type_as}.items():
    add_method(_name, name_wrong_types(_fn, _name))


@function(methods=("split",))
def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive pieces along `dim`: of one size (the last may be smaller), or of the given sizes."""
    d = normalize_dim(dim, tensor.ndim, "split")
    if tensor.ndim == 0:
        raise ShapeError("split: split expects at least a 1-dimensional tensor")
    size = tensor.shape[d]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and size != 0):
            raise ArgumentError(f"split: split expects split_size be non-negative (and positive unless the dimension is empty), but got split_size={step}")
        sections: Sequence[int] = [min(step, size - i) for i in range(0, size, step)] if step and size else [0]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != size or any(s < 0 for s in sections):
            raise ShapeError(f"split: split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {d}), but got "
                             f"split_sizes={list(sections)}")
    return _core.split_views(tensor, d, sections)


function("split_with_sizes", methods=("split_with_sizes",))(split)


@function(methods=("chunk",))
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along `dim` (the last may be smaller)."""
    d = normalize_dim(dim, input.ndim, "chunk")
    if input.ndim == 0:
        raise ShapeError("chunk: chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise ArgumentError(f"chunk: chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = input.shape[d]
    if size == 0:
        return _core.split_views(input, d, [0] * chunks)
    return split(input, max(1, -(-size // chunks)), d)


def _writable(tensor: Tensor, pieces: Sequence[Tensor], dim: int) -> tuple[Tensor, ...]:
    d = normalize_dim(dim, tensor.ndim)
    return _core.split_views(tensor, d, [piece.shape[d] for piece in pieces], True)


@function(methods=("unsafe_split",))
def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`split`, whose pieces may be written to within a graph."""
    return _writable(tensor, split(tensor, split_size, dim), dim)


@function("unsafe_split_with_sizes", methods=("unsafe_split_with_sizes",))
def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split_with_sizes`, whose pieces may be written to within a graph."""
    return _writable(input, split(input, split_sizes, dim), dim)


@function(methods=("unsafe_chunk",))
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk`, whose pieces may be written to within a graph."""
    return _writable(input, chunk(input, chunks, dim), dim)


MOST_PIECES = 1 << 20  # empty ones cost memory, too


@function(methods=("tensor_split",))
def tensor_split(input: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views along `dim`, cut into n nearly equal parts or at the given positions."""
    if input.ndim == 0:
        raise ShapeError("tensor_split: tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    d = normalize_dim(dim, input.ndim, "tensor_split")
    size = input.shape[d]
    cuts = indices_or_sections.tolist() if isinstance(indices_or_sections, Tensor) else indices_or_sections
    if isinstance(cuts, int):
        if cuts <= 0:
            raise ArgumentError(f"tensor_split: number of sections must be larger than 0, got {cuts}")
        if cuts > max(size, MOST_PIECES):
            raise ArgumentError(f"tensor_split: {cuts} sections of a dimension of size {size}; at most {MOST_PIECES} may be empty")
        return _core.split_views(input, d, [size // cuts + (i < size % cuts) for i in range(cuts)], True)
    edges = [0, *(min(max(c + size if c < 0 else c, 0), size) for c in cuts), size]
    return tuple(_core.narrow(input, d, a, max(b - a, 0)) for a, b in zip(edges, edges[1:]))


@function(methods=("unbind",))
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, as a tuple of views without that dim."""
    d = normalize_dim(dim, input.ndim, "unbind")
    if input.ndim == 0:
        raise DimensionError("unbind: Dimension specified as 0 but tensor has no dimensions")
    return _core.unbind_views(input, d)


# -- new tensors with the dtype and device of an old one
def _new(make: Callable[..., Tensor], name: str) -> Any:
    def new(self: Tensor, *size: Any, dtype: DType | None = None, device: Device | str | None = None, requires_grad: bool = False, **kw: Any) -> Tensor:
        return make(*size, dtype=dtype or self.dtype, device=self.device if device is None else device, requires_grad=requires_grad, **kw)

    new.__name__, new.__doc__ = name, f"As {name[4:]}(), with this tensor's dtype and device."
    return new


for _name in ("empty", "zeros", "ones", "full", "tensor"):
    add_method(f"new_{_name}", _new(getattr(_core, _name), f"new_{_name}"))
add_method("new_empty_strided", _new(_core.empty_strided, "new_empty_strided"))


def _type(self: Tensor, dtype: DType | str | None = None) -> Any:
    """The dtype's name, or the tensor cast to a dtype."""
    if dtype is None:
        return f"ascendlite.{self.dtype.name}"
    return self.to(_core.dtype_of_name(dtype.removeprefix("ascendlite.")) if isinstance(dtype, str) else dtype)


def npu_device(device: int | str | Device | None) -> Device:
    """The die that `.npu(device)` means: by its index or its name; None is the current one."""
    if isinstance(device, int) and not isinstance(device, bool):
        return Device("npu", device)
    named = Device("npu" if device is None else device)
    if named.type != "npu":
        raise DeviceError(f"npu: expected the index or the name of an npu, got '{named}'; use .to() for other devices")
    return named


def _npu(self: Tensor, device: int | str | Device | None = None, non_blocking: bool = False) -> Tensor:
    """The tensor on the NPU: on the current die, or that of an index or a name."""
    return self.to(npu_device(device))


add_method("type", _type)
add_method("cpu", lambda self: self.to("cpu"))
add_method("npu", _npu)
add_method("__rdiv__", lambda self, other: other / self)
add_method("dim_order", lambda self: tuple(range(self.ndim)))
add_method("_make_subclass", staticmethod(_core.make_subclass))
add_method("get_device", lambda self: -1 if self.device.index is None else self.device.index)
add_method("share_memory_", lambda self: self)
add_method("pin_memory", lambda self: self)
add_method("record_stream", lambda self, stream: None)  # memory is handed out in the order of the program, which all streams keep


def _reshaped(self: Tensor, name: str, view: Tensor) -> Tensor:
    _core.check_mutable(self, name)
    _core.assign(self, view)
    return self


def _unsqueeze_(self: Tensor, dim: int) -> Tensor:
    return _reshaped(self, "unsqueeze_", self.unsqueeze(dim))


def _squeeze_(self: Tensor, dim: int | None = None) -> Tensor:
    return _reshaped(self, "squeeze_", squeeze(self, dim))


def _as_strided_(self: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    return _reshaped(self, "as_strided_", self.as_strided(size, stride, storage_offset))


def _t_(self: Tensor) -> Tensor:
    return _reshaped(self, "t_", t(self))


def _transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    return _reshaped(self, "transpose_", self.transpose(dim0, dim1))


for _name, _method in {"unsqueeze_": _unsqueeze_, "squeeze_": _squeeze_, "as_strided_": _as_strided_, "t_": _t_, "transpose_": _transpose_, "swapaxes_": _transpose_, "swapdims_": _transpose_}.items():
    add_method(_name, _method)
