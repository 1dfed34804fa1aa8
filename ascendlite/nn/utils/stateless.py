"""The module that torch.func.functional_call grew out of, by its older name and arguments."""

from __future__ import annotations

from typing import Any

from ...core import Tensor
from ...func import functional_call as _functional_call
from ..module import Module


def functional_call(
    module: Module, parameters_and_buffers: dict[str, Tensor], args: Any = None, kwargs: dict[str, Any] | None = None,
    *, tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """Call a module with these tensors in place of its parameters and buffers: see `ascendlite.func.functional_call`."""
    return _functional_call(module, parameters_and_buffers, () if args is None else args, kwargs, tie_weights=tie_weights, strict=strict)
