"""Prints, for every kernel of the library, how many of its flags and barriers the check misses when they are left out in turn.

Usage: python tools/mutation_table.py [CALL...]: calls of tests/npu/test_library_syncs.py, by default all.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from ascendlite.npu import mutation
from tests.npu.test_library_syncs import CALLS, launched


def main() -> None:
    mutants: Counter[str] = Counter()
    found: Counter[str] = Counter()
    rules: dict[str, Counter[str]] = {}
    for name in sys.argv[1:] or CALLS:
        for traced, sharing in launched(CALLS[name]):
            for mutant in mutation.mutants(traced, sharing):
                mutants[traced.name] += 1
                found[traced.name] += not mutant.redundant
                rules.setdefault(traced.name, Counter()).update(mutant.rules)
    print(f"{'kernel':24}{'mutants':>9}{'found':>7}{'not needed in that shape':>26}  rules")
    for kernel, count in sorted(mutants.items()):
        broken = ", ".join(f"{rule} {n}" for rule, n in sorted(rules[kernel].items()))
        print(f"{kernel:24}{count:9}{found[kernel]:7}{count - found[kernel]:26}  {broken}")
    print(f"{'all':24}{sum(mutants.values()):9}{sum(found.values()):7}{sum(mutants.values()) - sum(found.values()):26}")


if __name__ == "__main__":
    main()
