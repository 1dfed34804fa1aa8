"""The kernel language. Its names are those of `ascendlite.npu.lang.ascendc`, imported when first used."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        names = importlib.import_module("ascendlite.npu.lang.ascendc")
        if hasattr(names, name):
            return getattr(names, name)
    raise AttributeError(f"module 'ascendlite.npu.lang' has no attribute {name!r}")
