"""Compares ascendlite with PyTorch (where installed) and with the machine's limits. `python benchmarks/run.py --help`.

Each library runs in a process of its own; samples are taken in turn, so that other work on the machine meets all alike, and so are samples of the
limit that the workload meets. Noise only adds time: the best sample is the figure, the median stands beside it, and the share of the limit is that of
the best samples. Results go to a table and, one JSON line a workload, to a file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
from benchmarks.ops import OPS  # noqa: E402
from benchmarks.training import TRAINING  # noqa: E402
from benchmarks.workload import Workload  # noqa: E402

WORKLOADS = [*OPS, *TRAINING]
EAGER = "eager"  # the label of ours beside what is compiled
STREAMS = ("read", "triad", "triad_streaming")
LIMITS = ["fma", "dot_bf16", "dot_int8", *STREAMS]
# Some machines set these for their own programs; they halve the products of whoever uses OpenBLAS.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "LD_PRELOAD")


class Peer:
    """A library in its process."""

    def __init__(self, label: str, module: str, options: argparse.Namespace, extra: dict[str, str]) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in UNSET}
        threads = str(options.threads)
        environment.update(extra, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
        command = [sys.executable, str(HERE / "worker.py"), module, threads, *(["realtime"] if options.realtime else [])]
        self.label = label
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.version = self._answer().get("version", "did not start")

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        return json.loads(line) if line else {"error": f"{self.label} ended with code {self.process.wait()}"}

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request and its answer."""
        if self.process.poll() is not None or self.process.stdin is None:
            return {"error": f"{self.label} is gone"}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()


def tuned_environment(folder: Path) -> dict[str, str] | None:
    """PyTorch at its best on any x86 vendor: MKL takes its AVX-512 kernels, and malloc keeps freed memory."""
    source, library = folder / "vendor.c", folder / "vendor.so"
    source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n", encoding="utf-8")
    built = subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], capture_output=True, check=False)
    if built.returncode or platform.machine() != "x86_64":
        return None
    return {"LD_PRELOAD": str(library), "MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592", "MALLOC_TOP_PAD_": "268435456"}


def start_peers(options: argparse.Namespace, folder: Path, chosen: list[Workload]) -> list[Peer]:
    peers = [Peer("ascendlite", "ascendlite", options, {})]
    if any(w.beside is not None for w in chosen) and not options.smoke:
        peers.append(Peer(EAGER, "ascendlite", options, {}))
    if options.smoke or options.alone or importlib.util.find_spec("torch") is None:
        return peers
    peers.append(Peer("torch", "torch", options, {}))
    tuned = tuned_environment(folder) if options.tuned else None
    if tuned:
        peers.append(Peer("torch_tuned", "torch", options, tuned))
    return peers


def measure(workload: Workload, peers: list[Peer], options: argparse.Namespace, limit: str | None) -> dict[str, Any]:
    """Seconds a call: best and median of samples taken in turn, for each peer that can run it; and the best of the limit, if one is named."""
    result: dict[str, Any] = {"name": workload.name, "unit": workload.unit, "sizes": workload.sizes(options.smoke), "peers": {}}
    ready = []
    for peer in peers:
        if peer.label == EAGER and workload.beside is None:
            continue
        answer = peer.ask(do="setup", name=workload.name, smoke=options.smoke, eager=peer.label == EAGER)
        if "error" in answer:
            result["peers"][peer.label] = {"error": answer["error"]}
        else:
            ready.append(peer)
    samples: dict[str, list[float]] = {p.label: [] for p in ready}  # a peer leaves when one sample has to do
    start = time.perf_counter()
    for turn in range(1 if options.smoke else options.samples):
        if turn >= 3 and time.perf_counter() - start > options.seconds:
            break
        if limit and not options.smoke:
            result["limit"] = max(result.get("limit", 0.0), peers[0].ask(do="limits", names=[limit])[limit])
        for peer in list(ready):
            answer = peer.ask(do="sample")
            if "error" in answer or answer["last"]:
                ready.remove(peer)
            if "error" in answer:
                result["peers"][peer.label] = answer
            else:
                samples[peer.label].append(answer["seconds"])
                result["peers"][peer.label] = {"peak_rss_bytes": answer["peak_rss_bytes"]}
    for label, seconds in samples.items():
        if seconds:
            result["peers"][label] |= {"best_seconds": min(seconds), "median_seconds": statistics.median(seconds), "samples": len(seconds)}
    return result


