"""Which chip is emulated, and which of its dies is current. Names follow `torch.npu`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ascendlite.core import _core
from ascendlite.errors import DeviceError
from ascendlite.npu.chips import Chip, load

if TYPE_CHECKING:
    from pathlib import Path

# Read once, when the device is first used; `set_chip` changes it later.
_WANTED = os.environ.get("ASCENDLITE_NPU", "910c")
_MODES = {"0": True, "1": False}  # of CANN's variable: whether floats of 16 bits saturate


class _State:
    chip: Chip = load(_WANTED)
    current: int = 0
    numerics: str = "device"
    overflow: bool = False
    saturation: bool | None = _MODES.get(os.environ.get("INF_NAN_MODE_ENABLE", ""))  # None: as the chip does
    blocking: bool = os.environ.get("ASCEND_LAUNCH_BLOCKING", "1") != "0"  # errors are raised at the call that makes them
    operands: tuple[Any, ...] = ()  # of the op that runs now: what a profiler shows of its kernels
    written: int = 0  # how many of them, the first ones, it writes

    def saturates(self, chip: Chip) -> bool:
        """Whether floats of 16 bits overflow to their largest number on the chip, and raise the flag."""
        return chip.saturates if self.saturation is None else self.saturation


state = _State()


def chip() -> Chip:
    """The chip that the device emulates."""
    return state.chip


def set_chip(name: str | Path) -> Chip:
    """Emulate another chip: a known name or a chip file. No tensor may be on the device; streams and the clock start anew.

    >>> al.npu.set_chip("910b2").aic
    24
    >>> al.npu.set_chip("910c").dies
    2
    """
    from ascendlite.npu import backend

    wanted = load(name)
    backend.configure(wanted, state.numerics)
    state.chip = wanted
    set_device(0)
    return wanted


def is_available() -> bool:
    """Whether there is an NPU: always, as it is emulated."""
    return True


def is_initialized() -> bool:
    """Whether the device is ready: from the first use of `al.npu` on."""
    return True


def init() -> None:
    """Nothing: the device is ready when it is first used. For programs that call it."""


def is_bf16_supported() -> bool:
    """Whether the chip's cores take bfloat16: all but the 910A's generation."""
    return state.chip.generation != "1001"


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one die reads another's memory: the dies of a package do; a die is not its own peer."""
    return device_index(device) != device_index(peer_device)


def device_count() -> int:
    """How many dies there are: each is a device, as the vendor's software shows it."""
    return state.chip.dies


def device_index(device: Any = None) -> int:
    """The index that a device, its name or an index stands for; None is the current one."""
    if isinstance(device, bool):
        raise TypeError(f"npu: expected a device, its name or an index, got {device!r}")
    if isinstance(device, int):
        index = device
    else:
        named = None if device is None else _npu(device)
        index = state.current if named is None else named
    if not 0 <= index < device_count():
        raise DeviceError(f"npu: device {index} does not exist; chip {state.chip.name} has {device_count()}")
    return index


def _npu(device: Any) -> int | None:
    device = _core.Device(device)
    if device.type != "npu":
        raise DeviceError(f"npu: expected a device of type 'npu', got '{device}'")
    index: int | None = device.index
    return index


def current_device() -> int:
    """The index of the die that 'npu' means now."""
    return state.current


def set_device(device: Any) -> None:
    """Choose the die that 'npu' means."""
    state.current = device_index(device)
    _core.exchange_npu_device(state.current)


class device:
    """Make a die the current one inside.

    >>> with al.npu.device(0):
    ...     x = al.ones(2, device="npu")
    """

    def __init__(self, device: Any) -> None:
        self._wanted = device_index(device)

    def __enter__(self) -> None:
        self._former = state.current
        set_device(self._wanted)

    def __exit__(self, *exc: object) -> None:
        set_device(self._former)


def get_device_name(device: Any = None) -> str:
    """The name of the chip, as CANN calls it."""
    device_index(device)
    return state.chip.soc


def get_device_properties(device: Any = None) -> Chip:
    """Everything known of the die."""
    device_index(device)
    return state.chip


def is_support_inf_nan() -> bool:
    """Whether an overflow gives inf, as by default on all but the 910A's generation; else the largest number, and it raises the flag.

    INF_NAN_MODE_ENABLE=0 or 1 and `al.npu.saturation()` choose, whatever the chip.
    """
    return not state.saturates(state.chip)


def get_npu_overflow_flag() -> bool:
    """Whether a float operation on the device overflowed since the flag was cleared; where it gives inf, look for inf instead."""
    _settle()
    return state.overflow


def clear_npu_overflow_flag() -> None:
    """Forget overflows."""
    _settle()
    state.overflow = False


def _settle() -> None:
    from ascendlite.npu import wide  # it reads this module's state

    wide.settle()


def utilization(device: Any = None) -> int:
    """Percent of the virtual time until now in which the die was busy."""
    from ascendlite.npu.runtime import stream

    stream.synchronize(device)
    busy = sum(s.busy_us for s in stream.streams_of(device_index(device)))
    return round(100 * min(1.0, busy / stream.host.now_us)) if stream.host.now_us else 0


def smi() -> str:
    """A picture of the dies in the shape of `npu-smi info`."""
    from ascendlite.npu.runtime import memory

    line = "+-------------------+-----------------+------------------------------------------------------+"
    rows = [line, f"| ascendlite npu-smi {'(emulated)':<70} |", line, f"| {'NPU     Name':<17} | {'Health':<15} | {'AICore(%)      Memory-Usage(MB)':<52} |", line]
    for index in range(device_count()):
        used, total = memory.memory_reserved(index) / 2**20, state.chip.hbm_bytes / 2**20
        figures = f"{utilization(index):<14} {used:.0f} / {total:.0f}"
        rows += [f"| {index:<7} {state.chip.name:<9} | {'OK':<15} | {figures:<52} |", line]
    return "\n".join(rows)
