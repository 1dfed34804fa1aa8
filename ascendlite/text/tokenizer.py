"""Tokenizers of the `tokenizers` library behind our names. It knows no model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ascendlite.errors import ArgumentError, FileFormatError

if TYPE_CHECKING:
    import tokenizers as library

FilePath = str | os.PathLike[str]

# Tokens that end an answer in the models of the family, beside the one that their config names.
_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "</s>", "<｜end▁of▁sentence｜>")


def tokenizers_package() -> ModuleType:
    """The `tokenizers` package, or an error that says how to get it."""
    try:
        import tokenizers
    except ImportError:
        raise ImportError("tokenizer: the package 'tokenizers' is not installed: pip install 'ascendlite[text]'") from None
    return tokenizers


class Tokenizer:
    """Text to token numbers and back.

    `begin` is put before a text by `encode` if the model expects it; `stop_tokens` end an answer; `template` is the model's Jinja chat
    template, if it has one.
    """

    def __init__(
        self,
        inner: library.Tokenizer,
        *,
        begin: int | None = None,
        end: int | None = None,
        adds_begin: bool = False,
        stop_tokens: Iterable[int] = (),
        template: str | None = None,
    ) -> None:
        self.inner = inner
        self.begin, self.adds_begin, self.template = begin, adds_begin, template
        ends = (inner.token_to_id(text) for text in _ENDS)
        self.stop_tokens = tuple(sorted({*stop_tokens, *(token for token in (end, *ends) if token is not None)}))
        self._end = end

    kind = "tokenizers"

    def state_dict(self) -> dict[str, object]:
        """What makes the tokenizer again, see `tokenizer_from_saved`; plain values, the whole vocabulary among them."""
        return {
            "kind": self.kind, "json": self.inner.to_str(), "begin": self.begin, "end": self._end, "adds_begin": self.adds_begin,
            "stop_tokens": list(self.stop_tokens), "template": self.template,
        }  # fmt: skip

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return int(self.inner.get_vocab_size(with_added_tokens=True))

    @property
    def eos_token_id(self) -> int:
        """The token that ends an answer."""
        if self._end is None and not self.stop_tokens:
            raise ArgumentError("tokenizer: it has no token that ends an answer; the model was made to go on")
        return self.stop_tokens[0] if self._end is None else self._end

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token numbers; `special`: with the tokens that the model expects around a text. Special tokens written in it are understood."""
        found = [int(token) for token in self.inner.encode(text, add_special_tokens=special).ids]
        if special and self.adds_begin and self.begin is not None and found[:1] != [self.begin]:
            return [self.begin, *found]
        return found

    def decode(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """The text; special tokens are left out unless `special`."""
        return str(self.inner.decode([int(token) for token in tokens], skip_special_tokens=not special))

    def shown(self) -> Shown:
        """The same, with special tokens as text: what a chat format reads."""
        return Shown(self)

    def token(self, text: str) -> int | None:
        """The number of the token with exactly this text, if there is one."""
        found = self.inner.token_to_id(text)
        return None if found is None else int(found)

    def text_of(self, token: int | None) -> str:
        """The text of one token, special or not; nothing for None."""
        return "" if token is None else self.inner.id_to_token(token) or ""


class Shown:
    """A tokenizer that leaves no token out of the text."""

    def __init__(self, inner: Tokenizer) -> None:
        self.inner = inner

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text whose special tokens are written in it."""
        return self.inner.encode(text, special=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text, with its special tokens."""
        return self.inner.decode(tokens, special=True)


def tokenizer_from_saved(state: Mapping[str, object]) -> Tokenizer:
    """The tokenizer that a `state_dict()` describes."""
    values: dict[str, Any] = {name: state.get(name) for name in ("begin", "end", "adds_begin", "stop_tokens", "template")}
    try:
        inner = tokenizers_package().Tokenizer.from_str(str(state["json"]))
    except ImportError:
        raise
    except Exception as error:  # the library raises bare Exceptions
        raise FileFormatError(f"tokenizer: the saved state is damaged ({str(error)[:150]})") from error
    return Tokenizer(inner, **values)


def _read_json(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        raw = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"tokenizer: {path}: not JSON ({str(error)[:100]}); download the file again") from error
    if not isinstance(raw, dict):
        raise FileFormatError(f"tokenizer: {path}: a {type(raw).__name__} where an object was expected")
    return raw


def _text_of(entry: object) -> str | None:
    value = entry.get("content") if isinstance(entry, dict) else entry
    return value if isinstance(value, str) else None


def _numbers(value: object) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, int) and not isinstance(v, bool)]


def _template_of(config: dict[str, object], folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):  # several named ones
        named = {str(t.get("name")): t.get("template") for t in found if isinstance(t, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def load_tokenizer(folder: FilePath) -> Tokenizer:
    """The tokenizer of a Hugging Face folder: tokenizer.json, with what tokenizer_config.json and generation_config.json add."""
    root = Path(folder)
    file = root if root.is_file() else root / "tokenizer.json"
    inner = read_tokenizer_json(file)
    root = file.parent
    config = _read_json(root / "tokenizer_config.json")
    begin, end = (_text_of(config.get(name)) for name in ("bos_token", "eos_token"))
    stops = [
        token
        for name in ("config.json", "generation_config.json")
        for token in _numbers(_read_json(root / name).get("eos_token_id"))
    ]
    first, last = (None if text is None else inner.token_to_id(text) for text in (begin, end))
    return Tokenizer(inner, begin=first, end=last, stop_tokens=stops, template=_template_of(config, root))


def read_tokenizer_json(file: Path) -> library.Tokenizer:
    """A tokenizer.json; whatever is wrong names the file."""
    if not file.is_file():
        raise FileNotFoundError(f"tokenizer: {file}: there is no such file; a Hugging Face folder has a tokenizer.json")
    package = tokenizers_package()
    try:
        found: library.Tokenizer = package.Tokenizer.from_file(str(file))
        return found
    except Exception as error:  # the library raises bare Exceptions
        raise FileFormatError(f"tokenizer: {file}: not a tokenizer.json ({str(error)[:150]}); download the file again") from error
