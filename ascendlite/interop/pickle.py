"""Pickle and copy of tensors: tensors that share a storage share it again afterwards.

A storage travels once, as bytes. Gradients and graphs do not travel by pickle; deepcopy keeps gradients, as torch does.
"""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Callable

from ascendlite.core import DType, Storage, Tensor, add_method, empty_strided, make_subclass
from ascendlite.errors import GradError

from .raw import memory, new_block, window

_Geometry = tuple[tuple[int, ...], tuple[int, ...], int]


def _reduce_storage(storage: Storage) -> tuple[Callable[[bytes], Tensor], tuple[bytes]]:
    return new_block, (bytes(memory(storage.data_ptr(), storage.nbytes)),)


# Pickle keeps a memo by identity and aliases hold one Storage object: that is what keeps them aliases.
copyreg.pickle(Storage, _reduce_storage)  # type: ignore[arg-type]  # it comes back as a tensor over its bytes


def _geometry(t: Tensor) -> _Geometry:
    return tuple(t.shape), tuple(t.stride()), t.storage_offset()


def _attributes(t: Tensor) -> dict[str, object]:
    # A subclass in Python has a dict of its own beside the core's.
    return {**t._attributes, **getattr(t, "__dict__", {})}


def _dressed(plain: Tensor, kind: type[Tensor], requires_grad: bool, attributes: dict[str, object] | None) -> Tensor:
    if kind is not Tensor:
        plain = make_subclass(kind, plain, requires_grad)
    elif requires_grad:
        plain.requires_grad_()
    for name, value in (attributes or {}).items():
        setattr(plain, name, value)
    return plain


def _rebuild(
    kind: type[Tensor],
    block: Tensor,
    dtype: DType,
    geometry: _Geometry,
    requires_grad: bool,
    attributes: dict[str, object] | None,
) -> Tensor:
    return _dressed(window(block, dtype, *geometry), kind, requires_grad, attributes)


def _rebuild_meta(
    kind: type[Tensor], dtype: DType, geometry: _Geometry, requires_grad: bool, attributes: dict[str, object] | None
) -> Tensor:
    plain = empty_strided(geometry[0], geometry[1], dtype=dtype, device="meta")
    return _dressed(plain, kind, requires_grad, attributes)


def _rebuild_on(kind: type[Tensor], values: Tensor, device: str, requires_grad: bool, attributes: dict[str, object] | None) -> Tensor:
    return _dressed(values.to(device), kind, requires_grad, attributes)


def reduce_tensor(t: Tensor) -> tuple[object, ...]:
    """What `Tensor.__reduce_ex__` returns: the storage, and where in it the tensor lies."""
    if not t.is_leaf:
        raise GradError(
            f"pickle: the tensor of shape {tuple(t.shape)} was computed ({t.grad_fn.name()}) and its graph can't be "
            f"saved; detach() it first"
        )
    attributes = _attributes(t)
    if t.is_meta:
        return _rebuild_meta, (type(t), t.dtype, _geometry(t), t.requires_grad, attributes)
    if not t.is_cpu:
        return _rebuild_on, (type(t), t.detach().cpu(), str(t.device), t.requires_grad, attributes)
    storage = t.untyped_storage()
    return _rebuild, (type(t), storage, t.dtype, _geometry(t), t.requires_grad, attributes)


def copy_tensor(t: Tensor) -> Tensor:
    """What `copy.copy` gives: another tensor over the same memory."""
    return _dressed(t.detach(), type(t), t.requires_grad, _attributes(t))


def deepcopy_tensor(t: Tensor, memo: dict[int, object]) -> Tensor:
    """What `copy.deepcopy` gives: a leaf with its own memory; aliases inside the copied structure stay aliases."""
    if id(t) in memo:
        return memo[id(t)]  # type: ignore[return-value]
    if not t.is_leaf:
        raise GradError(
            f"deepcopy: Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
            f"moment; this one came from {t.grad_fn.name()}: detach() it first"
        )
    if t.is_meta:
        plain = empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")
    elif not t.is_cpu:
        plain = t.detach().clone()
    else:
        plain = window(_copied_block(t.untyped_storage(), memo), t.dtype, *_geometry(t))
    copied = _dressed(plain, type(t), t.requires_grad, None)
    memo[id(t)] = copied
    for name, value in _attributes(t).items():
        setattr(copied, name, copy.deepcopy(value, memo))
    if t.grad is not None:
        copied.grad = copy.deepcopy(t.grad, memo)
    return copied


def _copied_block(storage: Storage, memo: dict[int, object]) -> Tensor:
    if id(storage) not in memo:
        memo[id(storage)] = new_block(memory(storage.data_ptr(), storage.nbytes))
        kept = memo.setdefault(id(memo), [])  # copy's own habit: what the memo names must stay alive
        kept.append(storage)  # type: ignore[attr-defined]
    return memo[id(storage)]  # type: ignore[return-value]


add_method("__copy__", copy_tensor)
