"""The graph by torch's names: hooks on what is saved for the backward pass, and on several gradients at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from ascendlite.absent import absent as _absent
from ascendlite.core import _core
from ascendlite.core._core import Node, Tensor
from ascendlite.errors import GradError

__all__ = ["Node", "disable_saved_tensors_hooks", "increment_version", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks"]

_REFUSED: list[str] = []  # what `disable_saved_tensors_hooks` says, innermost last


class saved_tensors_hooks:
    """Inside, `pack_hook(tensor)` says what is kept of a tensor that an op saves; `unpack_hook` makes a tensor of it for the backward pass.

    >>> x = al.ones(3, requires_grad=True)
    >>> with al.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(), al.from_numpy):
    ...     y = x.exp()
    >>> y.sum().backward()
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._former: list[Any] = []

    def __enter__(self) -> None:
        if _REFUSED:
            raise GradError(_REFUSED[-1])
        self._former.append(_core.exchange_saved_hooks((self.pack_hook, self.unpack_hook)))

    def __exit__(self, *_: object) -> None:
        _core.exchange_saved_hooks(self._former.pop())


class save_on_cpu(saved_tensors_hooks):
    """What ops save inside is moved to the CPU, and back to its device for the backward pass. `pin_memory` changes nothing here."""

    def __init__(self, pin_memory: bool = False, device_type: str = "npu") -> None:
        def pack(t: Tensor) -> tuple[Any, Tensor]:
            return t.device, t.clone() if t.device.type == "cpu" else t.to("cpu")

        super().__init__(pack, lambda kept: kept[1].to(kept[0]))


class disable_saved_tensors_hooks:
    """Inside, `saved_tensors_hooks` raises a RuntimeError with this message."""

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message

    def __enter__(self) -> None:
        _REFUSED.append(self.error_message)

    def __exit__(self, *_: object) -> None:
        _REFUSED.pop()


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Say that a tensor (or each of several) was written to by other means: who saved its old values finds out."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        _core.note_write(t.detach(), "increment_version")


class _Handles:
    """What `register_multi_grad_hook` returns."""

    def __init__(self, handles: list[Any]) -> None:
        self.handles = handles

    def remove(self) -> None:
        """Take the hook away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: Literal["all", "any"] = "all") -> _Handles:
    """Call fn([gradient of each tensor, None where it has none]) at the end of each backward pass that reaches one of them, or (mode "any")
    fn(gradient) at the first one of each pass.

    >>> a, b = al.ones(2, requires_grad=True), al.ones(2, requires_grad=True)
    >>> handle = al.autograd.graph.register_multi_grad_hook([a, b], lambda grads: print(len(grads)))
    >>> (a * b).sum().backward()
    2
    """
    if mode not in ("all", "any"):
        raise ValueError(f"register_multi_grad_hook: Expects mode to be one of ('all', 'any') but got {mode}")
    found: dict[int, dict[int, Tensor]] = {}  # gradients by place, of each pass that is under way

    def tell(number: int) -> None:
        grads = found.pop(number)
        if mode == "all":
            fn([grads.get(k) for k in range(len(tensors))])

    def hook(place: int) -> Callable[[Tensor], None]:
        def take(grad: Tensor) -> None:
            number = _core.backward_pass()
            first = number not in found
            found.setdefault(number, {})[place] = grad
            if first:
                _core.at_end_of_pass(partial(tell, number))
                if mode == "any":
                    fn(grad)

        return take

    return _Handles([t.register_hook(hook(k)) for k, t in enumerate(tensors)])


def __getattr__(name: str) -> Any:
    raise _absent("autograd.graph", name)
