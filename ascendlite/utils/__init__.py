"""Names of `torch.utils` that people look for: `utils.checkpoint`, `utils.data`, `utils.dlpack`, `utils._pytree`."""

from __future__ import annotations

import importlib
from typing import Any

from ascendlite.absent import absent as _absent
from ascendlite.utils import checkpoint

__all__ = ["checkpoint", "data", "dlpack"]

_LAZY = ("_pytree", "data", "dlpack")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"ascendlite.utils.{name}")
    raise _absent("utils", name)
