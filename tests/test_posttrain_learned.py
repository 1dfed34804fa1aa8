"""Checkpoints of models that learn in part: what learns is written, what is frozen is checked."""

from __future__ import annotations

import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError
from ascendlite.models.llama import Llama, LlamaConfig, load_hf
from ascendlite.posttrain import GRPOConfig, GRPOTrainer, LoraConfig, SFTConfig, SFTTrainer, add_lora, load_lora
from tests.posttrain_runs import TOKENIZER, digest, figures, gpt, liked, rows


def lora_grpo(folder, seed=0, **options):
    model = gpt(seed)
    al.manual_seed(9)
    add_lora(model, LoraConfig(r=2))
    config = {"max_steps": 6, "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 4, "learning_rate": 1e-2, "beta": 0.1}
    args = GRPOConfig(str(folder) if folder else None, disable_tqdm=True, save_steps=2, **config, **options)
    return GRPOTrainer(model, liked, args, rows(), processing_class=TOKENIZER)


def test_a_run_with_lora_saves_what_learns_and_goes_on_bit_for_bit(tmp_path):
    whole = lora_grpo(None)
    whole.train()
    first = lora_grpo(tmp_path)
    first.state.max_steps = 4
    first.train()
    saved = al.load(tmp_path / "checkpoints" / "step-00000004" / "model.safetensors")
    assert saved and all(".lora_" in name for name in saved)
    again = lora_grpo(tmp_path)
    again.train(resume_from_checkpoint=True)
    assert digest(again) == digest(whole) and figures(again) == figures(whole)
    assert again.reference.embedding.weight is again.model.embedding.weight  # what is frozen is there once
    with pytest.raises(ArgumentError, match="frozen weights are not those"):
        lora_grpo(tmp_path, seed=1).train(resume_from_checkpoint=True)


def test_a_trained_model_is_saved_for_other_programs(tmp_path):
    config = LlamaConfig(TOKENIZER.vocab_size, 16, 16, 1, 2, 1, max_position_embeddings=64)
    args = SFTConfig(str(tmp_path), max_steps=1, disable_tqdm=True)
    al.manual_seed(0)
    whole = SFTTrainer(Llama(config), args, rows(), processing_class=TOKENIZER)
    whole.train()
    again = load_hf(whole.save_model())
    assert all(al.equal(a, b) for a, b in zip(whole.model.parameters(), again.parameters(), strict=True))
    part = SFTTrainer(again, args, rows(), processing_class=TOKENIZER, peft_config=LoraConfig(r=2, lora_alpha=6.0))
    part.train()
    other = load_hf(tmp_path / "model")
    assert load_lora(other, part.save_model(tmp_path / "adapter")).lora_alpha == 6.0
    ids = al.tensor([[1, 2, 3]])
    assert al.equal(other(ids), part.model(ids))
    with pytest.raises(ArgumentError, match="a GPT has no form that other programs read"):
        lora_free = GRPOTrainer(gpt(), liked, GRPOConfig(disable_tqdm=True), rows(), processing_class=TOKENIZER)
        lora_free.save_model(tmp_path / "gpt")


def test_a_checkpoint_of_other_lora_is_refused_and_named(tmp_path):
    lora_grpo(tmp_path).train()
    model = gpt()
    add_lora(model, LoraConfig(r=3))
    args = GRPOConfig(str(tmp_path), disable_tqdm=True, max_steps=7, num_generations=4)
    with pytest.raises(ArgumentError, match="lora_A.weight' differs between the checkpoint and what learns"):
        GRPOTrainer(model, liked, args, rows(), processing_class=TOKENIZER).train(resume_from_checkpoint=True)
