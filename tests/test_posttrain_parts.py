"""LoRA, rewards, tasks, rollouts, the write-ahead log and evaluation."""

from __future__ import annotations

import json
import math
import random
from itertools import islice

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError
from ascendlite.generation import GenerationConfig
from ascendlite.models.gpt import GPT, GPTConfig
from ascendlite.posttrain import (
    LoraConfig,
    PieceTokenizer,
    Sampler,
    WriteAheadLog,
    add_lora,
    evaluate,
    exact_match,
    format_match,
    load_lora,
    merge_lora,
    numeric_match,
    pass_at_k,
    save_lora,
    soft_overlong,
    token_log_probs,
    total_rewards,
    wilson,
)
from ascendlite.posttrain.tasks import held_out, held_out_items, make_task, task_names, training_items
from ascendlite.posttrain.tasks.tagalog import number_words, read_number
from ascendlite.posttrain.wal import read_log


def small_gpt(seed: int = 0, vocab: int = 12, length: int = 24) -> GPT:
    al.manual_seed(seed)
    model = GPT(GPTConfig(vocab, length=length, layers=2, heads=2, width=16))
    for parameter in model.parameters():  # the published initialisation makes all tokens alike
        parameter.data.mul_(6.0) if parameter.ndim == 2 else None
    return model


# ---- LoRA


def test_fresh_lora_changes_nothing_and_only_it_learns():
    model, tokens = small_gpt(), al.tensor([[1, 2, 3, 4]])
    before = model(tokens)
    names = add_lora(model, LoraConfig(r=4))
    assert (model(tokens) == before).all().item()
    assert len(names) == 8 and not any("head" in name for name in names)
    model(tokens).sum().backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {name for name, p in model.named_parameters() if p.requires_grad} and len(learned) == 16
    assert all(".lora_" in name for name in learned)


@pytest.mark.parametrize("rslora", [False, True])
def test_merged_lora_is_the_same_function(rslora):
    model, tokens = small_gpt(), al.tensor([[1, 2, 3, 4]])
    add_lora(model, LoraConfig(r=4, use_rslora=rslora))
    for name, p in model.named_parameters():
        if "lora_B" in name:
            al.nn.init.normal_(p, std=0.2)
    expected = model(tokens).detach().numpy()
    assert merge_lora(model) == 8
    np.testing.assert_allclose(model(tokens).detach().numpy(), expected, atol=1e-6 * float(np.abs(expected).max()) * 4)
    assert all(p.requires_grad for p in model.parameters())


def test_the_optimizer_of_lora_holds_its_weights_only():
    model = small_gpt()
    add_lora(model, LoraConfig(r=2, target_modules=("qkv",)))
    optimizer = al.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model(al.tensor([[1, 2]])).sum().backward()
    optimizer.step()
    held = sum(t.nbytes for state in optimizer.state.values() for t in state.values() if isinstance(t, al.Tensor) and t.ndim)
    assert held == 2 * 4 * 2 * (2 * 16 + 2 * 48)  # two moments in float32 of A and B in both layers


