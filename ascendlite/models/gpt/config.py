"""What a GPT is made of, checked where it is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ascendlite.errors import ArgumentError

_POSITIONS = ("rotary", "learned")


@dataclass(frozen=True)
class GPTConfig:
    """Sizes and choices of a GPT; the defaults train on a laptop in minutes.

    >>> GPTConfig(vocab_size=65, width=128, heads=4).head_size
    32
    """

    vocab_size: int
    length: int = 128
    layers: int = 4
    heads: int = 4
    width: int = 128
    positions: str = "rotary"
    tied: bool = False
    dropout: float = 0.0
    bias: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "length", "layers", "heads", "width"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(f"GPTConfig: {name} is {value!r}; it must be a positive integer")
        if self.width % self.heads:
            raise ArgumentError(f"GPTConfig: width {self.width} is not a multiple of heads {self.heads}")
        if self.positions not in _POSITIONS:
            raise ArgumentError(f"GPTConfig: positions is {self.positions!r}; it must be one of {', '.join(_POSITIONS)}")
        if self.positions == "rotary" and self.head_size % 2:
            raise ArgumentError(f"GPTConfig: rotary positions need an even head size, got {self.width} / {self.heads} = {self.head_size}")
        if not 0.0 <= self.dropout < 1.0:
            raise ArgumentError(f"GPTConfig: dropout is {self.dropout}; it must be at least 0 and below 1")

    @property
    def head_size(self) -> int:
        """The width of one attention head."""
        return self.width // self.heads

    def state_dict(self) -> dict[str, int | float | str | bool]:
        """The values, to make the config again with `GPTConfig(**values)`."""
        return asdict(self)


def gpt2(vocab_size: int = 50257) -> GPTConfig:
    """The 124-million-parameter GPT-2."""
    return GPTConfig(vocab_size, length=1024, layers=12, heads=12, width=768, positions="learned", tied=True, bias=True)
