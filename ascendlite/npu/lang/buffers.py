"""Pieces of local memory as messages show them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ascendlite.npu.errors import Site
from ascendlite.npu.lang.declare import Memory
from ascendlite.npu.lang.dtypes import DType


@dataclass(frozen=True, slots=True)
class Buffer:
    """A piece of local memory: what a message about it shows."""

    memory: Memory
    base: int
    nbytes: int
    slots: int
    dtype: DType
    size: int
    site: Site
    name: str = ""


def named(buffers: Iterable[Buffer]) -> tuple[Buffer, ...]:
    """The buffers with what the kernel calls them: the names before the `=` of their line, shared out in order."""
    by_site: dict[Site, list[Buffer]] = {}
    for one in (all_of := tuple(buffers)):
        by_site.setdefault(one.site, []).append(one)
    names: dict[Buffer, str] = {}
    for site, here in by_site.items():
        words = _names(site.text)
        for i, one in enumerate(here):
            names[one] = words[i * len(words) // len(here)] if len(here) % len(words) == 0 else words[min(i, len(words) - 1)]
    return tuple(one if one.name else replace(one, name=names[one]) for one in all_of)


_ASSIGNED = re.compile(r"\s*((?:self\.)?[A-Za-z_]\w*(?:\s*,\s*(?:self\.)?[A-Za-z_]\w*)*)\s*(?::[^=]+)?=[^=]")


def _names(line: str) -> list[str]:
    """The names that a line assigns to; where several statements share it, those of the ones that allocate."""
    statements = line.split(";")
    allocating = [s for s in statements if re.search(r"[Aa]lloc(?!ator)\w*\(", s)] if len(statements) > 1 else []
    found = [m[1] for s in allocating or statements[-1:] if (m := _ASSIGNED.match(s))]
    return re.findall(r"[A-Za-z_]\w*", " ".join(found).replace("self.", "")) or ["buffer"]
