"""`ascendlite posttrain --from MODEL`: LoRA on a model of a folder, its chat format, checkpoints of what learns, resuming, chat."""

from __future__ import annotations

import json
import shutil

import pytest

import ascendlite as al
from ascendlite import checkpoint
from ascendlite.cli import main
from ascendlite.posttrain.job.run import Job
from tests.goldenfile import FOLDER
from tests.test_posttrain_job import SHORT, _Interrupt, weights

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers of models need ascendlite[text]")
pytest.importorskip("jinja2", reason="chat templates need ascendlite[text]")
TEMPLATE = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}<end>{% endfor %}{% if add_generation_prompt %}a:{% endif %}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny Llama of 40 letters."""
    root = tmp_path_factory.mktemp("tiny")
    shutil.copytree(FOLDER / "llama" / "llama2", root, dirs_exist_ok=True)
    letters = ["<more>", "<end>", *" abcdefghijklmnopqrstuvwxyz<>/',-:?"]
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({t: n for n, t in enumerate(letters)}, unk_token="?"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    inner.decoder = tokenizers.decoders.Fuse()
    inner.add_special_tokens(["<more>", "<end>"])
    inner.save(str(root / "tokenizer.json"))
    (root / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>", "chat_template": TEMPLATE}))
    config = json.loads((root / "config.json").read_text())
    (root / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 256}))
    return root


def posttrain(folder, model) -> int:
    return main(["posttrain", "--out", str(folder), "--from", str(model), "--task", "tagalog", "--lora-rank", "2", *SHORT])


def test_the_job_on_a_pretrained_model_ends_with_a_report_and_goes_on_to_the_same_weights(tiny, tmp_path, capsys, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert posttrain(whole, tiny) == 0
    told = capsys.readouterr().out
    assert "after SFT: greedy" in told and "after GRPO: greedy" in told and (whole / "report.html").is_file()
    learned = al.load(next((whole / "grpo" / "checkpoints").iterdir()) / "model.safetensors")
    assert learned and all(".lora_" in name for name in learned)
    merged = al.load(checkpoint.load(whole / "checkpoints", restore_random=False).path / "model.safetensors")
    assert "model.layers.0.self_attn.q_proj.weight" in merged and not any(".lora_" in name for name in merged)
    real = Job._callbacks
    monkeypatch.setattr(Job, "_callbacks", lambda self, title: [*real(self, title), *([_Interrupt()] if title == "grpo" else [])])
    assert posttrain(cut, tiny) == 130
    monkeypatch.setattr(Job, "_callbacks", real)
    assert main(["posttrain", "--resume", str(cut)]) == 0
    assert weights(cut) == weights(whole)
    capsys.readouterr()
    assert main(["chat", str(whole), "--message", "lima", "--max-tokens", "3", "--temperature", "0"]) == 0
    assert capsys.readouterr().out


def test_answers_end_with_the_token_that_the_format_ends_turns_with(tiny):
    from ascendlite.posttrain.job.material import make_material, pretrained, tasks_of
    from ascendlite.posttrain.job.settings import settings_of

    settings = settings_of({"source": str(tiny), "task": "tagalog", "questions": 5, "held_out": 3})
    _, codec, saved = pretrained(settings)
    assert codec.decode([codec.eos_token_id]) == "" and codec.tokenizer.text_of(codec.eos_token_id) == "<end>"
    assert codec.chat("lima") == "u:lima<end>a:" and codec.tokenizer.text_of(codec.encode("u:lima<end>a:")[6]) == "<end>"
    material = make_material(tasks_of(settings)[0], codec, settings)
    assert material.max_new_tokens == max(len(item.answer) for item in material.train) + 2
    assert saved["tokenizer"]["kind"] == "tokenizers"
