"""Folders of models are replaced whole: whatever is killed when, a reader finds the old one or the new one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ascendlite as al
from ascendlite import files
from ascendlite.files import replacing_folder
from ascendlite.models import deepseek_v4
from ascendlite.models.llama import Llama, LlamaConfig, load_hf, save_hf


def llama(value: float, blocks: int = 1) -> Llama:
    model = Llama(LlamaConfig(20, 16, 16, blocks, 2, 1, max_position_embeddings=8))
    for p in model.parameters():
        al.nn.init.constant_(p, value)
    return model


def value_of(folder: Path) -> tuple[float, int]:
    """What all weights of the folder are, and how many blocks there are; the config and the weights must be of one model."""
    model = load_hf(folder)
    values = {float(v) for p in model.parameters() for v in (p.min(), p.max())}
    assert len(values) == 1
    return values.pop(), len(model.model.layers)


_SAVER = """
import sys
sys.path.append(sys.argv[2])
from tests.test_folders import llama
from ascendlite.models.llama import save_hf
models = [llama(float(n), 1 + n % 2) for n in range(4)]
print("ready", flush=True)
n = 0
while True:
    save_hf(models[n % 4], sys.argv[1], max_shard_bytes=2000)
    n += 1
"""


def test_a_model_that_is_killed_while_being_saved_leaves_a_whole_one(tmp_path):
    folder = tmp_path / "model"
    save_hf(llama(3.0, 2), folder, max_shard_bytes=2000)
    (folder / "tokenizer.json").write_text("{}")
    root = str(Path(__file__).resolve().parent.parent)
    for pause_seconds in (0.0, 0.01, 0.02, 0.05, 0.11, 0.2):
        run = subprocess.Popen([sys.executable, "-P", "-c", _SAVER, str(folder), root], stdout=subprocess.PIPE)
        run.stdout.readline()
        time.sleep(pause_seconds)
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
        value, blocks = value_of(folder)
        assert blocks == 1 + value % 2
        assert (folder / "tokenizer.json").is_file()
    save_hf(llama(0.0), folder)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]  # what killed writers left is gone


def test_saving_replaces_the_model_and_keeps_what_else_is_there(tmp_path):
    save_hf(llama(1.0, 2), tmp_path, max_shard_bytes=2000)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "model.safetensors").write_bytes(b"of another program")
    before = len(list(tmp_path.glob("*.safetensors")))
    save_hf(llama(2.0), tmp_path)
    assert value_of(tmp_path) == (2.0, 1) and before > 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model-00001-of-00001.safetensors", "model.safetensors.index.json", "notes"]
    assert (tmp_path / "notes" / "a.txt").read_text() == "mine"


@pytest.mark.parametrize("save", [lambda folder: save_hf(llama(2.0), folder), lambda folder: deepseek_v4.save_hf(_v4(), folder)], ids=["llama", "deepseek_v4"])
def test_a_save_that_fails_leaves_the_old_model_whole(save, tmp_path, monkeypatch):
    save_hf(llama(1.0), tmp_path / "m")
    real = json.dumps

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dumps", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "m")
    monkeypatch.setattr(json, "dumps", real)
    assert value_of(tmp_path / "m") == (1.0, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def _v4() -> deepseek_v4.DeepseekV4:
    return deepseek_v4.DeepseekV4(deepseek_v4.config_of("tiny"))


def test_a_system_without_exchange_moves_the_old_folder_away(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda a, b: False)
    for n in (1.0, 2.0):
        save_hf(llama(n), tmp_path / "m")
        assert value_of(tmp_path / "m") == (n, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_program_that_saves_where_it_stands_stays_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_hf(llama(1.0), ".")
    save_hf(llama(2.0), ".")
    assert value_of(Path(".")) == (2.0, 1)
    assert os.getcwd() == os.path.realpath(tmp_path)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "m").write_text("")
    with pytest.raises(NotADirectoryError, match="m"), replacing_folder(tmp_path / "m", lambda name: True) as aside:
        (aside / "a").write_text("")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
