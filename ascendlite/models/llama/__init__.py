"""The Llama family: Llama 2 and 3, Mistral, Qwen2 and 3, SmolLM2; weights from Hugging Face folders and GGUF files."""

from .config import LlamaConfig, RopeScaling, config_from_hf
from .gguf import load_gguf
from .hub import load_hf, save_hf
from .model import Llama
from .smollm2 import find_smollm2

__all__ = ["Llama", "LlamaConfig", "RopeScaling", "config_from_hf", "find_smollm2", "load_gguf", "load_hf", "save_hf"]
