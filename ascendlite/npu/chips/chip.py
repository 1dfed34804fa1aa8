"""Reads and checks chip files. Knows what figures a chip must state and in which units; nothing about any one chip."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ascendlite.errors import ArgumentError, FileFormatError

FOLDER: Final = Path(__file__).parent
DEFAULT: Final = "910c"

# What a unit is worth in the base unit of its kind.
UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "cores": 1,
        "dies": 1,
        "count": 1,
        "MHz": 10**6,
        "B": 1,
        "KiB": 2**10,
        "MiB": 2**20,
        "GiB": 2**30,
        "GB/s": 10**9,
        "B/cycle": 1,
        "MAC/cycle": 1,
    }
)
_BYTES = ("B", "KiB", "MiB", "GiB")

# Every figure of a chip: the units it may be stated in. Dotted names lie in a table of that name.
FIGURES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "aic": ("cores",),
        "aiv": ("cores",),
        "dies": ("dies",),
        "clock": ("MHz",),
        "hbm": _BYTES,
        "hbm_rate": ("GB/s",),
        "l2": _BYTES,
        "l2_line": _BYTES,
        "vector_width": ("B/cycle",),
        "ub_bank": _BYTES,
        "ub_banks": ("count",),
        "ub_bank_groups": ("count",),
        "transfer_align": _BYTES,
        "saturation": ("count",),
        **{f"memory.{name}": _BYTES for name in ("UB", "L1", "L0A", "L0B", "L0C", "BT", "FB")},
        **{f"align.{name}": _BYTES for name in ("UB", "L1", "L0A", "L0B", "L0C", "BT", "FB")},
    }
)
# Only some generations multiply these: an absent dtype is one that the cube cannot take.
OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {f"cube.{dtype}": ("MAC/cycle",) for dtype in ("float16", "bfloat16", "float32", "hf32", "int8", "int4", "float8", "hifloat8", "mxfp8", "mxfp4")}
)
_MAY_LACK: Final = ("memory.BT", "memory.FB", "saturation")  # 0: the generation has none
_TEXTS: Final = ("name", "soc", "product", "generation")
GENERATIONS: Final = ("1001", "2201", "3510")


@dataclass(frozen=True)
class Figure:
    """One number of a chip as its file states it. `source` names entries of the file's or the package's sources."""

    value: float
    unit: str
    source: str
    note: str = ""

    @property
    def base(self) -> float:
        """The number in bytes, hertz, bytes a second or plain counts."""
        return self.value * UNITS[self.unit]


@dataclass(frozen=True, eq=False)
class Chip:
    """One device of the emulated Ascend family: of a 910C, which shows its two dies as two devices, one die.

    >>> from ascendlite.npu import chips
    >>> chip = chips.load("910b1")
    >>> chip.aic, chip.aiv, chip.clock_hz, chip.memory["UB"] // 1024
    (24, 48, 1850000000, 192)
    """

    name: str
    soc: str  # the name that CANN uses
    product: str
    generation: str  # NpuArch: "1001", "2201", "3510"
    costs: str  # section of costs.toml: the generation, or one that inherits from it
    aic: int  # cube cores
    aiv: int  # vector cores
    dies: int  # devices on one package
    clock_hz: int
    hbm_bytes: int
    hbm_bytes_per_s: float  # nominal; what copies reach is in costs.toml
    l2_bytes: int
    l2_line_bytes: int
    memory: Mapping[str, int]  # bytes of UB, L1, L0A, L0B, L0C, BT, FB; per core
    align: Mapping[str, int]  # bytes that a start address must be a multiple of
    cube: Mapping[str, int]  # multiply-adds a cycle of one cube core, by dtype; an absent dtype cannot be multiplied
    vector_bytes: int  # bytes that one vector core works on in a cycle
    ub_bank_bytes: int
    ub_banks: int
    ub_bank_groups: int
    transfer_align_bytes: int  # start of a global transfer for full rate
    saturates: bool  # floats of 16 bits overflow to their largest number unless something else is asked for
    figures: Mapping[str, Figure] = field(repr=False)  # everything above as stated, with units, sources and conflicts
    sources: Mapping[str, str] = field(repr=False)

    @property
    def total_memory(self) -> int:
        """Bytes of HBM, by the name that `torch.npu.get_device_properties` gives them; so the next three."""
        return self.hbm_bytes

    @property
    def L2_cache_size(self) -> int:  # the vendor's spelling
        """Bytes."""
        return self.l2_bytes

    @property
    def cube_core_num(self) -> int:
        """Cube cores."""
        return self.aic

    @property
    def vector_core_num(self) -> int:
        """Vector cores."""
        return self.aiv

    def cube_flops_per_s(self, dtype: str = "float16") -> float:
        """Peak of all cube cores, 2 operations a multiply-add."""
        if dtype not in self.cube:
            raise ArgumentError(f"chip {self.name}: the cube cannot multiply {dtype}; it takes {', '.join(self.cube)}")
        return 2.0 * self.cube[dtype] * self.aic * self.clock_hz

    def vector_flops_per_s(self, itemsize: int = 2) -> float:
        """Peak of all vector cores, one operation a lane and cycle."""
        return self.vector_bytes / itemsize * self.aiv * float(self.clock_hz)


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"chip file {path}: {error}; see {FOLDER / '910b1.toml'} for one that reads") from None


def _flatten(table: Mapping[str, object]) -> dict[str, object]:
    """Dotted names for the figures of sub-tables."""
    flat: dict[str, object] = {}
    for name, entry in table.items():
        if isinstance(entry, dict) and name in ("memory", "align", "cube"):
            flat |= {f"{name}.{key}": value for key, value in entry.items()}
        else:
            flat[name] = entry
    return flat


def _figure(path: Path, name: str, entry: object, units: tuple[str, ...], sources: Mapping[str, str]) -> Figure:
    where = f"chip file {path}: {name}"
    if not isinstance(entry, dict):
        raise FileFormatError(f'{where} is {entry!r}; write {{ value = ..., unit = "{units[0]}", source = "..." }}')
    unknown = set(entry) - {"value", "unit", "source", "note"}
    if unknown:
        raise FileFormatError(f"{where} has {', '.join(sorted(unknown))}; a figure has value, unit, source and note")
    value, unit, source = entry.get("value"), entry.get("unit"), entry.get("source")
    least = 0 if name in _MAY_LACK else 1
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < float("inf"):
        raise FileFormatError(f"{where} has the value {value!r}; it must be a number of {' or '.join(units)}, {least} or more")
    if unit not in units:
        raise FileFormatError(f"{where} has the unit {unit!r}; it must be {' or '.join(units)}")
    missing = [tag for tag in str(source or "").split() if tag not in sources]
    if not source or missing:
        known = ", ".join(sources)
        raise FileFormatError(f"{where} has the source {source!r}; name tags of [sources], which has {known}")
    return Figure(float(value), str(unit), str(source), str(entry.get("note", "")))


def _figures(path: Path, raw: dict[str, object], sources: Mapping[str, str]) -> dict[str, Figure]:
    known = {**FIGURES, **OPTIONAL}
    unknown = sorted(set(raw) - set(known) - {*_TEXTS, "costs", "family", "aliases", "sources"})
    if unknown:
        raise FileFormatError(f"chip file {path}: unknown {', '.join(unknown)}; figures are {', '.join(known)}")
    missing = sorted(set(FIGURES) - set(raw))
    if missing:
        raise FileFormatError(f"chip file {path}: {', '.join(missing)} missing; a chip states every figure, by itself or by its family")
    return {name: _figure(path, name, raw[name], units, sources) for name, units in known.items() if name in raw}


def _texts(path: Path, raw: dict[str, object]) -> dict[str, str]:
    for name in _TEXTS:
        if not isinstance(raw.get(name), str):
            raise FileFormatError(f'chip file {path}: {name} is {raw.get(name)!r}; write {name} = "..."')
    if raw["generation"] not in GENERATIONS:
        raise FileFormatError(f"chip file {path}: generation is {raw['generation']!r}; it must be one of {', '.join(GENERATIONS)}")
    return {**{name: str(raw[name]) for name in _TEXTS}, "costs": str(raw.get("costs", raw["generation"]))}


def _raw(path: Path) -> tuple[dict[str, object], dict[str, str]]:
    """The file over its family's file, and the sources that both may name."""
    own = _read(path)
    family = own.get("family")
    base: dict[str, object] = {}
    if family is not None:
        base_path = FOLDER / f"family_{family}.toml"
        if not base_path.exists():
            known = ", ".join(sorted(p.stem.removeprefix("family_") for p in FOLDER.glob("family_*.toml")))
            raise FileFormatError(f"chip file {path}: family is {family!r}; there are {known}")
        base = _read(base_path)
    sources = {str(k): str(v) for k, v in _read(FOLDER / "sources.toml").items()}
    stated = own.get("sources", {})
    if not isinstance(stated, dict):
        raise FileFormatError(f"chip file {path}: sources is {stated!r}; write a table of tag = text")
    sources |= {str(k): str(v) for k, v in stated.items()}
    return {**_flatten(base), **_flatten(own)}, sources


