"""Where a kernel loses precision: its values as the card computes them beside the same instructions in double, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ascendlite.npu.arguments import address
from ascendlite.npu.errors import Site
from ascendlite.npu.lang.dtypes import as_dtype
from ascendlite.npu.programs import Launch


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """The instructions of one line of a kernel. Errors are relative to the values in double, the largest of all elements.

    `growth` is the most that one instruction added between what it read and what it wrote.
    """

    site: Site
    name: str
    error_in: float
    error_out: float
    growth: float
    elements: int


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """The lines of a kernel, the one where the error grows most first."""

    lines: tuple[ErrorLine, ...]

    def __str__(self) -> str:
        rows = [f"{'read':>9} {'written':>9} {'growth':>9}  line"]
        rows += [f"{e.error_in:9.1e} {e.error_out:9.1e} {e.growth:9.1e}  {e.site.place}  {e.site.text}" for e in self.lines]
        return "\n".join(rows)


def shadow(launch: Launch[Any], *args: Any, options: int = 0) -> PrecisionReport:
    """Runs a launch on host arrays, and beside it in double; tells where the two part.

    The arrays end as an ordinary run leaves them. What is below 1e-6 in double is compared by its difference over 1e-6.

    >>> import numpy as np, ascendlite.npu as npu, ascendlite.npu.ascendc as ac
    >>> @npu.kernel(kind="aiv")
    ... def third(x, y, n):
    ...     t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)
    ...     ac.DataCopy(t, ac.GlobalTensor(x), n)
    ...     ac.SetFlag(ac.HardEvent.MTE2_V, 0); ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
    ...     ac.Muls(t, t, 1 / 3, n)
    ...     ac.SetFlag(ac.HardEvent.V_MTE3, 0); ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
    ...     ac.DataCopy(ac.GlobalTensor(y), t, n)
    >>> x, y = np.ones(16, np.float16), np.empty(16, np.float16)
    >>> npu.shadow(third[1], x, y, 16).lines[0].name
    'Muls'
    """
    traced, tensors, parameters = launch.call(*args)
    formats = [as_dtype(t.dtype).code for t in tensors]
    found = traced.executor.run_shadow(traced.blocks, [address(t) for t in tensors] + parameters, formats, options)
    lines = [ErrorLine(traced.sites[site], traced.names[opcode], before, after, growth, n) for site, opcode, before, after, growth, n in found]
    return PrecisionReport(tuple(sorted(lines, key=lambda e: -e.growth)))
