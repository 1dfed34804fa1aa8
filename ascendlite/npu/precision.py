"""Where a kernel loses precision: its values as the card computes them beside the same instructions in double, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ascendlite.errors import ArgumentError
from ascendlite.npu.arguments import address
from ascendlite.npu.errors import Site
from ascendlite.npu.lang.dtypes import as_dtype
from ascendlite.npu.programs import Kernel, Launch, Traced, check_writable, sharing
from ascendlite.npu.proof import may_run


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
        rows = ["largest relative error against the same instructions in double: of what a line reads, of what it writes, and what it adds", f"{'read':>9} {'written':>9} {'growth':>9}  line"]
        rows += [f"{e.error_in:9.1e} {e.error_out:9.1e} {e.growth:9.1e}  {e.site.place}  {e.site.text}" for e in self.lines]
        return "\n".join(rows)


def shadow(launch: Kernel[Any] | Launch[Any], *args: Any) -> PrecisionReport:
    """Runs `kernel` or `kernel[blocks]` on its arguments, and beside it the same instructions in double; tells where the two part.

    The kernel is checked first, as for any launch, and the tensors end as an ordinary run leaves them. What is below 1e-6 in double is compared
    by its difference over 1e-6.

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
    from ascendlite.npu.runtime.device import state

    launch = launch if isinstance(launch, Launch) else Launch(launch, None, None)
    traced, tensors, parameters = launch.call(*args)
    if not may_run(traced, sharing(tensors)):
        return PrecisionReport(())
    _settle(traced, tensors)
    formats = [as_dtype(t.dtype).code for t in tensors]
    found = traced.executor.run_shadow(traced.blocks, [address(t) for t in tensors] + parameters, formats, int(state.saturates(traced.chip)))
    lines = [ErrorLine(traced.sites[site], traced.names[opcode], before, after, growth, n) for site, opcode, before, after, growth, n in found]
    return PrecisionReport(tuple(sorted(lines, key=lambda e: -e.growth)))


def _settle(traced: Traced, tensors: list[Any]) -> None:
    """Tensors of the device hold what its work so far makes, and autograd learns what is written. Raises where there are no values in the card's formats."""
    from ascendlite.core import _core
    from ascendlite.npu import wide
    from ascendlite.npu.runtime.device import state

    check_writable(traced, tensors)
    if any(getattr(t, "is_meta", False) for t in tensors):
        raise ArgumentError(f"shadow: kernel {traced.name} has tensors of meta, which hold no values; pass arrays or tensors with data")
    if not any(getattr(t, "is_npu", False) for t in tensors):
        return
    if state.numerics != "device":
        raise ArgumentError(f"shadow: the numerics mode is {state.numerics!r}, in which tensors of the device are not held in the card's formats; use 'device'")
    wide.settle()
    for k in traced.written:
        _core.note_write(tensors[k], traced.name)