def test_lora_files_come_back_and_are_refused_where_they_do_not_belong(tmp_path):
    model, tokens, config = small_gpt(), al.tensor([[1, 2, 3, 4]]), LoraConfig(r=4, target_modules=("qkv", "up"))
    add_lora(model, config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            al.nn.init.normal_(p, std=0.2)
    save_lora(model, tmp_path, config)
    record = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (record["peft_type"], record["r"], len(record["target_modules"])) == ("LORA", 4, 4)
    assert "base_model.model.blocks.0.attention.qkv.lora_A.weight" in al.load(tmp_path / "adapter_model.safetensors")
    other = small_gpt()
    assert load_lora(other, tmp_path).r == 4
    assert (other(tokens) == model(tokens)).all().item()
    narrow = small_gpt()
    add_lora(narrow, LoraConfig(r=2, target_modules=("qkv", "up")))
    with pytest.raises(ArgumentError, match=r"lora_A.weight is \(4, 16\) in .*, \(2, 16\) in the model"):
        load_lora(narrow, tmp_path)


def test_a_target_that_is_nowhere_is_named_with_what_there_is():
    with pytest.raises(ArgumentError, match="no linear layer matches .*; the linear layers are called: down, head, out, qkv, up"):
        add_lora(small_gpt(), LoraConfig(target_modules=("q_proj",)))


# ---- rewards


def test_rewards_read_what_they_should():
    def ask(f, texts, **columns):
        return f(prompts=[""] * len(texts), completions=texts, **columns)

    assert ask(exact_match(), ["Manila ", "Cebu"], answer=["manila", "Manila"]) == [1.0, 0.0]
    assert ask(numeric_match(rel_tol=0.01), ["it is 1,004.", "-3", "none"], answer=[1000, "-3.0", 1]) == [1.0, 1.0, 0.0]
    assert ask(format_match("<think>.*</think>.+", weight=0.5), ["<think>a\nb</think>c", "c"]) == [0.5, 0.0]
    assert ask(soft_overlong(100, 20), ["", ""], completion_lengths=[80, 95]) == [0.0, -0.75]


def test_several_rewards_are_summed_by_weight_and_none_is_no_say():
    assert total_rewards([[1.0, 0.0], [0.5, None]], [1.0, 2.0]) == [2.0, 0.0]
    assert math.isnan(total_rewards([[None]], [1.0])[0])


def test_a_missing_column_is_named():
    with pytest.raises(ArgumentError, match="no column 'answer'; it has: question"):
        exact_match()(prompts=[""], completions=[""], question=[""])


# ---- tasks


def test_tagalog_numbers_read_back():
    assert [n for n in range(-999, 1000) if read_number(number_words(n)) != n] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("labing-isa", 11), ("DALAWAMPU\u2019T  ISA.", 21), ("isang daan at siyamnapu't siyam", 199), ("wala", 0), ("sandaan at lima", 105),
     ("lima at lima", None), ("limampu't labing-isa", None), ("sero at lima", None), ("", None), ("lima dagdagan ng lima", None)],
)  # fmt: skip
def test_tagalog_is_read_as_people_write_it(text, value):
    assert read_number(text) == value


def test_tagalog_words_are_few_tokens():
    task = make_task("tagalog")
    tokenizer = PieceTokenizer(task.pieces)
    longest = max(len(tokenizer.encode(item.answer)) for item in islice(task.draw(1), 2000))
    assert longest + 1 <= task.max_new_tokens
    assert len(tokenizer.encode("dalawampu't tatlo dagdagan ng labing-isa")) == 5


@pytest.mark.parametrize("name", task_names())
def test_a_task_judges_its_own_answers_right(name):
    if name != "tagalog":
        pytest.importorskip("reasoning_gym")
    task = make_task(name)
    tokenizer = PieceTokenizer(task.pieces)
    for item in islice(task.draw(3), 40):
        assert task.score(item.answer, item) >= 0.999
        assert task.score("?!", item) < 0.1
        assert tokenizer.decode(tokenizer.encode(item.prompt)) == item.prompt
        assert len(tokenizer.encode(item.answer)) + 1 <= task.max_new_tokens, item


def test_held_out_questions_are_never_trained_on():
    task = make_task("tagalog")
    train, test = training_items(task, 3000, seed=5), held_out_items(task, 300)
    assert not {item.prompt for item in train} & {item.prompt for item in test}
    assert (len(train), len(test)) == (3000, 300) and all(held_out(item) for item in test)
    assert train == training_items(task, 3000, seed=5) != training_items(task, 3000, seed=6)


def test_unknown_tasks_are_named():
    pytest.importorskip("reasoning_gym")
    with pytest.raises(ArgumentError, match="task 'sudokuu' is unknown"):
        make_task("sudokuu")


# ---- the log


def test_a_torn_or_damaged_record_ends_the_log_and_is_written_over(tmp_path):
    path = tmp_path / "log"
    with WriteAheadLog(path) as log:
        for n in range(5):
            log.append({"n": n})
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert read_log(path)[0] == [{"n": n} for n in range(whole[:cut].count(b"\n"))]
    spoiled = bytearray(whole)
    spoiled[whole.index(b"\n") + 12] ^= 4  # in the second record
    path.write_bytes(bytes(spoiled))
    with WriteAheadLog(path) as log:
        assert log.records == [{"n": 0}]
        log.append({"n": 9})
    assert read_log(path)[0] == [{"n": 0}, {"n": 9}]


# ---- rollouts

PROMPTS = [[1, 2], [3, 4, 5], [1, 2], [6]]
SEEDS = [11, 12, 13, 14]


def sampler(**options) -> Sampler:
    return Sampler(small_gpt(), GenerationConfig(**{"max_new_tokens": 10, "stop_tokens": (0,), **options}))


def state(rollouts) -> list:
    return [(r.tokens, r.logprobs, r.sets, r.finish) for r in rollouts]


