"""The front doors of the engine: `backward` adds to `.grad`, `grad` returns gradients. Both check their arguments first."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ascendlite.core import _core
from ascendlite.core._core import Tensor
from ascendlite.errors import GradError, ShapeError

Tensors = Tensor | Sequence[Tensor]


def _as_tuple(x: Tensors | None) -> tuple[Tensor, ...]:
    if x is None:
        return ()
    return (x,) if isinstance(x, Tensor) else tuple(x)


def _check_root(t: Tensor, g: Tensor | None) -> Tensor:
    if not t.requires_grad:
        raise GradError("backward: element 0 of tensors does not require grad and does not have a grad_fn; no input of it has requires_grad=True, "
                        "or it was computed under no_grad()")
    if g is None:
        if t.numel() != 1:
            raise GradError(f"backward: grad can be implicitly created only for scalar outputs, this one has shape {tuple(t.shape)}; "
                            f"reduce it, as with .sum(), or pass a gradient of its shape")
        return _core.ones_like(t.detach())
    if not isinstance(g, Tensor):
        raise TypeError(f"backward: gradients can be either Tensors or None, but got {type(g).__name__}")
    if tuple(g.shape) != tuple(t.shape):
        raise ShapeError(f"backward: Mismatch in shape: grad_output[0] has a shape of {tuple(g.shape)} and output[0] has a shape of {tuple(t.shape)}")
    return g if g.dtype is t.dtype else g.to(t.dtype)


def _roots(outputs: Tensors, grads: object, name: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    tensors = _as_tuple(outputs)
    given = (None,) * len(tensors) if grads is None else (grads,) if isinstance(grads, Tensor) else tuple(grads)  # type: ignore[arg-type]
    if len(given) != len(tensors):
        raise GradError(f"{name}: got {len(tensors)} tensors and {len(given)} gradients; give one gradient (or None) for each tensor")
    return tensors, tuple(_check_root(t, g) for t, g in zip(tensors, given, strict=True))


def backward(
    tensors: Tensors, grad_tensors: Tensors | None = None, retain_graph: bool | None = None, create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of the sum of `tensors` (weighted by `grad_tensors`) to `.grad` of the leaves, or of `inputs` only."""
    roots, grads = _roots(tensors, grad_tensors, "backward")
    keep = create_graph if retain_graph is None else retain_graph
    targets = None if inputs is None else _as_tuple(inputs)
    if targets is not None and not targets:
        raise GradError("backward: `inputs` argument to `backward()` cannot be empty.")
    captured = _core.run_backward(roots, grads, keep, create_graph, targets, True)
    for t, g in zip(targets or (), captured or (), strict=True):
        if g is not None and t.grad_fn is not None:
            t.grad = g if t.grad is None else t.grad + g


def grad(
    outputs: Tensors, inputs: Tensors, grad_outputs: Tensors | None = None, retain_graph: bool | None = None, create_graph: bool = False,
    only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False, materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of `outputs` (weighted by `grad_outputs`) with respect to each of `inputs`; nothing is accumulated.

    `only_inputs` is an old spelling of what is always so. With `is_grads_batched` the first dim of `grad_outputs` counts weightings; each is a pass of its own, the results are stacked.

    >>> x = al.tensor(3.0, requires_grad=True)
    >>> (g,) = al.autograd.grad(x ** 3, x, create_graph=True)
    >>> al.autograd.grad(g, x)
    (tensor(18.),)
    """
    if not only_inputs:
        warnings.warn("grad: only_inputs=False is ignored: gradients of other leaves come from backward()", FutureWarning, stacklevel=2)
    if is_grads_batched:
        return _grads_of_rows(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    targets = _as_tuple(inputs)
    if not targets:
        raise ValueError("grad: requires non-empty inputs.")
    for t in targets:
        if not t.requires_grad:
            raise GradError("grad: One of the differentiated Tensors does not require grad; call requires_grad_() on it before it is used")
    roots, grads = _roots(outputs, grad_outputs, "grad")
    keep = create_graph if retain_graph is None else retain_graph
    found = _core.run_backward(roots, grads, keep, create_graph, targets, False)
    if materialize_grads:
        return tuple(_core.zeros_like(t.detach()) if g is None else g for t, g in zip(targets, found, strict=True))
    if not allow_unused and any(g is None for g in found):
        raise GradError("grad: One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the "
                        "desired behavior.")
    return tuple(found)


def _grads_of_rows(
    outputs: Tensors, inputs: Tensors, grad_outputs: Tensors | None, retain_graph: bool | None, create_graph: bool, allow_unused: bool | None,
    materialize_grads: bool,
) -> tuple[Tensor | None, ...]:
    weights = _as_tuple(grad_outputs) if grad_outputs is not None else ()
    counts = {g.shape[0] if g.ndim else 0 for g in weights if g is not None}
    if len(counts) != 1 or 0 in counts:
        raise ShapeError(f"grad: is_grads_batched=True needs grad_outputs that share a first dim, got shapes {[tuple(g.shape) for g in weights if g is not None]}")
    (count,) = counts
    keep = create_graph if retain_graph is None else retain_graph
    rows = [grad(outputs, inputs, [g if g is None else g[k] for g in weights], keep or k < count - 1, create_graph, allow_unused=allow_unused,
                 materialize_grads=materialize_grads)
            for k in range(count)]
    return tuple(None if row[0] is None else _core.FUNCTIONS["stack"](row) for row in zip(*rows, strict=True))