def _load(path: Path) -> Chip:
    raw, sources = _raw(path)
    texts = _texts(path, raw)
    figures = _figures(path, raw, sources)
    base = {name: figure.base for name, figure in figures.items()}

    def table(prefix: str) -> Mapping[str, int]:
        return MappingProxyType({name.removeprefix(prefix): int(value) for name, value in base.items() if name.startswith(prefix)})

    return Chip(
        **texts,
        aic=int(base["aic"]),
        aiv=int(base["aiv"]),
        dies=int(base["dies"]),
        clock_hz=int(base["clock"]),
        hbm_bytes=int(base["hbm"]),
        hbm_bytes_per_s=base["hbm_rate"],
        l2_bytes=int(base["l2"]),
        l2_line_bytes=int(base["l2_line"]),
        memory=table("memory."),
        align=table("align."),
        cube=table("cube."),
        vector_bytes=int(base["vector_width"]),
        ub_bank_bytes=int(base["ub_bank"]),
        ub_banks=int(base["ub_banks"]),
        ub_bank_groups=int(base["ub_bank_groups"]),
        transfer_align_bytes=int(base["transfer_align"]),
        saturates=bool(base["saturation"]),
        figures=MappingProxyType(figures),
        sources=MappingProxyType(sources),
    )


def _chip_files() -> list[Path]:
    return sorted(p for p in FOLDER.glob("*.toml") if p.stem != "sources" and not p.stem.startswith("family_"))


