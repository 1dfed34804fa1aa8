"""The accelerator of this machine by the names of `torch.accelerator`: the emulated NPU, which is always there."""

from __future__ import annotations

from typing import Any

from ascendlite.core import Device
from ascendlite.npu.runtime.device import current_device as current_device_index
from ascendlite.npu.runtime.device import device_count, is_available
from ascendlite.npu.runtime.device import set_device as set_device_index
from ascendlite.npu.runtime.stream import current_stream, set_stream, synchronize

__all__ = ["current_accelerator", "current_device_index", "current_stream", "device_count", "is_available", "set_device_index", "set_stream", "synchronize"]


def current_accelerator(check_available: bool = False) -> Any:
    """The kind of the accelerator.

    >>> al.accelerator.current_accelerator().type
    'npu'
    """
    return Device("npu")
