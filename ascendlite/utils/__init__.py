"""Names of `torch.utils` that people look for: `utils.checkpoint`."""

from ascendlite.utils import checkpoint

__all__ = ["checkpoint"]
