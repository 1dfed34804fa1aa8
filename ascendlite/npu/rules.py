"""The rules that a kernel must keep, one row each: number, what it says, how to mend it, and where it is written.

The language raises what shows while a kernel is traced; the checker proves the rest for the whole program. Performance advice has rows too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_MANUAL = "Ascend C manual (asc-devkit docs)"


@dataclass(frozen=True, slots=True)
class Rule:
    """`title` finishes the sentence "a kernel ..."; `repair` is what to do when nothing better is known; `seen` when it shows."""

    id: str
    title: str
    repair: str
    source: str
    seen: str = "check"  # "trace", "check", or "both"


_ROWS: Final = (
    Rule("R01", "keeps its buffers within each memory: UB 192 KiB (less 8 KiB reserved, less 256 B in mixed kernels), L1 512, L0A/L0B 64, L0C 128, BT 1",
         "use a smaller tile or fewer slots", f"{_MANUAL}: memory sizes; platform ini files", "both"),
    Rule("R02", "starts operands on the memory's alignment: UB and L1 32 B, L0A and L0B 512, L0C 64, BT 64",
         "move the start of the operand to a multiple of the alignment", f"{_MANUAL}: alignment of each memory", "both"),
    Rule("R03", "copies whole 32-byte blocks with DataCopy, with gaps of at most 65535 blocks",
         "use DataCopyPad for lengths that are no multiple of 32 bytes", f"{_MANUAL}: DataCopy", "trace"),
    Rule("R04", "uses only events between pipes that its core has", "choose the event of the two pipes involved", f"{_MANUAL}: table of hardware events", "trace"),
    Rule("R05", "uses event ids 0..7, and not 6 and 7 together with TPipe", "use another id, or one id for events that never overlap",
         f"{_MANUAL}: SetFlag/WaitFlag", "both"),
    Rule("R06", "sets a flag only when it is clear: a flag is one bit, and a second set is lost or hangs a later PipeBarrier",
         "use another event id, or wait for the flag on a way that the setter knows before it sets again", f"{_MANUAL}: SetFlag/WaitFlag; msSanitizer synccheck"),
    Rule("R07", "leaves no flag and no counter set at its end: the next kernel would find it", "add the missing wait at the end of the kernel",
         f"{_MANUAL}: SetFlag/WaitFlag; msSanitizer synccheck"),
    Rule("R08", "puts a PipeBarrier between instructions of one pipe that depend on each other through memory",
         "put PipeBarrier of that pipe between the two", f"{_MANUAL}: PipeBarrier"),
    Rule("R09", "puts PipeBarrier(PIPE_M) between accumulating Mmads of less than 10 blocks of 16 x 16",
         "put PipeBarrier(PIPE_M) between the two, or multiply larger tiles", f"{_MANUAL}: Mmad"),
    Rule("R10", "sets unitFlag in both Mmad and Fixpipe so that each finds the flags of its blocks as it wants them",
         "unitFlag=2 on all but the last Mmad of a tile, 3 on the last and on Fixpipe", f"{_MANUAL}: UnitFlag; msSanitizer's model of it"),
    Rule("R11", "overlaps source and destination of a vector instruction wholly or not at all within a repeat", "write to another buffer",
         f"{_MANUAL}: address overlap of operands", "both"),
    Rule("R12", "repeats a vector instruction at most 255 times", "use the count form, or several instructions", f"{_MANUAL}: general constraints", "both"),
    Rule("R13", "keeps block and repeat strides within their fields", "work on narrower rows, or issue one instruction a row",
         f"{_MANUAL}: parameters of each instruction", "both"),
    Rule("R14", "reads only bytes that it wrote: UB, L1 and L0 hold anything at its start", "write the bytes first, or read fewer",
         "msSanitizer initcheck"),
    Rule("R15", "touches global memory only within its tensors", "bound the length with ac.min at the tensor's end", "msSanitizer memcheck", "both"),
    Rule("R16", "orders two pipes that touch the same bytes, one writing", "a SetFlag after the first and a WaitFlag before the second", "msSanitizer racecheck"),
    Rule("R17", "orders two cores that touch the same bytes of global memory, one writing",
         "give each core bytes of its own, or order them by CrossCoreSetFlag or SyncAll", "msSanitizer racecheck"),
    Rule("R18", "can always go on: no pipe waits for what no other will do", "see what each waits for", "msSanitizer synccheck"),
    Rule("R19", "uses cross-core flag ids 0..15 and counts none above 15", "let the setter wait for the other side now and then", f"{_MANUAL}: CrossCoreSetFlag", "both"),
    Rule("R20", "launches no more blocks than cores if it waits for all of them", "launch at most one block a core", f"{_MANUAL}: SyncAll"),
    Rule("R21", "cleans the data cache between scalar writes to global memory and whoever reads them",
         "DataCacheCleanAndInvalid after the writes", f"{_MANUAL}: DataCacheCleanAndInvalid"),
    Rule("R22", "uses instructions on cores and chips that have them", 'branch on ac.IsAIC() in a mixed kernel, else choose kind="aic" or "aiv"',
         f"{_MANUAL}: supported products", "both"),
    Rule("R23", "gives products sizes of 1 to 4095, which take whole fractals (16 rows, columns of 32 bytes), and begins parts of operands at one",
         "cut the tile; leave room for whole fractals, which the zeros of Nd2Nz fill", f"{_MANUAL}: Mmad", "trace"),
    Rule("R24", "waits for the pipe that writes before GetValue reads", "SetFlag and WaitFlag to S before GetValue", f"{_MANUAL}: GetValue"),
    Rule("P01", "copies at least 16 KiB at a time", "copy several rows in one instruction", "Ascend C best practices: data_copy", "advice"),
    Rule("P02", "starts copies of global memory at multiples of 512 bytes", "pad rows, or split work at 512-byte borders", "Ascend C best practices: data_copy", "advice"),
    Rule("P03", "keeps cores off each other's 512-byte lines", "split work at 512-byte borders; let cores begin at different places",
         "Ascend C best practices: same address access", "advice"),
    Rule("P04", "places the operands of a vector instruction in different banks of UB", "shift one buffer by a bank",
         "Ascend C best practices: bank_conflict_ub", "advice"),
    Rule("P05", "overlaps copies with work", "two slots a buffer, and flags by slot", "Ascend C best practices: double buffer", "advice"),
    Rule("P06", "gives all cores the same work", "more, smaller tiles; or tiles dealt out in turn", "Ascend C best practices: tiling", "advice"),
    Rule("P07", "has a barrier only between instructions that depend on each other", "delete the barrier", "the checker", "advice"),
    Rule("P08", "has no flag whose order follows from others", "delete the flag", "the checker", "advice"),
)  # fmt: skip
RULES: Final[Mapping[str, Rule]] = MappingProxyType({r.id: r for r in _ROWS})


def rule_id(number: int) -> str:
    """The name of a rule of the checker: 16 is R16.

    >>> rule_id(6), RULES[rule_id(6)].repair.split(",")[0]
    ('R06', 'use another event id')
    """
    return f"R{number:02d}"
