"""What this installation is and what it runs on: versions, build, instruction sets, threads, memory, devices."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

from ascendlite import _native, backends, cpu
from ascendlite.errors import AscendLiteError

_DEPENDENCIES = ("numpy", "safetensors", "scipy-openblas32", "rich", "matplotlib", "torch")


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return next((line.partition(":")[2].strip() for line in f if line.lower().startswith(("model name", "cpu model"))), platform.machine())
    except OSError:
        return platform.machine()


def _gib(n: int) -> str:
    return f"{n / 2**30:.2f} GiB"


def _npu() -> str:
    """The emulated dies, or why there are none."""
    try:
        from ascendlite.npu.runtime import device

        chip = device.get_device_properties(0)
    except AscendLiteError as error:
        return f"no npu ({error})"
    dies = ", ".join(f"npu:{k}" for k in range(device.device_count()))
    return f"{dies}: emulated {chip.product} ({chip.name}), {chip.hbm_bytes / 2**30:.0f} GiB, {chip.aic} cube and {chip.aiv} vector cores each"


def rows() -> list[tuple[str, str]]:
    """The report as (name, value) pairs."""
    memory = cpu.memory_stats()
    return [
        ("ascendlite", _version_of("ascendlite")),
        ("installed in", os.path.dirname(os.path.abspath(__file__))),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("processor", _processor()),
        ("compiled by", _native.compiler),
        ("instruction sets", f"built: {', '.join(backends.built_instruction_sets())}; supported here: {', '.join(backends.supported_instruction_sets())}; "
                             f"in use: {backends.instruction_set}"),
        ("kernels", str(len(_native.kernel_names()))),
        ("threads", f"{_native.get_num_threads()} in use, {_native.usable_cores()} cores usable"),
        ("memory", f"{_gib(memory['allocated_bytes'])} in tensors, {_gib(memory['reserved_bytes'])} reserved, limit {_gib(memory['limit_bytes'])}"),
        ("devices", f"cpu; {_npu()}; meta (shapes only)"),
        *((f"  {name}", _version_of(name)) for name in _DEPENDENCIES),
    ]


def report() -> str:
    """The report as text, one line a fact."""
    return "\n".join(f"{name:<18} {value}" for name, value in rows())
