"""Trainers: what they compute, what users of TRL expect of them, and going on bit for bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError
from ascendlite.models.deepseek_v4 import DeepseekV4, config_of
from ascendlite.posttrain import (
    Example,
    GRPOConfig,
    GRPOTrainer,
    SFTConfig,
    SFTTrainer,
    TrainerCallback,
    pack,
    pad,
)
from ascendlite.posttrain.dataset import sft_example
from ascendlite.posttrain.forward import answer_hidden, continued, hidden_states, target_loss
from ascendlite.posttrain.optimizers import for_muon
from ascendlite.posttrain.routing import record_routes
from tests.posttrain_runs import KINDS, TOKENIZER, digest, dpo, figures, gpt, grpo, liked, rows, sft


def gradients(model, batches) -> dict[str, np.ndarray]:
    total = sum(b.target_count for b in batches)
    for p in model.parameters():
        p.grad = None
    for batch in batches:
        (target_loss(model, batch, hidden_states(model, batch, al.device("cpu"))) / total).backward()
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}


def some_examples(vocab: int) -> list[Example]:
    rng = np.random.default_rng(2)
    made = []
    for n in (9, 4, 6, 12, 2, 5, 7):
        tokens = tuple(int(t) for t in rng.integers(0, vocab, n))
        made.append(Example(tokens, (False,) * (n // 2) + (True,) * (n - n // 2)))
    return made


MODELS = {
    "gpt": lambda: gpt(),
    "deepseek_v4": lambda: DeepseekV4(config_of("tiny")),
}


# ---- SFT


@pytest.mark.parametrize("kind", MODELS)
def test_packing_changes_neither_loss_nor_gradients(kind):
    al.manual_seed(1)
    model = MODELS[kind]()
    examples = some_examples(100)
    packed, padded = pack(examples, 20), pad(examples)
    assert packed.packed and packed.tokens.shape[0] < len(examples) and packed.target_count == padded.target_count
    one, other = gradients(model, [packed]), gradients(model, [padded])
    scale = max(float(np.abs(g).max()) for g in other.values())
    for name in other:
        np.testing.assert_allclose(one[name], other[name], atol=2e-6 * max(scale, 1.0), err_msg=name)


def test_a_packed_text_sees_no_other():
    model = gpt()
    first, other, second = Example((5, 6, 7), (True,) * 3), Example((9, 8, 3), (True,) * 3), Example((4, 3, 2, 1), (True,) * 4)
    cpu = al.device("cpu")
    one = hidden_states(model, pack([first, second], 6), cpu)
    two = hidden_states(model, pack([other, second], 6), cpu)
    assert (one[0, :3] == two[0, :3]).all().item()  # best fit puts the longer one first
    assert not (one[0, 3:5] == two[0, 3:5]).any().item()


def test_how_a_step_is_cut_does_not_matter():
    model, examples = gpt(), some_examples(100)
    whole = gradients(model, [pad(examples)])
    cut = gradients(model, [pad(examples[:1]), pad(examples[1:3]), pad(examples[3:])])
    for name in whole:
        np.testing.assert_allclose(cut[name], whole[name], atol=1e-6)


def test_examples_are_made_of_all_forms_of_rows():
    def text(example):
        return TOKENIZER.decode(example.tokens), TOKENIZER.decode([t for t, keep in zip(example.tokens, example.learned, strict=True) if keep])

    end = "<｜end▁of▁sentence｜>"
    assert text(sft_example({"prompt": "a=", "completion": "b"}, TOKENIZER)) == (f"a=b{end}", f"b{end}")
    assert text(sft_example({"prompt": "a=", "completion": "b"}, TOKENIZER, completion_only=False))[1] == f"a=b{end}"
    assert text(sft_example({"text": "ab"}, TOKENIZER))[1] == f"ab{end}"
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2
    whole, learned = text(sft_example({"messages": messages}, TOKENIZER))
    turn = f"<｜User｜>a<｜Assistant｜></think>b{end}"
    assert (whole, learned) == (f"<｜begin▁of▁sentence｜>{turn}{turn}", f"b{end}b{end}")
    prompt = [{"role": "user", "content": "a"}]
    assert text(sft_example({"prompt": prompt, "completion": [{"role": "assistant", "content": "b"}]}, TOKENIZER))[0] == TOKENIZER.chat("a") + f"b{end}"


def test_sft_learns():
    trainer = sft(None, max_steps=60, learning_rate=3e-2, optim="muon")
    assert trainer.train().ended == "done"
    losses = [row["loss"] for row in trainer.state.log_history]
    assert losses[0] > 4 and losses[-1] < 0.5


def test_muon_gets_the_matrices_that_the_report_gives_it():
    names = for_muon(gpt())
    assert names == {f"blocks.0.{n}.weight" for n in ("attention.qkv", "attention.out", "up", "down")}
    v4 = for_muon(DeepseekV4(config_of("tiny")))
    assert not [n for n in v4 if n.startswith(("embed.", "head.")) or "norm" in n or n.endswith(("ape", "base", "scale"))]
    assert any("experts" in n for n in v4)


# ---- DPO


def test_dpo_starts_at_ln_2_and_prefers():
    trainer = dpo(None, max_steps=25)
    trainer.train()
    first, last = trainer.state.log_history[0], trainer.state.log_history[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6) and first["rewards/margins"] == 0.0
    assert last["loss"] < 0.3 and last["rewards/accuracies"] == 1.0


# ---- GRPO


def test_grpo_learns_what_is_rewarded():
    def lower_case(prompts, completions, **columns):
        return [sum(c.islower() for c in text) / max(1, len(text)) for text in completions]

    trainer = grpo(None, max_steps=25, num_iterations=1, steps_per_generation=2, beta=0.0, per_device_train_batch_size=16)
    trainer.rewards = [lower_case]
    trainer.train()
    rewards = [row["reward"] for row in trainer.state.log_history]
    assert rewards[0] < 0.45 and rewards[-1] > 0.8


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo", "gspo", "cispo"])
def test_the_first_pass_over_a_generation_has_ratio_one(loss_type):
    trainer = grpo(None, max_steps=1, loss_type=loss_type, gradient_accumulation_steps=4, epsilon=None, epsilon_high=None)
    trainer.train()
    (row,) = trainer.state.log_history
    assert row["ratio"] == pytest.approx(1.0, abs=1e-6) and row["clip_ratio"] == 0.0 and row["kl"] == pytest.approx(0.0, abs=1e-9)
    assert row["grad_norm"] > 0


def test_a_second_pass_does_not():
    trainer = grpo(None, max_steps=4)
    trainer.train()
    ratios = [row["ratio"] for row in trainer.state.log_history]
    assert ratios[2] != pytest.approx(1.0, abs=1e-4) and trainer.state.log_history[3]["kl"] > 0


def test_reward_functions_get_what_trl_gives_them():
    seen = {}

    def spy(prompts, completions, **columns):
        seen.update(columns, prompts=prompts, completions=completions)
        return [None] * len(prompts)

    trainer = grpo(None, max_steps=1)
    trainer.rewards = [spy]
    trainer.train()
    assert set(seen) >= {"prompts", "completions", "wanted", "completion_lengths"}
    assert len(seen["prompts"]) == len(seen["wanted"]) == 16
    assert all(seen["prompts"][4 * g : 4 * g + 4] == [seen["prompts"][4 * g]] * 4 for g in range(4))
    assert trainer.state.log_history[0]["grad_norm"] == 0.0  # nobody had a say


def test_a_single_function_will_do_and_a_wrong_one_is_named():
    args = GRPOConfig(max_steps=1, num_generations=4, max_completion_length=3, disable_tqdm=True)
    trainer = GRPOTrainer(gpt(), liked, args, rows(), processing_class=TOKENIZER)
    assert trainer.train().global_step == 1
    trainer = GRPOTrainer(gpt(), lambda prompts, completions, **_: [1.0], args, rows(), processing_class=TOKENIZER)
    with pytest.raises(ArgumentError, match="gave 1 numbers for 8 completions"):
        trainer.train()


def test_the_importance_correction_of_an_exact_sampler_is_one():
    plain, corrected = grpo(None, max_steps=2), grpo(None, max_steps=2, importance_sampling_correction=True)
    plain.train(), corrected.train()
    for a, b in zip(plain.model.parameters(), corrected.model.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=2e-4)


def test_top_k_sampling_is_followed_by_training():
    trainer = grpo(None, max_steps=1, top_k=5, temperature=0.8, gradient_accumulation_steps=4)
    trainer.train()
    assert trainer.state.log_history[0]["ratio"] == pytest.approx(1.0, abs=1e-5)


def test_routes_of_training_are_those_of_cached_sampling():
    from ascendlite.models.deepseek_v4 import Side

    al.manual_seed(0)
    model = DeepseekV4(config_of("tiny")).eval()
    prompt, answer = [5, 6, 7, 8, 9, 10, 3, 2, 1, 4, 5], [11, 12, 13, 14, 15, 16]
    batch = continued([prompt], [answer], al.device("cpu"))
    with al.no_grad():
        routes = record_routes(model, batch)
        cache = model.new_cache(1, 32)
        steps = []
        for part in (prompt, *([t] for t in answer[:-1])):
            side = Side(record=True)
            model.hidden(al.tensor([part]), cache=cache, side=side)
            steps.append(side.experts)
    for layer, chosen in routes.experts.items():
        assert al.cat([step[layer] for step in steps], 1).tolist() == chosen.tolist()


def test_replayed_routes_are_used():
    al.manual_seed(0)
    model = DeepseekV4(config_of("tiny")).eval()
    batch = continued([[1, 2, 3, 4]], [[5, 6, 7]], al.device("cpu"))
    from ascendlite.posttrain.routing import replay_options

    with al.no_grad():
        routes = record_routes(model, batch)
        assert (answer_hidden(model, batch, **replay_options(routes)) == answer_hidden(model, batch)).all().item()
        for layer in model.layers:
            if hasattr(layer.ffn.gate, "weight"):
                layer.ffn.gate.weight.mul_(-1.0)
        again = record_routes(model, batch)
        assert any(again.experts[k].tolist() != routes.experts[k].tolist() for k in routes.experts)
        from ascendlite.models.deepseek_v4 import Side

        side = Side(record=True, replay=replay_options(routes)["side"].replay)
        answer_hidden(model, batch, side=side)
    assert all(side.experts[k].tolist() == routes.experts[k].tolist() for k in routes.experts)


# ---- what all share


def test_callbacks_see_the_run_and_can_end_it(tmp_path):
    moments = []

    class Spy(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            moments.append("begin")

        def on_step_end(self, args, state, control, **kwargs):
            moments.append(state.global_step)
            control.should_training_stop = state.global_step == 3
            control.should_save = state.global_step == 2

        def on_log(self, args, state, control, *, logs, **kwargs):
            assert math.isfinite(logs["loss"]) and kwargs["model"] is trainer.model

        def on_save(self, args, state, control, **kwargs):
            moments.append("save")

        def on_train_end(self, args, state, control, **kwargs):
            moments.append("end")

    trainer = sft(tmp_path)
    trainer.callbacks.append(Spy())
    assert trainer.train().ended == "callback"
    assert moments == ["begin", 1, 2, "save", 3, "save", "end"]


def test_metrics_are_json_lines_and_go_on_after_a_resume(tmp_path):
    trainer = sft(tmp_path, max_steps=4, save_steps=2)
    trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in lines] == [1, 2, 3, 4] and {"loss", "grad_norm", "lr", "tokens_per_s", "seconds"} <= set(lines[0])
    longer = sft(tmp_path, max_steps=6, save_steps=2)
    longer.train(resume_from_checkpoint=True)
    again = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert again[:4] == lines and [row["step"] for row in again[4:]] == [5, 6]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_bit_for_bit_from_any_step(kind, tmp_path):
    whole = KINDS[kind](None)
    whole.train()
    for stop in range(1, whole.state.max_steps, 1 if kind == "grpo" else 2):  # in the middle of epochs and of generations
        folder = tmp_path / str(stop)
        first = KINDS[kind](folder)
        first.callbacks.append(_StopAt(stop))
        assert first.train().global_step == stop
        al.manual_seed(999)  # nothing may hang on what is around
        second = KINDS[kind](folder)
        second.train(resume_from_checkpoint=True)
        assert digest(second) == digest(whole)
        assert figures(second) == figures(whole)


class _StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def test_another_run_is_not_taken_for_the_same(tmp_path):
    sft(tmp_path, max_steps=1).train()
    with pytest.raises(ArgumentError, match=r"learning_rate was 0\.01 and is now 0\.5"):
        sft(tmp_path, learning_rate=0.5).train(resume_from_checkpoint=True)
    with pytest.raises(ArgumentError, match="the checkpoint is of SFTTrainer, this is DPOTrainer"):
        dpo(tmp_path).train(resume_from_checkpoint=True)
    with pytest.raises(ArgumentError, match="the run had 7 examples and seed 42, now there are 3"):
        trainer = SFTTrainer(gpt(), sft(tmp_path).config, rows(3), processing_class=TOKENIZER)
        trainer.train(resume_from_checkpoint=True)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SFTConfig(learning_rate=math.nan), "learning_rate is nan"),
        (lambda: SFTConfig(lr_scheduler_type="step"), "one of constant, constant_with_warmup, linear, cosine"),
        (lambda: GRPOConfig(num_generations=3), "a divisor of the 8 completions"),
        (lambda: GRPOConfig(loss_type="ppo"), "one of grpo, dapo, dr_grpo, gspo, cispo"),
        (lambda: GRPOConfig(steps_per_generation=3, gradient_accumulation_steps=2, num_generations=4), "a multiple of gradient_accumulation_steps"),
        (lambda: SFTTrainer(gpt(), SFTConfig(), [], processing_class=TOKENIZER), "the data set is empty"),
        (lambda: SFTTrainer(gpt(), SFTConfig(), [{"question": "a"}], processing_class=TOKENIZER), "a row has the columns question"),
        (lambda: SFTTrainer(gpt(), SFTConfig(max_length=3), [{"prompt": "aaaa", "completion": "b"}], processing_class=TOKENIZER), "fills max_length 3"),
    ],
)
def test_mistakes_are_named(make, text):
    with pytest.raises(ArgumentError, match=text):
        make()


# ---- learning rates


def test_cooling_ends_the_run_at_a_rate_of_zero_and_survives_a_resume(tmp_path):
    class Cool(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                kwargs["trainer"].cool_down(4)

    def make(folder):
        trainer = sft(folder, save_steps=1)
        trainer.callbacks.append(Cool())
        return trainer

    whole = make(None)
    whole.train()
    assert [round(row["lr"], 6) for row in whole.state.log_history] == [0.01] * 4 + [0.0075, 0.005, 0.0025]
    first = make(tmp_path)
    first.callbacks.append(_StopAt(5))
    first.train()
    second = make(tmp_path)
    second.train(resume_from_checkpoint=True)
    assert digest(second) == digest(whole)


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_learning_rates_can_differ_by_name(optim):
    before = gpt()
    trainer = sft(None, max_steps=1, optim=optim, learning_rate_scales=(("attention", 0.0), ("up.", 0.1)))
    trainer.train()
    moved = {name: float((p - q).abs().max().item()) for (name, p), q in zip(trainer.model.named_parameters(), before.parameters(), strict=True)}
    assert all(value == 0.0 for name, value in moved.items() if "attention." in name)
    assert 0 < moved["blocks.0.up.weight"] < 0.2 * moved["blocks.0.down.weight"]
