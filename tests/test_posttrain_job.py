"""`ascendlite posttrain` in its shortest form: stages, report, resuming, specialists, chat."""

from __future__ import annotations

import json
import re

import pytest

from ascendlite import checkpoint
from ascendlite.cli import main
from ascendlite.posttrain.job.material import make_material, piece_tokenizer, tasks_of
from ascendlite.posttrain.job.page import plot
from ascendlite.posttrain.job.run import Job, UntilLearnable
from ascendlite.posttrain.job.settings import JobSettings, settings_of

SHORT = [
    "--questions", "40", "--held-out", "6", "--samples", "2", "--sft-steps", "4", "--sft-batch", "4", "--grpo-steps", "3", "--grpo-prompts", "2",
    "--grpo-generations", "2", "--save-every", "2",
]  # fmt: skip


def posttrain(folder, *options) -> int:
    return main(["posttrain", "--out", str(folder), *SHORT, *options])


def weights(folder):
    found = checkpoint.load(folder / "checkpoints", restore_random=False).path
    return (found / "model.safetensors").read_bytes()


def test_the_job_leaves_a_report_metrics_and_a_model_that_chats(tmp_path, capsys):
    folder = tmp_path / "run"
    assert posttrain(folder) == 0
    told = capsys.readouterr().out
    assert "after SFT: greedy" in told and "after GRPO: greedy" in told and f"ascendlite chat {folder}" in told
    page = (folder / "report.html").read_text()
    assert not re.search(r"(src|href)=", page) and page.count("<svg") >= 6  # it needs nothing else
    for title in ("Loss", "Reward", "KL", "Entropy", "Length", "pass@1", "Chats"):
        assert title in page
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(r["stage"], r["step"]) for r in rows] == [("sft", n) for n in (1, 2, 3, 4)] + [("grpo", n) for n in (1, 2, 3)]
    assert {"reward", "kl", "entropy", "completions/mean_length", "tokens_per_s", "rewards/right/mean"} <= set(rows[-1])
    assert main(["chat", str(folder), "--message", "lima dagdagan ng lima", "--max-tokens", "5"]) == 0


def test_on_an_npu_the_report_shows_the_steps_operators(tmp_path):
    folder = tmp_path / "run"
    assert posttrain(folder, "--device", "npu", "--sft-steps", "3") == 0
    page = (folder / "report.html").read_text()
    for stage in ("sft", "grpo"):
        told = json.loads((folder / stage / "device.json").read_text())
        assert told["step"] == 3 and "matmul" in {row["name"] for row in told["operators"]}
        assert all(row["us"] > 0 and row["calls"] > 0 and row["bound"] for row in told["operators"])
        link = re.search(rf'href="({stage}/npu/trace_view.json)"', page)
        assert link and {event["name"] for event in json.loads((folder / link[1]).read_text())} >= {"matmul"}
    assert page.count("ms of virtual time") == 2 and page.count("bound by") == 2


def test_a_job_that_was_ended_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    posttrain(whole)
    for stage in ("sft", "grpo"):
        real = Job._callbacks

        def callbacks(self, title, stage=stage, real=real):
            return [*real(self, title), _Interrupt()] if title == stage else real(self, title)

        monkeypatch.setattr(Job, "_callbacks", callbacks)
        code = posttrain(cut) if stage == "sft" else main(["posttrain", "--resume", str(cut)])
        monkeypatch.setattr(Job, "_callbacks", real)
        assert code == 130 and not (cut / "report.html").exists()
    assert main(["posttrain", "--resume", str(cut)]) == 0
    assert weights(cut) == weights(whole)
    assert main(["posttrain", "--resume", str(cut)]) == 0  # nothing is left to do
    assert weights(cut) == weights(whole)


class _Interrupt(UntilLearnable):
    """Ends the run as Ctrl-C does, after its first step."""

    def __init__(self) -> None:
        pass

    def on_train_begin(self, args, state, control, **kwargs):
        pass

    def on_step_end(self, args, state, control, **kwargs):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGINT)


def test_specialists_are_distilled(tmp_path, capsys):
    assert posttrain(tmp_path / "run", "--specialists", "2", "--distill", "--distill-steps", "2") == 0
    told = capsys.readouterr().out
    assert "student on tagalog-sums: greedy" in told and "student on tagalog-differences: greedy" in told
    page = (tmp_path / "run" / "report.html").read_text()
    assert "specialist 2" in page and "teacher &rarr; student" in page


def test_a_student_is_measured_by_more_questions_but_its_sft_is_chosen_by_the_same():
    few, many = settings_of({}), settings_of({"specialists": 2})
    tasks = tasks_of(many)
    ours, theirs = (make_material(tasks[0], piece_tokenizer(tasks), settings) for settings in (few, many))
    assert (len(ours.test), len(theirs.test)) == (200, 600)
    assert ours.choose == theirs.choose and theirs.test[:200] == ours.test


