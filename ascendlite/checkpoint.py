"""Training states on disk: a folder with one folder a checkpoint, each written aside, synced and renamed.

A checkpoint holds safetensors files and a manifest with their checksums. Resuming takes the newest whose files are what
the manifest says; damaged ones are named in a warning. What is restored makes the run go on bit for bit.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from ascendlite.core import Tensor, default_generator
from ascendlite.errors import ArgumentError, FileFormatError
from ascendlite.files import remove, remove_stale, replacing
from ascendlite.serialize import load as load_file
from ascendlite.serialize import save as save_file
from ascendlite.structure import Value

_VERSION = 1
_MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{8,})(?:-(\d+))?")
_PARTS = ("model", "optimizer", "scheduler", "scaler", "data")
FilePath = str | os.PathLike[str]


class Stateful(Protocol):
    """Anything that can be saved and put back: modules, optimizers, schedulers, scalers, loaders, samplers."""

    def state_dict(self) -> Mapping[str, Value]: ...

    def load_state_dict(self, state_dict: Mapping[str, Value]) -> object: ...


@dataclass(frozen=True)
class Resumed:
    """Where a run goes on."""

    path: Path
    step: int
    extras: Value
    damaged: list[str] = field(default_factory=list)


# ---- random state


def random_state() -> dict[str, Value]:
    """The state of our default generator, of Python's and, where imported, NumPy's."""
    state: dict[str, Value] = {"ascendlite": default_generator.get_state(), "python": random.getstate()}
    if "numpy" in sys.modules:
        kind, keys, *rest = sys.modules["numpy"].random.get_state()
        state["numpy"] = (kind, [int(key) for key in keys], *rest)
    return state


def set_random_state(state: Mapping[str, Value]) -> None:
    """Go back to a `random_state()`."""
    default_generator.set_state(cast(Tensor, state["ascendlite"]))
    random.setstate(cast("tuple[Any, ...]", state["python"]))
    if "numpy" in state:
        import numpy

        kind, keys, *rest = cast("tuple[Any, ...]", state["numpy"])
        numpy.random.set_state((kind, numpy.array(keys, dtype=numpy.uint32), *rest))


# ---- saving


def _digest(path: Path) -> dict[str, int | str]:
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _free_name(folder: Path, step: int) -> Path:
    # An earlier checkpoint of the same step stays until this one is whole.
    name = f"step-{step:08}"
    taken = [entry.name for entry in folder.iterdir()]
    attempt = 2
    while name in taken:
        name, attempt = f"step-{step:08}-{attempt}", attempt + 1
    return folder / name


def save(
    folder: FilePath,
    *,
    step: int,
    model: Stateful | None = None,
    optimizer: Stateful | None = None,
    scheduler: Stateful | None = None,
    scaler: Stateful | None = None,
    data: Stateful | None = None,
    extras: Value = None,
    keep_last: int | None = 3,
) -> Path:
    """Write a checkpoint of a run after `step` steps; then keep the last `keep_last` (None: all). Returns its folder."""
    if step < 0 or (keep_last is not None and keep_last < 1):
        raise ArgumentError(f"checkpoint.save: step is {step}, keep_last {keep_last}; step is at least 0, keep_last at least 1 or None")
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    remove_stale(root)
    target = _free_name(root, step)
    given = dict(zip(_PARTS, (model, optimizer, scheduler, scaler, data), strict=True))
    with replacing(target) as aside:
        aside.mkdir()
        for name, part in given.items():
            if part is not None:
                save_file(part.state_dict(), aside / f"{name}.safetensors")
        save_file({"random": random_state(), "extras": extras}, aside / "run.safetensors")
        files = {path.name: _digest(path) for path in sorted(aside.iterdir())}
        manifest = {"version": _VERSION, "step": step, "files": files}
        (aside / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    for old in _found(root)[keep_last or sys.maxsize :]:
        remove(old)
    return target


def check_room(folder: FilePath, nbytes: int) -> None:
    """Raise OSError where a checkpoint of `nbytes` could not be written: no such right, no such room. Makes the folder.

    Call it before the work whose result is to be saved.
    """
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        remove_stale(root)
        with replacing(root / ".probe") as aside:
            aside.write_bytes(b"probe")
        (root / ".probe").unlink()
        free = shutil.disk_usage(root).free
    except OSError as error:
        raise OSError(error.errno, f"checkpoint: {root} can't be written ({error.strerror}); choose another folder, or make room") from error
    if free < nbytes:
        raise OSError(
            errno.ENOSPC, f"checkpoint: {root} has {free:,} bytes free, a checkpoint needs about {nbytes:,}; delete something, or choose another disk"
        )


# ---- finding


def _order(path: Path) -> tuple[int, int]:
    found = _NAME.fullmatch(path.name)
    assert found is not None, path
    return int(found[1]), int(found[2] or 1)


def _found(folder: Path) -> list[Path]:
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted((p for p in entries if p.is_dir() and _NAME.fullmatch(p.name)), key=_order, reverse=True)


def verify(path: FilePath) -> dict[str, Value]:
    """The manifest of a checkpoint whose files are as they were written; raises FileFormatError naming what is not."""
    folder = Path(path)
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        version, files = manifest["version"], dict(manifest["files"])
        expected = {name: (spec["bytes"], spec["sha256"]) for name, spec in files.items()}
        int(manifest["step"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"checkpoint: {folder}: {_MANIFEST} is missing or damaged ({type(error).__name__}: {error})") from error
    if version != _VERSION:
        raise FileFormatError(f"checkpoint: {folder}: version {version} of the format; this release reads version {_VERSION}")
    for name, (nbytes, digest) in expected.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise FileFormatError(f"checkpoint: {folder / name}: the file is missing")
        found = _digest(folder / name)
        if (found["bytes"], found["sha256"]) != (nbytes, digest):
            raise FileFormatError(
                f"checkpoint: {folder / name}: damaged: {found['bytes']} bytes with checksum {str(found['sha256'])[:12]}..., "
                f"{nbytes} bytes with {str(digest)[:12]}... were written"
            )
    return cast("dict[str, Value]", manifest)


def latest(folder: FilePath) -> Path | None:
    """The newest undamaged checkpoint in a folder, None if there is none; warns of each damaged one it passes."""
    for path in _found(Path(folder)):
        try:
            verify(path)
        except FileFormatError as error:
            warnings.warn(f"{error}; taking an earlier checkpoint", stacklevel=2)
            continue
        return path
    return None


# ---- resuming


def _newest_good(folder: Path) -> tuple[Path, dict[str, Value], list[str]]:
    if (folder / _MANIFEST).is_file() or _NAME.fullmatch(folder.name):
        return folder, verify(folder), []
    damaged: list[str] = []
    for path in _found(folder):
        try:
            return path, verify(path), damaged
        except FileFormatError as error:
            damaged.append(str(error))
            warnings.warn(f"{error}; taking an earlier checkpoint", stacklevel=3)
    if damaged:
        raise FileFormatError(f"checkpoint: {folder}: all {len(damaged)} checkpoints are damaged; the newest: {damaged[0]}")
    raise FileNotFoundError(f"checkpoint: there is no checkpoint in {str(folder)!r}")


def load(
    folder: FilePath,
    *,
    model: Stateful | None = None,
    optimizer: Stateful | None = None,
    scheduler: Stateful | None = None,
    scaler: Stateful | None = None,
    data: Stateful | None = None,
    restore_random: bool = True,
) -> Resumed:
    """Put the newest undamaged checkpoint of a folder (or the checkpoint that the path is) back into these objects."""
    path, manifest, damaged = _newest_good(Path(folder))
    given = dict(zip(_PARTS, (model, optimizer, scheduler, scaler, data), strict=True))
    wanted = {name: part for name, part in given.items() if part is not None}
    missing = [name for name in wanted if not (path / f"{name}.safetensors").is_file()]
    if missing:
        raise ArgumentError(f"checkpoint.load: {path} holds no {', '.join(missing)}; it was saved without")
    states = {name: load_file(path / f"{name}.safetensors", "cpu") for name in wanted}
    run = cast("dict[str, Value]", load_file(path / "run.safetensors", "cpu"))
    for name, part in wanted.items():
        with understood(path / f"{name}.safetensors", f"the state of a {type(part).__name__}"):
            part.load_state_dict(cast("Mapping[str, Value]", states[name]))
    with understood(path / "run.safetensors", "the state of a run"):
        if restore_random:
            set_random_state(cast("Mapping[str, Value]", run["random"]))
        return Resumed(path, cast(int, manifest["step"]), run["extras"], damaged)


@contextlib.contextmanager
def understood(file: Path, what: str) -> Iterator[None]:
    """What Python says of values that are not what they should be becomes an error that names the file."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        if isinstance(error, RuntimeError):
            raise  # one of ours, which says more
        kind = type(error).__name__
        raise FileFormatError(f"checkpoint: {file}: it does not hold {what} ({kind}: {error}); it is of another program or release") from error
