"""Names of `torch.signal`: windows."""

from ascendlite.signal import windows

__all__ = ["windows"]
