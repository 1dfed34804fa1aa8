"""`ascendlite npu profile` and `calibrate`, run as a user runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ascendlite.cli import main

FILE = """
import numpy as np
import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac


@npu.kernel(kind="aiv")
def double(x, y, n):
    t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)
    ac.DataCopy(t, ac.GlobalTensor(x), n)
    ac.SetFlag(ac.HardEvent.MTE2_V, 0)
    {wait}
    ac.Adds(t, t, 1.0, n)
    ac.SetFlag(ac.HardEvent.V_MTE3, 0)
    ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
    ac.DataCopy(ac.GlobalTensor(y), t, n)


x, y = np.ones(4096, np.float32), np.empty(4096, np.float32)
double[1](x, y, 4096)
double[1](x, y, 4096)
"""


def test_a_profile_names_the_waiting_line_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kernels.py"
    path.write_text(FILE.format(wait="ac.WaitFlag(ac.HardEvent.MTE2_V, 0)"))
    assert main(["npu", "profile", str(path), "--chip", "910b1", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("double on 910b1") == 1  # one program, launched twice
    assert "kernels.py:15" in shown
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".html", ".png", ".json"}


def test_a_file_that_fails_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.py"
    path.write_text("raise ValueError('no kernels today')\n")
    assert main(["npu", "profile", str(path)]) == 1
    assert "no kernels today" in capsys.readouterr().err
    assert main(["npu", "profile", str(tmp_path / "none.py")]) == 2
    assert "npu profile: there is no file" in capsys.readouterr().err


def test_a_kernel_that_stands_still_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kernels.py"
    path.write_text(FILE.format(wait="ac.WaitFlag(ac.HardEvent.MTE2_V, 1)"))
    assert main(["npu", "profile", str(path)]) == 1
    assert "V waits for flag 1 of MTE2" in capsys.readouterr().err


def test_calibrate_prints_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ascendlite.npu import calibration

    monkeypatch.setattr(calibration.report, "__defaults__", (calibration.ROWS[:2],))
    assert main(["npu", "calibrate"]) == 0
    assert "read-read" in capsys.readouterr().out
