"""What users hand to trainers, as trainers work with it: a model or the name of one, a tokenizer, LoRA, rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ascendlite import nn
from ascendlite.errors import ArgumentError

from .conversing import ChatCodec, codec_of
from .dataset import Rows
from .lora import LoraConfig, add_lora
from .protocol import Codec


def opened(
    kind: str, model: nn.Module | str, processing_class: object | None, train_dataset: Rows | None, peft_config: LoraConfig | None, columns: str
) -> tuple[nn.Module, Codec, Rows]:
    """The model with its LoRA, the codec, and the rows; a model by name ("smollm2", a GGUF file, a folder) brings its tokenizer."""
    if isinstance(model, str):
        from ascendlite.models.pretrained import load_pretrained

        found = load_pretrained(model)
        model = cast(nn.Module, found.model)
        processing_class = processing_class or ChatCodec(found.tokenizer, found.chat)
    if train_dataset is None or processing_class is None:
        missing = "train_dataset (rows)" if train_dataset is None else "processing_class (a tokenizer)"
        raise ArgumentError(f"{kind}: it needs {missing}; rows have {columns}")
    if not hasattr(train_dataset, "__len__") or not hasattr(train_dataset, "__getitem__"):
        raise ArgumentError(f"{kind}: train_dataset is a {type(train_dataset).__name__}; it needs a length and rows by number: make a list of it")
    if isinstance(train_dataset, Mapping):
        raise ArgumentError(f"{kind}: train_dataset is a mapping of {', '.join(map(str, train_dataset)) or 'nothing'}; give rows: a list of mappings")
    if not len(train_dataset):
        raise ArgumentError(f"{kind}: the data set is empty; give at least one example")
    codec = codec_of(processing_class)
    for name in ("encode", "decode", "eos_token_id"):
        if not hasattr(codec, name):
            raise ArgumentError(f"{kind}: processing_class is a {type(codec).__name__} without {name!r}; give a tokenizer")
    if peft_config is not None:
        add_lora(model, peft_config)
    return model, cast(Codec, codec), train_dataset
