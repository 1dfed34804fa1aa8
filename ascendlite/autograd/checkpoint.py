"""Trade compute for memory: forget what a function computed, and compute it again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ascendlite.core import _core
from ascendlite.core._core import Tensor
from ascendlite.core.autograd import backward
from ascendlite.core.modes import enable_grad, no_grad
from ascendlite.errors import GradError


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True, **kwargs: Any
) -> Any:
    """`function(*args, **kwargs)`, whose intermediate tensors are not kept but computed again when gradients are asked for.

    Random numbers and autocast are the same in both runs. Parameters that the function closes over get their gradients too.
    `use_reentrant` is accepted for torch's sake; there is one implementation.
    """
    if not _core.is_grad_enabled():
        return function(*args, **kwargs)
    state = _core.default_generator.get_state() if preserve_rng_state else None
    cast = _core.get_autocast()
    with no_grad():
        result = function(*args, **kwargs)
    outputs = _map(result, lambda t: t.detach())
    tensors = tuple(_floats(outputs))
    rerun = _rerun(function, args, kwargs, state, cast)
    trigger = _core.empty(0, requires_grad=True)  # parameters are inputs that nobody passed
    inputs = tuple(a if isinstance(a, Tensor) else None for a in args)
    if tensors:
        _core.custom_node("CheckpointBackward", (trigger, *inputs), tensors[0] if len(tensors) == 1 else tensors,
                          _gradient(rerun, args, len(tensors)))
    return outputs


def _map(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with its tensors changed: a tensor, or lists, tuples and dicts that hold some."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: _map(v, change) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_map(v, change) for v in value))
    return type(value)(_map(v, change) for v in value) if isinstance(value, list | tuple) else value


def _floats(value: Any) -> list[Tensor]:
    found: list[Tensor] = []

    def note(t: Tensor) -> Tensor:
        found.extend([t] if t.is_floating_point() else [])
        return t

    _map(value, note)
    return found


def _rerun(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], state: Tensor | None, cast: Any) -> Callable[..., Any]:
    versions = [a._version if isinstance(a, Tensor) else 0 for a in args]

    def rerun(*fresh: Any) -> Any:
        for a, version in zip(args, versions, strict=True):
            if isinstance(a, Tensor) and a._version != version:
                raise GradError(f"checkpoint: an input of shape {tuple(a.shape)} was modified in place since the forward pass (version {a._version}, "
                                f"expected {version}); clone() it first")
        former_state, former_cast = _core.default_generator.get_state(), _core.get_autocast()
        try:
            if state is not None:
                _core.default_generator.set_state(state)
            _core.set_autocast(*cast)
            with enable_grad():
                return function(*fresh, **kwargs)
        finally:
            _core.default_generator.set_state(former_state)
            _core.set_autocast(*former_cast)

    return rerun


def _gradient(rerun: Callable[..., Any], args: tuple[Any, ...], count: int) -> Callable[..., Any]:
    def gradient(*grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if _core.is_grad_enabled():
            raise GradError("checkpoint: gradients of gradients through checkpoint are not supported; call the function without it")
        fresh = tuple(a.detach().requires_grad_(a.requires_grad) if isinstance(a, Tensor) else a for a in args)
        result = rerun(*fresh)
        outputs = _floats(result)
        if len(outputs) != count:
            raise GradError(f"checkpoint: the function gave {count} float tensors at first and {len(outputs)} when it ran again; it must be deterministic")
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None and o.requires_grad]
        if not pairs:
            raise GradError("checkpoint: none of the outputs requires a gradient; call the function under no_grad() instead")
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, *(f.grad if isinstance(f, Tensor) else None for f in fresh))

    return gradient


def checkpoint_sequential(functions: Sequence[Callable[..., Any]], segments: int, input: Any, **kwargs: Any) -> Any:
    """Run a chain of modules in `segments` checkpointed pieces."""
    steps = list(functions)
    size = max(1, len(steps) // segments)
    for start in range(0, len(steps), size):
        piece = steps[start : start + size]

        def run(x: Any, piece: list[Callable[..., Any]] = piece) -> Any:
            for step in piece:
                x = step(x)
            return x

        input = checkpoint(run, input, **kwargs)
    return input
