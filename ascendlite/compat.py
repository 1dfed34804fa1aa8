"""Functions of torch's top level that ask or set something; where there is nothing to set here, they say so or accept what holds anyway."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ascendlite.core import (
    FUNCTIONAL,
    FUNCTIONS,
    DType,
    Tensor,
    arange,
    as_tensor,
    bfloat16,
    float16,
    get_autocast,
    get_default_dtype,
    require_tensor,
    set_autocast,
)
from ascendlite.errors import ArgumentError
from ascendlite.errors import OutOfMemoryError as OutOfMemoryError

layout = memory_format = str

_deterministic = {"mode": 0}
_precision = {"float32": "highest"}


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    require_tensor("is_signed", input)
    return input.dtype.is_signed


def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference mode."""
    require_tensor("is_inference", input)
    return bool(input.is_inference())


def is_conj(input: Tensor) -> bool:
    """False: numbers are real here."""
    require_tensor("is_conj", input)
    return False


def is_neg(input: Tensor) -> bool:
    """False: negation is computed at once here."""
    require_tensor("is_neg", input)
    return False


def is_storage(obj: object) -> bool:
    """Whether `obj` is what untyped_storage() gives."""
    return isinstance(obj, type(as_tensor(0).untyped_storage()))


def get_device(input: Tensor) -> int:
    """The index of the tensor's device; -1 on the CPU."""
    require_tensor("get_device", input)
    return int(input.get_device())


def typename(obj: Any) -> str:
    """The name of a tensor's or an object's type, with its module."""
    if isinstance(obj, Tensor):
        return str(obj.type())
    kind = obj if isinstance(obj, type) else type(obj)
    return kind.__qualname__ if kind.__module__ in ("builtins", "") else f"{kind.__module__}.{kind.__qualname__}"


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A 1-d tensor on the memory of an object that has the buffer protocol: shared where it is writable.

    >>> al.frombuffer(bytearray(b"\\x01\\x02"), dtype=al.uint8)
    tensor([1, 2], dtype=ascendlite.uint8)
    """
    import numpy as np  # not needed to compute

    from ascendlite.core import from_numpy, uint8

    memory = memoryview(buffer).cast("B")
    if not 0 <= offset < max(memory.nbytes, 1) or memory.nbytes == 0:
        raise ArgumentError(f"frombuffer: offset ({offset} bytes) must be non-negative and no greater than buffer length ({memory.nbytes} bytes) minus 1")
    if count == 0 or count < -1:
        raise ArgumentError(f"frombuffer: count must be positive, or -1 for all that there is; got {count}")
    left = memory.nbytes - offset
    if count == -1 and left % dtype.itemsize:
        raise ArgumentError(f"frombuffer: buffer length ({left} bytes) after offset must be a multiple of element size ({dtype.itemsize})")
    n = left // dtype.itemsize if count == -1 else count
    if n * dtype.itemsize > left:
        raise ArgumentError(f"frombuffer: requested buffer length ({n} * {dtype.itemsize} bytes) after offset ({offset} bytes) must not be greater than {left}")
    part = np.frombuffer(memory[offset : offset + n * dtype.itemsize], np.uint8)
    if not part.flags.writeable:
        warnings.warn("frombuffer: the buffer is not writable, so its contents are copied", stacklevel=2)
        part = part.copy()
    raw = from_numpy(part)
    return (raw if dtype is uint8 else raw.view(dtype)).requires_grad_(requires_grad)


def range(start: float = 0, end: float | None = None, step: float = 1, *, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """From start to end, both included; `arange` leaves the end out."""
    warnings.warn("range: is deprecated, since its end is included; use arange", stacklevel=2)
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(f"range: upper bound and lower bound inconsistent with step sign: {start} to {end} by {step}")
    count = int((end - start) / step + 1)
    values = arange(count) * step + start
    return values.to(dtype or get_default_dtype()).requires_grad_(requires_grad)


def to_dlpack(tensor: Tensor) -> object:
    """A DLPack capsule of the tensor."""
    require_tensor("to_dlpack", tensor)
    return tensor.__dlpack__()


def get_float32_matmul_precision() -> str:
    """What set_float32_matmul_precision was given."""
    return _precision["float32"]


def set_float32_matmul_precision(precision: str) -> None:
    """Accepts torch's words; products of float32 are computed in float32 with each of them."""
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(f"set_float32_matmul_precision: {precision!r} is not one of 'highest', 'high', 'medium'")
    _precision["float32"] = precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Remembers the wish; results are the same in every run anyway, with any number of threads."""
    _deterministic["mode"] = (1 if warn_only else 2) if mode else 0


def are_deterministic_algorithms_enabled() -> bool:
    """Whether use_deterministic_algorithms(True) was called; the algorithms are deterministic in any case."""
    return _deterministic["mode"] > 0


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether the wish was to be warned only."""
    return _deterministic["mode"] == 1


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """0 "default", 1 "warn", 2 "error": remembered."""
    words: dict[Any, int] = {"default": 0, "warn": 1, "error": 2, 0: 0, 1: 1, 2: 2}
    if debug_mode not in words:
        raise ArgumentError(f"set_deterministic_debug_mode: {debug_mode!r} is not one of 'default', 'warn', 'error', 0, 1, 2")
    _deterministic["mode"] = words[debug_mode]


