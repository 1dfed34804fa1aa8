"""The emulated Ascend device: chips, kernel language, checker, executor and clock; and the names of `torch.npu`."""

from __future__ import annotations

import importlib
from typing import Any

from ascendlite.absent import absent

# At once, unlike the rest: importing the submodule of this name later would put the module in the decorator's place.
from ascendlite.npu.programs import kernel as kernel

# Where each public name lives; imported when first used, so that kernels can be written without the device and `import` stays cheap.
_HOMES = {
    "programs": ("kernel", "Kernel", "cores", "on_chip"),
    "checker": ("CheckResult",),
    "precision": ("shadow", "PrecisionReport"),
    "proof": ("unchecked",),
    "lang.tiles": ("my_tiles",),
    "errors": ("KernelError", "HazardError"),
    "lang.dtypes": (
        "bool8", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f16", "bf16", "f32", "f64", "f8e4m3", "f8e5m2", "f8e8m0", "hif8",
        "f4e2m1x2", "f4e1m2x2", "i4x2",
    ),
    "runtime.device": (
        "chip", "set_chip", "is_available", "device_count", "current_device", "set_device", "device", "get_device_name", "get_device_properties",
        "get_npu_overflow_flag", "is_support_inf_nan", "clear_npu_overflow_flag", "utilization", "smi", "init", "is_initialized", "is_bf16_supported", "can_device_access_peer",
    ),
    "runtime.stream": ("Stream", "Event", "StreamContext", "stream", "set_stream", "current_stream", "default_stream", "synchronize", "StreamOrderError"),
    "runtime.memory": (
        "memory_stats", "memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved", "reset_peak_memory_stats", "empty_cache",
        "mem_get_info", "memory_snapshot", "memory_summary", "memory_cached", "max_memory_cached", "memory_stats_as_nested_dict", "reset_max_memory_allocated",
        "reset_max_memory_cached",
    ),
    "runtime.random": (
        "manual_seed", "manual_seed_all", "seed", "seed_all", "initial_seed", "get_rng_state", "set_rng_state", "get_rng_state_all", "set_rng_state_all",
    ),
    "runtime.settings": ("set_compile_mode", "is_jit_compile_false", "set_option", "config", "get_device_capability", "get_amp_supported_dtype", "device_of"),
    "runtime.graph": ("NPUGraph", "graph", "is_current_stream_capturing"),
    "runtime.late": ("AsyncError", "set_launch_blocking", "restart_device"),
    "dry": ("estimate", "Estimate", "KernelRow"),
    "runtime.modes": ("numerics", "get_numerics", "saturation"),
    "runtime.hf32": ("matmul", "conv"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("calibration", "clock", "chips", "lang", "ascendc", "runtime", "kernels", "backend", "profiler")
_PARTS = {"memory": "runtime.memory", "random": "runtime.random", "streams": "runtime.stream", "graphs": "runtime.graph"}  # torch.npu's modules

_ABOVE = {"amp": "ascendlite.amp.npu"}  # stands on more than the device, and is found under its name


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"ascendlite.npu.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"ascendlite.npu.{name}")
    if name in _PARTS:
        return importlib.import_module(f"ascendlite.npu.{_PARTS[name]}")
    if name == "OutOfMemoryError":
        return importlib.import_module("ascendlite.errors").OutOfMemoryError
    if name in _ABOVE:
        return importlib.import_module(_ABOVE[name])
    raise absent("npu", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF, *_MODULES, *_PARTS, *_ABOVE, "OutOfMemoryError"})
