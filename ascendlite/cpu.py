"""The CPU as a device: what its caching allocator holds. Names follow `torch.cuda`'s memory functions."""

from __future__ import annotations

from ascendlite import _native


def memory_allocated() -> int:
    """Bytes in blocks that tensors hold now, rounding to block sizes included."""
    return int(_native.memory_stats().allocated)


def max_memory_allocated() -> int:
    """The highest `memory_allocated()` since the start or the last `reset_peak_memory_stats()`."""
    return int(_native.memory_stats().max_allocated)


def memory_reserved() -> int:
    """Bytes taken from the operating system, held by tensors or kept for the next ones."""
    return int(_native.memory_stats().reserved)


def max_memory_reserved() -> int:
    """The highest `memory_reserved()` since the start or the last `reset_peak_memory_stats()`."""
    return int(_native.memory_stats().max_reserved)


def reset_peak_memory_stats() -> None:
    """Let the peaks start from what is held now."""
    _native.reset_peak()


def reset_peak() -> None:
    """Short for `reset_peak_memory_stats()`."""
    _native.reset_peak()


def memory_stats() -> dict[str, int]:
    """Every figure of the allocator. `allocations` counts calls so far, `active` the blocks that are held."""
    s = _native.memory_stats()
    return {
        "allocated_bytes": s.allocated,
        "max_allocated_bytes": s.max_allocated,
        "reserved_bytes": s.reserved,
        "max_reserved_bytes": s.max_reserved,
        "limit_bytes": s.limit,
        "allocations": s.allocations,
        "active": s.active,
        "segments": s.segments,
    }


def empty_cache() -> None:
    """Give unused memory back to the operating system. Blocks that other threads keep for themselves stay."""
    _native.empty_cache()


def set_memory_limit(limit_bytes: int) -> None:
    """The most that may be reserved; asking for more raises OutOfMemoryError. 0: the machine's memory, the default."""
    if limit_bytes < 0:
        raise ValueError(f"set_memory_limit: {limit_bytes} bytes; give a positive number, or 0 for the machine's memory")
    _native.set_memory_limit(limit_bytes)


def memory_summary() -> str:
    """The figures as a table for people."""
    s = memory_stats()
    return "\n".join(f"{name:>20} {value / 2**20:12,.1f} MiB" if name.endswith("bytes") else f"{name:>20} {value:12,}" for name, value in s.items())
