"""The clock's constants for a chip, and what calls the native scheduler. Knows programs and chips; no tensor."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from ascendlite._davinci import L2, ClockModel, Program
from ascendlite._davinci import schedule as _schedule
from ascendlite.errors import FileFormatError
from ascendlite.npu.chips import Chip, load

COSTS: Final = Path(__file__).parent / "costs.toml"
_SECTIONS: Final = ("memory", "cube", "core")
_UNITS: Final = ("cycles", "ns", "B", "B/cycle", "share", "count", "reads", "elements/cycle")
# dtype codes of csrc/abi.h and ascendlite/npu/lang/dtypes.py that the cube multiplies, by the chip's name for their rate.
_CUBE_CODES: Final[Mapping[str, tuple[int, ...]]] = {
    "float16": (6,),
    "bfloat16": (7,),
    "float32": (8,),
    "hf32": (-1,),
    "int8": (1, 2),
    "int4": (35,),
    "float8": (10, 11),
    "hifloat8": (14,),
    "mxfp8": (),
    "mxfp4": (13, 36),
}


@cache
def costs(generation: str) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """The sections of costs.toml for a generation of chips or a branch of one, over those that it inherits from."""
    raw = tomllib.loads(COSTS.read_text(encoding="utf-8"))
    raw.pop("ai_cpu")
    if generation not in raw:
        raise FileFormatError(f"costs: {COSTS} has no generation {generation!r}; it has {', '.join(raw)}")
    own = raw[generation]
    base = costs(own["inherit"]) if "inherit" in own else {}
    merged = {s: {**base.get(s, {}), **own.get(s, {})} for s in (*_SECTIONS, "vector")}
    for section, constants in merged.items():
        for name, entry in constants.items():
            known = entry.get("source") and (section == "vector" or entry.get("unit") in _UNITS)
            if not known:
                raise FileFormatError(f"costs: {section}.{name} of {generation} is {entry}; it needs a source and a unit of {', '.join(_UNITS)}")
    return merged


def _vector_row(entry: Mapping[str, Any]) -> list[float]:
    slope = float(entry["slope"])
    slope16 = float(entry.get("slope16", slope))
    return [float(entry["head"]), slope16, slope16, slope, 2 * slope, float(entry["tail"])]


def constants(chip: Chip) -> dict[str, float]:
    """All numbers of the model but the vector table, in its units: ns, bytes, cycles, bytes a cycle; chip-wide rates in bytes a ns."""
    sections = costs(chip.costs)
    values = {name: float(entry["value"]) for s in _SECTIONS for name, entry in sections[s].items()}
    hbm = chip.hbm_bytes_per_s / 1e9
    cycle_ns = 1e9 / chip.clock_hz
    return {
        **values,
        "cycle_ns": cycle_ns,
        "cube_cores": float(chip.aic),
        "vector_cores": float(chip.aiv),
        "l2_bytes": float(chip.l2_bytes),
        "line_bytes": float(chip.l2_line_bytes),
        "hbm_rate": values["hbm_share"] * hbm,
        "hbm_write_rate": values["hbm_write_share"] * hbm,
        "l2_rate": values["l2_core_rate"] * chip.aic / cycle_ns,
        "transfer_align_bytes": float(chip.transfer_align_bytes),
        "line_readers_rate": values["line_readers_rate"] / cycle_ns,
        "vector_bytes": float(chip.vector_bytes),
        "bank_bytes": float(chip.ub_bank_bytes),
        "banks": float(chip.ub_banks),
        "bank_groups": float(chip.ub_bank_groups),
    }


@dataclass(frozen=True)
class WhatIf:
    """A change of the model or the program that is timed to see what it would bring."""

    constants: tuple[tuple[str, float], ...] = ()  # in place of the chip's
    free_flags: tuple[tuple[int, int], ...] = ()  # (source, destination) pipes whose flags are never waited for: buffers without end
    free_barriers: bool = False  # barriers of one pipe cost nothing
    in_full: bool = False  # every round of a long loop is timed, though those before it were alike


@cache
def model(chip: Chip, changes: tuple[tuple[str, float], ...] = ()) -> ClockModel:
    """The native model of a chip, with some constants changed."""
    table = {name: _vector_row(entry) for name, entry in costs(chip.costs)["vector"].items()}
    macs = {code: float(chip.cube[name]) for name, codes in _CUBE_CODES.items() if name in chip.cube for code in codes}
    return ClockModel(constants(chip) | dict(changes), table, macs)


def cache_of(chip: Chip | str) -> L2:
    """A second-level cache of the chip, full of what others left: keep it across launches to time what they leave for each other."""
    chip = load(chip)
    return L2(chip.l2_bytes, chip.l2_line_bytes)


def addresses(tensor_bytes: Sequence[int]) -> list[int]:
    """Where arguments lie when nothing else is said: one after the other, each at a multiple of 2 MiB."""
    page, at, found = 2 << 20, 0, []
    for size in tensor_bytes:
        found.append(at)
        at += -(-max(size, 1) // page) * page
    return found


def schedule(
    program: Program,
    blocks: int,
    chip: Chip | str = "910c",
    *,
    l2: L2 | None = None,
    bases: Sequence[int] | None = None,
    past_l2: Sequence[int] = (),
    spans_of: Sequence[int] = (),
    what_if: WhatIf | None = None,
) -> dict[str, Any]:
    """Times one launch. `l2`: what the cache holds before and after (default: nothing of this launch); `past_l2`: arguments whose writes go around it."""
    chip = load(chip)
    change = what_if or WhatIf()
    sizes = program.tensor_bytes
    around = [k in past_l2 for k in range(len(sizes))]
    where = list(bases) if bases is not None else addresses(sizes)
    held = l2 if l2 is not None else cache_of(chip)
    native = model(chip, change.constants)
    in_full = change.in_full or l2 is not None  # what is left out does not pass through the cache
    result: dict[str, Any] = _schedule(program, native, held, blocks, where, around, list(spans_of), list(change.free_flags), change.free_barriers, in_full)
    return result
