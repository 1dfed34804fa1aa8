"""Making one batch of many items: tensors are stacked, containers are followed, anything else stays as it is or is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ascendlite.core import FUNCTIONS, Tensor, from_numpy, tensor
from ascendlite.core import dtype_of_name as _dtype

Collate = Callable[[Sequence[object]], object]


def _tensors(batch: Sequence[object]) -> Tensor:
    tensors = cast("Sequence[Tensor]", batch)
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) > 1:
        first, other = tensors[0].shape, next(t.shape for t in tensors if t.shape != tensors[0].shape)
        raise RuntimeError(
            f"default_collate: stack expects each tensor to be equal size, but got {tuple(first)} and {tuple(other)}; pad the items "
            f"or give the DataLoader a collate_fn"
        )
    return FUNCTIONS["stack"](list(tensors))


def _mapping(batch: Sequence[object]) -> object:
    items = cast("Sequence[Mapping[object, object]]", batch)
    joined = {key: default_collate([item[key] for item in items]) for key in items[0]}
    kind = type(items[0])
    return joined if kind is dict else kind(joined)  # type: ignore[call-arg]


def _sequence(batch: Sequence[object]) -> object:
    items = cast("Sequence[Sequence[object]]", batch)
    if len({len(item) for item in items}) > 1:
        raise RuntimeError(f"default_collate: each element in list of batch should be of equal size, got {sorted({len(i) for i in items})}")
    joined = [default_collate(column) for column in zip(*items, strict=True)]
    kind = type(items[0])
    if hasattr(kind, "_fields"):
        return kind(*joined)
    return kind(joined) if kind in (list, tuple) else joined  # type: ignore[call-arg]


def _is_array(item: object) -> bool:
    numpy = sys.modules.get("numpy")  # without NumPy imported nothing can be an array of it
    return numpy is not None and isinstance(item, (numpy.ndarray, numpy.generic))


def _arrays(batch: Sequence[object]) -> object:
    import numpy

    arrays = [numpy.asarray(item) for item in batch]
    if arrays[0].dtype.kind in "OSU":
        raise TypeError(f"default_collate: arrays of {arrays[0].dtype} can't become tensors; give the DataLoader a collate_fn")
    return _tensors([from_numpy(numpy.ascontiguousarray(a).reshape(a.shape)) for a in arrays])


# The first row whose test holds says how a batch of such items is made.
_RULES: list[tuple[Callable[[object], bool], Collate]] = [
    (lambda item: isinstance(item, Tensor), _tensors),
    (_is_array, _arrays),
    (lambda item: isinstance(item, bool), lambda batch: tensor(list(batch))),
    (lambda item: isinstance(item, float), lambda batch: tensor(list(batch), dtype=_dtype("float64"))),
    (lambda item: isinstance(item, int), lambda batch: tensor(list(batch))),
    (lambda item: isinstance(item, (str, bytes)), list),
    (lambda item: isinstance(item, Mapping), _mapping),
    (lambda item: isinstance(item, Sequence), _sequence),
]


def default_collate(batch: Sequence[object]) -> object:
    """One batch of items: stacked tensors in the containers that the items have."""
    for fits, collate in _RULES:
        if fits(batch[0]):
            return collate(batch)
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(batch[0])}; give the "
        f"DataLoader a collate_fn"
    )


def default_convert(item: object) -> object:
    """An item without a batch around it: arrays become tensors, containers are followed."""
    if _is_array(item):
        import numpy

        array = numpy.asarray(item)
        return item if array.dtype.kind in "OSU" else from_numpy(array.copy())
    if isinstance(item, Mapping):
        return {key: default_convert(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)) and not hasattr(type(item), "_fields"):
        return type(item)(map(default_convert, item))
    return item
