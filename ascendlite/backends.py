"""Which native code runs: the instruction set of the CPU kernels."""

from __future__ import annotations

import os

from ascendlite import _native

# Read once, when the package is imported: the set of kernels is fixed for the life of a process.
_FORCED = os.environ.get("ASCENDLITE_INSTRUCTION_SET")
_FOLDER = os.path.dirname(_native.__file__)


def _library(name: str) -> str:
    return os.path.join(_FOLDER, f"_cpu_{name}.so")


def built_instruction_sets() -> list[str]:
    """The instruction sets that this build has kernels for."""
    return sorted(f[len("_cpu_") : -len(".so")] for f in os.listdir(_FOLDER) if f.startswith("_cpu_") and f.endswith(".so"))


def supported_instruction_sets() -> list[str]:
    """The instruction sets of this processor, best first."""
    return list(_native.supported_instruction_sets())


def _load() -> str:
    supported = supported_instruction_sets()
    if _FORCED and _FORCED not in supported:
        raise RuntimeError(f"ASCENDLITE_INSTRUCTION_SET: this processor can't run {_FORCED!r}; it can run {', '.join(supported)}")
    for name in [_FORCED] if _FORCED else supported:
        if os.path.exists(_library(name)):
            _native.load_library(_library(name))
            return name
    raise RuntimeError(f"ascendlite: no kernel library for {_FORCED or ', '.join(supported)}; this build has {', '.join(built_instruction_sets())}")


instruction_set = _load()
"""The instruction set whose kernels this process runs. `ASCENDLITE_INSTRUCTION_SET` in the environment forces one."""


def set_gemm(backend: str) -> None:
    """Choose who multiplies matrices: "auto", "native", or "openblas" (float32 and float64 only; needs scipy-openblas32)."""
    from ascendlite.ops import gemm_backend

    gemm_backend.set_gemm(backend)


def get_gemm() -> str:
    """Who multiplies matrices."""
    from ascendlite.ops import gemm_backend

    return gemm_backend.get_gemm()


def set_convolution(form: str) -> None:
    """Choose how convolutions are summed on the CPU: "auto" (`conv2d` says when Winograd's form is taken) or "direct"."""
    from ascendlite.ops import conv_backend

    conv_backend.set_convolution(form)


def get_convolution() -> str:
    """How convolutions are summed."""
    from ascendlite.ops import conv_backend

    return conv_backend.get_convolution()
