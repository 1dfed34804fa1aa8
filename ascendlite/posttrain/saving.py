"""A trained model in the form that other programs read: a Hugging Face folder, or the LoRA weights alone as PEFT writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ascendlite import nn
from ascendlite.errors import ArgumentError
from ascendlite.models import deepseek_v4, llama

from .lora import LoraConfig, LoraLinear, save_lora

_WRITERS: tuple[tuple[type[nn.Module], Callable[[Any, Path], Path]], ...] = (
    (llama.Llama, llama.save_hf),
    (deepseek_v4.DeepseekV4, deepseek_v4.save_hf),
)


def save_trained(model: nn.Module, folder: Path) -> None:
    """Write the LoRA weights where there is LoRA (merge_lora first for the whole model), else config.json and the weights."""
    layer = next((module for module in model.modules() if isinstance(module, LoraLinear)), None)
    if layer is not None:
        rank = layer.lora_A.weight.shape[0]
        save_lora(model, folder, LoraConfig(rank, layer.scale * rank, layer.dropout.p))
        return
    for kind, write in _WRITERS:
        if isinstance(model, kind):
            write(model, folder)
            return
    raise ArgumentError(f"save_model: a {type(model).__name__} has no form that other programs read; its checkpoints are in output_dir")
