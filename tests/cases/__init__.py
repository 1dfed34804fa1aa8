"""The op table's rows, one module a family. `all_cases()` gives (family, case) in the order of the modules' names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from tests.opcase import Case


def all_cases() -> Iterator[tuple[str, Case]]:
    """Every row with the name of its family."""
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        for case in importlib.import_module(f"{__name__}.{module}").CASES:
            yield module, case
