"""Whether a kernel's buffers fit their memories, and what is said if not (R01)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ascendlite.npu.errors import KernelError
from ascendlite.npu.lang.buffers import Buffer, named
from ascendlite.npu.lang.declare import Memory
from ascendlite.npu.lang.tensors import capacity, memory_state
from ascendlite.npu.lang.trace import Tracer

_SMALL = 4096  # buffers below this share a line


def check_capacity(tracer: Tracer, kernel: str, constants: str) -> None:
    """Raises R01 with every buffer of the memory that overflows."""
    state = memory_state(tracer)
    for memory in sorted(state.overflow):
        room = capacity(tracer, memory)
        whole = tracer.chip.memory[memory.name]
        kept = f" ({whole / 1024:g} - {(whole - room) / 1024:g} reserved)" if room != whole else ""
        lines = [f"error[R01]: {memory.name} overflow in `{kernel}`{f' ({constants})' if constants else ''}: "
                 f"{state.top[memory] / 1024:.1f} KiB live, {room / 1024:.1f} KiB available{kept}"]
        used = lifetimes(tracer.words)
        groups = _groups([(tracer.buffers[b], n) for b, n in zip(state.buffers, named(state.buffers)) if b.memory is memory])
        lines += _table(tracer, groups, used)
        largest = max(groups, key=lambda g: sum(b.nbytes for _, b in g))[0][1]
        lines.append(f"   = help: {state.top[memory] - room} bytes too many; a smaller tile, or fewer slots of `{largest.name}`")
        raise KernelError("\n".join(lines), "R01", state.buffers[-1].site)


def _groups(buffers: list[tuple[int, Buffer]]) -> list[list[tuple[int, Buffer]]]:
    """Buffers of one name and line together, largest first."""
    by_name: dict[tuple[str, int, str], list[tuple[int, Buffer]]] = {}
    for index, one in buffers:
        by_name.setdefault((one.name, one.site.line, one.dtype.name), []).append((index, one))
    return sorted(by_name.values(), key=lambda g: -sum(b.nbytes for _, b in g))


def _table(tracer: Tracer, groups: list[list[tuple[int, Buffer]]], used: dict[int, tuple[int, int]]) -> Iterator[str]:
    rows, small = [], []
    for group in groups:
        nbytes, first = sum(b.nbytes for _, b in group), group[0][1]
        if nbytes < _SMALL:
            small.append((nbytes, first.name))
            continue
        slots = sum(b.slots for _, b in group)
        what = f"{first.dtype.name}[{first.size}]" + (f" x{slots} slots" if slots > 1 else "")
        sites = [used[i + 1] for i, _ in group if i + 1 in used]
        lines = [tracer.sites[s].line for pair in sites for s in pair]
        rows.append((f"{nbytes / 1024:.1f} KiB", first.name, what, first.site.place, f"live lines {min(lines)}-{max(lines)}" if lines else "never used"))
    widths = [max((len(r[i]) for r in rows), default=0) for i in range(4)]
    for size, name, what, place, live in rows:
        yield f"{size:>{max(widths[0], 9) + 4}}  {name:<{widths[1]}}   {what:<{widths[2]}}   {place:<{widths[3]}}   {live}"
    if small:
        yield f"{sum(n for n, _ in small) / 1024:>{max(widths[0], 9)}.1f} KiB  " + ", ".join(name for _, name in small)


def lifetimes(words: Sequence[int]) -> dict[int, tuple[int, int]]:
    """By buffer (its number + 1): the first and the last site that touches it, in the order of the code."""
    found: dict[int, tuple[int, int]] = {}
    for site, operands in operands_of(words):
        for memory, tensor in operands:
            if memory != Memory.GM and tensor:
                found[tensor] = (found[tensor][0] if tensor in found else site, site)
    return found


def operands_of(words: Sequence[int]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """(site, [(memory, tensor + 1)]) of each instruction in a code's words."""
    at = 0
    length = {1: 5, 2: 2, 3: 1, 4: 1}  # loop, if, else, end
    while at < len(words):
        if words[at]:
            at += length[words[at]]
            continue
        site, count = words[at + 3], words[at + 4]
        at += 5
        operands = []
        for _ in range(count):
            operands.append((words[at], words[at + 3]))
            at += 7 + 2 * words[at + 6]
        at += 1 + words[at]
        at += 1 + 2 * words[at]
        yield site, operands
