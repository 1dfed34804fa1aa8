"""What a program costs, without running it: count floating-point operations and bytes of ops, on any device.

On `device="meta"` tensors have no values, so a model of any size can be counted in an instant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ascendlite.core import Op, Tensor, add_listener


@dataclass
class Cost:
    """Of all calls of one op: how many, floating-point operations, and bytes read and written (each operand once)."""

    calls: int = 0
    flops: int = 0
    bytes: int = 0


def _tensors(items: Any) -> list[Tensor]:
    return [t for t in items if isinstance(t, Tensor)]


def op_flops(op: Op, inputs: tuple[Any, ...], attrs: tuple[Any, ...], outputs: tuple[Any, ...]) -> int:
    """The op's own count if it declares one; else one operation for each element of its largest operand (none for views)."""
    if op.is_view:
        return 0
    if op.cost is not None:
        return int(op.cost(*inputs, *attrs) if op.inputs is not None else op.cost(inputs, *attrs))
    return max((t.numel() for t in _tensors((*inputs, *outputs))), default=0)


class count_costs:
    """Counts every op that runs inside.

    >>> with al.meta.count_costs() as costs:
    ...     _ = al.ones(64, 32, device="meta") @ al.ones(32, 16, device="meta")
    >>> costs.flops
    65536
    """

    def __init__(self) -> None:
        self.by_op: dict[str, Cost] = {}
        self._remove: Callable[[], None] | None = None

    @property
    def flops(self) -> int:
        return sum(c.flops for c in self.by_op.values())

    @property
    def bytes(self) -> int:
        return sum(c.bytes for c in self.by_op.values())

    def _count(self, op: Op, inputs: tuple[Any, ...], attrs: tuple[Any, ...], outputs: tuple[Any, ...], began: int, backward: bool) -> None:
        cost = self.by_op.setdefault(op.name, Cost())
        cost.calls += 1
        cost.flops += op_flops(op, inputs, attrs, outputs)
        if not op.is_view:
            cost.bytes += sum(t.nbytes for t in _tensors((*inputs, *outputs)))

    def __enter__(self) -> count_costs:
        self._remove = add_listener(self._count, timed=True)  # those hear launches on given tensors, too
        return self

    def __exit__(self, *_: object) -> None:
        if self._remove is not None:
            self._remove()

    def table(self) -> str:
        """One line an op, the most bytes first."""
        lines = [f"{'op':24} {'calls':>8} {'GFLOP':>12} {'GB':>12}"]
        for name, c in sorted(self.by_op.items(), key=lambda item: -item[1].bytes):
            lines.append(f"{name:24} {c.calls:8} {c.flops / 1e9:12.3f} {c.bytes / 1e9:12.3f}")
        return "\n".join(lines)
