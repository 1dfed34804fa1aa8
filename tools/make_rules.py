"""Writes docs/rules.md, the reference of what the hazard check and the clock's advice look for, from their declarations.

Usage: python tools/make_rules.py [--check]. Run it after changing a rule; a test says when the page is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ascendlite.npu.rules import RULES, Rule

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rules.md"
INTRODUCTION = """\
# Rules of kernels

Written by `tools/make_rules.py` from `ascendlite/npu/rules.py`; do not edit. [kernels.md](kernels.md) is the tutorial,
[instructions.md](instructions.md) the reference of the instructions, [clock.md](clock.md) says how times come about.

A kernel breaks a rule R01-R24: it does not run. Some show while the kernel's Python is traced, the others when its program is checked,
which happens once, before the first launch; `kernel.check(...)` and `ascendlite npu check FILE` print the findings without running
anything. P01-P08 are advice about time, with what it would gain: `kernel.time(...).report()` and `ascendlite npu profile FILE`.
"""
WHEN = {"trace": "while the kernel is traced", "check": "in the check of the program", "both": "while the kernel is traced, or in the check where only a block's values tell",
        "advice": "in the report of a launch's time"}  # fmt: skip


def entry(rule: Rule) -> Iterator[str]:
    yield f"### {rule.id}\n"
    yield f"A kernel {rule.title}.\n"
    yield f"- To do: {rule.repair}."
    yield f"- Seen {WHEN[rule.seen]}."
    yield f"- Written in: {rule.source}.\n"


def page() -> str:
    lines = [INTRODUCTION]
    for title, kind in (("Hazards", "R"), ("Advice", "P")):
        lines.append(f"## {title}\n")
        for rule in RULES.values():
            if rule.id.startswith(kind):
                lines += entry(rule)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        sys.exit(0 if current == page() else f"{PAGE} is stale; run python tools/make_rules.py")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
