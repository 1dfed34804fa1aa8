"""`from ascendlite.utils.dlpack import from_dlpack, to_dlpack`, where PyTorch users look for them."""

from ascendlite.compat import to_dlpack
from ascendlite.interop.dlpack import from_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
