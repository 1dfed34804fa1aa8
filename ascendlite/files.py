"""Writing files so that a reader finds the old one or the new one, whole, whatever is killed when.

Written aside in the same folder, synced, renamed, the folder synced. It knows no format. A folder that is there already is
exchanged with the new one in one call of the kernel (Linux); where there is no such call it is moved away first.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_SUFFIX = ".tmp"
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV)  # what kernels and file systems without it say


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


# ---- folders


def _exchange(a: Path, b: Path) -> bool:
    """Let two paths change places at once; False where the system cannot."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if library.renameat2(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, f"save: {os.strerror(code)}; the folder can't be replaced, choose another", str(b))


def _carry_over(old: Path, new: Path, mine: Callable[[str], bool]) -> None:
    """What else lies in a folder lies in the new one too: linked, or copied where links can't be."""

    def put(source: str, target: str) -> None:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, target, follow_symlinks=False)

    for entry in old.iterdir():
        if mine(entry.name) or (new / entry.name).exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new / entry.name, symlinks=True, copy_function=put)
        else:
            put(str(entry), str(new / entry.name))
    shutil.copymode(old, new)


def _put_in_place(new: Path, target: Path) -> None:
    """`new` becomes `target`, what was there goes to where `new` was."""
    if not target.exists():
        os.replace(new, target)
    elif not _exchange(new, target):
        away = new.with_name(new.name + ".old")
        os.replace(target, away)
        os.replace(new, target)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str], mine: Callable[[str], bool]) -> Iterator[Path]:
    """Yields an empty folder to write into; it takes the place of the folder `path`, whole, when the block ends without an error.

    `mine(name)` says which files of the old folder the new ones stand for; the others (a tokenizer, notes) are kept.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(target.parent, target.name)
    working = Path.cwd()
    holder = _aside(target)
    try:
        holder.mkdir()
        aside = holder / target.name
        aside.mkdir()
        yield aside
        if target.exists():
            _carry_over(target, aside, mine)
        sync_tree(aside)
        _put_in_place(aside, target)
        if working.is_relative_to(target):
            os.chdir(working)  # the folder of that name is a new one
        sync(target.parent)
    finally:
        remove(holder)
