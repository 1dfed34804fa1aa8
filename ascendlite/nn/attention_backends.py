"""torch's choice among kernels of attention. There is one here, which never holds the scores; so a choice changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum


class SDPBackend(IntEnum):
    """Names of torch's kernels, with its numbers."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False) -> Iterator[None]:
    """Accepts torch's kernels by name; scaled_dot_product_attention runs its one kernel in any case, with the same bits."""
    chosen = [backends] if isinstance(backends, SDPBackend) else list(backends)
    wrong = [backend for backend in chosen if not isinstance(backend, SDPBackend)]
    if wrong or not chosen:
        raise TypeError(f"sdpa_kernel: expected one or more of SDPBackend, got {wrong[0] if wrong else backends!r}")
    yield
