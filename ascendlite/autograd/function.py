"""Functions with a gradient of their own: subclass `Function`, write `forward` and `backward`."""

from __future__ import annotations

from typing import Any

from ascendlite.core import _core
from ascendlite.core._core import Tensor
from ascendlite.core.modes import no_grad
from ascendlite.errors import GradError


class FunctionCtx:
    """What `forward` leaves for `backward`. Any attribute may be set on it."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.saved: tuple[tuple[Tensor | None, int], ...] = ()
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
        if getattr(self, "freed", False):
            raise GradError("backward: the saved tensors are gone: Trying to backward through the graph a second time; call "
                            "backward(retain_graph=True) the first time")
        for t, version in self.saved:
            if t is not None and t._version != version:
                raise GradError(f"one of the variables needed for gradient computation has been modified by an inplace operation: a saved tensor of "
                                f"shape {tuple(t.shape)} is at version {t._version}; expected version {version} instead; clone() it first")
        return tuple(t for t, _ in self.saved)


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
    single = not isinstance(result, tuple)
    outputs = (result,) if single else result
    inputs = tuple(a if isinstance(a, Tensor) else None for a in args)
    prepared = tuple(_own_output(o, ctx, inputs) for o in outputs)
    tensors = tuple(o for o in prepared if isinstance(o, Tensor))
    differentiable = tuple(o for o in tensors if o.is_floating_point() and not any(o is n for n in _replaced(ctx.non_differentiable, outputs, prepared)))
    specs = [(tuple(o.shape), o.dtype, o.device) for o in differentiable]

    def backward(*grads: Tensor | None) -> tuple[Tensor | None, ...]:
        by_output = dict(zip(map(id, differentiable_ids), grads, strict=True))
        given = tuple(_materialize(by_output.get(id(k)), shape, ctx.materialize) for k, shape in output_slots)
        found = cls.backward(ctx, *given)
        found = found if isinstance(found, tuple) else (found,)
        if len(found) < len(args) or any(g is not None for g in found[len(args) :]):
            raise GradError(f"function {cls.__name__}Backward returned an incorrect number of gradients (expected {len(args)}, got {len(found)})")
        for k, (g, a) in enumerate(zip(found, args, strict=False)):
            if g is not None and not isinstance(a, Tensor):
                raise GradError(f"function {cls.__name__}Backward returned a gradient different from None at position {k + 1}, but the corresponding "
                                f"forward input was not a Tensor")
        return tuple(found[: len(args)])

    differentiable_ids = [object() for _ in differentiable]
    slot_of = {id(t): k for t, k in zip(differentiable, differentiable_ids, strict=True)}
    output_slots = [(slot_of.get(id(o)), (tuple(o.shape), o.dtype, o.device) if isinstance(o, Tensor) else None) for o in prepared]
    del specs
    if differentiable:
        _attach(cls, ctx, inputs, differentiable, backward)
    saved = getattr(ctx, "to_save", ())
    swap = {id(a): b for a, b in zip(outputs, prepared, strict=True)}
    ctx.saved = tuple((_hold(swap.get(id(t), t), differentiable), t._version) if t is not None else (None, 0) for t in saved)
    ctx.to_save = ()
    return prepared[0] if single else prepared


def _attach(cls: type[Function], ctx: FunctionCtx, inputs: tuple[Any, ...], differentiable: tuple[Tensor, ...], backward: Any) -> None:
    label = f"{cls.__name__}Backward"
    dirty = [o for o in differentiable if any(o is d for d in ctx.dirty)]
    if dirty and len(differentiable) == 1:
        order = sorted(range(len(inputs)), key=lambda k: inputs[k] is not dirty[0])  # the engine wants the written tensor first

        def reordered(*grads: Tensor | None) -> tuple[Tensor | None, ...]:
            found = backward(*grads)
            return tuple(found[k] for k in order)

        _core.mark_dirty(dirty[0], label, tuple(inputs[k] for k in order), reordered)
    else:
        _core.custom_node(label, inputs, differentiable[0] if len(differentiable) == 1 else differentiable, backward)


def _own_output(o: Any, ctx: FunctionCtx, inputs: tuple[Any, ...]) -> Any:
    # An input that is returned as it is becomes a view of itself; a dirty one stays the same object.
    if isinstance(o, Tensor) and not any(o is d for d in ctx.dirty) and (any(o is i for i in inputs) or o.requires_grad or o._is_view()):
        return o.detach()
    return o


def _replaced(wanted: tuple[Tensor, ...], before: tuple[Any, ...], after: tuple[Any, ...]) -> list[Any]:
    return [b for a, b in zip(before, after, strict=True) if any(a is w for w in wanted)]


def _hold(t: Tensor, outputs: tuple[Tensor, ...]) -> Tensor:
    # An output is kept without its history, or it and its node would keep each other.
    return t.detach() if any(t is o for o in outputs) else t


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
