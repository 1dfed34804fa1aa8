"""A GPT: decoder-only transformer with learned or rotary positions, and tokenizers for characters and bytes."""

from .config import GPTConfig
from .model import GPT
from .tokenizer import ByteTokenizer, CharTokenizer, tokenizer_from_state

__all__ = ["GPT", "ByteTokenizer", "CharTokenizer", "GPTConfig", "tokenizer_from_state"]
