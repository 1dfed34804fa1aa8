"""The text of a tree of modules."""

from __future__ import annotations


def tree_text(name: str, extra: str, children: list[str]) -> str:
    """`name(extra)` on one line, or an indented block when there are children or several lines of `extra`."""
    lines = (extra.split("\n") if extra else []) + children
    if not children and len(lines) <= 1:
        return f"{name}({extra})"
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)"
