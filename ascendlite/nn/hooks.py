"""Hooks of modules: removable handles, the table of a module that has hooks, the call that runs them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..autograd import Function
from ..core import Tensor

if TYPE_CHECKING:
    from .module import Module

_ids = itertools.count()


class Hook(NamedTuple):
    """A registered function and how it wants to be called."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off again; also a context manager."""

    def __init__(self, hooks: dict[int, Hook], hook: Hook, *, prepend: bool = False) -> None:
        self.id = next(_ids)
        self._hooks = hooks
        rest = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[self.id] = hook
        hooks.update(rest)

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class HookTable:
    """The hooks of one module by the moment at which they run."""

    def __init__(self) -> None:
        self.forward_pre: dict[int, Hook] = {}
        self.forward: dict[int, Hook] = {}
        self.backward_pre: dict[int, Hook] = {}
        self.backward: dict[int, Hook] = {}
        self.state_dict_pre: dict[int, Hook] = {}
        self.state_dict_post: dict[int, Hook] = {}
        self.load_pre: dict[int, Hook] = {}
        self.load_post: dict[int, Hook] = {}

    def runs_on_call(self) -> bool:
        return bool(self.forward_pre or self.forward or self.backward_pre or self.backward)


class Hooked:
    """The part of a Module that registers hooks; the table exists only once the first hook does."""

    _hook_table: HookTable | None = None

    def _hooks(self) -> HookTable:
        if self._hook_table is None:
            self._hook_table = HookTable()
        return self._hook_table

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """hook(module, args[, kwargs]) before forward; may return changed args (with kwargs: both)."""
        return RemovableHandle(self._hooks().forward_pre, Hook(hook, with_kwargs), prepend=prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """hook(module, args[, kwargs], output) after forward, with `always_call` even if it failed."""
        return RemovableHandle(self._hooks().forward, Hook(hook, with_kwargs, always_call), prepend=prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """hook(module, grad_output) before the module's backward; may return other gradients."""
        return RemovableHandle(self._hooks().backward_pre, Hook(hook), prepend=prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """hook(module, grad_input, grad_output) after the module's backward; may return other grad_input."""
        return RemovableHandle(self._hooks().backward, Hook(hook), prepend=prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """torch's older name; the hook sees the gradients of the module's own inputs, as a full one does."""
        return self.register_full_backward_hook(hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, prefix, keep_vars) before the module's state is collected."""
        return RemovableHandle(self._hooks().state_dict_pre, Hook(hook))

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata) after the module's state is collected."""
        return RemovableHandle(self._hooks().state_dict_post, Hook(hook))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, state_dict, prefix, metadata, strict, missing_keys, unexpected_keys, error_msgs)."""
        return RemovableHandle(self._hooks().load_pre, Hook(hook))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, report) after loading; it may change the report's missing_keys and unexpected_keys."""
        return RemovableHandle(self._hooks().load_post, Hook(hook))


def call_with_hooks(module: Module, table: HookTable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """module.forward(*args, **kwargs) between its hooks."""
    owed = {key: hook for key, hook in table.forward.items() if hook.always_call}
    try:
        args, kwargs = _run_forward_pre(module, table, args, kwargs)
        backward = _BackwardHooks(module, table) if table.backward or table.backward_pre else None
        if backward:
            args = backward.watch_inputs(args)
        result = module.forward(*args, **kwargs)
        for key, hook in list(table.forward.items()):
            owed.pop(key, None)
            changed = (
                hook.function(module, args, kwargs, result)
                if hook.with_kwargs
                else hook.function(module, args, result)
            )
            result = result if changed is None else changed
        return backward.watch_outputs(result) if backward else result
    except Exception:
        for hook in owed.values():
            if hook.with_kwargs:
                hook.function(module, args, kwargs, None)
            else:
                hook.function(module, args, None)
        raise


def _run_forward_pre(
    module: Module, table: HookTable, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for hook in list(table.forward_pre.values()):
        if hook.with_kwargs:
            changed = hook.function(module, args, kwargs)
            if changed is None:
                continue
            if not isinstance(changed, tuple) or len(changed) != 2:
                raise RuntimeError(
                    f"forward pre-hook of {type(module).__name__}: with kwargs it must return None or "
                    f"(args, kwargs), got {changed!r}; return both"
                )
            args, kwargs = changed
        else:
            changed = hook.function(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


class _Boundary(Function):
    """Identity whose backward shows the gradients to a callback."""

    @staticmethod
    def forward(ctx: Any, callback: Callable[..., Any], *tensors: Tensor) -> Any:
        ctx.callback = callback
        views = tuple(t.view_as(t) for t in tensors)
        return views if len(views) > 1 else views[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.callback(grads))


class _BackwardHooks:
    """One call's backward hooks: gradients of the outputs first, then of the inputs."""

    def __init__(self, module: Module, table: HookTable) -> None:
        self.module = module
        self.table = table
        self.grad_output: tuple[Tensor | None, ...] = ()
        self.watched_positions: tuple[int, ...] = ()
        self.input_count = 0
        self.output_places: tuple[int, ...] = ()
        self.output_count = 0

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.input_count = len(args)
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        self.watched_positions = tuple(places)
        if not places:
            return args
        watched = iter(_pass(self._on_grad_input, [args[i] for i in places]))
        return tuple(next(watched) if i in places else a for i, a in enumerate(args))

    def watch_outputs(self, result: Any) -> Any:
        leaves = list(_leaves(result))
        self.output_places = tuple(i for i, r in enumerate(leaves) if isinstance(r, Tensor) and r.requires_grad)
        self.output_count = len(leaves)
        outputs = [leaves[i] for i in self.output_places]
        if not outputs:
            return result
        watched = iter(_pass(self._on_grad_output, outputs))
        if isinstance(result, Tensor):
            return next(watched)
        if isinstance(result, (tuple, list)):
            swapped = [next(watched) if isinstance(r, Tensor) and r.requires_grad else r for r in result]
            return tuple(swapped) if isinstance(result, tuple) else swapped
        raise RuntimeError(
            f"backward hook of {type(self.module).__name__}: output is a {type(result).__name__}; "
            "return a Tensor, or a tuple or list of Tensors"
        )

    def _on_grad_output(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        shown = _spread(grads, self.output_places, self.output_count)
        for hook in list(self.table.backward_pre.values()):
            shown = _changed(hook.function(self.module, shown), shown, self.module)
        self.grad_output = grads = shown
        if not self.watched_positions:
            nothing = (None,) * self.input_count
            for hook in list(self.table.backward.values()):
                answer = hook.function(self.module, nothing, grads)
                if answer is not None and (not isinstance(answer, tuple) or any(g is not None for g in answer)):
                    raise RuntimeError(
                        f"backward hook of {type(self.module).__name__}: no input requires a gradient, "
                        "but the hook returned some; return None"
                    )
        return tuple(shown[i] for i in self.output_places)

    def _on_grad_input(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        shown = _spread(grads, self.watched_positions, self.input_count)
        for hook in list(self.table.backward.values()):
            shown = _changed(hook.function(self.module, shown, self.grad_output), shown, self.module)
        return tuple(shown[i] for i in self.watched_positions)


def _spread(grads: tuple[Tensor | None, ...], places: tuple[int, ...], count: int) -> tuple[Tensor | None, ...]:
    """One entry for each argument or output of the module: None where there is no gradient."""
    at = dict(zip(places, grads, strict=True))
    return tuple(at.get(i) for i in range(count))


def _pass(callback: Callable[..., Any], tensors: list[Tensor]) -> tuple[Tensor, ...]:
    watched = _Boundary.apply(callback, *tensors)
    return cast("tuple[Tensor, ...]", watched if isinstance(watched, tuple) else (watched,))


def _leaves(result: Any) -> Iterator[Any]:
    yield from (
        result.values()
        if isinstance(result, dict)
        else result
        if isinstance(result, (tuple, list))
        else (result,)
    )


def _changed(answer: Any, grads: tuple[Tensor | None, ...], module: Module) -> tuple[Tensor | None, ...]:
    if answer is None:
        return grads
    answer = answer if isinstance(answer, tuple) else (answer,)
    if len(answer) != len(grads):
        raise RuntimeError(
            f"backward hook of {type(module).__name__}: returned {len(answer)} gradients for {len(grads)}; "
            "return None or one per gradient"
        )
    return cast("tuple[Tensor | None, ...]", answer)


def is_untouched(module: Module, kind: type[Module]) -> bool:
    """Whether this is a module of just this kind, a call of which runs the kind's `forward` and nothing else."""
    table = module._hook_table
    return type(module) is kind and (table is None or not table.runs_on_call()) and "forward" not in module.__dict__
