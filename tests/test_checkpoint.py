"""Checkpoints: the same run bit for bit, the newest good one, nothing lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import ascendlite as al
from ascendlite import checkpoint
from ascendlite.data import TokenSampler
from ascendlite.errors import ArgumentError, FileFormatError


class _Training:
    """A small model with every kind of state: dropout, schedule, data."""

    def __init__(self) -> None:
        al.manual_seed(7)
        self.model = al.nn.Sequential(al.nn.Embedding(50, 8), al.nn.Flatten(), al.nn.Dropout(0.2), al.nn.Linear(64, 50))
        self.optimizer = al.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.scheduler = al.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=20)
        self.data = TokenSampler(al.arange(1000) % 50, batch=4, length=8, seed=1)

    def parts(self) -> dict:
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "data": self.data}

    def steps(self, count: int) -> list[float]:
        losses = []
        for _ in range(count):
            x, y = self.data.next_batch()
            loss = al.nn.functional.cross_entropy(self.model(x), y[:, -1])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            losses.append(float(loss) + random.random() + float(np.random.rand()))
        return losses


def test_a_resumed_run_is_the_same_run_bit_for_bit(tmp_path):
    whole = _Training()
    whole.steps(5)
    checkpoint.save(tmp_path, step=5, extras={"note": [1, 2]}, **whole.parts())
    expected = whole.steps(5)
    resumed = _Training()
    resumed.steps(2)
    found = checkpoint.load(tmp_path, **resumed.parts())
    assert (found.step, found.extras, found.damaged) == (5, {"note": [1, 2]}, [])
    assert resumed.steps(5) == expected
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert a.tolist() == b.tolist()


def test_the_last_ones_are_kept_and_the_newest_is_found(tmp_path):
    model = al.nn.Linear(2, 2)
    for step in (1, 2, 30, 4):
        checkpoint.save(tmp_path, step=step, model=model, keep_last=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000004", "step-00000030"]
    assert checkpoint.latest(tmp_path).name == "step-00000030"


def test_saving_a_step_again_takes_over_without_touching_the_first_before(tmp_path):
    model = al.nn.Linear(2, 2)
    checkpoint.save(tmp_path, step=1, model=model, extras="first")
    checkpoint.save(tmp_path, step=1, model=model, extras="second")
    assert checkpoint.load(tmp_path).extras == "second"


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(tmp_path, harm):
    model = al.nn.Linear(2, 2)
    checkpoint.save(tmp_path, step=1, model=model)
    file = checkpoint.save(tmp_path, step=2, model=model) / ("manifest.json" if harm == "manifest" else "model.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if harm == "flip" else content[: len(content) // 2])
    if harm == "remove":
        file.unlink()
    with pytest.warns(UserWarning, match=rf"(?s)step-00000002.*{file.name}|{file.name}"):
        found = checkpoint.load(tmp_path, model=model)
    assert found.step == 1
    assert len(found.damaged) == 1
    with pytest.raises(FileFormatError, match="step-00000002"):
        checkpoint.load(tmp_path / "step-00000002", model=model)


def test_nothing_to_resume_from_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        checkpoint.load(tmp_path)
    checkpoint.save(tmp_path, step=0, extras=1)
    with pytest.raises(ArgumentError, match="holds no model"):
        checkpoint.load(tmp_path, model=al.nn.Linear(1, 1))


_SAVER = """
import sys, ascendlite as al
from ascendlite import checkpoint
model = al.nn.Linear(1000, 1000)
print("ready", flush=True)
for step in range(2, 10_000):
    checkpoint.save(sys.argv[1], step=step, model=model, keep_last=1)
"""


def test_a_run_that_is_killed_while_saving_loses_nothing(tmp_path):
    checkpoint.save(tmp_path, step=1, model=al.nn.Linear(1000, 1000))
    for pause_seconds in (0.02, 0.1, 0.3):
        process = subprocess.Popen([sys.executable, "-P", "-c", _SAVER, str(tmp_path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(pause_seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert checkpoint.load(tmp_path).damaged == []
    checkpoint.save(tmp_path, step=20_000, keep_last=1)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00020000"]
