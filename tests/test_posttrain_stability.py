"""Runs that are killed, disks that are full, files that are torn: nothing is lost and nothing changes."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ascendlite as al
from ascendlite import checkpoint
from ascendlite.errors import FileFormatError
from tests.posttrain_runs import KINDS, digest, figures, sft

ROOT = Path(__file__).resolve().parent.parent


BEGIN = f"import sys; sys.path.append({str(ROOT)!r})\n"  # last, so that the built package is tested and not the source folder


def start(kind: str, folder: Path) -> subprocess.Popen:
    code = BEGIN + f"from tests.posttrain_runs import main; main({kind!r}, {str(folder)!r})"
    return subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def expected_digest(kind: str) -> str:
    whole = KINDS[kind](None, save_steps=1)
    whole.train()
    return digest(whole)


def progress(folder: Path) -> int:
    """Bytes that the run has written: what decides when to kill, so that it hits saves and rollouts on any machine."""
    found = 0
    for place, _, names in os.walk(folder):  # which leaves out folders that are renamed meanwhile
        for name in names:
            with contextlib.suppress(OSError):
                found += os.stat(os.path.join(place, name)).st_size
    return found


def kill_somewhere(run: subprocess.Popen, folder: Path, rng: random.Random) -> bool:
    """Wait for the run to write something, then a random moment; kill. False: the run had ended before."""
    before, deadline = progress(folder), time.monotonic() + 60
    while run.poll() is None and progress(folder) == before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.random() * 0.25)
    if run.poll() is not None:
        return False
    run.send_signal(signal.SIGKILL)
    run.wait()
    return True


def survive(kind: str, folder: Path, kills: int, seed: int) -> int:
    """Kill a run so many times, restarting it from nothing whenever it had ended; every end must be the same. Returns the kills."""
    expected, rng, done, round_number = expected_digest(kind), random.Random(seed), 0, 0
    while done < kills:
        where = folder / f"{kind}-{round_number}"
        round_number += 1
        while True:
            run = start(kind, where)
            if done < kills and kill_somewhere(run, where, rng):
                done += 1
                continue
            out, err = run.communicate(timeout=120)
            assert run.returncode == 0, err
            assert out.strip() == expected
            break
    return done


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_a_run_that_is_killed_a_few_times_ends_the_same(kind, tmp_path):
    assert survive(kind, tmp_path, kills=3, seed=1) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("grpo", 30), ("sft", 15), ("dpo", 5)])
def test_fifty_kills_lose_nothing_and_change_nothing(kind, kills, tmp_path):
    assert survive(kind, tmp_path, kills=kills, seed=7) == kills


def train_with_checkpoints(folder: Path, kind: str = "sft"):
    trainer = KINDS[kind](folder, save_steps=3, save_total_limit=3)
    trainer.train()
    return trainer


@pytest.mark.parametrize("harm", ["flip", "cut", "grow", "remove", "empty"])
@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "data.safetensors", "run.safetensors", "manifest.json"])
def test_damaged_files_are_refused_and_the_checkpoint_before_is_used(tmp_path, file, harm):
    whole = train_with_checkpoints(tmp_path)
    newest = tmp_path / "checkpoints" / "step-00000009" / file
    content = newest.read_bytes()
    at = len(content) * 2 // 3
    spoiled = {
        "flip": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "cut": content[:at], "grow": content + b"\0", "empty": b"",
    }  # fmt: skip
    if harm == "remove":
        newest.unlink()
    else:
        newest.write_bytes(spoiled[harm])
    if file == "manifest.json" and harm == "grow":
        newest.write_bytes(content + b"}")
    again = sft(tmp_path, save_steps=3, save_total_limit=3)
    with pytest.warns(UserWarning, match="taking an earlier checkpoint"):
        again.train(resume_from_checkpoint=True)
    assert digest(again) == digest(whole)
    assert figures(again) == figures(whole)


def test_a_disk_that_is_full_at_any_write_loses_nothing(tmp_path, monkeypatch):
    def run(folder):
        return KINDS["grpo"](folder, max_steps=4, save_steps=2)

    whole = run(None)
    whole.train()
    real, calls = os.fsync, {"left": 10**9, "made": 0}

    def fsync(descriptor):
        calls["left"], calls["made"] = calls["left"] - 1, calls["made"] + 1
        if calls["left"] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    run(tmp_path / "count").train()
    for number, allowed in enumerate(range(0, calls["made"], 3)):
        folder = tmp_path / str(number)
        calls["left"] = allowed
        with pytest.raises(OSError, match="No space left"):
            run(folder).train()
        calls["left"] = 10**9
        again = run(folder)
        again.train(resume_from_checkpoint=checkpoint.latest(folder / "checkpoints") is not None)
        assert digest(again) == digest(whole)


def test_a_long_run_holds_no_more_memory_and_no_more_files(tmp_path):
    import gc

    trainer = KINDS["grpo"](tmp_path, max_steps=40, save_steps=2, save_total_limit=2)
    seen = []

    def look(state) -> None:
        if state.global_step in (16, 40):
            gc.collect()
            tensors = sum(isinstance(o, al.Tensor) for o in gc.get_objects())
            files = sum(len(names) for _, _, names in os.walk(tmp_path))
            seen.append((tensors, len(os.listdir("/proc/self/fd")), files))

    trainer.callbacks.append(_Each(look))
    trainer.train()
    (tensors, descriptors, files), after = seen
    assert after[0] <= tensors and after[1] <= descriptors and after[2] <= files + 2


def test_where_all_are_damaged_the_run_says_so(tmp_path):
    train_with_checkpoints(tmp_path)
    for path in (tmp_path / "checkpoints").glob("step-*/model.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning), pytest.raises(FileFormatError, match="all 3 checkpoints are damaged"):
        sft(tmp_path).train(resume_from_checkpoint=True)


def test_a_damaged_log_of_a_rollout_is_drawn_again(tmp_path):
    whole = KINDS["grpo"](None)
    whole.train()
    first = KINDS["grpo"](tmp_path, save_steps=3, max_steps=5)
    first.train()
    logs = sorted((tmp_path / "rollouts").iterdir())
    assert logs
    for log in logs:
        content = bytearray(log.read_bytes())
        content[len(content) // 2] ^= 1
        log.write_bytes(bytes(content))
    for path in (tmp_path / "checkpoints").glob("step-00000005"):
        (path / "manifest.json").unlink()  # so that logged generations are needed again
    again = KINDS["grpo"](tmp_path, save_steps=3)
    with pytest.warns(UserWarning):
        again.train(resume_from_checkpoint=True)
    assert digest(again) == digest(whole)


# ---- disks


def test_a_full_disk_is_told_before_a_step(tmp_path, monkeypatch):
    import shutil

    trainer = sft(tmp_path, save_steps=2)
    real = shutil.disk_usage
    free = {"now": 10**12}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=free["now"]))
    steps = []
    trainer.callbacks.append(_Each(lambda state: (steps.append(state.global_step), free.update(now=100 if state.global_step == 3 else 10**12))))
    with pytest.raises(OSError, match="has 100 bytes free, a checkpoint needs about"):
        trainer.train()
    assert steps == [1, 2, 3]  # step 4 would have been saved and was not computed
    free["now"] = 10**12
    assert checkpoint.load(tmp_path / "checkpoints").step == 2


class _Each(al.posttrain.TrainerCallback):
    def __init__(self, f) -> None:
        self.f = f

    def on_step_end(self, args, state, control, **kwargs):
        self.f(state)


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    trainer = sft(tmp_path / "file" / "run")
    with pytest.raises(OSError, match="can't be written"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_write_that_fails_leaves_the_checkpoint_before_whole(tmp_path):
    code = BEGIN + f"""
import resource, signal
from tests.posttrain_runs import sft
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
t = sft({str(tmp_path)!r}, max_steps=2, save_steps=2); t.train()
t = sft({str(tmp_path)!r}, max_steps=4, save_steps=2)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
try: t.train(resume_from_checkpoint=True)
except OSError as error: print("refused:", error)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert "refused:" in done.stdout, done.stderr
    assert checkpoint.load(tmp_path / "checkpoints").step == 2
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
