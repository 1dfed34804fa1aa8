"""`from ascendlite.utils.checkpoint import checkpoint`, where PyTorch users look for it."""

from ascendlite.autograd.checkpoint import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]
