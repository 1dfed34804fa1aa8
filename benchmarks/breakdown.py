"""Where the time of a workload goes, op by op: `python benchmarks/breakdown.py gpt_tiny_train --threads 1`.

For each op: its share of the time, FLOP/s beside the machine's FMA peak where it does many operations a byte, bytes/s (each operand once) beside the
read limit elsewhere. The last lines say what the workload would take if its products ran at the peak, and if all else took no time.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.worker import WORKLOADS, limits, load

DENSE = 8  # FLOPs a byte from which an op is bound by the multipliers, not by memory
LIMITS_EVERY = 4  # calls between samples of the machine's limits, whose best counts


@dataclass
class Row:
    """All calls of an op."""

    calls: int = 0
    seconds: float = 0.0
    flops: int = 0
    bytes: int = 0

    @property
    def dense(self) -> bool:
        return self.flops > DENSE * self.bytes > 0


class Listener:
    """Times ops by name."""

    def __init__(self, lib: Any) -> None:
        self.lib, self.rows = lib, dict[str, Row]()

    def __call__(self, op: Any, inputs: tuple[Any, ...], attrs: tuple[Any, ...], outputs: tuple[Any, ...], began: int, backward: bool) -> None:
        seconds = (time.perf_counter_ns() - began) / 1e9
        row = self.rows.setdefault(op.name, Row())
        row.calls += 1
        row.seconds += seconds
        if not op.is_view:
            row.flops += self.lib.meta.op_flops(op, inputs, attrs, outputs)
            row.bytes += sum(t.nbytes for t in (*inputs, *outputs) if isinstance(t, self.lib.Tensor))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=list(WORKLOADS), metavar="WORKLOAD", help="a name that benchmarks/run.py --list prints")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--smoke", action="store_true", help="the small sizes, to see that it runs")
    options = parser.parse_args()
    lib, workload = load("ascendlite", options.threads), WORKLOADS[options.workload]
    run = workload.make(lib, **workload.sizes(options.smoke))
    for _ in range(3):
        run()
    best, peak = 1e9, {"fma": 0.0, "read": 0.0}
    chosen: dict[str, Row] = {}
    for call in range(options.calls):  # the fastest call is the one that other work disturbed least
        if call % LIMITS_EVERY == 0:
            peak = {name: max(value, peak[name]) for name, value in limits(list(peak)).items()}
        start = time.perf_counter()
        run()
        plain = time.perf_counter() - start
        listener = Listener(lib)
        remove = lib.core.add_listener(listener, timed=True)
        run()
        remove()
        if sum(r.seconds for r in listener.rows.values()) < sum(r.seconds for r in chosen.values()) or not chosen:
            chosen = listener.rows
        best = min(best, plain)
    print(f"{options.workload}, {options.threads} threads: {best * 1e3:.3f} ms a call; fma peak {peak['fma'] / 1e9:.1f} GFLOP/s, read {peak['read'] / 1e9:.1f} GB/s")
    print(f"{'op':<28}{'calls':>7}{'ms':>10}{'of call':>9}{'rate':>16}{'of limit':>10}")
    for name, r in sorted(chosen.items(), key=lambda item: -item[1].seconds):
        if r.seconds < 0.002 * best:
            continue
        rate, limit, unit = (r.flops, peak["fma"], "GFLOP/s") if r.dense else (r.bytes, peak["read"], "GB/s")
        speed = rate / r.seconds
        print(f"{name:<28}{r.calls:>7}{r.seconds * 1e3:>10.3f}{r.seconds / best:>9.1%}{f'{speed / 1e9:.1f} {unit}':>16}{speed / limit:>10.0%}")
    dense, ideal = (sum(x) for x in zip(*((r.seconds, r.flops / peak["fma"]) for r in chosen.values() if r.dense), (0.0, 0.0), strict=True))
    ops = sum(r.seconds for r in chosen.values())
    print(f"products {dense / best:.1%} of the call, other ops {(ops - dense) / best:.1%}, between ops {max(0.0, best - ops) / best:.1%}")
    print(f"with products at the peak and all else as it is: {best / (best - dense + ideal):.2f}x; products at the peak alone: {best / ideal if ideal else 1:.2f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
