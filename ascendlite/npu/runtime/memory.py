"""What the card's memory holds. Names and keys follow `torch.npu`; bytes are the card's, whatever stands behind them on the host."""

from __future__ import annotations

import gc
from collections import Counter
from typing import Any

from ascendlite import _davinci
from ascendlite.core import Tensor
from ascendlite.errors import OutOfMemoryError
from ascendlite.npu.runtime.device import device_index, state


def memory_stats(device: Any = None) -> dict[str, int]:
    """Counters of the die's allocator: current and peak bytes, allocated (in tensors) and reserved (taken from the die)."""
    stats: dict[str, int] = _davinci.heap_stats(device_index(device))
    return stats


def memory_allocated(device: Any = None) -> int:
    """Bytes that live tensors occupy."""
    return memory_stats(device)["allocated_bytes.all.current"]


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that live tensors occupied since the start or the last reset."""
    return memory_stats(device)["allocated_bytes.all.peak"]


def memory_reserved(device: Any = None) -> int:
    """Bytes that the allocator took from the die, its free blocks included."""
    return memory_stats(device)["reserved_bytes.all.current"]


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that the allocator held since the start or the last reset."""
    return memory_stats(device)["reserved_bytes.all.peak"]


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved  # their former names


def memory_stats_as_nested_dict(device: Any = None) -> dict[str, Any]:
    """`memory_stats` with a dict for each part of a key between dots.

    >>> al.npu.memory_stats_as_nested_dict()["allocated_bytes"]["all"]["current"] == al.npu.memory_allocated()
    True
    """
    nested: dict[str, Any] = {}
    for key, value in memory_stats(device).items():
        *path, last = key.split(".")
        at = nested
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return nested


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let the peaks start from what is held now."""
    _davinci.heap_reset_peaks(device_index(device))


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats  # their former names


def empty_cache() -> None:
    """Give free blocks of all dies back to them."""
    for index in range(state.chip.dies):
        _davinci.heap_empty_cache(index)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of the die; what the allocator reserved counts as used."""
    total = state.chip.hbm_bytes
    return total - memory_reserved(device), total


def memory_snapshot(device: Any = None) -> list[dict[str, Any]]:
    """The segments that the allocator took from the die, with their blocks, in torch's keys; `tensor`: what holds the block, if that is found.

    Segments that touch are one, as torch's expandable ones are. Sizes as asked for are not kept: a block's is rounded up.

    >>> x = al.ones(1000, device="npu")
    >>> segments = al.npu.memory_snapshot()
    >>> sum(s["total_size"] for s in segments) == al.npu.memory_reserved()
    True
    >>> "float32[1000]" in [b["tensor"] for s in segments for b in s["blocks"] if b["state"] == "active_allocated"]
    True
    """
    index = device_index(device)
    segments: list[dict[str, Any]] = []
    end = -1
    for block in _blocks(index):
        if block["address"] != end:
            segments.append({"device": index, "address": block["address"], "total_size": 0, "allocated_size": 0, "active_size": 0, "stream": 0,
                             "is_expandable": True, "blocks": []})  # fmt: skip
        end = block["address"] + block["size"]
        segment = segments[-1]
        segment["blocks"].append(block)
        segment["total_size"] += block["size"]
        for key in ("allocated_size", "active_size"):
            segment[key] += block["size"] if block["state"] == "active_allocated" else 0
    return segments


def _blocks(index: int) -> list[dict[str, Any]]:
    """All blocks of a die by address, those that are free to be handed out again among them."""
    holders = _holders(index)
    base = _davinci.heap_base(index)
    live = [{"address": at, "size": size, "state": "active_allocated", "tensor": holders.get(base + at)} for at, size in _davinci.heap_live(index)]
    cached = [{"address": at, "size": size, "state": "inactive", "tensor": None} for at, size in _davinci.heap_cached(index)]
    return sorted(live + cached, key=lambda block: block["address"])


def _describe(t: Tensor) -> str:
    return f"{t.dtype.name}{list(t.shape)}"


def _holders(index: int) -> dict[int, str]:
    """Address of a block -> the tensor that spans it, of those that the collector can see."""
    held: dict[int, str] = {}
    for item in gc.get_objects():
        if isinstance(item, Tensor) and item.is_npu and item.device.index == index and item.untyped_storage() is not None:
            held.setdefault(item.untyped_storage().data_ptr(), _describe(item))
    return held


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """A table of the die's memory for people."""
    index = device_index(device)
    stats = memory_stats(index)
    free, total = mem_get_info(index)
    rows = [
        ("total", total, total),
        ("reserved", stats["reserved_bytes.all.current"], stats["reserved_bytes.all.peak"]),
        ("allocated", stats["allocated_bytes.all.current"], stats["allocated_bytes.all.peak"]),
        ("free for others", free, total),
    ]
    lines = [f"npu:{index} ({state.chip.name})  {'MiB now':>14} {'MiB at most':>14}"]
    lines += [f"  {name:<18}{now / 2**20:>14.1f} {most / 2**20:>14.1f}" for name, now, most in rows]
    lines.append(f"  {stats['active.all.current']} blocks in use, {stats['allocation.all.allocated']} handed out, {stats['num_ooms']} refused")
    if not abbreviated:
        lines += [f"  {line}" for line in largest(index)]
    return "\n".join(lines)


def largest(index: int, most: int = 8) -> list[str]:
    """The kinds of tensors that hold most of a die's memory, largest first, one line each."""
    held: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for block in (b for b in _blocks(index) if b["state"] != "inactive"):
        held[block["tensor"] or "saved for backward or held by no tensor"] += block["size"]
        count[block["tensor"] or "saved for backward or held by no tensor"] += 1
    return [f"{size / 2**20:10.1f} MiB  {count[name]} x {name}" for name, size in held.most_common(most)]


def raise_out_of_memory(index: int, nbytes: int) -> None:
    """Say what was asked for, what is held, and by which tensors."""
    stats = memory_stats(index)
    total = state.chip.hbm_bytes
    raise OutOfMemoryError(
        f"NPU out of memory. Tried to allocate {nbytes / 2**20:.2f} MiB on npu:{index} ({state.chip.name}, {total / 2**30:.0f} GiB): "
        f"{stats['allocated_bytes.all.current'] / 2**20:.2f} MiB are held by tensors, {stats['reserved_bytes.all.current'] / 2**20:.2f} MiB are reserved, "
        f"{(total - stats['reserved_bytes.all.current']) / 2**20:.2f} MiB are free. Held by:\n"
        + "\n".join(largest(index))
        + "\nUse smaller batches, checkpointing, a smaller dtype, or delete tensors."
    )
