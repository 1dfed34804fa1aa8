"""The host's view of device memory: the bytes that stand behind a tensor, in the numerics mode that is on.

The card works behind the host's back: what looks at its memory here waits for its work first.
"""

from __future__ import annotations

import atexit
from typing import Any

from ascendlite import _davinci
from ascendlite.core import DType, Tensor, _core
from ascendlite.errors import DTypeError
from ascendlite.npu.runtime.device import state

_STAGED_BYTES = 1 << 20  # an upload of no more is kept aside, so that the host need not wait
_PACKED = "float4_e2m1fn_x2"  # two values share a byte: they keep their codes in the wide modes
_INDICES = ("int32", "int64")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_MOST_RANGES = 4096
_RANGES: dict[int, tuple[int, Any, int, int]] = {}  # by a storage's serial number: its version, its dtype, its smallest and its largest integer
_WIDENED = {"fp32": (_core.DTYPE_NAMES["float32"], 4), "fp64": (_core.DTYPE_NAMES["float64"], 8)}


def settle() -> None:
    """Wait until the card's work so far is done."""
    if _davinci.drain():
        state.overflow = True


atexit.register(settle)  # the work uses memory that ends with the process, and what failed in it is told


def address(t: Tensor) -> int:
    """Where the host would find the first element of a tensor of the device, for a launch that comes after all others."""
    nominal: int = t.data_ptr()
    if state.numerics == "device":
        return nominal
    base: int = _davinci.heap_base(t.device.index or 0)
    return base + (nominal - base) * _WIDENED[state.numerics][1]


def on_host(t: Any) -> Any:
    """A CPU tensor on the same memory; what is no tensor of the NPU stays as it is.

    In the wide modes floats appear as float32 or float64, whatever their nominal dtype; integers and packed floats keep theirs.
    """
    if not isinstance(t, Tensor) or not t.is_npu:
        return t
    dtype, room = t.dtype, 1  # elements of the dtype from one of the tensor's to the next
    if state.numerics != "device":
        dtype, room = _WIDENED[state.numerics]
        if t.dtype.is_floating_point and t.dtype.name != _PACKED:
            room = t.itemsize
        else:
            dtype = t.dtype
    if not t.numel():
        return _core.empty(t.shape, dtype=dtype, device="cpu")
    settle()
    return _core.from_pointer(address(t), None, t.shape, tuple(s * room for s in t.stride()), dtype, t)


def check_view(dtype: DType, new: DType) -> None:
    """Raises DTypeError where the numerics mode that is on holds other bytes than a view of one dtype as another would show."""
    if state.numerics == "device" or dtype is new or (dtype.itemsize == new.itemsize and _plain(dtype) and _plain(new)):
        return
    held, times = _WIDENED[state.numerics]
    raise DTypeError(
        f"view: {dtype!r} cannot be seen as {new!r} in numerics mode {state.numerics!r}, which holds every float as {held.name} and gives each element {times} times "
        "its room; view the values on the CPU, as in x.cpu().view(dtype), or use al.npu.numerics('device')"
    )


def _plain(dtype: DType) -> bool:
    """Whether elements stand behind a tensor with the bits that they have on the card."""
    return not dtype.is_floating_point or dtype.name == _PACKED or dtype is _WIDENED[state.numerics][0]


def upload(target: Tensor, source: Tensor) -> None:
    """Values of the host to the card, in the order of its other work."""
    plain = state.numerics == "device" and target.dtype is source.dtype and target.is_contiguous() and source.is_contiguous()
    if plain and source.nbytes <= _STAGED_BYTES:
        _davinci.upload(target.data_ptr(), source.data_ptr(), source.nbytes)
    else:
        _core.copy_native(on_host(target), source)
    if source.numel() and source.dtype.name in _INDICES and source.dtype is target.dtype and source.is_contiguous():
        _note_range(target, *_davinci.extremes(source.data_ptr(), source.numel(), source.itemsize, source.itemsize))


def _note_range(t: Tensor, low: int, high: int) -> None:
    """Remember what the integers of a device tensor that is all of its storage lie between, until it is written again."""
    block = t.untyped_storage()
    if t.nbytes != block.nbytes:
        return
    if len(_RANGES) >= _MOST_RANGES:
        _RANGES.clear()
    _RANGES[block.serial] = (block.version, t.dtype, low, high)


def within(t: Tensor, low: int = _SMALLEST, high: int = _LARGEST) -> bool:
    """Whether all integers of a device tensor lie in low..high, both included."""
    if not t.numel():
        return True
    block = t.untyped_storage()
    version, dtype, least, most = _RANGES.get(block.serial, (-1, None, 0, 0))
    if version == block.version and dtype is t.dtype and low <= least and most <= high:
        return True
    least, most = _extremes(t)
    return low <= least and most <= high


def _extremes(t: Tensor) -> tuple[int, int]:
    if t.is_contiguous() and t.itemsize >= 4:
        settle()
        room = 1 if state.numerics == "device" else _WIDENED[state.numerics][1]
        found: tuple[int, int] = _davinci.extremes(address(t), t.numel(), t.itemsize, t.itemsize * room)
        return found
    values = on_host(t)
    return int(values.amin().item()), int(values.amax().item())
