"""A write-ahead log: lines of JSON, each with its checksum, appended as things happen.

What was written survives SIGKILL at once, and a power cut after `sync_seconds`. A torn last line is cut off when the
log is opened again. It does not know what it logs.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

Record = dict[str, Any]


def _line(record: Record) -> bytes:
    body = json.dumps(record, separators=(",", ":"), allow_nan=True).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def read_log(path: Path) -> tuple[list[Record], int]:
    """The records of a log up to the first that is torn or damaged, and how many bytes they take."""
    records: list[Record] = []
    good = 0
    raw = path.read_bytes() if path.is_file() else b""
    while (end := raw.find(b"\n", good)) >= 0:
        record = _parsed(raw[good:end])
        if record is None:
            break
        records.append(record)
        good = end + 1
    return records, good


def _parsed(line: bytes) -> Record | None:
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:]) or line[8:9] != b" ":
            return None
        record = json.loads(line[9:])
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


class WriteAheadLog:
    """Appends records to a file; opened on a file that is there, it goes on after the last good record.

    `records` are those that were found.
    """

    def __init__(self, path: Path, sync_seconds: float = 1.0) -> None:
        self.path, self._sync_seconds = path, sync_seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        self.records, good = read_log(path)
        self._file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115  # closed by close()
        self._file.truncate(good)
        self._file.seek(good)
        self._synced_at = time.monotonic()

    def append(self, record: Record) -> None:
        """Write one record."""
        self._file.write(_line(record))
        self._file.flush()
        if time.monotonic() - self._synced_at >= self._sync_seconds:
            self.sync()

    def restart(self) -> None:
        """Forget all records."""
        self.records = []
        self._file.truncate(0)
        self._file.seek(0)

    def sync(self) -> None:
        """Wait until all is on the disk."""
        os.fsync(self._file.fileno())
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Sync and close."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def __enter__(self) -> WriteAheadLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
