"""Reading the golden files and comparing with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import ascendlite as al

FOLDER = Path(__file__).parent / "goldens"

# relative to max(1, |expected|): a few hundred roundings of the dtype
TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 3e-2, "float16": 4e-3}


def arrays(name: str) -> dict[str, np.ndarray]:
    """All arrays of an npz file."""
    with np.load(FOLDER / name) as file:
        return dict(file)


def records(name: str) -> Any:
    """What a JSON file holds."""
    return json.loads((FOLDER / name).read_text())


def part(values: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Entries under a prefix, without it."""
    return {key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}


def to_numpy(value: al.Tensor) -> np.ndarray:
    return np.asarray(
        value.detach().to(al.float64).numpy() if value.dtype.is_floating_point else value.numpy()
    )


def assert_close(expected: np.ndarray, actual: al.Tensor, tolerance: float, what: str = "") -> None:
    """Same shape, and equal within `tolerance` of max(1, |expected|)."""
    got = to_numpy(actual)
    assert tuple(expected.shape) == tuple(got.shape), (
        f"{what}: expected shape {expected.shape}, got {got.shape}"
    )
    error = np.abs(np.asarray(expected, np.float64) - got) / np.maximum(1.0, np.abs(expected))
    worst = float(error.max()) if error.size else 0.0
    assert worst <= tolerance, f"{what}: off by {worst:.3g} (allowed {tolerance:.3g})"
