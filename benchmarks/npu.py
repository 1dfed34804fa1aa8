"""How fast the emulated Ascend device computes: kernels against NumPy and other emulators of kernels, a training step against the CPU device.

`python benchmarks/npu.py [--smoke]`. Every line is measured in a process of its own on one thread (`--threads` for the training step), best of
some repetitions; seconds are CPU seconds where the machine may be shared. Triton's interpreter and Pallas' `interpret=True` are measured when they
are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks import npu_peers

GPT = {"layers": 6, "heads": 6, "width": 384, "block": 256, "batch": 8}
TINY = {"layers": 1, "heads": 2, "width": 32, "block": 16, "batch": 2}
KERNELS = {"matmul_512": 512, "add_1m": 1 << 20, "softmax_1024": 1024}
SMALL = {"matmul_512": 64, "add_1m": 4096, "softmax_1024": 64}
# Who computes what: in the first column the name by which a line is asked for.
EMULATORS = ("npu", "triton", "pallas")
NEEDS = {"triton": "triton", "pallas": "jax"}


def best(run: Callable[[], Any], samples: int, clock: Callable[[], float] = time.process_time) -> float:
    """The shortest of some runs, in seconds."""
    times = []
    for _ in range(samples):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def kernel_line(kernel: str, by: str, size: int, samples: int) -> dict[str, float]:
    """One kernel by one emulator, and NumPy on the same work."""
    run, check = getattr(npu_peers, f"{by}_{kernel}")(size)
    start = time.process_time()
    run()
    first = time.process_time() - start
    check()
    reference = getattr(npu_peers, f"numpy_{kernel}")(size)
    reference()
    pair = [(best(run, 1), best(reference, 3)) for _ in range(samples)]
    return {"first": first, "seconds": min(a for a, _ in pair), "numpy": min(b for _, b in pair)}


def step_line(device: str, dtype: str, sizes: dict[str, int], samples: int) -> dict[str, float]:
    """A training step of a GPT on a device."""
    run = npu_peers.training_step(device, dtype, sizes)
    run()
    run()
    return {"seconds": best(run, samples), "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}


def launch_line(samples: int) -> dict[str, float]:
    """The smallest launch: the first with tracing and the proof, and a later one."""
    run, _ = npu_peers.npu_add_1m(1024)
    first = best(run, 1)
    return {"first": first, "seconds": best(lambda: [run() for _ in range(1000)], samples) / 1000}


def measured(threads: int, **request: Any) -> dict[str, float]:
    """Answers a request in a process of its own."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    environment = {**os.environ, **limits, "TRITON_INTERPRET": "1", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    done = subprocess.run([sys.executable, __file__, "--request", json.dumps({**request, "threads": threads})], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{request}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def answer(request: dict[str, Any]) -> dict[str, float]:
    """What a process started by `measured` does."""
    import ascendlite as al

    al.set_num_threads(request.pop("threads"))
    return {"kernel": kernel_line, "step": step_line, "launch": launch_line}[request.pop("do")](**request)


def report(options: argparse.Namespace) -> None:
    smoke, samples = options.smoke, 1 if options.smoke else options.samples
    print(f"{platform.platform()}; best of {samples}; CPU seconds")
    print(f"{'kernel':16}{'by':10}{'ms':>12}{'NumPy ms':>12}{'ratio':>9}{'first ms':>12}")
    for kernel, size in (SMALL if smoke else KERNELS).items():
        for by in EMULATORS:
            if by in NEEDS and importlib.util.find_spec(NEEDS[by]) is None:
                continue
            r = measured(1, do="kernel", kernel=kernel, by=by, size=size, samples=samples)
            print(f"{kernel:16}{by:10}{1e3 * r['seconds']:12.3f}{1e3 * r['numpy']:12.3f}{r['seconds'] / r['numpy']:9.1f}{1e3 * r['first']:12.1f}", flush=True)
    r = measured(1, do="launch", samples=samples)
    print(f"launch of 1024 additions: {1e6 * r['seconds']:.1f} us, the first {1e3 * r['first']:.1f} ms")
    print(f"\n{'GPT step':16}{'CPU s':>12}{'NPU s':>12}{'ratio':>9}{'CPU MB':>12}{'NPU MB':>12}{'ratio':>9}")
    for dtype in ("float16", "bfloat16"):
        cpu, npu = (measured(options.threads, do="step", device=d, dtype=dtype, sizes=TINY if smoke else GPT, samples=samples) for d in ("cpu", "npu"))
        print(f"{dtype:16}{cpu['seconds']:12.3f}{npu['seconds']:12.3f}{npu['seconds'] / cpu['seconds']:9.2f}"
              f"{cpu['rss'] / 1e6:12.0f}{npu['rss'] / 1e6:12.0f}{npu['rss'] / cpu['rss']:9.2f}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one sample: does everything run?")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the training step")
    parser.add_argument("--request", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.request:
        print(json.dumps(answer(json.loads(options.request))))
    else:
        report(options)


if __name__ == "__main__":
    main()
