"""One library in a process of its own: reads requests from standard input, a JSON line each, and answers in kind.

`{"do": "setup", "name": N, "smoke": S}` builds a workload, `{"do": "sample"}` times it, `{"do": "limits", "names": [...]}` samples the machine's
limits (ascendlite only).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.ops import OPS
from benchmarks.training import TRAINING

WORKLOADS = {w.name: w for w in [*OPS, *TRAINING]}
SAMPLE_SECONDS = 0.15
SLOW_SECONDS = 5.0  # a first call that takes longer is the only sample


def load(name: str, threads: int) -> Any:
    """The library, with everything that workloads use."""
    lib = importlib.import_module(name)
    for part in ("nn", "optim"):
        importlib.import_module(f"{name}.{part}")
    importlib.import_module(f"{name}.nn.functional")
    lib.set_num_threads(threads)
    return lib


def raise_priority() -> None:
    """Lets other work on the machine wait while this process computes."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))


class Sampler:
    """Times one workload; a sample is the mean of as many calls as fill the time."""

    def __init__(self, lib: Any) -> None:
        self.lib, self.run, self.calls = lib, None, 1
        self.only: float | None = None

    def setup(self, name: str, smoke: bool, eager: bool) -> dict[str, Any]:
        self.run = self.only = None
        gc.collect()
        workload = WORKLOADS[name]
        run: Callable[[], Any] = workload.make(self.lib, **workload.sizes(smoke, eager))
        start = time.perf_counter()
        run()
        first = time.perf_counter() - start
        if first > SLOW_SECONDS:
            self.only = first
        elif not smoke:
            start = time.perf_counter()
            run()
            self.calls = max(1, round(SAMPLE_SECONDS / (time.perf_counter() - start)))
        self.run = run
        return {"first_seconds": first}

    def sample(self) -> dict[str, Any]:
        run, start = self.run, time.perf_counter()
        for _ in range(self.calls if self.only is None else 0):
            run()
        seconds = (time.perf_counter() - start) / self.calls if self.only is None else self.only
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"seconds": seconds, "peak_rss_bytes": peak, "last": self.only is not None}


def limits(names: list[str]) -> dict[str, float]:
    """The machine's limits as ascendlite's own probes reach them, means over the time of a sample; those of instructions that it lacks
    are left out."""
    from ascendlite import _native

    found = {}
    for name in names:
        with contextlib.suppress(ValueError):
            found[name] = _native.measure(name, bytes=192 << 20, seconds=SAMPLE_SECONDS)
    return found


def main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    lib = load(name, threads)
    if "realtime" in sys.argv[3:]:
        raise_priority()
    sampler = Sampler(lib)
    print(json.dumps({"library": name, "version": str(lib.__version__)}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {
                "setup": lambda r: sampler.setup(r["name"], r["smoke"], r["eager"]), "sample": lambda r: sampler.sample(), "limits": lambda r: limits(r["names"]),
            }[request["do"]](request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
