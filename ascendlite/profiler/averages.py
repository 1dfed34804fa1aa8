"""Events of a profile by name: what people read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ascendlite.errors import ArgumentError

if TYPE_CHECKING:
    from ascendlite.profiler.record import Event

Shapes = tuple[tuple[int, ...], ...]

_SORTS: Final = ("cpu_time", "cpu_time_total", "self_cpu_time_total", "device_time_total", "count", "flops", "key")


@dataclass
class FunctionEventAvg:
    """All events of one name (and of the same input shapes, if they are grouped so). Times are in microseconds."""

    key: str
    input_shapes: Shapes = ()
    count: int = 0
    cpu_time_total: float = 0.0
    self_cpu_time_total: float = 0.0  # without what was recorded inside
    device_time_total: float = 0.0  # on the NPU's virtual clock
    flops: int = 0

    @property
    def cpu_time(self) -> float:
        """Of one call, on the average."""
        return self.cpu_time_total / self.count if self.count else 0.0


class EventList(list[FunctionEventAvg]):
    """Averages, with a table. `note`: what its last line says of what is missing."""

    def __init__(self, rows: Iterable[FunctionEventAvg] = (), note: str = "") -> None:
        super().__init__(rows)
        self.note = note

    @property
    def self_cpu_time_total(self) -> float:
        """Of all events."""
        return sum(row.self_cpu_time_total for row in self)

    def table(self, sort_by: str | None = "self_cpu_time_total", row_limit: int = 100, max_name_column_width: int = 55, header: str | None = None) -> str:
        """The rows as text, the largest first; `sort_by` is a field of FunctionEventAvg, None keeps the order, `row_limit` -1 shows all.

        The shares are of the time of all events, GFLOP/s is the rate while the op runs (with `with_flops=True`).
        """
        if sort_by is not None and sort_by not in _SORTS:
            raise ArgumentError(f"table: sort_by={sort_by!r} is none of {', '.join(_SORTS)}")
        rows = list(self) if sort_by is None else sorted(self, key=lambda row: getattr(row, sort_by), reverse=sort_by != "key")
        whole, device = self.self_cpu_time_total or 1.0, any(row.device_time_total for row in self)
        rated, shaped = any(row.flops for row in self), any(row.input_shapes for row in self)
        width = max([len("Name"), *(min(len(row.key), max_name_column_width) for row in rows)]) + 2
        heads = [("Self CPU %", 12), ("Self CPU", 12), ("CPU total", 12), ("CPU time avg", 14), *([("NPU total", 12)] if device else []), ("# of Calls", 12),
                 *([("GFLOP/s", 10)] if rated else [])]
        lines = [header] if header else []
        lines.append("Name".ljust(width) + "".join(name.rjust(size) for name, size in heads) + ("  Input Shapes" if shaped else ""))
        for row in rows[: None if row_limit < 0 else row_limit]:
            cells: list[Any] = [f"{row.self_cpu_time_total / whole:.2%}", spelt(row.self_cpu_time_total), spelt(row.cpu_time_total), spelt(row.cpu_time)]
            cells += [spelt(row.device_time_total)] if device else []
            cells += [row.count, *([f"{row.flops / row.cpu_time_total / 1e3:.1f}" if row.flops and row.cpu_time_total else "-"] if rated else [])]
            name = row.key if len(row.key) <= max_name_column_width else row.key[: max_name_column_width - 3] + "..."
            text = "".join(str(cell).rjust(size) for cell, (_, size) in zip(cells, heads, strict=True))
            lines.append(name.ljust(width) + text + (f"  {[list(s) for s in row.input_shapes]}" if shaped else ""))
        hidden = len(rows) - row_limit if 0 <= row_limit < len(rows) else 0
        lines += [f"... and {hidden} more rows: row_limit=-1 shows all"] if hidden else []
        lines += [f"Self CPU time total: {spelt(self.self_cpu_time_total)}", *([self.note] if self.note else [])]
        return "\n".join(lines)

    def total_average(self) -> FunctionEventAvg:
        """All rows as one."""
        total = FunctionEventAvg("Total")
        for row in self:
            total.count += row.count
            total.cpu_time_total += row.cpu_time_total
            total.self_cpu_time_total += row.self_cpu_time_total
            total.device_time_total += row.device_time_total
            total.flops += row.flops
        return total

    __str__ = table


def spelt(us: float) -> str:
    """A time with its unit.

    >>> spelt(1234.5)
    '1.234ms'
    """
    unit, size = ("s", 1e6) if us >= 1e6 else ("ms", 1e3) if us >= 1e3 else ("us", 1.0)
    return f"{us / size:.3f}{unit}"


def average(events: Iterable[Event], by_shape: bool) -> dict[tuple[str, Shapes], FunctionEventAvg]:
    """Averages by name (and input shapes). What was recorded inside an event on its thread is not in its own time."""
    rows: dict[tuple[str, Shapes], FunctionEventAvg] = {}
    open_by_thread: dict[int, list[tuple[Event, FunctionEventAvg]]] = {}
    for event in sorted(events, key=lambda e: (e.start_ns, -e.end_ns)):
        key = event.name, event.input_shapes if by_shape else ()
        row = rows.setdefault(key, FunctionEventAvg(*key))
        us = (event.end_ns - event.start_ns) / 1e3
        row.count += 1
        row.cpu_time_total += us
        row.self_cpu_time_total += us
        row.flops += event.flops
        around = open_by_thread.setdefault(event.thread, [])
        while around and around[-1][0].end_ns < event.end_ns:
            around.pop()
        if around:
            around[-1][1].self_cpu_time_total -= us
        around.append((event, row))
    return rows