def test_the_rate_of_sft_falls_at_its_end_although_the_mark_was_not_reached(tmp_path):
    assert posttrain(tmp_path / "run", "--sft-cooling", "2", "--start-at", "2") == 0
    rates = [json.loads(line)["lr"] for line in (tmp_path / "run" / "sft" / "metrics.jsonl").read_text().splitlines()]
    assert rates[3] == pytest.approx(rates[0] * 4 / 2)  # the fourth step of the warm-up, at half of its height


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--distill"], "--distill and --specialists 2 go together"),
        (["--grpo-steps", "0"], "--grpo-steps is 0; it must be at least 1"),
        (["--specialists", "3", "--distill"], "--specialists is 3; 2 are supported"),
        (["--distill-temperature", "0"], "--distill-temperature is 0.0; it must be above 0"),
        (["--specialists", "2", "--distill", "--task", "gcd"], "has no halves"),
        (["--resume", "nowhere"], "holds no run"),
    ],
)
def test_mistakes_are_named(tmp_path, capsys, options, text):
    assert main(["posttrain", *([] if "--resume" in options else ["--out", str(tmp_path / "run")]), *options]) == 2
    assert text in capsys.readouterr().err


def test_settings_of_a_resumed_job_stay(tmp_path, capsys):
    posttrain(tmp_path / "run")
    assert main(["posttrain", "--resume", str(tmp_path / "run"), "--seed", "3"]) == 2
    assert "--seed can't change" in capsys.readouterr().err
    assert posttrain(tmp_path / "run") == 2
    assert "already holds a run" in capsys.readouterr().err


@pytest.mark.parametrize(("file", "text"), [("settings.json", "{"), ("settings.json", "[1]"), ("settings.json", '{"seed": "one"}'), ("stages.json", "{"), ("stages.json", "3")])
def test_damaged_files_of_a_job_are_named(tmp_path, capsys, file, text):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    (folder / file).write_text(text)
    assert main(["posttrain", "--resume", str(folder)]) == 2
    told = capsys.readouterr().err
    assert ("seed is 'one'" if "one" in text else f"{folder / file} is damaged") in told


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert posttrain(tmp_path / "file" / "run") == 2
    assert "can't be written (Not a directory); choose another folder with --out" in capsys.readouterr().err


def test_a_model_that_is_not_installed_is_told_before_anything_is_made(tmp_path, capsys, monkeypatch):
    from ascendlite.models.llama import smollm2

    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    assert posttrain(tmp_path / "run", "--from", "smollm2", "--task", "tagalog") == 2
    told = capsys.readouterr().err
    assert "run: ascendlite fetch smollm2" in told and "Traceback" not in told
    assert posttrain(tmp_path / "run", "--from", str(tmp_path / "none"), "--task", "tagalog") == 2
    assert "no GGUF file and no folder with a config.json" in capsys.readouterr().err
    assert posttrain(tmp_path / "run", "--task", "unheard") == 2
    assert not (tmp_path / "run").exists()


def test_a_pretrained_model_has_defaults_of_its_own(capsys):
    from ascendlite.posttrain.job.settings import ON_NPU, PRETRAINED, settings_of

    settings = settings_of({"source": "smollm2", "sft_lr": 0.5})
    assert (settings.task, settings.sft_lr, settings.grpo_steps) == (PRETRAINED["task"], 0.5, PRETRAINED["grpo_steps"])
    assert settings_of({"seed": 3}) == JobSettings(seed=3)
    assert settings_of({"device": "npu:1"}) == JobSettings(device="npu:1", grpo_steps=ON_NPU["grpo_steps"])
    with pytest.raises(SystemExit):
        main(["posttrain", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"GRPO steps (default: {JobSettings().grpo_steps}; with --from {PRETRAINED['grpo_steps']}; with --device npu {ON_NPU['grpo_steps']})" in told


def test_answers_are_measured_in_the_tokens_of_the_model():
    from ascendlite.posttrain.job.material import make_material, piece_tokenizer
    from ascendlite.posttrain.tasks import make_task
    from ascendlite.text import ByteChatTokenizer

    task, settings = make_task("tagalog"), JobSettings(questions=50, held_out=6)
    assert make_material(task, piece_tokenizer([task]), settings).max_new_tokens == task.max_new_tokens
    codec = ByteChatTokenizer()
    found = make_material(task, codec, settings)
    assert found.max_new_tokens == max(len(codec.encode(item.answer)) for item in found.train) + 2 > 3 * task.max_new_tokens


def test_plots_take_flat_and_single_valued_curves():
    assert plot("t", "", [("a", [1.0, 2.0], [3.0, 3.0])]).count("<polyline") == 1
    assert "nan" not in plot("t", "u", [("a", [1.0], [0.0]), ("b", [1.0], [0.0])])


def test_the_defaults_fit_together():
    settings = JobSettings()
    assert settings.questions >= settings.grpo_steps * settings.grpo_prompts
