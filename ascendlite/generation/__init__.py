"""Generation for every language model: the protocol of models and caches, sampling, and the loop that writes tokens."""

from .cache import KeyValueCache, Places, fresh_places
from .config import GenerationConfig, Options, row_seeds
from .loop import Completion, Token, generate, stream
from .mixin import Generates
from .protocol import Cache, CausalModel, TextCodec
from .sampling import Choice, choose, restrict

__all__ = [
    "Cache", "CausalModel", "Choice", "Completion", "Generates", "GenerationConfig", "KeyValueCache", "Options", "Places", "TextCodec", "Token",
    "choose", "fresh_places", "generate", "restrict", "row_seeds", "stream",
]  # fmt: skip
