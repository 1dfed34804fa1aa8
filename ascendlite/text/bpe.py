"""Tokenizers from the keys of a GGUF file: byte-level BPE ("gpt2") and SentencePiece's BPE by scores ("llama").

How each kind cuts text before merging is as in llama.cpp's llama-vocab.cpp; a kind that is not known is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ascendlite.errors import FileFormatError

from .tokenizer import Tokenizer, tokenizers_package

if TYPE_CHECKING:
    import tokenizers as library

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
# By tokenizer.ggml.pre: the pattern that cuts words; "" is GPT-2's own; and whether each digit stands alone.
_CUTS: dict[str, tuple[str, bool]] = {
    "gpt-2": ("", False), "default": ("", False), "smollm": ("", True), "llama-bpe": (_LLAMA3, False), "llama3": (_LLAMA3, False),
    "qwen2": (_QWEN2, False),
}  # fmt: skip
_NORMAL, _UNKNOWN, _CONTROL, _USER = 1, 2, 3, 4  # token types of the format


class _Keys:
    """The tokenizer's keys of one file, by what they must be."""

    def __init__(self, values: Mapping[str, object], path: str) -> None:
        self._values, self.path = values, path

    def fail(self, name: str, problem: str) -> FileFormatError:
        return FileFormatError(f"gguf: {self.path}: the key 'tokenizer.ggml.{name}' {problem}")

    def text(self, name: str, default: str | None = None) -> str:
        value = self._values.get(f"tokenizer.ggml.{name}", default)
        if value is None:
            raise self.fail(name, "is missing: the file holds no tokenizer")
        if not isinstance(value, str):
            raise self.fail(name, f"is {str(value)[:40]!r}; it must be a text")
        return value

    def number(self, name: str) -> int | None:
        value = self._values.get(f"tokenizer.ggml.{name}")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.fail(name, f"is {str(value)[:40]!r}; it must be a token number")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._values.get(f"tokenizer.ggml.{name}", default)
        if not isinstance(value, bool):
            raise self.fail(name, f"is {str(value)[:40]!r}; it must be a bool")
        return value

    def items(self, name: str, kind: type, length: int | None = None) -> list[object]:
        value = self._values.get(f"tokenizer.ggml.{name}")
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value[:1]):
            raise self.fail(name, "is missing or no list: the file holds no whole tokenizer")
        if length is not None and len(value) != length:
            raise self.fail(name, f"has {len(value)} items for {length} tokens")
        return value


def _merges(keys: _Keys, vocab: Mapping[str, int]) -> list[tuple[str, str]]:
    made = []
    for number, merge in enumerate(keys.items("merges", str)):
        first, _, second = str(merge).partition(" ")
        if not (first in vocab and second in vocab and first + second in vocab):
            raise keys.fail("merges", f"has {str(merge)[:40]!r} at {number}, which are not two tokens that make a third")
        made.append((first, second))
    return made


def _byte_level(keys: _Keys, vocab: dict[str, int]) -> library.Tokenizer:
    package = tokenizers_package()
    cut = keys.text("pre", "default")
    if cut not in _CUTS:
        raise keys.fail("pre", f"is {cut!r}; known: {', '.join(_CUTS)}")
    pattern, digits = _CUTS[cut]
    parts = [package.pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if pattern:
        parts.append(package.pre_tokenizers.Split(package.Regex(pattern), "isolated"))
    parts.append(package.pre_tokenizers.ByteLevel(add_prefix_space=keys.flag("add_space_prefix", False), use_regex=not pattern))
    made: library.Tokenizer = package.Tokenizer(package.models.BPE(vocab, _merges(keys, vocab), ignore_merges=pattern == _LLAMA3))
    made.pre_tokenizer = package.pre_tokenizers.Sequence(parts)
    made.decoder = package.decoders.ByteLevel()
    return made


def merges_by_score(vocab: Mapping[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Pairs of tokens whose join is a token, the best-scored join first: what SentencePiece's BPE does without a list of merges.

    >>> merges_by_score({"a": 0, "b": 1, "ab": 2, "abb": 3}, [0.0, 0.0, -1.0, -2.0])
    [('a', 'b'), ('ab', 'b')]
    """
    found = []
    for text, number in vocab.items():
        pairs = [(text[:cut], text[cut:]) for cut in range(1, len(text)) if text[:cut] in vocab and text[cut:] in vocab]
        found += [(-scores[number], vocab[a], vocab[b], a, b) for a, b in pairs]
    return [(a, b) for *_, a, b in sorted(found)]


def _sentencepiece(keys: _Keys, vocab: dict[str, int]) -> library.Tokenizer:
    package = tokenizers_package()
    scores = [float(score) for score in keys.items("scores", float, len(vocab))]  # type: ignore[arg-type]
    unknown = keys.number("unknown_token_id")
    texts = list(vocab)
    made: library.Tokenizer = package.Tokenizer(
        package.models.BPE(
            vocab, merges_by_score(vocab, scores), unk_token=None if unknown is None else texts[unknown], fuse_unk=True, byte_fallback=True
        )
    )
    prefix = keys.flag("add_space_prefix", True)
    steps = [package.normalizers.Prepend("▁")] if prefix else []
    made.normalizer = package.normalizers.Sequence([*steps, package.normalizers.Replace(" ", "▁")])
    back = [package.decoders.Replace("▁", " "), package.decoders.ByteFallback(), package.decoders.Fuse()]
    made.decoder = package.decoders.Sequence([*back, *([package.decoders.Strip(" ", 1, 0)] if prefix else [])])
    return made


_MODELS = {"gpt2": _byte_level, "llama": _sentencepiece}


def tokenizer_from_gguf(values: Mapping[str, object], path: str = "the file") -> Tokenizer:
    """The tokenizer that the keys of a GGUF file describe; FileFormatError names file and key."""
    keys = _Keys(values, path)
    kind = keys.text("model")
    if kind not in _MODELS:
        raise keys.fail("model", f"is {kind!r}; known: {', '.join(_MODELS)}")
    texts = [str(text) for text in keys.items("tokens", str)]
    vocab = {text: number for number, text in enumerate(texts)}
    if len(vocab) != len(texts):
        raise keys.fail("tokens", f"has {len(texts)} tokens of which only {len(vocab)} differ")
    numbers = {name: keys.number(f"{name}_token_id") for name in ("bos", "eos", "eot", "eom", "unknown")}
    for name, number in numbers.items():
        if number is not None and not 0 <= number < len(texts):
            raise keys.fail(f"{name}_token_id", f"is {number}, but there are {len(texts)} tokens")
    inner = _MODELS[kind](keys, vocab)
    types = keys.items("token_type", int, len(texts)) if "tokenizer.ggml.token_type" in values else [_NORMAL] * len(texts)
    added = tokenizers_package().AddedToken
    special = [added(text, special=True, normalized=False) for text, t in zip(texts, types, strict=True) if t in (_UNKNOWN, _CONTROL)]
    plain = [added(text, special=False, normalized=False) for text, t in zip(texts, types, strict=True) if t == _USER]
    inner.add_special_tokens(special)
    inner.add_tokens(plain)
    template = values.get("tokenizer.chat_template")
    return Tokenizer(
        inner,
        begin=numbers["bos"],
        end=numbers["eos"],
        adds_begin=keys.flag("add_bos_token", kind == "llama"),
        stop_tokens=[numbers[name] for name in ("eot", "eom") if numbers[name] is not None],  # type: ignore[misc]
        template=template if isinstance(template, str) else None,
    )