@cache
def _by_name() -> Mapping[str, Path]:
    """Names, CANN names and aliases, in lower case."""
    found: dict[str, Path] = {}
    for path in _chip_files():
        raw = _read(path)
        aliases = raw.get("aliases", [])
        for name in (raw["name"], raw["soc"], *(aliases if isinstance(aliases, list) else [])):
            key = str(name).lower()
            if found.setdefault(key, path) != path:
                raise FileFormatError(f"chip file {path}: the name {name!r} also stands in {found[key]}; names must differ")
    return MappingProxyType(found)


@cache
def _load_cached(path: Path, modified_ns: int = 0) -> Chip:
    return _load(path)


def names() -> tuple[str, ...]:
    """The chips that come with the package."""
    return tuple(path.stem for path in _chip_files())


def load(chip: str | Path | Chip = DEFAULT) -> Chip:
    """The chip of that name (any case; "910b", "910c", "950dt" and CANN's names too), or of the TOML file at that path.

    Raises ArgumentError for an unknown name and FileFormatError for a file that does not state a whole chip.
    """
    if isinstance(chip, Chip):
        return chip
    if isinstance(chip, Path) or chip.endswith(".toml"):
        path = Path(chip)
        if not path.exists():
            raise ArgumentError(f"chip: there is no file {path}; give a name ({', '.join(names())}) or the path of a chip file")
        return _load_cached(path.resolve(), path.stat().st_mtime_ns)  # it may have been edited
    path_or_none = _by_name().get(chip.lower())
    if path_or_none is None:
        raise ArgumentError(f"chip: {chip!r} is not known; give one of {', '.join(names())} or the path of a chip file")
    return _load_cached(path_or_none)
