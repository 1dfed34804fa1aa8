"""Generation for every language model of `ascendlite.models.cache`: sampling, and the loop that writes tokens."""

from .config import GenerationConfig, Options, row_seeds
from .loop import Completion, generate, stream
from .mixin import Generates
from .protocol import TextCodec
from .run import Past, Token
from .sampling import Choice, choose, restrict

__all__ = [
    "Choice", "Completion", "Generates", "GenerationConfig", "Options", "Past", "TextCodec", "Token", "choose", "generate", "restrict",
    "row_seeds", "stream",
]  # fmt: skip
