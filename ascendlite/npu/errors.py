"""What is wrong with a kernel, in one fixed format: `error[rule]: ...`, the lines of the kernel that are involved, and what to do."""

from __future__ import annotations

import linecache
import os
from dataclasses import dataclass

from ascendlite.errors import AscendLiteError


@dataclass(frozen=True, slots=True)
class Site:
    """A line of a kernel's source."""

    file: str
    line: int

    @property
    def text(self) -> str:
        return linecache.getline(self.file, self.line).strip()

    @property
    def place(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


class KernelError(AscendLiteError, ValueError):
    """A kernel that no core could run as written. `rule` is its code ("R02"), `site` the first line involved."""

    def __init__(self, text: str, rule: str = "", site: Site | None = None) -> None:
        super().__init__(text)
        self.rule, self.site = rule, site


class HazardError(KernelError):
    """A kernel whose order of instructions leaves the result open, or stops it: found by the checker."""


def render(rule: str, title: str, rows: tuple[tuple[Site, str], ...] = (), notes: tuple[str, ...] = (), repair: str = "") -> str:
    """The text of one error: rows are lines of the kernel with what each does."""
    lines = [f"error[{rule}]: {title}"]
    width = max((len(site.text) for site, _ in rows), default=0)
    for number, (site, what) in enumerate(rows):
        lines += ["   |"] if number else []
        lines.append(f"  --> {site.place}   {site.text:<{width}}   {what}".rstrip())
    lines += [f"   = {note}" for note in notes]
    lines += [f"   = help: {repair}"] if repair else []
    return "\n".join(lines)


def refuse(rule: str, title: str, site: Site | None, repair: str = "", notes: tuple[str, ...] = ()) -> KernelError:
    """The error for one line of the kernel."""
    return KernelError(render(rule, title, ((site, ""),) if site else (), notes, repair), rule, site)
