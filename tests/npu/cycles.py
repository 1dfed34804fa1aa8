"""What the clock says of every kernel of the library, as lines of text: goldens/npu_cycles.txt, which reviews of a change show.

`python tools/make_cycles.py` writes it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ascendlite as al
from ascendlite.npu.programs import on_chip
from ascendlite.npu.timeline import PIPES, Timeline
from tests.npu.test_library_syncs import CALLS, launched

GOLDEN = Path(__file__).resolve().parent.parent / "goldens" / "npu_cycles.txt"
CHIP = "910b1"
HEAD = f"# Cycles on {CHIP} of each program that the calls of tests/npu/test_library_syncs.py launch: bytes of its arguments, total, busy by pipe.\n"


def lines_of(name: str) -> Iterator[str]:
    """One line a program of a call."""
    al.manual_seed(0)  # a draw that begins in the middle of a group is another program
    with on_chip(CHIP):
        programs = [traced for traced, _ in launched(CALLS[name])]
    for traced in {id(p): p for p in programs}.values():
        timeline = Timeline.of(traced)
        total = round(timeline.us * traced.chip.clock_hz / 1e6)
        busy = " ".join(f"{kind}.{p} {round(timeline.busy_us(p, kind) * traced.chip.clock_hz / 1e6)}" for kind in timeline.kinds for p in PIPES if timeline.busy_us(p, kind))
        yield f"{name}: {traced.name} {'+'.join(map(str, traced.program.tensor_bytes))}: {total}: {busy}"


def text() -> str:
    return HEAD + "".join(line + "\n" for name in CALLS for line in lines_of(name))
