"""The methods that every language model gets: `model.generate(...)` and `model.stream(...)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Unpack, cast

from ascendlite import nn
from ascendlite.models.cache import CausalLM

from .config import GenerationConfig, Options
from .loop import Completion, Prompts, generate, stream
from .protocol import TextCodec
from .run import Past, Token


class Generates(nn.Module):
    """A module that follows `CausalLM` and writes text."""

    def generate(
        self, prompts: Prompts, config: GenerationConfig | None = None, *, tokenizer: TextCodec | None = None, **options: Unpack[Options]
    ) -> list[Completion]:
        """What the model writes after each prompt; see `ascendlite.generation.generate`."""
        return generate(cast(CausalLM, self), prompts, config, tokenizer=tokenizer, **options)

    def stream(
        self,
        prompts: Prompts,
        config: GenerationConfig | None = None,
        *,
        tokenizer: TextCodec | None = None,
        past: Past | None = None,
        **options: Unpack[Options],
    ) -> Iterator[Token]:
        """Tokens as they are written; see `ascendlite.generation.stream`."""
        return stream(cast(CausalLM, self), prompts, config, tokenizer=tokenizer, past=past, **options)
