"""Writing files so that a reader finds the old one or the new one, whole, whatever is killed when.

Written aside in the same folder, synced, renamed, the folder synced. It knows no format.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

_SUFFIX = ".tmp"


def sync(path: Path) -> None:
    """Wait until a file or a folder's entries are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all that is in it are on the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "-", socket.gethostname())


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}{_SUFFIX}")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_stale(folder: Path, name: str | None = None) -> None:
    """Delete what writers that died on this machine left in a folder: of the target `name`, or of any."""
    wanted = ".+" if name is None else re.escape(name)
    pattern = re.compile(rf"\.{wanted}\.{re.escape(_host())}\.(\d+)\.[0-9a-f]{{8}}{re.escape(_SUFFIX)}")
    for entry in folder.iterdir():
        found = pattern.fullmatch(entry.name)
        if found and not _alive(int(found[1])):
            remove(entry)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields where to write (a file or a folder); takes the place of `path` when the block ends without an error."""
    target = Path(os.path.realpath(path))  # a link keeps pointing at what it points at
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: the folder {str(target.parent)!r} does not exist; create it first")
    remove_stale(target.parent, target.name)
    folder = _aside(target)  # a folder: what libraries put beside their output stays inside
    try:
        folder.mkdir()
        aside = folder / target.name
        yield aside
        if aside.is_dir():
            sync_tree(aside)
        else:
            if target.is_file():
                shutil.copymode(target, aside)
            sync(aside)
        os.replace(aside, target)
        sync(target.parent)
    finally:
        remove(folder)
