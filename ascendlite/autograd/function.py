"""Functions with a gradient of their own: subclass `Function`, write `forward` and `backward`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ascendlite.core import _core
from ascendlite.core._core import Tensor
from ascendlite.core.modes import no_grad
from ascendlite.errors import GradError


class FunctionCtx:
    """What `forward` leaves for `backward`. Any attribute may be set on it."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.to_save: tuple[Tensor | None, ...] = ()
        self.saved: tuple[tuple[Any, int | None, int], ...] = ()  # tensor (or what hooks made of it), version, number of the output that it is (or -1)
        self.node: Callable[[], Any] = lambda: None  # a weak reference: the node holds this context
        self.dirty: tuple[Tensor, ...] = ()
        self.non_differentiable: tuple[Tensor, ...] = ()
        self.materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for `backward`; a later in-place write to one of them is detected."""
        self.to_save = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Say that these inputs were modified in place; they must be returned."""
        self.dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say that these outputs have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients of outputs arrive as zeros (the default) or as None."""
        self.materialize = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        for t, version, _ in self.saved:
            if version is not None and t._version != version:
                raise GradError(f"one of the variables needed for gradient computation has been modified by an inplace operation: a saved tensor of "
                                f"shape {tuple(t.shape)} is at version {t._version}; expected version {version} instead; clone() it first")
        node = self.node() if _core.is_grad_enabled() else None
        kept = [(_core.unpack_saved(t), k) for t, _, k in self.saved]
        return tuple(_core.attached(node, t, k) if k >= 0 and node is not None else t for t, k in kept)


class Function:
    """An op with a hand-written gradient.

    >>> class Square(al.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * g
    >>> x = al.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("Function: define forward(ctx, *inputs) as a static method of the subclass")

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Any) -> Any:
        raise NotImplementedError("Function: define backward(ctx, *grads) as a static method of the subclass")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, and record `backward` if an input needs a gradient."""
        needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx = FunctionCtx(needs)
        with no_grad():
            if "setup_context" in {k for c in cls.__mro__[:-2] for k in vars(c)}:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)  # type: ignore[attr-defined]
            else:
                result = cls.forward(ctx, *args, **kwargs)
        if not (any(needs) and _core.is_grad_enabled()):
            return result
        return _record(cls, ctx, args, result)


def _record(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], result: Any) -> Any:
    outputs = result if isinstance(result, tuple) else (result,)
    inputs = tuple(a if isinstance(a, Tensor) else None for a in args)
    prepared = tuple(_own_output(o, ctx, inputs) for o in outputs)
    constant = {id(t) for t in ctx.non_differentiable}
    slots = [k for k, (before, after) in enumerate(zip(outputs, prepared, strict=True))
             if isinstance(after, Tensor) and after.is_floating_point() and id(before) not in constant]
    differentiable = tuple(prepared[k] for k in slots)
    if differentiable:
        ctx.node = weakref.ref(_attach(cls, ctx, inputs, differentiable, _gradient(cls, ctx, args, prepared, slots)))
    swap = {id(a): b for a, b in zip(outputs, prepared, strict=True)}
    saved = [swap.get(id(t), t) if t is not None else None for t in ctx.to_save]
    if differentiable and any(t is not None and t.is_inference() for t in saved):
        raise GradError("Inference tensors cannot be saved for backward; clone() them outside of inference_mode first")
    ctx.saved = tuple((None, None, -1) if t is None else _hold(t, differentiable) for t in saved)
    ctx.to_save = ()
    return prepared if isinstance(result, tuple) else prepared[0]


def _gradient(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], outputs: tuple[Any, ...], slots: list[int]) -> Any:
    """The node's rule: from the gradients of the differentiable outputs (at `slots`) to one gradient for each argument."""
    specs = [(tuple(o.shape), o.dtype, o.device) if isinstance(o, Tensor) else None for o in outputs]
    is_tensor = [isinstance(a, Tensor) for a in args]

    def rule(*grads: Tensor | None) -> tuple[Tensor | None, ...]:
        given: list[Tensor | None] = [None] * len(specs)
        for k, g in zip(slots, grads, strict=True):
            given[k] = g
        found = cls.backward(ctx, *(_materialize(g, spec, ctx.materialize) for g, spec in zip(given, specs, strict=True)))
        found = found if isinstance(found, tuple) else (found,)
        if len(found) < len(is_tensor) or any(g is not None for g in found[len(is_tensor) :]):
            raise GradError(f"function {cls.__name__}Backward returned an incorrect number of gradients (expected {len(is_tensor)}, got {len(found)})")
        for k, (g, tensor) in enumerate(zip(found, is_tensor, strict=False)):
            if g is not None and not tensor:
                raise GradError(f"function {cls.__name__}Backward returned a gradient different from None at position {k + 1}, but the corresponding "
                                f"forward input was not a Tensor")
        return tuple(found[: len(is_tensor)])

    return rule


def _attach(cls: type[Function], ctx: FunctionCtx, inputs: tuple[Any, ...], differentiable: tuple[Tensor, ...], backward: Any) -> Any:
    label = f"{cls.__name__}Backward"
    dirty = [o for o in differentiable if any(o is d for d in ctx.dirty)]
    if dirty and len(differentiable) == 1:
        order = sorted(range(len(inputs)), key=lambda k: inputs[k] is not dirty[0])  # the engine wants the written tensor first

        def reordered(*grads: Tensor | None) -> tuple[Tensor | None, ...]:
            found = backward(*grads)
            return tuple(found[k] for k in order)

        return _core.mark_dirty(dirty[0], label, tuple(inputs[k] for k in order), reordered)
    return _core.custom_node(label, inputs, differentiable[0] if len(differentiable) == 1 else differentiable, backward)


def _own_output(o: Any, ctx: FunctionCtx, inputs: tuple[Any, ...]) -> Any:
    # An input that is returned as it is becomes a view of itself; a dirty one stays the same object.
    if isinstance(o, Tensor) and not any(o is d for d in ctx.dirty) and (any(o is i for i in inputs) or o.requires_grad or o._is_view()):
        return o.detach()
    return o


def _hold(t: Tensor, outputs: tuple[Tensor, ...]) -> tuple[Any, int | None, int]:
    # An output is kept without its history, or it and its node would keep each other; `saved_tensors` gives it back to its node.
    k = next((k for k, o in enumerate(outputs) if t is o), -1)
    kept = _core.pack_saved(t if k < 0 else t.detach(), k < 0)
    return kept, t._version if isinstance(kept, Tensor) else None, k


def _materialize(g: Tensor | None, spec: Any, wanted: bool) -> Tensor | None:
    if g is None and wanted and spec is not None:
        return _core.zeros(spec[0], dtype=spec[1], device=spec[2])
    return g


def once_differentiable(fn: Any) -> Any:
    """Decorate `backward` to run without recording: gradients of gradients then raise."""
    import functools

    @functools.wraps(fn)
    def wrapped(ctx: FunctionCtx, *grads: Any) -> Any:
        with no_grad():
            return fn(ctx, *grads)

    return wrapped
