"""Text to tokens and back, and conversations to text: tokenizers of files, chat templates, DeepSeek-V4's chat format."""

from .bpe import tokenizer_from_gguf
from .byte_level import ByteChatTokenizer
from .chat import ChatFormat, Message, PlainChat, TemplateChat
from .deepseek_v4 import DeepseekV4Chat, deepseek_tokenizer
from .tokenizer import Tokenizer, load_tokenizer, tokenizer_from_saved

__all__ = [
    "ByteChatTokenizer", "ChatFormat", "DeepseekV4Chat", "Message", "PlainChat", "TemplateChat", "Tokenizer", "deepseek_tokenizer", "load_tokenizer",
    "tokenizer_from_gguf", "tokenizer_from_saved",
]  # fmt: skip