def get_deterministic_debug_mode() -> int:
    """What set_deterministic_debug_mode was given, as a number."""
    return _deterministic["mode"]


def get_num_interop_threads() -> int:
    """One: operations run one after another, each on all threads of set_num_threads."""
    return 1


def set_num_interop_threads(n: int) -> None:
    """Accepts a positive number: operations run one after another in any case."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ArgumentError(f"set_num_interop_threads: expects a positive integer, got {n!r}")


def set_flush_denormal(mode: bool) -> bool:
    """False: denormal numbers are kept here."""
    return False


def is_autocast_enabled(device_type: str = "cpu") -> bool:
    """Whether autocast is on."""
    return bool(get_autocast()[0])


def is_warn_always_enabled() -> bool:
    """False: a warning comes once for each place, as Python's warnings do."""
    return False


def set_warn_always(b: bool) -> None:
    """Show every warning of this package each time (True), or once for each place."""
    warnings.filterwarnings("always" if b else "default", module="ascendlite")


# Autocast without its context manager: `amp.autocast` is the usual way.


def get_autocast_dtype(device_type: str = "cpu") -> DType:
    """The dtype that autocast of a kind of device computes in."""
    from ascendlite.amp import autocast

    on, dtype = get_autocast()
    return dtype if on and dtype is not None else autocast(device_type).fast_dtype


get_autocast_cpu_dtype = get_autocast_dtype


def set_autocast_enabled(device_type: str | bool, enabled: bool = True) -> None:
    """Turn autocast on (in the device's usual dtype) or off for this thread."""
    kind, on = (device_type, enabled) if isinstance(device_type, str) else ("cpu", device_type)
    set_autocast(on, get_autocast_dtype(kind) if on else None)


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Set the dtype that autocast of a kind of device computes in when none is named."""
    from ascendlite.amp import DEFAULT_DTYPES

    if device_type not in DEFAULT_DTYPES or dtype not in (bfloat16, float16):
        raise ArgumentError(
            f"set_autocast_dtype: got {device_type!r} and {dtype}; use one of {sorted(DEFAULT_DTYPES)} and a 16-bit float"
        )
    DEFAULT_DTYPES[device_type] = dtype
    on, _ = get_autocast()
    if on:
        set_autocast(True, dtype)


is_autocast_cpu_enabled = is_autocast_enabled


def is_autocast_cache_enabled() -> bool:
    """True: a parameter is cast once in an autocast region."""
    return True


def clear_autocast_cache() -> None:
    """Forget the parameters that autocast has cast."""
    on, dtype = get_autocast()
    set_autocast(False, None)
    set_autocast(on, dtype if on else None)


# Sizes are Python numbers here; these are theirs.
sym_int, sym_float, sym_max, sym_min, sym_sqrt = int, float, max, min, math.sqrt


def sym_not(a: bool) -> bool:
    """not a."""
    return not a


def sym_sum(args: Any) -> Any:
    """The sum of numbers."""
    return sum(args)


def sym_ite(b: bool, t: Any, f: Any) -> Any:
    """t if b, else f."""
    return t if b else f


def _in_place_dropout(name: str) -> Any:
    def dropout(input: Tensor, p: float, train: bool) -> Tensor:
        require_tensor(name + "_", input)
        table = FUNCTIONAL if name in FUNCTIONAL else FUNCTIONS
        return input.copy_(table[name](input, p, train))

    dropout.__name__ = dropout.__qualname__ = name + "_"
    dropout.__doc__ = f"{name} of nn.functional, written into its input."
    return dropout


dropout_, alpha_dropout_, feature_alpha_dropout_ = map(_in_place_dropout, ("dropout", "alpha_dropout", "feature_alpha_dropout"))
