"""The host's view of device memory: the bytes that stand behind a tensor, in the numerics mode that is on."""

from __future__ import annotations

from typing import Any

from ascendlite import _davinci
from ascendlite.core import Tensor, _core
from ascendlite.npu.runtime.device import state

_WIDENED = {"fp32": (_core.DTYPE_NAMES["float32"], 4), "fp64": (_core.DTYPE_NAMES["float64"], 8)}


def address(t: Tensor) -> int:
    """Where the host finds the first element of a tensor of the device."""
    nominal: int = t.data_ptr()
    if state.numerics == "device":
        return nominal
    base: int = _davinci.heap_base(t.device.index or 0)
    return base + (nominal - base) * _WIDENED[state.numerics][1]


def on_host(t: Any) -> Any:
    """A CPU tensor on the same memory; what is no tensor of the NPU stays as it is.

    In the wide modes floats appear as float32 or float64, whatever their nominal dtype; integers keep theirs.
    """
    if not isinstance(t, Tensor) or not t.is_npu:
        return t
    if not t.numel():
        return _core.empty(t.shape, dtype=t.dtype, device="cpu")
    if state.numerics == "device":
        return _core.from_pointer(address(t), None, t.shape, t.stride(), t.dtype, t)
    widened, room = _WIDENED[state.numerics]
    if t.dtype.is_floating_point:
        return _core.from_pointer(address(t), None, t.shape, tuple(s * t.itemsize for s in t.stride()), widened, t)
    return _core.from_pointer(address(t), None, t.shape, tuple(s * room for s in t.stride()), t.dtype, t)


def extremes(t: Tensor) -> tuple[int, int]:
    """The smallest and the largest of a device tensor's integers, as the host sees them."""
    if t.is_contiguous() and t.itemsize >= 4:
        room = 1 if state.numerics == "device" else _WIDENED[state.numerics][1]
        found: tuple[int, int] = _davinci.extremes(address(t), t.numel(), t.itemsize, t.itemsize * room)
        return found
    values = on_host(t)
    return int(values.amin().item()), int(values.amax().item())
