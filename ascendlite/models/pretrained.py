"""Models as they are passed around: a Hugging Face folder, a GGUF file, or the name of one that a package brings."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ascendlite.core import Device, DType
from ascendlite.errors import FileFormatError
from ascendlite.models.cache import CausalLM
from ascendlite.text import (
    ChatFormat,
    DeepseekV4Chat,
    PlainChat,
    TemplateChat,
    Tokenizer,
    deepseek_tokenizer,
    load_tokenizer,
    tokenizer_from_gguf,
)

from . import deepseek_v4
from .llama import find_smollm2, load_hf
from .llama.gguf import read_gguf
from .llama.gguf_file import GGUFFile
from .llama.hub import read_json


@dataclass(frozen=True)
class Pretrained:
    """A model with its tokenizer and the way it converses."""

    model: CausalLM
    tokenizer: Tokenizer
    chat: ChatFormat
    path: Path


NAMED: dict[str, Callable[[], Path]] = {"smollm2": find_smollm2}


def chat_of(tokenizer: Tokenizer, source: str) -> ChatFormat:
    """The chat format of a tokenizer: its template, DeepSeek-V4's if it has these tokens, plain lines elsewhere."""
    if tokenizer.template is not None:
        end = tokenizer.text_of(tokenizer.eos_token_id) if tokenizer.stop_tokens else ""
        return TemplateChat(tokenizer.template, begin=tokenizer.text_of(tokenizer.begin), end=end, source=source)
    return DeepseekV4Chat() if tokenizer.token("<｜Assistant｜>") is not None else PlainChat()


def _from_gguf(path: Path, dtype: DType | None, device: Device | str) -> tuple[CausalLM, Tokenizer]:
    with GGUFFile(path) as file:
        tokenizer = tokenizer_from_gguf(file.values, str(path))
        return cast(CausalLM, read_gguf(file, dtype=dtype, device=device)), tokenizer


def _from_hf(path: Path, dtype: DType | None, device: Device | str) -> tuple[CausalLM, Tokenizer]:
    return cast(CausalLM, load_hf(path, dtype=dtype, device=device)), load_tokenizer(path)


def _from_deepseek_v4(path: Path, dtype: DType | None, device: Device | str) -> tuple[CausalLM, Tokenizer]:
    return cast(CausalLM, deepseek_v4.load_hf(path, dtype=dtype, device=device)), load_tokenizer(path)


def _from_v4(path: Path, dtype: DType | None, device: Device | str) -> tuple[CausalLM, Tokenizer]:
    from .deepseek_v4 import load_hf as load_v4

    tokenizer = load_tokenizer(path) if (path / "tokenizer.json").is_file() else deepseek_tokenizer()
    return cast(CausalLM, load_v4(path, dtype=dtype, device=device)), tokenizer


_BY_TYPE: dict[str, Callable[[Path, DType | None, Device | str], tuple[CausalLM, Tokenizer]]] = {
    "llama": _from_hf, "mistral": _from_hf, "qwen2": _from_hf, "qwen3": _from_hf, "deepseek_v4": _from_deepseek_v4,
}  # fmt: skip


def path_of(source: str | os.PathLike[str]) -> Path:
    """Where the model of a name, a file or a folder lies; an error says how to get it, before anything is read."""
    path = NAMED[source]() if isinstance(source, str) and source in NAMED else Path(source)
    if not path.is_file() and not (path / "config.json").is_file():
        raise FileNotFoundError(f"{path}: no GGUF file and no folder with a config.json; models with a name: {', '.join(NAMED)}")
    return path


def load_pretrained(source: str | os.PathLike[str], *, dtype: DType | None = None, device: Device | str = "cpu") -> Pretrained:
    """The model that a name ("smollm2"), a GGUF file or a Hugging Face folder is, with its tokenizer and chat format.

    `dtype` None keeps that of the file (float32 for quantised weights).
    """
    path = path_of(source)
    if path.is_file():
        model, tokenizer = _from_gguf(path, dtype, device)
    else:
        kind = read_json(path / "config.json").get("model_type")
        if kind not in _BY_TYPE:
            raise FileFormatError(f"{path / 'config.json'}: model_type is {kind!r}; known: {', '.join(_BY_TYPE)}")
        model, tokenizer = _BY_TYPE[str(kind)](path, dtype, device)
    if tokenizer.vocab_size > model.vocab_size:
        raise FileFormatError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, the model only {model.vocab_size}: they belong to different models"
        )
    return Pretrained(model, tokenizer, chat_of(tokenizer, str(path)), path)
