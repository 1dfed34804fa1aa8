"""What `ascendlite chat` and `ascendlite generate` open: a run's folder, a checkpoint, a model's file or folder, or a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ascendlite.errors import ArgumentError, FileFormatError

if TYPE_CHECKING:
    import numpy as np

    from ascendlite.generation import TextCodec
    from ascendlite.models.cache import CausalLM
    from ascendlite.nn import Module
    from ascendlite.text import ChatFormat


class Codec(Protocol):
    """Text to token numbers and back."""

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> Sequence[int] | np.ndarray: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class Opened:
    """A model that can write, in evaluation mode. `shown` decodes special tokens too: a chat format reads them."""

    model: CausalLM
    codec: Codec
    shown: TextCodec
    chat: ChatFormat
    stop_tokens: tuple[int, ...]
    about: str


def open_model(source: str, *, dtype: str | None = None, device: str = "cpu", adapter: Path | None = None) -> Opened:
    """Open what the user named; `adapter`: a folder with LoRA weights, which are merged into it."""
    path = Path(source)
    where = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    saved = (where / "manifest.json").is_file() or (where.is_dir() and any(where.glob("step-*/manifest.json")))
    opened = _from_checkpoint(where, dtype, device) if saved else _from_pretrained(source, dtype, device)
    if adapter is not None:
        from ascendlite.posttrain import load_lora, merge_lora

        load_lora(cast("Module", opened.model), adapter)
        merge_lora(cast("Module", opened.model))
    return opened


def _from_pretrained(source: str, dtype: str | None, device: str) -> Opened:
    import ascendlite as al
    from ascendlite.models.pretrained import load_pretrained

    found = load_pretrained(source, dtype=None if dtype is None else getattr(al, dtype), device=device)
    tokenizer = found.tokenizer
    found.model.train(False)
    return Opened(found.model, tokenizer, tokenizer.shown(), found.chat, tokenizer.stop_tokens, _about(found.model, found.path.name))


def _about(model: CausalLM, name: str) -> str:
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{name}: {count:,} parameters, {next(model.parameters()).dtype.name}, texts of up to {model.max_length:,} tokens"


# ---- checkpoints: what `ascendlite train` and `ascendlite posttrain` leave


def _from_checkpoint(folder: Path, dtype: str | None, device: str) -> Opened:
    import ascendlite as al
    from ascendlite import checkpoint

    found = checkpoint.load(folder, restore_random=False)
    extras = found.extras
    if not isinstance(extras, Mapping) or not isinstance(extras.get("tokenizer"), Mapping):
        raise FileFormatError(f"{found.path}: the checkpoint does not say what tokenizer it belongs to; it is of another program")
    codec, shown, chat, stops = _tokenizer(cast("Mapping[str, object]", extras["tokenizer"]), found.path)
    model = _model(cast("Mapping[str, object]", extras), codec, found.path)
    checkpoint.load(found.path, model=model, restore_random=False)  # type: ignore[arg-type]
    module = cast("Module", model)
    module.to(device)
    if dtype is not None:
        module.to(getattr(al, dtype))
    model.train(False)
    name = folder.parent.name if folder.name == "checkpoints" else folder.name
    return Opened(model, codec, shown, chat, stops, _about(model, f"{name}, step {found.step:,}"))


def _tokenizer(state: Mapping[str, object], path: Path) -> tuple[Codec, TextCodec, ChatFormat, tuple[int, ...]]:
    """The tokenizer, one that shows all tokens, the chat format, and what ends an answer."""
    from ascendlite.models.gpt import tokenizer_from_state
    from ascendlite.models.pretrained import chat_of
    from ascendlite.posttrain import PieceTokenizer
    from ascendlite.text import ByteChatTokenizer, DeepseekV4Chat, PlainChat, tokenizer_from_saved

    if state.get("kind") == "tokenizers":
        whole = tokenizer_from_saved(state)
        return whole, whole.shown(), chat_of(whole, str(path)), whole.stop_tokens
    if state.get("kind") == ByteChatTokenizer.kind:
        known = ByteChatTokenizer()
        return known, known, DeepseekV4Chat(), (known.eos_token_id,)
    if state.get("kind") == "pieces":
        pieces = PieceTokenizer(cast("Sequence[str]", state["pieces"]), thinking=bool(state.get("thinking")))
        return pieces, pieces, DeepseekV4Chat("high" if pieces.thinking else "chat"), (pieces.eos_token_id,)
    try:
        simple = tokenizer_from_state(cast("dict[str, str]", state))
    except ArgumentError as error:
        raise FileFormatError(f"{path}: {error}") from error
    return simple, simple, PlainChat(), ()


def _model(extras: Mapping[str, object], codec: Codec, path: Path) -> CausalLM:
    from ascendlite.models.registry import model_of

    if "settings" in extras and "model" not in extras:  # of `ascendlite train`
        from .run import config_of
        from .settings import settings_from_state

        settings = settings_from_state(cast("dict[str, int | float | str | bool]", extras["settings"]))
        config = config_of(settings, codec.vocab_size)
        return model_of({"kind": "gpt", "config": config.state_dict()})
    if not isinstance(extras.get("model"), Mapping):
        raise FileFormatError(f"{path}: the checkpoint does not say what model it holds; it is of another program")
    return model_of(cast("Mapping[str, object]", extras["model"]))
