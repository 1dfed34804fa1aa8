"""Writes tests/goldens/npu_cycles.txt: the virtual cycles of every kernel of the library. Look at the difference before you commit it.

Usage: python tools/make_cycles.py [--check]
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from tests.npu.cycles import GOLDEN, text

if __name__ == "__main__":
    before, now = GOLDEN.read_text(encoding="utf-8") if GOLDEN.exists() else "", text()
    sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), now.splitlines(True), "golden", "now", n=0))
    if "--check" in sys.argv:
        sys.exit(0 if before == now else f"{GOLDEN} is stale; run python tools/make_cycles.py")
    GOLDEN.write_text(now, encoding="utf-8")