def test_rollouts_are_what_generation_writes():
    expected = small_gpt().generate(PROMPTS, max_new_tokens=10, seed=SEEDS, stop_tokens=(0,), logprobs=True)
    found = sampler().draw(PROMPTS, SEEDS)
    assert [r.tokens for r in found] == [c.tokens for c in expected]
    assert [r.logprobs for r in found] == [c.drawn_logprobs for c in expected]
    assert len({len(r.tokens) for r in found}) > 1  # some end early


@pytest.mark.parametrize("options", [{}, {"top_k": 4, "temperature": 0.7}])
def test_a_rollout_that_was_killed_anywhere_goes_on_bit_for_bit(tmp_path, options):
    path = tmp_path / "log"
    with WriteAheadLog(path) as log:
        expected = state(sampler(**options).draw(PROMPTS, SEEDS, log))
    whole = path.read_bytes()
    rng = random.Random(4)
    for cut in [0, len(whole), *(rng.randrange(len(whole)) for _ in range(12))]:
        path.write_bytes(whole[:cut])
        with WriteAheadLog(path) as log:
            assert state(sampler(**options).draw(PROMPTS, SEEDS, log)) == expected
        assert path.read_bytes() == whole


def test_the_log_of_other_prompts_is_not_taken_up(tmp_path):
    with WriteAheadLog(tmp_path / "log") as log:
        sampler().draw(PROMPTS, SEEDS, log)
    with WriteAheadLog(tmp_path / "log") as log:
        assert state(sampler().draw(PROMPTS, [1, 2, 3, 4], log)) == state(sampler().draw(PROMPTS, [1, 2, 3, 4]))


@pytest.mark.parametrize("options", [{}, {"top_k": 4, "temperature": 0.7}, {"top_p": 0.8}])
def test_training_sees_the_probabilities_that_the_sampler_drew_from(options):
    model = small_gpt()
    chosen = {"max_new_tokens": 10, **options}
    for rollout in Sampler(model, GenerationConfig(**chosen)).draw(PROMPTS, SEEDS):
        tokens = [*rollout.prompt, *rollout.tokens]
        logits = model(al.tensor([tokens]))[:, len(rollout.prompt) - 1 : -1]
        kept = None
        if rollout.sets:
            width = max(map(len, rollout.sets))
            kept = al.tensor([[[*s, *[-1] * (width - len(s))] for s in rollout.sets]])
        found = token_log_probs(logits, al.tensor([rollout.tokens]), temperature=chosen.get("temperature", 1.0), kept=kept)
        np.testing.assert_allclose(found[0].detach().numpy(), rollout.logprobs, atol=2e-6)


def test_a_sampler_that_training_could_not_follow_is_refused():
    with pytest.raises(ArgumentError, match=r"temperature 0\.0"):
        sampler(temperature=0.0)


# ---- evaluation


def test_pass_at_k_is_the_share_of_draws_with_a_right_one():
    for n, c, k in [(8, 3, 2), (8, 0, 8), (8, 1, 8), (5, 5, 1)]:
        rng = np.random.default_rng(0)
        right = np.array([1] * c + [0] * (n - c))
        share = np.mean([right[rng.permutation(n)[:k]].any() for _ in range(4000)])
        assert pass_at_k(n, c, k) == pytest.approx(share, abs=0.03)


def test_wilson_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    for c, n in [(0, 10), (3, 10), (10, 10), (250, 500)]:
        expected = stats.binomtest(c, n).proportion_ci(method="wilson")
        assert wilson(c / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


class Digits:
    """A tokenizer of single characters."""

    eos_token_id = 0

    def encode(self, text):
        return [int(c) for c in text]

    def decode(self, tokens):
        return "".join(map(str, tokens))


def test_evaluation_counts_what_generation_writes():
    model, prompts = small_gpt(vocab=10), ["12", "345", "6"]
    wanted = [c.text for c in model.generate(prompts, tokenizer=Digits(), max_new_tokens=6, temperature=0.0, stop_tokens=(0,))]
    found = evaluate(model, Digits(), prompts, lambda n, text: float(text == wanted[n]), samples=4, max_new_tokens=6, seed=3)
    assert found.greedy.value == 1.0 and [a.completion for a in found.examples] == wanted
    again = evaluate(model, Digits(), prompts, lambda n, text: float(text == wanted[n]), samples=4, max_new_tokens=6, seed=3, rows=4)
    assert again.figures() == found.figures()
    assert 0 <= found.pass_1.value <= found.pass_k.value <= 1
