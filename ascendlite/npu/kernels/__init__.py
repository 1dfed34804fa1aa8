"""The op table's NPU column: which kernel runs an op. What is not here runs on the card's own CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Each gets (outputs, inputs, attrs) of a launch, or (output, args, compute dtype) of a pointwise op, on the NPU or on meta (a dry run).
# It launches kernels, or returns NotImplemented for forms that it does not take.
Launcher = Callable[..., Any]
KERNELS: dict[str, Launcher] = {}
POINTWISE: dict[str, Launcher] = {}
KEPT: list[Callable[[], None]] = []  # each lets go of what kernels keep on the device from call to call
COMPOSITES: set[str] = set()  # of KERNELS, those that run as other ops of the device


def kernel_for(*names: str) -> Callable[[Launcher], Launcher]:
    """Register a launcher for ops with kernels of their own."""

    def register(launcher: Launcher) -> Launcher:
        KERNELS.update(dict.fromkeys(names, launcher))
        return launcher

    return register
