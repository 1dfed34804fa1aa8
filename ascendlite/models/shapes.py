"""Shapes that recur: an NPU traces, checks and times a program once per shape, so that lengths and counts that change at each step are rounded up.

On the CPU, where a shape costs nothing, they stay as they are. What is added is padding or rows that are ignored: no value changes.
"""

from __future__ import annotations

from ascendlite.core import Device

_WIDTH = 8  # tokens: coarser steps make fewer programs but pad short rows by as much as they hold


def recurring_width(tokens: int, device: Device) -> int:
    """A length of padded rows on this device, at least `tokens`.

    >>> import ascendlite as al
    >>> recurring_width(21, al.device("cpu")), recurring_width(21, al.device("npu"))
    (21, 24)
    """
    return tokens if device.type == "cpu" else -(-tokens // _WIDTH) * _WIDTH


def recurring_count(rows: int, device: Device) -> int:
    """A number of rows on this device, at least `rows`: the next power of two on an NPU.

    >>> import ascendlite as al
    >>> recurring_count(21, al.device("cpu")), recurring_count(21, al.device("npu"))
    (21, 32)
    """
    return rows if device.type == "cpu" or rows == 0 else 1 << (rows - 1).bit_length()
