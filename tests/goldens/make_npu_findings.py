"""Writes npu_findings.txt: what the checker says of the kernels of tests/npu/faulty_kernels.py. Run from the root; review the difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ascendlite.npu as npu
from tests.npu.faulty_kernels import KERNELS

TEXTS = Path(__file__).with_name("npu_findings.txt")


def text_of(kernel: npu.Kernel, blocks: int, dtype: type) -> str:
    """The texts about one kernel, on a 910B1."""
    x, y = np.zeros(8192, dtype), np.zeros(8192, dtype)
    with npu.on_chip("910b1"):
        try:
            return "\n\n".join(f.text for f in kernel[blocks].check(x, y, False).findings)
        except npu.KernelError as error:  # what shows while the kernel is traced
            return str(error)


if __name__ == "__main__":
    TEXTS.write_text("".join(f"==== {k.__name__}\n{text_of(k, b, d)}\n\n" for k, b, d in KERNELS), encoding="utf-8")
