"""Makes tests/goldens/llama: tiny random models of the family, saved by transformers, with their logits and a gradient in float32.

    pip install torch transformers; python tests/goldens/make_llama.py

Made with transformers 5.24.0 and torch 2.13.0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

FOLDER = Path(__file__).parent / "llama"
SIZES = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
         "max_position_embeddings": 128, "initializer_range": 0.3, "attn_implementation": "eager"}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
MODELS = {
    "llama2": (LlamaForCausalLM, LlamaConfig(**SIZES)),
    "llama3": (LlamaForCausalLM, LlamaConfig(**SIZES, num_key_value_heads=2, rope_parameters={**LLAMA3, "rope_theta": 5000.0}, tie_word_embeddings=True)),
    "linear": (LlamaForCausalLM, LlamaConfig(**SIZES, num_key_value_heads=1, attention_bias=True, mlp_bias=True,
                                             rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0})),
    "yarn": (LlamaForCausalLM, LlamaConfig(**SIZES, num_key_value_heads=2, head_dim=12, rope_parameters={**YARN, "rope_theta": 10000.0})),
    "mistral": (MistralForCausalLM, MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=64)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5)),
}  # fmt: skip


def main() -> None:
    """Write every model."""
    transformers.logging.set_verbosity_error()
    for number, (name, (kind, config)) in enumerate(MODELS.items()):
        torch.manual_seed(number)
        model = kind(config).float().eval()
        for parameter in model.parameters():  # norms and biases too: ones and zeros would prove nothing
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, 0.7, 0.3)
        ids = torch.randint(0, 40, (2, 50))
        logits = model(ids).logits
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        model.save_pretrained(FOLDER / name, max_shard_size="12KB" if name == "llama3" else "5GB")
        gradient = model.model.layers[0].self_attn.k_proj.weight.grad
        np.savez(FOLDER / f"{name}.npz", ids=ids.numpy().astype(np.int16), logits=logits.detach().numpy()[:, ::7], gradient=gradient.numpy())
        (FOLDER / name / "generation_config.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