def figure(workload: Workload, seconds: float, smoke: bool) -> float:
    """A time as the workload's figure."""
    work = workload.work(**workload.sizes(smoke))
    return seconds / work * 1e9 if workload.unit == "ns" else work / seconds / workload.scale


def share(workload: Workload, result: dict[str, Any]) -> float | None:
    """The part of the machine's limit that is reached."""
    ours = result["peers"].get("ascendlite", {})
    if "limit" not in result or "best_seconds" not in ours:
        return None
    return (workload.limit_work or workload.work)(**workload.full) / ours["best_seconds"] / result["limit"]


def import_seconds(module: str) -> float:
    """The time of a process that imports a module, less that of one that does not: best of five."""

    def best(code: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-P", "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    return best(f"import {module}") - best("pass")


def row(workload: Workload, result: dict[str, Any], labels: list[str], smoke: bool) -> list[str]:
    cells = [workload.name, workload.unit]
    ours = result["peers"].get("ascendlite", {})
    for label in labels:
        peer = result["peers"].get(label, {})
        if "best_seconds" not in peer:
            cells.append("-" if label != "ascendlite" else f"failed: {peer.get('error', '?')[:60]}")
            continue
        if smoke:  # sizes of no meaning
            cells.append("ran")
            continue
        text = f"{figure(workload, peer['best_seconds'], smoke):,.4g} ({figure(workload, peer['median_seconds'], smoke):,.4g})"
        if label != "ascendlite" and "best_seconds" in ours:
            text += f" {peer['best_seconds'] / ours['best_seconds']:.2f}x"
        cells.append(text)
    reached = share(workload, result)
    return [*cells, "-" if reached is None else f"{reached:.0%}"]


def print_table(rows: list[list[str]]) -> None:
    widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
    for r in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="workloads whose name contains TEXT; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one sample, ascendlite alone: does every benchmark run?")
    parser.add_argument("--alone", action="store_true", help="without peers")
    parser.add_argument("--tuned", action="store_true", help="also PyTorch with MKL's vendor check answered and malloc told to keep memory")
    parser.add_argument("--realtime", action="store_true", help="sample at real-time priority (needs the right to it): other work waits")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--samples", type=int, default=9, help="samples a library, at most")
    parser.add_argument("--seconds", type=float, default=10.0, help="stop sampling a workload after this long (three samples at least)")
    parser.add_argument("--output", type=Path, default=None, help="JSON lines go here (default: benchmarks/results.jsonl; none with --smoke)")
    return parser.parse_args()


def main() -> int:
    options = parse()
    chosen = [w for w in WORKLOADS if not options.only or any(t in w.name for t in options.only)]
    if options.list:
        print("\n".join(w.name for w in chosen))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        peers = start_peers(options, Path(folder), chosen)
        machine = peers[0].ask(do="limits", names=LIMITS)
        load = os.getloadavg()[0]
        print(f"{platform.platform()}, {options.threads} threads; best (median); " + ", ".join(f"{p.label} {p.version}" for p in peers))
        print("machine: " + ", ".join(f"{k} {v / 1e9:.4g} {'GB/s' if k in STREAMS else 'GFLOP/s'}" for k, v in machine.items()))
        if load > 0.5:
            print(f"warning: other work runs on this machine (load {load:.1f}): no figure below is to be quoted")
        labels = [p.label for p in peers]
        rows = [["workload", "unit", *(x if x == "ascendlite" else f"{x} (time/ours)" for x in labels), "of limit"]]
        results = []
        for workload in chosen:
            results.append(measure(workload, peers, options, workload.limit if workload.limit in machine else None))
        for peer in peers:
            peer.close()
    rows += [row(w, r, labels, options.smoke) for w, r in zip(chosen, results, strict=True)]
    if not options.smoke and not options.only:
        found = {p: import_seconds(p) for p in ("ascendlite", "torch") if p in labels}
        rows.append(["import", "s", *(f"{found[x]:.3f}" if x in found else "-" for x in labels), "-"])
    print_table(rows)
    output = options.output or (None if options.smoke else HERE / "results.jsonl")
    if output:
        head = {"when": time.strftime("%Y-%m-%dT%H:%M:%S"), "machine": machine, "threads": options.threads, "load": load, "versions": {p.label: p.version for p in peers}}
        output.write_text("".join(json.dumps(x) + "\n" for x in [head, *results]), encoding="utf-8")
    broken = [r["name"] for r in results if "error" in r["peers"].get("ascendlite", {})]
    if broken:
        print(f"ascendlite could not run: {', '.join(broken)}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
