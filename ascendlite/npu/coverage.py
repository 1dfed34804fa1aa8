"""Where each op of the table runs on the NPU: a kernel of its own, other ops of the device, or the card's own CPU."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Final

from ascendlite.core import OPS
from ascendlite.npu import backend  # noqa: F401  # fills the kernel tables
from ascendlite.npu.kernels import COMPOSITES, KERNELS, POINTWISE, elementwise
from ascendlite.npu.reasons import OPERATORS, reason

KERNEL, COMPOSITE, AI_CPU, VIEW = "kernel", "composite", "AI CPU", "view"
_MOVES: Final = {"cast", "clone", "copy", "to_device"}  # made by the core itself, of the device's copies


def home(name: str) -> str:
    """Where an op runs. A kernel may leave rare formats to the AI CPU; a profile shows each case.

    >>> from ascendlite.npu.coverage import home
    >>> home("matmul"), home("cat"), home("digamma")
    ('kernel', 'composite', 'AI CPU')
    """
    if OPS[name].is_view:
        return VIEW
    if name in COMPOSITES:
        return COMPOSITE
    return KERNEL if name in KERNELS or name in POINTWISE or name in _MOVES else AI_CPU


def table() -> dict[str, list[str]]:
    """The ops by where they run."""
    found: dict[str, list[str]] = {KERNEL: [], COMPOSITE: [], AI_CPU: [], VIEW: []}
    for name in sorted(OPS):
        found[home(name)].append(name)
    return found


def text() -> str:
    """The table for people."""
    rows = table()
    count = Counter({where: len(names) for where, names in rows.items()})
    lines = [f"{sum(count.values())} ops: " + ", ".join(f"{n} {where}" for where, n in count.items())]
    for where, names in rows.items():
        lines += ["", f"{where}:", *(_wrapped(names) if where != AI_CPU else _with_reasons(names))]
    lines += ["", "pointwise kernels by the dtypes that the vector core computes (others go to the AI CPU):"]
    for dtypes, names in sorted(by_dtypes().items(), key=lambda row: -len(row[1])):
        lines += [f"  {', '.join(dtypes)}:", *("  " + line for line in _wrapped(names, 108))]
    return "\n".join(lines)


def _with_reasons(names: list[str]) -> list[str]:
    """What stays on the AI CPU: the operators that CANN runs there too, then the rest, each with what stands in its way."""
    too = "; ".join(f"{name} ({OPERATORS[name]})" for name in names if name in OPERATORS)
    lines = textwrap.wrap(f"as CANN's operators: {too}", 110, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    return lines + [f"  {name}: {reason(name)}" for name in names if name not in OPERATORS]


def by_dtypes() -> dict[tuple[str, ...], list[str]]:
    """The ops of the pointwise template by the compute dtypes that they take on the vector core.

    >>> from ascendlite.npu.coverage import by_dtypes
    >>> next(dtypes for dtypes, names in by_dtypes().items() if "where" in names)[:4]
    ('float32', 'float16', 'bfloat16', 'int32')
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(set(POINTWISE) & set(OPS)):
        found.setdefault(tuple(elementwise.formats_of(name)), []).append(name)
    return found


def _wrapped(names: list[str], width: int = 110) -> list[str]:
    lines = ["  "]
    for name in names:
        if len(lines[-1]) + len(name) > width:
            lines.append("  ")
        lines[-1] += name + " "
    return lines
