"""What users of TRL write: names of configs, reward functions of all kinds, conversations, LoRA by peft_config, dynamic sampling."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError
from ascendlite.models.gpt import GPT, GPTConfig
from ascendlite.posttrain import (
    DistillConfig,
    DistillTrainer,
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    LoraConfig,
    SFTConfig,
    SFTTrainer,
    exact_match,
    group_advantages,
)
from ascendlite.posttrain.generations import equal_groups
from ascendlite.posttrain.progress import ProgressCallback
from ascendlite.text import ByteChatTokenizer
from tests.posttrain_runs import TOKENIZER, digest, dpo, figures, gpt, grpo, liked, rows

SMALL = {"max_steps": 1, "num_generations": 4, "max_completion_length": 3, "disable_tqdm": True}


def trainer(rewards, dataset=None, **options) -> GRPOTrainer:
    return GRPOTrainer(gpt(), rewards, GRPOConfig(**{**SMALL, **options}), dataset or rows(), processing_class=TOKENIZER)


def distilled(teachers, dataset=None, **options) -> DistillTrainer:
    return DistillTrainer(gpt(), teachers, DistillConfig(max_steps=1, max_completion_length=3, disable_tqdm=True, **options), dataset or rows(), processing_class=TOKENIZER)


# ---- names


def test_configs_take_trls_names():
    args = GRPOConfig(
        per_device_train_batch_size=4, generation_batch_size=16, num_generations=4, max_completion_length=5, temperature=0.9, top_p=1.0, top_k=0,
        beta=0.04, epsilon=0.2, epsilon_high=0.28, loss_type="dr_grpo", scale_rewards="none", importance_sampling_level="sequence",
        mask_truncated_completions=True, reward_weights=[1.0], num_iterations=2, use_vllm=False, shuffle_dataset=True,
        use_bias_correction_kl=True, vllm_importance_sampling_correction=True, vllm_importance_sampling_mode="token_truncate",
        lr_scheduler_type="constant_with_warmup", warmup_ratio=0.1, optim="adamw_torch", report_to="none", fp16=False, logging_steps=1,
        save_strategy="steps", disable_tqdm=True, max_steps=2,
    )  # fmt: skip
    assert args.kl == "unbiased" and args.importance_sampling_correction and args.importance_sampling_mode == "token_truncate"
    assert args.generation_rows == 16 and args.micro_batches == 4
    assert GRPOTrainer(gpt(), [liked], args, rows(), processing_class=TOKENIZER).train().global_step == 2
    assert SFTConfig(max_seq_length=64).max_length == 64


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: GRPOConfig(num_generation=8), TypeError, "there is no 'num_generation'; did you mean 'num_generations'"),
        (lambda: GRPOConfig(use_vllm=True), ArgumentError, "use_vllm is True, but only False is possible here"),
        (lambda: SFTConfig(fp16=True, bf16=True), ArgumentError, "False where bf16 is True"),
        (lambda: SFTConfig(max_seq_length=8, max_length=8), ArgumentError, "max_seq_length and max_length are the same"),
        (lambda: GRPOConfig(scale_rewards="all"), ArgumentError, "scale_rewards is 'all'; it must be True, False, group, batch or none"),
        (lambda: GRPOConfig(importance_sampling_level="row"), ArgumentError, "must be token or sequence"),
        (lambda: GRPOConfig(loss_type="bnpo"), ArgumentError, "one of grpo, dapo"),
        (lambda: GRPOConfig(epsilon=-0.1), ArgumentError, "epsilon is -0.1"),
        (lambda: GRPOConfig(generation_batch_size=12), ArgumentError, "a multiple of per_device_train_batch_size, 8"),
        (lambda: GRPOConfig(sync_ref_model=True), ArgumentError, "False where beta is 0"),
        (lambda: DPOConfig(report_to="wandb"), ArgumentError, "some of none, tensorboard"),
        (lambda: trainer([liked, liked], reward_weights=(1.0,)), ArgumentError, "2 reward_funcs and 1 reward_weights"),
        (lambda: trainer("a/reward-model"), ArgumentError, "'a/reward-model' of reward_funcs is no function"),
        (lambda: GRPOTrainer(gpt(), liked, GRPOConfig(), None, processing_class=TOKENIZER), ArgumentError, "it needs train_dataset"),
        (lambda: GRPOTrainer(gpt(), liked, GRPOConfig(), rows()), ArgumentError, "it needs processing_class"),
        (lambda: GRPOTrainer(gpt(), liked, GRPOConfig(), iter(rows()), processing_class=TOKENIZER), ArgumentError, "make a list of it"),
        (lambda: GRPOTrainer(gpt(), liked, GRPOConfig(), rows(), processing_class=3), ArgumentError, "is a int without 'encode'"),
        (lambda: DPOTrainer(gpt(), None, DPOConfig(), [{"prompt": "a", "chosen": "b"}], processing_class=TOKENIZER), ArgumentError, "'rejected' is missing"),
        (lambda: GRPOTrainer(gpt(), liked, {"max_steps": 1}, rows(), processing_class=TOKENIZER), ArgumentError, "args is a dict; give a GRPOConfig"),
        (lambda: SFTTrainer(gpt(), DPOConfig(), rows(), processing_class=TOKENIZER), ArgumentError, "args is a DPOConfig; give a SFTConfig"),
        (lambda: GRPOTrainer(gpt(), liked, GRPOConfig(), {"prompt": ["a"]}, processing_class=TOKENIZER), ArgumentError, "is a mapping of prompt; give rows"),
        (lambda: GRPOTrainer(gpt(), liked, GRPOConfig(), [], processing_class=TOKENIZER), ArgumentError, "GRPOTrainer: the data set is empty"),
        (lambda: SFTTrainer(gpt(), SFTConfig(), ["a"], processing_class=TOKENIZER), ArgumentError, "a row is a str, 'a'; rows are mappings"),
        (lambda: SFTConfig(max_steps="3"), ArgumentError, "max_steps is '3'; it must be a whole number"),
        (lambda: SFTConfig(max_steps=1.5), ArgumentError, "max_steps is 1.5; it must be a whole number"),
        (lambda: SFTConfig(num_train_epochs=0), ArgumentError, "num_train_epochs is 0; it must be above 0"),
        (lambda: SFTConfig(_at_least_one=()), TypeError, "there is no '_at_least_one'"),
        (lambda: DistillConfig(distill_temperature=0), ArgumentError, "distill_temperature is 0; it must be above 0"),
        (lambda: DistillConfig(lmbda=0.5), ArgumentError, "lmbda is 0.5, but only 1.0 is possible here"),
        (lambda: distilled("smollm2"), ArgumentError, "teacher 0 is a str; give models"),
        (lambda: distilled([]), ArgumentError, "it needs teachers"),
        (lambda: distilled(GPT(GPTConfig(7, length=8, layers=1, heads=1, width=8))), ArgumentError, "teacher 0 has a vocabulary of 7 tokens, the student of"),
        (lambda: GRPOTrainer("nowhere", liked, GRPOConfig(), rows()), FileNotFoundError, "nowhere: no GGUF file and no folder"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


@pytest.mark.parametrize("teacher", [-1, 1, 0.5, "0", None])
def test_a_row_that_names_no_teacher_is_named(teacher):
    with pytest.raises(ArgumentError, match=f"a row names teacher {teacher!r}; there are 1, numbered from 0"):
        distilled([gpt(1)], [{"prompt": "isa", "teacher": teacher}]).train()


def test_one_teacher_needs_no_list():
    assert distilled(gpt(1), lmbda=1.0).train().global_step == 1


def test_a_prompt_that_the_model_cannot_read_is_named():
    with pytest.raises(ArgumentError, match="prompt 0 has 40 tokens, the model reads from 1 to 24; leave it out of the data set, or shorten it"):
        trainer(liked, [{"prompt": "." * 40, "wanted": "isa"}]).train()
    with pytest.raises(ArgumentError, match="prompt 0 has 0 tokens"):
        distilled(gpt(1), [{"prompt": ""}]).train()


def test_progress_is_shown_unless_it_is_not_wanted(capsys):
    trainer(liked).train()
    assert capsys.readouterr().err == ""
    shown = trainer(liked, disable_tqdm=False)
    assert isinstance(shown.callbacks[0], ProgressCallback)
    shown.train()
    assert "GRPOTrainer 1/1: loss" in capsys.readouterr().err


# ---- rewards


def test_several_rewards_some_of_them_coroutines_are_weighed():
    order = []

    async def slow(completions, **columns):
        order.append("slow begins")
        await asyncio.sleep(0.02)
        order.append("slow ends")
        return [1.0] * len(completions)

    async def quick(completions, wanted, **columns):
        order.append("quick")
        return [2.0 * len(word) for word in wanted]

    def plain(completions):  # takes what it names, and nothing else
        return np.arange(len(completions), dtype=np.float32)

    made = trainer([slow, quick, plain], reward_weights=[1.0, 0.5, 0.0])
    made.train()
    assert order == ["slow begins", "quick", "slow ends"]  # they wait together
    (row,) = made.state.log_history
    words = [len(r["wanted"]) for r in rows()]
    assert row["rewards/slow/mean"] == 1.0 and row["rewards/plain/mean"] == 3.5 and row["rewards/plain/std"] == pytest.approx(np.arange(8).std(ddof=1))
    assert row["reward"] == pytest.approx(1.0 + 0.5 * row["rewards/quick/mean"]) and row["rewards/quick/mean"] / 2 <= max(words)


def test_coroutines_work_in_a_running_loop():
    async def one(completions, **columns):
        return [float(len(text)) for text in completions]

    async def notebook():
        return trainer(one).train()

    assert asyncio.run(notebook()).global_step == 1


@pytest.mark.parametrize(
    ("reward", "text"),
    [
        (lambda completions, **_: 1.0, "it gave a float; give a list of numbers or None"),
        (lambda completions, **_: np.ones(()), "it gave a ndarray; give a list of numbers or None"),
        (lambda completions, **_: np.ones((8, 1)), "of completion 0 is no number"),
        (lambda completions, **_: ["good"] * 8, "'good' of completion 0 is no number"),
        (lambda completions, **_: [float("inf")] * 8, "inf of completion 0"),
        (lambda completions, answer: [0.0] * 8, "it asks for answer; the data set has the columns chosen, rejected, wanted"),
    ],
)
def test_a_reward_that_cannot_be_used_is_named(reward, text):
    reward.__name__ = "mine"
    with pytest.raises(ArgumentError, match=f"reward mine: .*{text}"):
        trainer(reward).train()


def test_an_error_in_a_reward_says_where():
    def broken(completions, **columns):
        raise KeyError("x")

    async def later(completions, **columns):
        raise KeyError("x")

    for reward in (broken, later):
        with pytest.raises(KeyError) as caught:
            trainer(reward).train()
        assert caught.value.__notes__ == [f"in the reward function {reward.__name__}"]


def test_conversations_reach_rewards_as_messages():
    seen = {}

    def spy(prompts, completions, completion_ids, trainer_state, **columns):
        seen.update(prompts=prompts, completions=completions, ids=completion_ids, step=trainer_state.global_step, columns=columns)
        return [float(len(answer[0]["content"])) for answer in completions]

    turns = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}]
    made = trainer([spy, exact_match()], [{"prompt": turns, "answer": "isa"}] * 3)
    made.train()
    assert seen["prompts"][0] == turns and seen["step"] == 0 and seen["columns"]["answer"] == ["isa"] * 8
    assert all(c[0]["role"] == "assistant" for c in seen["completions"]) and all(0 < len(ids) <= 3 for ids in seen["ids"])
    first = TOKENIZER.decode(made.generation.rollouts[0].prompt)
    end = "<｜end▁of▁sentence｜>"
    assert first == f"<｜begin▁of▁sentence｜><｜User｜>1<｜Assistant｜></think>2{end}<｜User｜>3<｜Assistant｜></think>"
    with pytest.raises(ArgumentError, match="messages are a list of"):
        trainer(spy, [{"prompt": [{"content": "1"}]}]).train()


def test_a_library_tokenizer_brings_its_template():
    pytest.importorskip("tokenizers"), pytest.importorskip("jinja2")
    import tokenizers

    from ascendlite.posttrain.conversing import ChatCodec, codec_of
    from ascendlite.posttrain.dataset import sft_example
    from ascendlite.text import Tokenizer

    words = ["<s>", "</s>", "[u]", "[a]", "hi", "yo", "bye", "ok", "\n"]
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<s>"))
    inner.add_special_tokens(words[:4] + ["\n"])
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    template = (
        "{% for m in messages %}{{ '[u]' if m.role == 'user' else '[a]' }}{{ m.content | trim }}</s>\n{% endfor %}{% if add_generation_prompt %}[a]{% endif %}"
    )
    tokenizer = Tokenizer(inner, begin=0, end=1, adds_begin=True, stop_tokens=[1], template=template)
    codec = codec_of(tokenizer)
    assert isinstance(codec, ChatCodec) and codec_of(TOKENIZER) is TOKENIZER
    turns = [{"role": r, "content": c} for r, c in (("user", "hi"), ("assistant", " yo "), ("user", "bye"), ("assistant", "ok"))]
    made = sft_example({"messages": turns}, codec)
    assert [words[t] for t in made.tokens] == ["<s>", "[u]", "hi", "</s>", "\n", "[a]", "yo", "</s>", "\n", "[u]", "bye", "</s>", "\n", "[a]", "ok", "</s>"]
    assert [words[t] for t, keep in zip(made.tokens, made.learned, strict=True) if keep] == ["yo", "</s>", "ok", "</s>"]
    forgets = Tokenizer(inner, begin=0, end=1, stop_tokens=[1], template="{{ messages[-1].content }}</s>{% if add_generation_prompt %}[a]{% endif %}")
    with pytest.raises(ArgumentError, match="writes earlier turns anew"):
        sft_example({"messages": turns}, codec_of(forgets))


def test_trainers_take_lora_by_its_config():
    al.manual_seed(0)
    model = GPT(GPTConfig(ByteChatTokenizer().vocab_size, length=64, layers=1, heads=1, width=8))
    made = GRPOTrainer(model, liked, GRPOConfig(**SMALL), rows(), processing_class=ByteChatTokenizer(), peft_config=LoraConfig(r=2))
    assert {name.split(".")[-2] for name, p in made.model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
    made.train()


def test_a_reference_that_follows_comes_nearer():
    made = grpo(None, max_steps=4, sync_ref_model=True, ref_model_sync_steps=2, ref_model_mixup_alpha=1.0)
    made.train()
    for mine, theirs in zip(made.model.parameters(), made.reference.parameters(), strict=True):
        np.testing.assert_array_equal(mine.detach().numpy(), theirs.numpy())
    still = dpo(None, max_steps=1)
    assert still.reference is not still.model


# ---- scales and dynamic sampling


def test_rewards_are_scaled_by_group_or_by_batch():
    rewards = np.array([1.0, 0.0, 5.0, 5.0, 2.0, 8.0])
    groups = rewards.reshape(3, 2)
    apart = groups - groups.mean(1, keepdims=True)
    for scale, by in (("group", groups.std(1, ddof=1, keepdims=True)), ("batch", rewards.std(ddof=1)), ("none", 1 - 1e-4)):
        found = group_advantages(al.tensor(rewards), 2, scale=scale).numpy()
        np.testing.assert_allclose(found, (apart / (by + 1e-4)).ravel(), rtol=1e-9, atol=1e-12)
    with pytest.raises(ArgumentError, match="scale is 'some'"):
        group_advantages(al.tensor(rewards), 2, scale="some")


def rare(prompts, completions, **columns):
    """Many groups get the same for all."""
    return [float("isa" in text) for text in completions]


def test_groups_without_a_signal_are_drawn_again_up_to_a_limit():
    plain, again = (trainer(rare, max_steps=2, per_device_train_batch_size=16, dynamic_sampling=n, max_completion_length=6) for n in (0, 8))
    plain.train(), again.train()
    first, second = plain.state.log_history[0], again.state.log_history[0]
    assert "resampled_groups" not in first and first["frac_reward_zero_std"] > 0
    assert second["resampled_groups"] > 0 and 1 <= second["resamplings"] <= 8
    assert second["frac_reward_zero_std"] < first["frac_reward_zero_std"] or second["resamplings"] == 8
    assert again.order.taken == 8 + sum(row["resampled_groups"] for row in again.state.log_history)  # other prompts
    never = trainer(lambda completions, **_: [1.0] * len(completions), dynamic_sampling=3)
    never.train()
    (row,) = never.state.log_history
    assert row["resamplings"] == 3 and row["resampled_groups"] == 6 and row["frac_reward_zero_std"] == 1.0 and row["grad_norm"] == 0.0


def test_equal_groups_are_found_where_some_had_no_say():
    nan = float("nan")
    assert equal_groups([1.0, 1.0, 1.0, 0.0, nan, nan, nan, 2.0], 2) == [0, 2, 3]


def test_a_run_with_dynamic_sampling_goes_on_bit_for_bit(tmp_path):
    def run(folder):
        return GRPOTrainer(
            gpt(), rare, GRPOConfig(str(folder) if folder else None, **{**SMALL, "max_steps": 4, "save_steps": 1, "dynamic_sampling": 2, "learning_rate": 1e-2}),
            rows(), processing_class=TOKENIZER,
        )  # fmt: skip

    whole = run(None)
    whole.train()
    first = run(tmp_path)
    first.state.max_steps = 2
    first.train()
    assert list((tmp_path / "rollouts").glob("generation-*-1.log"))
    again = run(tmp_path)
    again.train(resume_from_checkpoint=True)
    assert digest(again) == digest(whole) and figures(again) == figures(whole)
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())


def test_sft_takes_lora_and_messages():
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    made = SFTTrainer(gpt(), SFTConfig(max_steps=1, disable_tqdm=True), [{"messages": turns}], processing_class=TOKENIZER, peft_config=LoraConfig(r=2))
    assert made.train().global_step == 1
    with pytest.raises(ArgumentError, match="messages are a list of"):
        SFTTrainer(gpt(), SFTConfig(disable_tqdm=True), [{"messages": "a"}], processing_class=TOKENIZER)
