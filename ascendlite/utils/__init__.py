"""Names of `torch.utils` that people look for: `utils.checkpoint`, `utils.data`, `utils.dlpack`."""

from __future__ import annotations

import importlib
from typing import Any

from ascendlite.absent import absent as _absent
from ascendlite.utils import checkpoint

__all__ = ["checkpoint", "data", "dlpack"]


def __getattr__(name: str) -> Any:
    if name == "data":
        return importlib.import_module("ascendlite.data")
    if name == "dlpack":
        return importlib.import_module("ascendlite.utils.dlpack")
    raise _absent("utils", name)
