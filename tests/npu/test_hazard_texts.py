"""What a user reads about a kernel that breaks a rule. The texts are in tests/goldens/npu_findings.txt (make_npu_findings.py writes them)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ascendlite.npu as npu
from ascendlite.npu.rules import RULES
from tests.goldens.make_npu_findings import TEXTS, text_of
from tests.npu.faulty_kernels import KERNELS

CASES = [pytest.param(k, b, d, id=k.__name__) for k, b, d in KERNELS]


@pytest.mark.parametrize(("kernel", "blocks", "dtype"), CASES)
def test_a_kernel_that_keeps_the_rule_is_proved(kernel: npu.Kernel, blocks: int, dtype: type) -> None:
    x, y = np.zeros(8192, dtype), np.zeros(8192, dtype)
    with npu.on_chip("910b1"):
        result = kernel[min(blocks, 48)].check(x, y, True)
    assert result.proved, str(result)


@pytest.mark.parametrize(("kernel", "blocks", "dtype"), CASES)
def test_the_text_about_a_broken_rule_is_the_golden_one(kernel: npu.Kernel, blocks: int, dtype: type) -> None:
    golden = dict(part.split("\n", 1) for part in TEXTS.read_text(encoding="utf-8").split("==== ")[1:])
    assert text_of(kernel, blocks, dtype) == golden[kernel.__name__].rstrip("\n")


def test_every_rule_of_the_checker_has_a_faulty_kernel_or_a_program_by_hand() -> None:
    from tests.test_npu_rules import CASES as BY_HAND

    shown = {k.__name__[:3].upper() for k, _, _ in KERNELS} | {f"R{rule:02d}" for rule, _, _ in BY_HAND}
    assert {r.id for r in RULES.values() if r.seen in ("check", "both")} <= shown


def test_a_launch_raises_before_it_runs() -> None:
    x, y = np.ones(64, np.float32), np.zeros(64, np.float32)

    @npu.kernel(kind="aiv")
    def early(x, y):
        import ascendlite.npu.ascendc as ac

        a = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, 64)
        ac.DataCopy(a, ac.GlobalTensor(x), 64)
        ac.DataCopy(ac.GlobalTensor(y), a, 64)

    with pytest.raises(npu.HazardError, match=r"error\[R16\]: race: MTE3 reads UB bytes that MTE2 may still write") as caught:
        early[1](x, y)
    assert caught.value.rule == "R16"
    assert y.max() == 0
    with npu.unchecked():
        early[1](x, y)


def test_arguments_that_share_memory_are_checked_as_one() -> None:
    import ascendlite.npu.ascendc as ac

    @npu.kernel(kind="aiv")
    def shifted(x, y):
        a = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, 128)
        for i in range(2):
            ac.DataCopy(a[i * 64 :], ac.GlobalTensor(x)[i * 64 :], 64)
            ac.SetFlag(ac.HardEvent.MTE2_MTE3, i)
            ac.WaitFlag(ac.HardEvent.MTE2_MTE3, i)
            ac.DataCopy(ac.GlobalTensor(y)[i * 64 :], a[i * 64 :], 64)

    both = np.zeros(192, np.float32)
    shifted[1](both[:128], np.zeros(128, np.float32))
    with pytest.raises(npu.HazardError, match="R16"):
        shifted[1](both[:128], both[64:])


def test_the_command_checks_every_launch_of_a_file(tmp_path: Path) -> None:
    source = """
import numpy as np
import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac

@npu.kernel(kind="aiv")
def double(x, y, wait):
    a = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, 64)
    ac.DataCopy(a, ac.GlobalTensor(x), 64)
    if wait:
        ac.SetFlag(ac.HardEvent.MTE2_V, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
    ac.Adds(a, a, 1.0, 64)
    ac.SetFlag(ac.HardEvent.V_MTE3, 0)
    ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
    ac.DataCopy(ac.GlobalTensor(y), a, 64)

x, y = np.ones(64, np.float32), np.zeros(64, np.float32)
double[1](x, y, True)
assert y[0] == 2
double[1](x, y, False)
"""
    file = tmp_path / "double.py"
    file.write_text(source)
    run = subprocess.run([sys.executable, "-P", "-m", "ascendlite", "npu", "check", "--syncs", str(file)], capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    assert "double: proved; 1 block" in run.stdout
    assert "not needed: none" in run.stdout
    assert "error[R16]: race: V reads UB bytes that MTE2 may still write" in run.stdout
    assert "double.py:13   ac.Adds(a, a, 1.0, 64)" in run.stdout
    assert run.stdout.rstrip().endswith("2 kernel programs checked: 1 proved, 0 not proved, 1 with errors")


def test_buffers_that_share_a_line_have_their_own_names() -> None:
    from ascendlite.npu.lang.buffers import _names

    assert _names("ub = ac.LocalMemAllocator(ac.Hardware.UB); a = ub.Alloc(f32, 64); b, c = (ub.Alloc(f32, 64) for _ in range(2))") == ["a", "b", "c"]
    assert _names("a0 = ac.LocalMemAllocator(ac.Hardware.L0A).Alloc(f16, 64)") == ["a0"]
    assert _names("pipe.InitBuffer(queue, 2, 512)") == ["buffer"]
