"""Files that are whole but do not say what they should: found by changing files at random, each kept as one case."""

from __future__ import annotations

import hashlib
import json
import struct

import pytest

import ascendlite as al
from ascendlite import checkpoint
from ascendlite.errors import FileFormatError
from ascendlite.models import deepseek_v4
from ascendlite.models.llama import Llama, LlamaConfig, load_gguf, load_hf, save_hf
from tests.posttrain_runs import grpo, sft

TINY = LlamaConfig(40, 16, 24, 2, 2, 1, max_position_embeddings=32)


def config_with(folder, **changes) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("size", [2**63, 2**70, 10**12])
def test_a_config_of_impossible_sizes_is_refused(size, tmp_path):
    save_hf(Llama(TINY), tmp_path / "llama")
    config_with(tmp_path / "llama", vocab_size=size)
    with pytest.raises(FileFormatError, match="llama"):
        load_hf(tmp_path / "llama")
    deepseek_v4.save_hf(deepseek_v4.DeepseekV4(deepseek_v4.config_of("tiny")), tmp_path / "v4")
    config_with(tmp_path / "v4", vocab_size=size)
    with pytest.raises(FileFormatError, match="v4"):
        deepseek_v4.load_hf(tmp_path / "v4")


def test_a_config_that_asks_for_more_than_the_file_holds_gets_no_memory(tmp_path):
    deepseek_v4.save_hf(deepseek_v4.DeepseekV4(deepseek_v4.config_of("tiny")), tmp_path)
    config_with(tmp_path, vocab_size=10**9)  # 64 GB of embeddings
    with pytest.raises(FileFormatError, match=r"model-.*'embed.weight' has the shape .* but the config makes it \(1000000000"):
        deepseek_v4.load_hf(tmp_path)


def test_a_gguf_file_without_its_architecture_is_refused(tmp_path):
    key = b"general.architecture"
    text = struct.pack("<Q", len(key)) + b"general.name" + b"x" * 8 + struct.pack("<IQ", 8, 5) + b"llama"
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text)
    with pytest.raises(FileFormatError, match=r"m.gguf: the key 'general.architecture' is missing"):
        load_gguf(tmp_path / "m.gguf")


def test_a_torch_file_whose_members_lie_outside_is_refused(tmp_path):
    torch_like = tmp_path / "x.pt"
    import zipfile

    with zipfile.ZipFile(torch_like, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}q\x00.")
    content = bytearray(torch_like.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 42  # where the member begins
    end = content.rindex(b"PK\x05\x06") + 16  # where the directory begins
    for place, value in ((at, 0xFFFFFFF0), (end, 0x0FFFFFFF), (end, 0)):
        changed = content.copy()
        changed[place : place + 4] = struct.pack("<I", value)
        torch_like.write_bytes(changed)
        with pytest.raises(FileFormatError, match="x.pt"):
            al.load_torch(torch_like)


# ---- checkpoints: the sums are right, the values are not


def rewrite(folder, name: str, change) -> None:
    """Change the values of a file of a checkpoint, and its sum in the manifest."""
    values = al.load(folder / name)
    change(values)
    al.save(values, folder / name)
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / name).read_bytes()
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


CHANGES = {
    "no size": ("data.safetensors", lambda v: v.pop("size"), r"data.safetensors: it does not hold the state of a Order \(KeyError: 'size'\)"),
    "no guard": ("run.safetensors", lambda v: v["extras"].pop("guard"), r"run.safetensors: it does not hold a run of SFTTrainer"),
    "no random state": ("run.safetensors", lambda v: v.pop("random"), "run.safetensors: it does not hold the state of a run"),
    "no extras": ("run.safetensors", lambda v: v.pop("extras"), "run.safetensors: it does not hold the state of a run"),
    "half a moment": ("optimizer.safetensors", lambda v: v["adamw"]["state"][0].pop("exp_avg"), "the saved state is incomplete"),
    "seconds of a text": ("run.safetensors", lambda v: v["extras"].update(guard=3), "does not hold a run of SFTTrainer"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_that_holds_something_else_is_refused_and_named(name, tmp_path):
    sft(tmp_path, max_steps=2).train()
    (folder,) = (tmp_path / "checkpoints").iterdir()
    file, change, text = CHANGES[name]
    rewrite(folder, file, change)
    with pytest.raises(FileFormatError, match=text):
        sft(tmp_path, max_steps=3).train(resume_from_checkpoint=True)


def test_a_generation_that_lost_a_column_is_refused(tmp_path):
    grpo(tmp_path, max_steps=2).train()
    (folder,) = (tmp_path / "checkpoints").iterdir()
    rewrite(folder, "run.safetensors", lambda v: v["extras"]["extra"]["generation"].pop("advantages"))
    with pytest.raises(FileFormatError, match="run.safetensors: it does not hold a run of GRPOTrainer"):
        grpo(tmp_path, max_steps=3).train(resume_from_checkpoint=True)


def test_a_manifest_of_another_version_is_told(tmp_path):
    folder = checkpoint.save(tmp_path, step=1, extras=1)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(FileFormatError, match="version 99 of the format; this release reads version 1"):
        checkpoint.load(folder)
