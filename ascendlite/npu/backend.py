"""Stands behind tensors of the NPU: runs their ops by kernels of the table, or on the card's own CPU, and puts each on the clock.

Importing this module gives the core its NPU; `al.device("npu")` does it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from ascendlite import _davinci
from ascendlite.core import DType, Op, Tensor, _core
from ascendlite.core.registry import RUNS_ARRAYS
from ascendlite.npu import aicpu, wide
from ascendlite.npu.chips import Chip
from ascendlite.npu.errors import KernelError
from ascendlite.npu.kernels import (  # noqa: F401  # some only register themselves
    KEPT,
    KERNELS,
    POINTWISE,
    attention,
    channels,
    composites,
    conv,
    copies,
    draw_integers,
    elementwise,
    grouped,
    losses,
    nonzeros,
    optimizers,
    passes,
    picks,
    pools,
    products,
    random,
    ranks,
    recurrent,
    reductions,
    rotary,
    rowwise,
    sinkhorn,
    sparse,
    spread,
    tables,
)
from ascendlite.npu.runtime import late, memory, stream
from ascendlite.npu.runtime.device import state

Number = int | float | bool
# Host bytes that stand behind a byte of the card, by numerics mode: in the wide modes an element has room for a float or a double.
WIDE = {"device": 1, "fp32": 4, "fp64": 8}
WRITTEN_FOR = "2201"  # the generation to whose instructions and formats every kernel keeps


def taken(kernel: Callable[..., Any] | None, *args: Any) -> bool:
    """Run a kernel, or say that there is none for these operands, or none of a chip whose generation lacks a format that it needs: for the AI CPU."""
    try:
        return kernel is not None and kernel(*args) is not NotImplemented
    except KernelError as error:
        if error.rule != "R22" or state.chip.generation == WRITTEN_FOR:
            raise
        return False


class Backend:
    """What `_core.install_npu` asks for. `dry`: behind meta tensors, where kernels are timed and nothing is computed."""

    def __init__(self, dry: bool = False) -> None:
        self.dry = dry

    def launch(self, op: Op, outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> None:
        """Run an op with a kernel of its own."""
        if stream.several(state.current):
            stream.check_order(stream.current_stream(), op.name, inputs, outputs)
        kernel = KERNELS.get(op.name)
        state.operands, state.written = (*outputs, *inputs), len(outputs)
        try:
            done = taken(kernel, outputs, inputs, attrs)
        finally:
            state.operands = ()
        if not done:
            aicpu.launch(op, outputs, inputs, attrs, self.dry)

    def pointwise(self, op: Op, output: Tensor, args: tuple[Tensor | Number, ...], compute: DType) -> None:
        """Run a pointwise op: tensors of the compute dtype that broadcast to the output, and numbers."""
        if stream.several(state.current):
            stream.check_order(stream.current_stream(), op.name, args, (output,))
        kernel = POINTWISE.get(op.name)
        state.operands, state.written = (output, *args), 1
        try:
            done = taken(kernel, output, args, compute)
        finally:
            state.operands = ()
        if not done:
            aicpu.pointwise(op, output, args, compute, self.dry)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy and cast values on the device, or between it and the host."""
        if stream.several(state.current):
            stream.check_order(stream.current_stream(), "copy", (source,), (target,))
        if target.is_cpu or source.is_cpu:
            copies.transfer(target, source, self.dry)
        elif not taken(copies.on_device, target, source):
            aicpu.copy(target, source, self.dry)

    def fill(self, target: Tensor, value: Number) -> None:
        """Set every element of a tensor to a number."""
        if stream.several(state.current):
            stream.check_order(stream.current_stream(), "fill", (), (target,))
        if not taken(copies.fill, target, value):
            aicpu.fill(target, value, self.dry)

    view: Callable[[DType, DType], None] = staticmethod(wide.check_view)
    out_of_memory: Callable[[int, int], None] = staticmethod(memory.raise_out_of_memory)


def configure(chip: Chip, numerics: str) -> None:
    """Give every die of a chip an empty memory. Refused while tensors are on the device."""
    for let_go in KEPT:
        let_go()
    gc.collect()  # tensors in dead cycles hold memory, too
    for index in range(chip.dies):
        _davinci.heap_configure(index, chip.hbm_bytes, WIDE[numerics])
    stream.reset()
    _core.install_npu(late.before(Backend()), chip.dies, *_davinci.heap_functions())


RUNS_ARRAYS["npu"] = aicpu.arrays
elementwise.register()
spread.register()
configure(state.chip, state.numerics)
