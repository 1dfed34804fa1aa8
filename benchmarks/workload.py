"""What a benchmark is: a name, how to build it on a library that has PyTorch's names, how much work a call does, and the limit it meets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Workload:
    """`make(lib, **sizes)` gives a function to time. A rate is `work(**sizes)` per second, divided by `scale`; "ns" gives time per unit of work."""

    name: str
    unit: str  # "ns", or a rate such as "GFLOP/s", "GB/s", "tokens/s"
    make: Callable[..., Callable[[], Any]]
    work: Callable[..., float]
    full: dict[str, Any]
    smoke: dict[str, Any] = field(default_factory=dict)  # sizes for --smoke
    limit: str | None = None  # which machine limit it meets: "fma", "dot_bf16", "dot_int8", "read", "triad_streaming"
    limit_work: Callable[..., float] | None = None  # FLOPs or bytes a call needs; None: `work`
    beside: dict[str, Any] | None = None  # arguments of the same work run eagerly by a second process of ours, in turn with the first

    def sizes(self, smoke: bool, eager: bool = False) -> dict[str, Any]:
        """The sizes to run."""
        return {**self.full, **(self.smoke if smoke else {}), **((self.beside or {}) if eager else {})}

    @property
    def scale(self) -> float:
        """What a rate is divided by for printing."""
        return 1e9 if self.unit.startswith("G") else 1.0
