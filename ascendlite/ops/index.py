"""Advanced indexing and its kin: index, index_put, index_select, take, masked_select.

The core parses `x[...]` into views first and turns bool masks into index tensors by `expand_mask`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import (
    Op,
    Tensor,
    bfloat16,
    broadcast_shapes,
    check_writable,
    deliver,
    float16,
    float32,
    function,
    int64,
    is_grad_enabled,
    mark_dirty,
    normalize_dim,
    refuse_shared,
    requires_grad_any,
    uint8,
    warn_of_bytes,
    zeros,
)
from ascendlite.core import bool as bool_
from ascendlite.errors import BoundsError, DTypeError, ShapeError
from ascendlite.ops.nonzero import nonzero

Indices = Sequence[Tensor | None]
Number = int | float | bool


@function()
def expand_mask(mask: Tensor) -> tuple[Tensor, ...]:
    """The index tensors that pick the true elements of a mask, one a dim."""
    return nonzero(mask, as_tuple=True)


def widened(x: Tensor) -> Tensor:
    """x in the dtype that sums are kept in: float32 for the 16-bit floats."""
    return x.to(float32) if x.dtype in (float16, bfloat16) else x


# --- the two ops: read and write ----------------------------------------------------------------------------


def _picked_shape(x, index, slots, front) -> tuple[int, ...]:
    kept = tuple(n for n, slot in zip(x.shape, slots, strict=True) if slot < 0)
    return kept[:front] + tuple(index.shape) + kept[front:]


def _grad_of_read(g, shape, indices, slots, front, wrap, total):
    """Gradients are added up where they came from, in the order of the picks: in zeros, or in `total`."""
    wide = widened(g)
    if total is not None and wide is g:
        return write_at(total, g, indices, slots, front, True, wrap, "index")
    zero = zeros(shape, dtype=wide.dtype, device=g.device)
    if is_grad_enabled():
        return _write(zero, wide, indices, slots, front, True, wrap)
    return write_at(zero, wide, indices, slots, front, True, wrap, "index")


def _grads_of_write(g, values_shape, indices, slots, front, accumulate, wrap, needs):
    into = of_values = None
    if needs[0]:
        nothing = zeros((), dtype=g.dtype, device=g.device).expand(values_shape)
        into = g if accumulate else _write(g, nothing, indices, slots, front, False, wrap)
    if needs[1]:
        of_values = _read(g, indices, slots, front, wrap)
    return into, of_values


def _read_one_vjp(g, y, _x, index, slots, front, wrap, *, total=None):
    return _grad_of_read(g, _x.shape, (index,), slots, front, wrap, total)


def _write_one_vjp(g, y, _x, _values, index, slots, front, accumulate, wrap, *, needs):
    return (*_grads_of_write(g, _values.shape, (index,), slots, front, accumulate, wrap, needs), None)


def _read_many_vjp(g, y, inputs, slots, front, wrap, *, needs, total=None):
    x, *indices = inputs
    return (_grad_of_read(g, x.shape, indices, slots, front, wrap, total), *(None for _ in indices))


def _write_many_vjp(g, y, inputs, slots, front, accumulate, wrap, *, needs):
    _x, values, *indices = inputs
    grads = _grads_of_write(g, values.shape, indices, slots, front, accumulate, wrap, needs)
    return (*grads, *(None for _ in indices))


# With one index, the usual case, nothing but the index is kept for the gradient.
_read_one = Op(
    "index",
    inputs=2,
    contiguous=False,
    vjp=(_read_one_vjp, None),
    infer=lambda x, index, slots, front, wrap: (_picked_shape(x, index, slots, front), x.dtype),
)
_write_one = Op("index_put", inputs=3, infer=lambda x, *rest: x, vjp_all=_write_one_vjp, contiguous=False)
_read_many = Op(
    "index_many",
    kernel="index",
    inputs=None,
    light=1,
    vjp_all=_read_many_vjp,
    contiguous=False,
    infer=lambda inputs, slots, front, wrap: (
        _picked_shape(inputs[0], inputs[1], slots, front),
        inputs[0].dtype,
    ),
)
_write_many = Op(
    "index_put_many",
    kernel="index_put",
    inputs=None,
    light=2,
    infer=lambda inputs, *attrs: inputs[0],
    vjp_all=_write_many_vjp,
    contiguous=False,
)


class bounds_of:
    """Inside, an index out of bounds is said to be that of a function."""

    def __init__(self, op: str) -> None:
        self.op = op

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is BoundsError:
            raise BoundsError(f"{self.op}: {error}") from None


def _read(x: Tensor, indices: Sequence[Tensor], *attrs: int | tuple[int, ...]) -> Tensor:
    if len(indices) == 1:
        return _read_one(x, indices[0], *attrs)
    return _read_many.call((x, *indices), attrs)


def _write(x: Tensor, values: Tensor, indices: Sequence[Tensor], *attrs: int | tuple[int, ...]) -> Tensor:
    if len(indices) == 1:
        return _write_one(x, values, indices[0], *attrs)
    return _write_many.call((x, values, *indices), attrs)


def as_index(index: Tensor, op: str) -> Tensor:
    if index.dtype is int64:
        return index
    if index.dtype.is_floating_point or index.dtype is bool_:
        raise IndexError(
            f"{op}: tensors used as indices must be long, int, byte or bool tensors: got "
            f"{index.dtype}; cast to int64"
        )
    return index.to(int64)


def _unmasked(x: Tensor, indices: Indices, op: str) -> list[Tensor | None]:
    """Indices with every bool mask replaced by the positions of its true elements."""
    found: list[Tensor | None] = []
    for index in indices:
        if index is not None and not isinstance(index, Tensor):
            raise TypeError(f"{op}(): argument 'indices' must be tuple of Tensors or None, not {type(index).__name__} inside")
        if index is not None and index.dtype is uint8:  # a mask of bytes, as in x[mask]
            warn_of_bytes()
            index = index.to(bool_)
        if index is None or index.dtype is not bool_:
            found.append(None if index is None else as_index(index, op))
            continue
        at = len(found)
        for k, n in enumerate(index.shape):
            if at + k >= x.ndim or x.shape[at + k] != n:
                raise IndexError(
                    f"{op}: The shape of the mask {list(index.shape)} at index {k} does not "
                    f"match the shape of the indexed tensor {list(x.shape)} at index {at + k}"
                )
        found += expand_mask(index)
    if len(found) > x.ndim:
        raise IndexError(f"{op}: too many indices for tensor of dimension {x.ndim} (got {len(found)})")
    return found


def _plan(x: Tensor, indices: Indices, op: str) -> tuple[tuple[Tensor, ...], tuple[int, ...], int]:
    """Index tensors of one shape, the slot of each dim of x, and how many dims stand before the indexed."""
    found = _unmasked(x, indices, op)
    tensors = [i for i in found if i is not None]
    dims = [d for d, i in enumerate(found) if i is not None]
    shape = tensors[0].shape if tensors else ()
    if any(t.shape != shape for t in tensors):
        try:
            shape = broadcast_shapes(*(t.shape for t in tensors))
        except RuntimeError:
            shapes = ", ".join(str(list(t.shape)) for t in tensors)
            raise IndexError(
                f"{op}: shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
            ) from None
        tensors = [t.expand(shape) for t in tensors]
    adjacent = bool(dims) and dims[-1] - dims[0] == len(dims) - 1
    slots = [-1] * x.ndim
    for slot, d in enumerate(dims):
        slots[d] = slot
    return tuple(tensors), tuple(slots), dims[0] if adjacent else 0


@function()
def index(input: Tensor, indices: Indices) -> Tensor:
    """Elements at index tensors that are broadcast together; dims given None (or none at all) are kept whole.

    The dims of the indices take the place of the indexed dims, or the front when other dims stand in between.
    """
    tensors, slots, front = _plan(input, indices, "index")
    return _read(input, tensors, slots, front, True) if tensors else input.clone()


def _expanded_values(values: Tensor, x: Tensor, tensors: tuple[Tensor, ...], slots: tuple[int, ...], front: int, op: str) -> Tensor:
    if values.dtype is not x.dtype:
        raise DTypeError(
            f"{op}: Index put requires the source and destination dtypes match, got {x.dtype} "
            f"for the destination and {values.dtype} for the source; cast the source"
        )
    shape = _picked_shape(x, tensors[0], slots, front)
    if values.shape == shape:
        return values
    try:
        return values.expand(shape)
    except RuntimeError:
        raise ShapeError(
            f"{op}: shape mismatch: value tensor of shape {list(values.shape)} cannot be "
            f"broadcast to indexing result of shape {list(shape)}"
        ) from None


def put_at(
    x: Tensor, values: Tensor, tensors: tuple[Tensor, ...], slots: tuple[int, ...], front: int, accumulate: bool, wrap: bool
) -> Tensor:
    if accumulate and widened(x) is not x:
        return _write(widened(x), widened(values), tensors, slots, front, True, wrap).to(x.dtype)
    return _write(x, values, tensors, slots, front, accumulate, wrap)


def _writing(x: Tensor, indices: Indices, values: Tensor, op: str) -> tuple[tuple[Tensor, ...], tuple[int, ...], int, Tensor]:
    """The plan of a write, and the values in the shape of what it writes to."""
    tensors, slots, front = _plan(x, indices, op)
    if not tensors:
        raise IndexError(f"{op}: at least one index tensor is needed; use copy_ to write all of a tensor")
    return tensors, slots, front, _expanded_values(values, x, tensors, slots, front, op)


@function(methods=("index_put",))
def index_put(input: Tensor, indices: Indices, values: Tensor, accumulate: bool = False) -> Tensor:
    """The tensor with values written (or added) at index tensors; the last of several writes stays."""
    tensors, slots, front, values = _writing(input, indices, values, "index_put")
    return put_at(input, values, tensors, slots, front, accumulate, True)


@function(methods=("index_put_",))
def index_put_(input: Tensor, indices: Indices, values: Tensor, accumulate: bool = False) -> Tensor:
    """Write (or add) values at index tensors in place; the last of several writes to one place stays."""
    refuse_shared("index_put_", input, values, *indices)
    tensors, slots, front, values = _writing(input, indices, values, "index_put_")
    return write_at(input, values, tensors, slots, front, accumulate, True, "index_put_")


def write_at(
    x: Tensor, values: Tensor, tensors: tuple[Tensor, ...], slots: tuple[int, ...], front: int, accumulate: bool, wrap: bool, op: str
) -> Tensor:
    """`put_at`, into x itself: only what is written to is touched."""
    if x.device.type == "meta" or (accumulate and widened(x) is not x):
        return x.copy_(put_at(x, values, tensors, slots, front, accumulate, wrap))
    check_writable(x, op)
    if values.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
        values = values.clone()
    attrs = (slots, front, accumulate, wrap)
    (_write_one if len(tensors) == 1 else _write_many).launch((x,), (x, values, *tensors), attrs)
    if is_grad_enabled() and requires_grad_any((x, values)):
        mark_dirty(x, "IndexPutBackward0", (x, values), _rule_of_write(values.shape, tensors, *attrs))
    return x


def _rule_of_write(shape: tuple[int, ...], tensors: tuple[Tensor, ...], slots: tuple[int, ...], front: int, accumulate: bool, wrap: bool):
    return lambda g: _grads_of_write(g, shape, tensors, slots, front, accumulate, wrap, (True, True))


# --- one index on one dim -----------------------------------------------------------------------------------


def vector_of(index: Tensor, op: str) -> Tensor:
    if index.ndim > 1:
        raise IndexError(f"{op}: Index is supposed to be a vector: got {index.ndim} dims; flatten it")
    return as_index(index, op).reshape(-1)


def one_slot(ndim: int, dim: int) -> tuple[int, ...]:
    return tuple(0 if d == dim else -1 for d in range(ndim))


@function(methods=("index_select",), apart=True)
def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Slices of a dim in the order of a 1-d index (which may repeat and must not be negative)."""
    dim = normalize_dim(dim, input.ndim)
    index = vector_of(index, "index_select")
    with bounds_of("index_select"):
        if input.ndim == 0:
            return deliver(_read_one(input.reshape(1), index, (0,), 0, False).reshape(()), out)
        return deliver(_read_one(input, index, one_slot(input.ndim, dim), dim, False), out)


# --- the flattened tensor -----------------------------------------------------------------------------------


@function(methods=("take",), apart=True)
def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Elements of the flattened tensor at indices, in the shape of the indices."""
    with bounds_of("take"):
        return deliver(_read_one(input.reshape(-1), as_index(index, "take"), (0,), 0, True), out)


def mask_of(mask: Tensor, op: str) -> Tensor:
    if mask.dtype is not bool_:
        raise DTypeError(f"{op}: expected BoolTensor for mask: got {mask.dtype}; compare or cast to bool")
    return mask


@function(methods=("masked_select",), apart=True)
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where a mask is true, as a 1-d tensor; input and mask are broadcast together."""
    shape: tuple[int, ...] = broadcast_shapes(input.shape, mask_of(mask, "masked_select").shape)
    if not shape:
        input, mask, shape = input.reshape(1), mask.reshape(1), (1,)
    picks = expand_mask(mask.expand(shape))
    return deliver(_read(input.expand(shape), picks, tuple(range(len(shape))), 0, True), out)
