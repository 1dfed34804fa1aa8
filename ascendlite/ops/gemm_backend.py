"""Which library multiplies matrices: our own kernels, or OpenBLAS where it is installed and has the product."""

from __future__ import annotations

import importlib
import os

from ascendlite.core import Op, Tensor, tensor, uint8
from ascendlite.errors import ArgumentError

# "auto" is native: OpenBLAS was clearly faster on no shape. "pairs" is native with bfloat16 by pairs and int8 by fours, emulated if need be.
BACKENDS = ("auto", "native", "openblas", "pairs")

_select = Op("gemm_backend", inputs=1, infer=lambda path, backend: [])
_chosen = "auto"


def _openblas_path() -> str:
    try:
        package = importlib.import_module("scipy_openblas32")
    except ImportError:
        raise ArgumentError(
            "gemm backend: 'openblas' needs the package scipy-openblas32; install it or choose 'native'"
        ) from None
    folder = package.get_lib_dir()
    names = [n for n in sorted(os.listdir(folder)) if n.startswith("libscipy_openblas") and ".so" in n]
    if not names:
        raise ArgumentError(
            f"gemm backend: no libscipy_openblas in {folder}; reinstall scipy-openblas32 or choose 'native'"
        )
    return os.path.join(folder, names[0])


def _bytes(path: str) -> Tensor:
    return tensor([*os.fsencode(path), 0], dtype=uint8)


def set_gemm(backend: str) -> None:
    """Choose who multiplies matrices: "auto", "native", or "openblas" (float32 and float64; the rest stays native)."""
    global _chosen
    if backend not in BACKENDS:
        raise ArgumentError(f"gemm backend: {backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
    _select.launch(
        (), (_bytes(_openblas_path()),) if backend == "openblas" else (), (BACKENDS.index(backend),)
    )
    _chosen = backend


def get_gemm() -> str:
    """Who multiplies matrices."""
    return _chosen
