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
    shown = capsys.readouterr().out
    assert shown.count("error[R18]: deadlock in `double`") == 1 and "waits WaitFlag(MTE2_V, 1)" in shown
    assert "not timed" in shown and "busy us" not in shown


def test_a_broken_kernel_is_told_and_the_next_one_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kernels.py"
    whole = FILE.format(wait="ac.WaitFlag(ac.HardEvent.MTE2_V, 0)")
    races = whole.replace("    ac.WaitFlag(ac.HardEvent.V_MTE3, 0)\n", "    ac.WaitFlag(ac.HardEvent.V_MTE3, 0)\n    ac.Adds(t, t, 1.0, n)\n")
    path.write_text(races + whole.split("\n\n\n", 1)[1].replace("double", "sound"))
    assert main(["npu", "profile", str(path)]) == 1
    shown = capsys.readouterr().out
    assert shown.count("error[R16]") == 1 and "double on" not in shown
    assert shown.count("sound on") == 1


def test_calibrate_prints_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ascendlite.npu import calibration

    monkeypatch.setattr(calibration.report, "__defaults__", (calibration.ROWS[:2],))
    assert main(["npu", "calibrate"]) == 0
    assert "read-read" in capsys.readouterr().out


HEAD = """import numpy as np
import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
@npu.kernel(kind="{kind}")
def k(x, n):
    t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)
    ac.DataCopy(t, ac.GlobalTensor(x), n)
    ac.SetFlag(ac.HardEvent.MTE2_V, 0); ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
    {line}
x = np.ones(4096, np.float32)
{call}
"""
# the kernel's line 9 -> what is said, and where
HOSTILE = {
    "ac.Adds(t, t, 1.0, n": "SyntaxError: '(' was never closed\n  --> file.py:9",
    "raise RuntimeError('boom')": "RuntimeError: boom\n  --> file.py:9",
    "ac.Addz(t, t, n)": "has no attribute 'Addz'; did you mean Add, Adds?\n  --> file.py:9",
    "nowhere(t)": "NameError: name 'nowhere' is not defined\n  --> file.py:9",
    "ac.Subs(t, t, 1.0, n)": "has no attribute 'Subs'; use ac.Adds with -scalar\n  --> file.py:9",
    "ac.Add(t, t)": "error[trace]: the call does not fit: Add() missing 2 required positional arguments: 'src1' and 'mask'\n  --> file.py:9",
    "while True: pass": "TimeoutError: still running after 1 s: does a loop of Python not end? (--timeout SECONDS gives it more)\n  --> file.py:9",
    "while True: ac.Exp(t, t, n); ac.PipeBarrier(ac.PIPE_V)": "instructions, and goes on\n  --> file.py:9",
    "ac.Adds(t, t, 1.0, 64, 100000, (1, 1, 8, 8))": "error[R12]: Adds: the repeat count is 100000; it fits 0..255\n  --> file.py:9",
    "ac.Adds(t, t, 1.0, -5)": "error[R12]: the count is -5; it must not be negative\n  --> file.py:9",
    "ac.Adds(ac.GlobalTensor(x), t, 1.0, 64)": "error[R22]: Adds: an operand lies in GM; vector instructions work on UB\n  --> file.py:9",
    "ac.SetFlag('MTE2_V', 0)": "error[R04]: SetFlag: the event is 'MTE2_V'; it must be a HardEvent, as ac.HardEvent.MTE2_V\n  --> file.py:9",
    "ac.Mmad(1, t, t, 16, 16, 16)": "error[R22]: Mmad: an operand lies in int; it must be in L0C\n  --> file.py:9",
    "a, b = t": "TypeError: 'LocalTensor' object is not iterable\n  --> file.py:9",
    "ac.Adds(t, t, '1', n)": "Adds: the scalar is '1' (str); it must be a number\n  --> file.py:9",
    "ac.Adds(t, t, None, n)": "Adds: the scalar is None; it must be a number\n  --> file.py:9",
    "ac.Adds(t[-64:], t, 1.0, 64)": "error[R15]: a window from element -64 on starts before its tensor",
    "ac.Adds(t[0.5:], t, 1.0, 64)": "an integer is needed; this is 0.5 (float)\n  --> file.py:9",
    "ac.SetFlag(ac.HardEvent.V_MTE2, 1.0)": "an integer is needed; this is 1.0 (float)\n  --> file.py:9",
    "ac.PipeBarrier('V')": "error[R22]: PipeBarrier: the pipe is 'V'; it must be a pipe, as ac.PIPE_V\n  --> file.py:9",
    "ac.DataCopy(t, x, 64)": "error[trace]: DataCopy: an operand is a Argument; it takes GlobalTensor and LocalTensor\n  --> file.py:9",
    "ac.Duplicate(t.ReinterpretCast('i32'), 1 << 40, 64)": "Duplicate: the scalar 1099511627776 does not fit i32's 32 bits\n  --> file.py:9",
    "ac.TQue('VECIN', 2)": "TQue: there is no queue at 'VECIN'; it takes ac.TPosition.VECIN",
    "ac.GetValue(t.ReinterpretCast('i32'), 0, 9, 0)": "GetValue: the range 9..0 holds no integer\n  --> file.py:9",
    "ac.Compare(t, t, t, 'XX', 64)": "Compare: 'XX' is not a comparison; it takes LT, GT, EQ, LE, GE, NE\n  --> file.py:9",
}
CALLS = {
    "k[1](x)": "TypeError: missing a required argument: 'n'\n  --> file.py:11",
    "k[1](x, 1, 2, 3)": "TypeError: too many positional arguments\n  --> file.py:11",
    "k[0](x, 4096)": "kernel k: 0 blocks; it takes 1 to 65535, as kernel[blocks](...)\n  --> file.py:11",
    "k[10**9](x, 4096)": "kernel k: 1000000000 blocks",
    "k[1](x[::2], 64)": "kernel: an array of shape (2048,) has strides (8,)",
    "": "launches no kernel, so nothing was checked; call one, as kernel[blocks](tensors, ...)",
}


def _said(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, call: str) -> str:
    path = tmp_path / "file.py"
    path.write_text(HEAD.format(kind="aiv", line=line, call=call))
    assert main(["npu", "check", "--timeout", "1", str(path)]) == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and shown.err.count("error[") <= 1
    return shown.err


@pytest.mark.parametrize("line", HOSTILE)
def test_hostile_kernels_get_one_message_at_their_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr("ascendlite.npu.lang.trace.MOST_INSTRUCTIONS", 1000)
    assert HOSTILE[line] in _said(tmp_path, capsys, line, "k[1](x, 4096)")


@pytest.mark.parametrize("call", CALLS)
def test_hostile_launches_get_one_message_at_their_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], call: str) -> None:
    assert CALLS[call] in _said(tmp_path, capsys, "pass", call)


def test_a_program_too_long_to_follow_is_not_proved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file.py"
    long = "for i in ac.range(10**9): ac.Adds(t, t, 1.0, 64); ac.PipeBarrier(ac.PIPE_V)"
    path.write_text(HEAD.format(kind="aiv", line=long, call="k[1](x, 4096)"))
    assert main(["npu", "check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "the program is longer than the check follows" in out and "0 proved, 1 not proved" in out


def test_a_file_without_launches_has_nothing_to_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.py"
    path.write_text("import ascendlite.npu as npu")
    assert main(["npu", "profile", str(path)]) == 1
    assert "launches no kernel, so nothing was timed" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "profile"])
def test_only_the_file_is_missing_where_nothing_is_given(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit):
        main(["npu", command])
    assert capsys.readouterr().err.endswith("the following arguments are required: file\n")
